/* SPDX-License-Identifier: Apache-2.0 */
/* The tests behind "is", which select and reject name too. Each returns a boolean. */
#include <math.h>
#include <string.h>

#include "filters.h"
#include "iter.h"
#include "ops.h"
#include "text.h"

static BUILTIN(test_defined) {
    return value_bool(self.kind != V_UNDEFINED);
}

static BUILTIN(test_undefined) {
    return value_bool(self.kind == V_UNDEFINED);
}

static BUILTIN(test_none) {
    return value_bool(self.kind == V_NONE);
}

static BUILTIN(test_boolean) {
    return value_bool(self.kind == V_BOOL);
}

static BUILTIN(test_true) {
    return value_bool(self.kind == V_BOOL && self.boolean);
}

static BUILTIN(test_false) {
    return value_bool(self.kind == V_BOOL && !self.boolean);
}

static BUILTIN(test_integer) {
    return value_bool(self.kind == V_INT);
}

static BUILTIN(test_float) {
    return value_bool(self.kind == V_FLOAT);
}

static BUILTIN(test_number) {
    return value_bool(value_is_number(self));
}

static BUILTIN(test_string) {
    return value_bool(self.kind == V_STR);
}

static BUILTIN(test_mapping) {
    return value_bool(self.kind == V_DICT);
}

/* What has a length and items by index. */
static BUILTIN(test_sequence) {
    return value_bool(self.kind == V_STR || self.kind == V_LIST || self.kind == V_TUPLE ||
                      self.kind == V_DICT || self.kind == V_RANGE || self.kind == V_UNDEFINED);
}

static BUILTIN(test_iterable) {
    return value_bool(iter_possible(self) || self.kind == V_LOOP);
}

static BUILTIN(test_callable) {
    return value_bool(self.kind == V_FUNCTION || self.kind == V_METHOD || self.kind == V_MACRO ||
                      self.kind == V_LOOP || self.kind == V_JOINER || self.kind == V_UNDEFINED);
}

static BUILTIN(test_escaped) {
    return value_bool(self.kind == V_STR && self.str->markup);
}

/* The same object; what Python makes one object of (small numbers, equal literals) counts. */
static BUILTIN(test_sameas) {
    const struct value other = args->pos[0];
    if (self.kind != other.kind)
        return value_bool(false);
    if (self.kind <= V_STR)
        return value_bool(op_equal(in, self, other));
    return value_bool(self.pointer == other.pointer);
}

static bool all_cased(struct interp *in, struct value self, bool upper) {
    const struct str *s = text_of(in, self).str;
    bool cased = false;
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        i += str_char(s, i, &cp);
        if (upper ? unicode_is_lower(cp) : unicode_is_upper(cp))
            return false;
        cased = cased || unicode_is_upper(cp) || unicode_is_lower(cp);
    }
    return cased;
}

static BUILTIN(test_upper) {
    return value_bool(all_cased(in, self, /* upper= */ true));
}

static BUILTIN(test_lower) {
    return value_bool(all_cased(in, self, /* upper= */ false));
}

static struct value remainder_is(struct interp *in, struct value self, struct value by,
                                 int64_t wanted) {
    const struct value rest = op_arithmetic(in, OP_MOD, self, by);
    return value_bool(!in->failed && op_equal(in, rest, value_int(wanted)));
}

static BUILTIN(test_even) {
    return remainder_is(in, self, value_int(2), 0);
}

static BUILTIN(test_odd) {
    return remainder_is(in, self, value_int(2), 1);
}

static BUILTIN(test_divisibleby) {
    return remainder_is(in, self, args->pos[0], 0);
}

static BUILTIN(test_in) {
    return value_bool(op_contains(in, args->pos[0], self));
}

static BUILTIN(test_eq) {
    return value_bool(op_compare(in, OP_EQ, self, args->pos[0]));
}

static BUILTIN(test_ne) {
    return value_bool(op_compare(in, OP_NE, self, args->pos[0]));
}

static BUILTIN(test_lt) {
    return value_bool(op_compare(in, OP_LT, self, args->pos[0]));
}

static BUILTIN(test_le) {
    return value_bool(op_compare(in, OP_LE, self, args->pos[0]));
}

static BUILTIN(test_gt) {
    return value_bool(op_compare(in, OP_GT, self, args->pos[0]));
}

static BUILTIN(test_ge) {
    return value_bool(op_compare(in, OP_GE, self, args->pos[0]));
}

static BUILTIN(test_filter) {
    return value_bool(self.kind == V_STR && filter_find(self.str->bytes, self.str->len));
}

static BUILTIN(test_test) {
    return value_bool(self.kind == V_STR && test_find(self.str->bytes, self.str->len));
}

static const struct builtin tests[] = {
    {"!=", "other", test_ne},
    {"<", "other", test_lt},
    {"<=", "other", test_le},
    {"==", "other", test_eq},
    {">", "other", test_gt},
    {">=", "other", test_ge},
    {"boolean", "", test_boolean},
    {"callable", "", test_callable},
    {"defined", "", test_defined},
    {"divisibleby", "num", test_divisibleby},
    {"eq", "other", test_eq},
    {"equalto", "other", test_eq},
    {"escaped", "", test_escaped},
    {"even", "", test_even},
    {"false", "", test_false},
    {"filter", "", test_filter},
    {"float", "", test_float},
    {"ge", "other", test_ge},
    {"greaterthan", "other", test_gt},
    {"gt", "other", test_gt},
    {"in", "seq", test_in},
    {"integer", "", test_integer},
    {"iterable", "", test_iterable},
    {"le", "other", test_le},
    {"lessthan", "other", test_lt},
    {"lower", "", test_lower},
    {"lt", "other", test_lt},
    {"mapping", "", test_mapping},
    {"ne", "other", test_ne},
    {"none", "", test_none},
    {"number", "", test_number},
    {"odd", "", test_odd},
    {"sameas", "other", test_sameas},
    {"sequence", "", test_sequence},
    {"string", "", test_string},
    {"test", "", test_test},
    {"true", "", test_true},
    {"undefined", "", test_undefined},
    {"upper", "", test_upper},
};

const struct builtin *test_find(const char *name, size_t len) {
    return builtin_find(tests, sizeof tests / sizeof tests[0], name, len);
}
