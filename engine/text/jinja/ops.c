/* SPDX-License-Identifier: Apache-2.0 */
#include "ops.h"

#include <math.h>
#include <string.h>

#include "iter.h"
#include "text.h"

enum { MAX_COMPARE_DEPTH = 64 };

static const char *spelling(enum binary_op op) {
#define AS_NAME(op, name) [op] = name,
    static const char *const names[] = {BINARY_OPS(AS_NAME)};
#undef AS_NAME
    return names[op];
}

static struct value fail_operands(struct interp *in, enum binary_op op, struct value a,
                                  struct value b) {
    interp_fail(in, "unsupported operand type(s) for %s: '%s' and '%s'", spelling(op),
                value_type_name(a), value_type_name(b));
    return value_none();
}

static struct value fail_overflow(struct interp *in) {
    interp_fail(in, "an integer does not fit 64 bits");
    return value_none();
}

static struct value fail_zero(struct interp *in, const char *what) {
    interp_fail(in, "%s by zero", what);
    return value_none();
}

/* --- Numbers --------------------------------------------------------------------------------- */

static struct value multiply_ints(struct interp *in, int64_t a, int64_t b) {
    const bool same_sign = (a < 0) == (b < 0);
    if (a != 0 && b != 0) {
        if ((a == -1 && b == INT64_MIN) || (b == -1 && a == INT64_MIN))
            return fail_overflow(in);
        const int64_t limit = same_sign ? INT64_MAX : INT64_MIN;
        if (b != -1 && a != -1) {
            const int64_t bound = limit / b;
            if ((a > 0 && b > 0 && a > bound) || (a < 0 && b < 0 && a < bound) ||
                (a > 0 && b < 0 && a > bound) || (a < 0 && b > 0 && a < bound))
                return fail_overflow(in);
        }
    }
    return value_int(a * b);
}

static struct value power_ints(struct interp *in, int64_t base, int64_t exponent) {
    if (exponent < 0) {
        if (base == 0)
            return fail_zero(in, "0.0 cannot be raised to a negative power: division");
        return value_float(pow((double)base, (double)exponent));
    }
    struct value result = value_int(1);
    struct value factor = value_int(base);
    while (exponent > 0 && !in->failed) {
        if (exponent & 1)
            result = multiply_ints(in, result.integer, factor.integer);
        exponent >>= 1;
        if (exponent > 0)
            factor = multiply_ints(in, factor.integer, factor.integer);
    }
    return result;
}

static int64_t floor_divide(int64_t a, int64_t b) {
    const int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static struct value arithmetic_ints(struct interp *in, enum binary_op op, int64_t a, int64_t b) {
    switch (op) {
    case OP_ADD:
        if ((b > 0 && a > INT64_MAX - b) || (b < 0 && a < INT64_MIN - b))
            return fail_overflow(in);
        return value_int(a + b);
    case OP_SUB:
        if ((b < 0 && a > INT64_MAX + b) || (b > 0 && a < INT64_MIN + b))
            return fail_overflow(in);
        return value_int(a - b);
    case OP_MUL:
        return multiply_ints(in, a, b);
    case OP_DIV:
        return b == 0 ? fail_zero(in, "division") : value_float((double)a / (double)b);
    case OP_FLOORDIV:
        if (b == 0)
            return fail_zero(in, "integer division or modulo");
        return a == INT64_MIN && b == -1 ? fail_overflow(in) : value_int(floor_divide(a, b));
    case OP_MOD:
        if (b == 0)
            return fail_zero(in, "integer division or modulo");
        return value_int(b == -1 ? 0 : a - floor_divide(a, b) * b);
    default:
        return power_ints(in, a, b);
    }
}

/* Python's divmod of floats: the remainder has the sign of the divisor. */
static double float_remainder(double a, double b, double *ret_floor) {
    double remainder = fmod(a, b);
    double quotient = (a - remainder) / b;
    if (remainder != 0 && (b < 0) != (remainder < 0)) {
        remainder += b;
        quotient -= 1;
    } else if (remainder == 0) {
        remainder = copysign(0.0, b);
    }
    double floored = quotient == 0 ? copysign(0.0, a / b) : floor(quotient);
    if (quotient - floored > 0.5)
        floored += 1;
    *ret_floor = floored;
    return remainder;
}

static struct value arithmetic_floats(struct interp *in, enum binary_op op, double a, double b) {
    double floored = 0;
    switch (op) {
    case OP_ADD:
        return value_float(a + b);
    case OP_SUB:
        return value_float(a - b);
    case OP_MUL:
        return value_float(a * b);
    case OP_DIV:
        return b == 0 ? fail_zero(in, "float division") : value_float(a / b);
    case OP_FLOORDIV:
    case OP_MOD: {
        if (b == 0)
            return fail_zero(in, op == OP_MOD ? "float modulo" : "float floor division");
        const double remainder = float_remainder(a, b, &floored);
        return value_float(op == OP_MOD ? remainder : floored);
    }
    default:
        if (a == 0 && b < 0)
            return fail_zero(in, "0.0 cannot be raised to a negative power: division");
        if (a < 0 && b != floor(b)) {
            interp_fail(in, "complex numbers are not served (a negative number to a fraction)");
            return value_none();
        }
        return value_float(pow(a, b));
    }
}

static struct value arithmetic_numbers(struct interp *in, enum binary_op op, struct value a,
                                       struct value b) {
    const bool integral = value_is_integral(a) && value_is_integral(b);
    struct value result = integral
                              ? arithmetic_ints(in, op, value_as_int(a), value_as_int(b))
                              : arithmetic_floats(in, op, value_as_float(a), value_as_float(b));
    result.user = a.user || b.user;
    return result;
}

struct value op_negate(struct interp *in, struct value v, bool negative) {
    struct value result = v;
    if (v.kind == V_UNDEFINED) {
        op_fail_undefined(in, v);
    } else if (!value_is_number(v)) {
        interp_fail(in, "bad operand type for unary %c: '%s'", negative ? '-' : '+',
                    value_type_name(v));
    } else if (v.kind == V_FLOAT) {
        result = value_float(negative ? -v.real : v.real);
    } else if (negative && value_as_int(v) == INT64_MIN) {
        return fail_overflow(in);
    } else {
        result = value_int(negative ? -value_as_int(v) : value_as_int(v));
    }
    result.user = v.user;
    return result;
}

/* --- Strings and lists ------------------------------------------------------------------------ */

/* Markup escapes what is joined to it, as markupsafe does. */
struct value op_concat_str(struct interp *in, const struct str *a, const struct str *b) {
    if (a->markup != b->markup) {
        a = text_escape(in, a).str;
        b = text_escape(in, b).str;
    }
    if (!interp_charge_bytes(in, b->len))
        return value_none();
    const bool markup = a->markup && b->markup;
    const struct str *joined = str_concat(&in->arena, a, b);
    if (joined && joined->markup != markup)
        joined = str_as_markup(&in->arena, joined, markup);
    return interp_str(in, joined);
}

static struct value repeat_str(struct interp *in, const struct str *s, int64_t times) {
    struct strb b = interp_builder(in);
    if (times < 0)
        times = 0;
    if (!s->runs)
        strb_repeat(&b, s->bytes, s->len, (size_t)times, s->user);
    for (int64_t i = 0; s->runs && i < times && !b.failed; i++)
        strb_append_str(&b, s);
    const struct value result = interp_take(in, &b);
    return interp_str(in, str_as_markup(&in->arena, result.str, s->markup));
}

static struct value repeat_seq(struct interp *in, struct value v, int64_t times) {
    struct seq *list = interp_seq(in, 0);
    list->user = v.seq->user;
    const size_t n = v.seq->n;
    for (int64_t t = 0; n > 0 && t < times && !in->failed; t++) {
        for (size_t i = 0; i < n; i++)
            interp_add(in, list, v.seq->items[i]);
    }
    return value_seq(v.kind, list);
}

static struct value concat_seqs(struct interp *in, struct value a, struct value b) {
    struct seq *list = interp_seq(in, a.seq->n + b.seq->n);
    list->user = a.seq->user || b.seq->user;
    for (size_t i = 0; i < a.seq->n; i++)
        interp_add(in, list, a.seq->items[i]);
    for (size_t i = 0; i < b.seq->n; i++)
        interp_add(in, list, b.seq->items[i]);
    return value_seq(a.kind, list);
}

static struct value add_others(struct interp *in, struct value a, struct value b) {
    if (a.kind == V_STR && b.kind == V_STR)
        return op_concat_str(in, a.str, b.str);
    if (a.kind == b.kind && (a.kind == V_LIST || a.kind == V_TUPLE))
        return concat_seqs(in, a, b);
    if (a.kind != V_STR && a.kind != V_LIST && a.kind != V_TUPLE)
        return fail_operands(in, OP_ADD, a, b);
    interp_fail(in, "can only concatenate %s (not \"%s\") to %s", value_type_name(a),
                value_type_name(b), value_type_name(a));
    return value_none();
}

static bool is_repeatable(struct value v) {
    return v.kind == V_STR || v.kind == V_LIST || v.kind == V_TUPLE;
}

static struct value repeat(struct interp *in, struct value v, int64_t times) {
    return v.kind == V_STR ? repeat_str(in, v.str, times) : repeat_seq(in, v, times);
}

struct value op_arithmetic(struct interp *in, enum binary_op op, struct value a, struct value b) {
    if (in->failed)
        return value_none();
    if (value_is_number(a) && value_is_number(b))
        return arithmetic_numbers(in, op, a, b);
    if (op == OP_MOD && a.kind == V_STR)
        return format_percent(in, a.str, b);
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED) {
        op_fail_undefined(in, a.kind == V_UNDEFINED ? a : b);
        return value_none();
    }
    if (op == OP_ADD)
        return add_others(in, a, b);
    if (op == OP_MUL && is_repeatable(a) && value_is_integral(b))
        return repeat(in, a, value_as_int(b));
    if (op == OP_MUL && is_repeatable(b) && value_is_integral(a))
        return repeat(in, b, value_as_int(a));
    return fail_operands(in, op, a, b);
}

/* --- Comparison ------------------------------------------------------------------------------- */

bool op_equal(struct interp *in, struct value a, struct value b) {
    const uint64_t steps = in->limits.max_steps > in->steps ? in->limits.max_steps - in->steps : 0;
    uint64_t budget = steps + 1;
    const bool equal = value_equal(a, b, &budget);
    return interp_charge(in, steps + 1 - budget) && equal;
}

static int order_at(struct interp *in, struct value a, struct value b, enum binary_op op,
                    int depth) {
    if (value_is_number(a) && value_is_number(b)) {
        if (value_is_integral(a) && value_is_integral(b)) {
            const int64_t x = value_as_int(a);
            const int64_t y = value_as_int(b);
            return x < y ? -1 : x > y;
        }
        const double x = value_as_float(a);
        const double y = value_as_float(b);
        return x < y ? -1 : x > y;
    }
    if (a.kind == V_STR && b.kind == V_STR)
        return interp_charge_bytes(in, a.str->len) ? str_compare(a.str, b.str) : 0;
    if (a.kind == V_UNDEFINED || b.kind == V_UNDEFINED) {
        op_fail_undefined(in, a.kind == V_UNDEFINED ? a : b);
        return 0;
    }
    if (a.kind != b.kind || (a.kind != V_LIST && a.kind != V_TUPLE) || depth >= MAX_COMPARE_DEPTH) {
        interp_fail(in, "'%s' not supported between instances of '%s' and '%s'", spelling(op),
                    value_type_name(a), value_type_name(b));
        return 0;
    }
    for (size_t i = 0; i < a.seq->n && i < b.seq->n && interp_charge(in, 1); i++) {
        if (!op_equal(in, a.seq->items[i], b.seq->items[i]))
            return order_at(in, a.seq->items[i], b.seq->items[i], op, depth + 1);
    }
    return a.seq->n < b.seq->n ? -1 : a.seq->n > b.seq->n;
}

int op_order(struct interp *in, struct value a, struct value b, enum binary_op op) {
    return order_at(in, a, b, op, 0);
}

static bool is_nan(struct value v) {
    return v.kind == V_FLOAT && isnan(v.real);
}

bool op_compare(struct interp *in, enum binary_op op, struct value a, struct value b) {
    if (in->failed)
        return false;
    switch (op) {
    case OP_EQ:
        return op_equal(in, a, b);
    case OP_NE:
        return !op_equal(in, a, b);
    case OP_IN:
        return op_contains(in, b, a);
    case OP_NOT_IN:
        return !op_contains(in, b, a);
    default:
        break;
    }
    const int order = op_order(in, a, b, op);
    if (value_is_number(a) && value_is_number(b) && (is_nan(a) || is_nan(b)))
        return false;
    return op == OP_LT   ? order < 0
           : op == OP_LE ? order <= 0
           : op == OP_GT ? order > 0
                         : order >= 0;
}

static bool str_contains(struct interp *in, const struct str *s, struct value item) {
    if (item.kind != V_STR) {
        interp_fail(in, "'in <string>' requires string as left operand, not %s",
                    value_type_name(item));
        return false;
    }
    return interp_charge_bytes(in, s->len) && str_find(s, 0, s->len, item.str) != SIZE_MAX;
}

bool op_contains(struct interp *in, struct value container, struct value item) {
    if (container.kind == V_STR)
        return str_contains(in, container.str, item);
    if (container.kind == V_DICT || container.kind == V_KEYS) {
        if (!value_hashable(item))
            interp_fail(in, "unhashable type: '%s'", value_type_name(item));
    }
    if (container.kind == V_DICT)
        return dict_get(container.dict, item) != NULL;
    if (!iter_possible(container)) {
        interp_fail(in, "argument of type '%s' is not iterable", value_type_name(container));
        return false;
    }
    struct iter it = iter_init(in, container);
    struct value candidate;
    while (iter_next(in, &it, &candidate)) {
        if (op_equal(in, candidate, item))
            return true;
    }
    return false;
}

struct value op_ignore_case(struct interp *in, struct value v) {
    return v.kind == V_STR ? text_map_case(in, v.str, CASE_LOWER) : v;
}
