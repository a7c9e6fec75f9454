/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes, items and slices. Python's two worlds meet here: a.b asks for an attribute (of
 * which a dict's are its methods) and only then for a key; a['b'] the other way round.
 */
#include <string.h>

#include "exec.h"
#include "iter.h"
#include "ops.h"
#include "text.h"

/* How messages call the type of what was asked: 'dict object', but 'None'. */
static const char *owner_name(uint8_t kind) {
    return kind == V_NONE ? "None" : value_type_name((struct value){.kind = kind});
}

void op_fail_undefined(struct interp *in, struct value v) {
    const char *suffix = v.owner == V_NONE ? "" : " object";
    switch (v.form) {
    case UNDEFINED_NAME:
        interp_fail(in, "'%.*s' is undefined", (int)v.name->len, v.name->bytes);
        break;
    case UNDEFINED_ATTRIBUTE:
        interp_fail(in, "'%s%s' has no attribute '%.*s'", owner_name(v.owner), suffix,
                    (int)(v.name->len < 128 ? v.name->len : 128), v.name->bytes);
        break;
    case UNDEFINED_PARAMETER:
        interp_fail(in, "parameter '%.*s' was not provided", (int)v.name->len, v.name->bytes);
        break;
    default:
        interp_fail(in, "%s", v.hint);
    }
}

static struct value no_attribute(struct value owner, const struct str *name) {
    return (struct value){
        .kind = V_UNDEFINED, .form = UNDEFINED_ATTRIBUTE, .owner = owner.kind, .name = name};
}

static struct value no_element(struct interp *in, struct value owner, struct value key) {
    if (key.kind == V_STR)
        return no_attribute(owner, key.str);
    struct strb b = interp_builder(in);
    strb_append_text(&b, owner_name(owner.kind));
    strb_append_text(&b, owner.kind == V_NONE ? " has no element " : " object has no element ");
    if (key.kind == V_INT || key.kind == V_BOOL || key.kind == V_NONE)
        text_append_repr(in, &b, key);
    else
        strb_append_text(&b, value_type_name(key));
    strb_append(&b, "", 1, /* user= */ false); /* a C string for the hint */
    return value_undefined(interp_take(in, &b).str->bytes);
}

/* A method, or an attribute of one of the engine's own objects; V_MISSING if there is none. */
static struct value find_attribute(struct interp *in, struct value v, const struct str *name) {
    const struct builtin *builtin = method_find(v, name->bytes, name->len);
    if (builtin) {
        struct method *method = interp_alloc(in, 1, sizeof *method);
        if (!method)
            return value_none();
        *method = (struct method){.self = v, .builtin = builtin};
        return (struct value){.kind = V_METHOD, .method = method};
    }
    if (v.kind == V_NAMESPACE) {
        const struct entry *entry = dict_get_text(v.dict, name->bytes, name->len);
        return entry ? entry->value : (struct value){.kind = V_MISSING};
    }
    if (v.kind == V_LOOP)
        return loop_attribute(in, v.loop, name);
    if (v.kind == V_MACRO && str_is(name, "name"))
        return value_str(macro_name(v.macro));
    if (v.kind == V_CYCLER && str_is(name, "current"))
        return v.cycler->items->items[v.cycler->at];
    if (v.kind == V_TUPLE && v.seq->is_group && v.seq->n == 2) {
        if (str_is(name, "grouper"))
            return v.seq->items[0];
        if (str_is(name, "list"))
            return v.seq->items[1];
    }
    return (struct value){.kind = V_MISSING};
}

struct value op_get_attribute(struct interp *in, struct value v, const struct str *name) {
    if (in->failed)
        return value_none();
    if (v.kind == V_UNDEFINED) {
        op_fail_undefined(in, v);
        return value_none();
    }
    const struct value found = find_attribute(in, v, name);
    if (found.kind != V_MISSING)
        return found;
    if (v.kind == V_DICT) {
        const struct entry *entry = dict_get_text(v.dict, name->bytes, name->len);
        if (entry)
            return entry->value;
    }
    return no_attribute(v, name);
}

/* index from the end if negative; false when it is outside. */
static bool in_bounds(int64_t index, int64_t n, size_t *ret_index) {
    if (index < 0)
        index += n;
    if (index < 0 || index >= n)
        return false;
    *ret_index = (size_t)index;
    return true;
}

static bool get_indexed(struct interp *in, struct value v, int64_t index, struct value *ret) {
    size_t i;
    if ((v.kind == V_LIST || v.kind == V_TUPLE) && in_bounds(index, (int64_t)v.seq->n, &i)) {
        *ret = v.seq->items[i];
        return true;
    }
    if (v.kind == V_RANGE && in_bounds(index, v.range->n, &i)) {
        *ret = value_int(v.range->start + (int64_t)i * v.range->step);
        return true;
    }
    if (v.kind == V_STR && in_bounds(index, v.str->n_chars, &i)) {
        uint32_t cp;
        const size_t byte = str_offset(v.str, i);
        if (!str_is_ascii(v.str) && !interp_charge_bytes(in, byte))
            return false;
        *ret = interp_part(in, v.str, byte, byte + str_char(v.str, byte, &cp));
        return true;
    }
    return false;
}

struct value op_get_item(struct interp *in, struct value v, struct value key) {
    if (in->failed)
        return value_none();
    if (v.kind == V_UNDEFINED) {
        op_fail_undefined(in, v);
        return value_none();
    }
    struct value found = {.kind = V_MISSING};
    if (v.kind == V_DICT) {
        const struct entry *entry = dict_get(v.dict, key);
        if (entry)
            return entry->value;
    } else if (value_is_integral(key) && get_indexed(in, v, value_as_int(key), &found)) {
        return found;
    }
    if (key.kind == V_STR)
        found = find_attribute(in, v, key.str);
    return found.kind != V_MISSING ? found : no_element(in, v, key);
}

/* --- Slices ----------------------------------------------------------------------------------- */

struct bounds {
    int64_t start;
    int64_t stop;
    int64_t step;
    int64_t n; /* items taken */
};

static int64_t slice_index(struct interp *in, struct value v, int64_t otherwise) {
    if (v.kind == V_NONE)
        return otherwise;
    if (value_is_integral(v))
        return value_as_int(v);
    if (v.kind == V_UNDEFINED)
        op_fail_undefined(in, v);
    interp_fail(in, "slice indices must be integers or None, not '%s'", value_type_name(v));
    return 0;
}

static int64_t clamp(int64_t index, int64_t n, int64_t low, int64_t high) {
    if (index < 0)
        index = index < -n ? low : index + n;
    return index < low ? low : index > high ? high : index;
}

static struct bounds slice_bounds(struct interp *in, int64_t n, struct value start,
                                  struct value stop, struct value step) {
    struct bounds bounds = {.step = slice_index(in, step, 1)};
    if (bounds.step == 0)
        interp_fail(in, "slice step cannot be zero");
    if (in->failed || bounds.step == 0 || bounds.step == INT64_MIN)
        return bounds;
    const bool forward = bounds.step > 0;
    const int64_t low = forward ? 0 : -1;
    const int64_t high = forward ? n : n - 1;
    const int64_t from = start.kind == V_NONE ? (forward ? low : high)
                                              : clamp(slice_index(in, start, 0), n, low, high);
    const int64_t to = stop.kind == V_NONE ? (forward ? high : low)
                                           : clamp(slice_index(in, stop, 0), n, low, high);
    bounds.start = from;
    bounds.stop = to;
    if (forward && to > from)
        bounds.n = (to - from - 1) / bounds.step + 1;
    else if (!forward && from > to)
        bounds.n = (from - to - 1) / -bounds.step + 1;
    return bounds;
}

static struct value slice_str(struct interp *in, const struct str *s, struct bounds bounds) {
    if (!interp_charge_bytes(in, s->len))
        return value_none();
    if (bounds.n == 0)
        return interp_part(in, s, 0, 0);
    if (bounds.step == 1) {
        const size_t from = str_offset(s, (size_t)bounds.start);
        return interp_part(in, s, from, str_offset(s, (size_t)(bounds.start + bounds.n)));
    }
    struct strb b = interp_builder(in);
    size_t byte = str_offset(s, (size_t)bounds.start);
    for (int64_t i = 0; i < bounds.n && interp_charge(in, 1); i++) {
        uint32_t cp;
        strb_append_part(&b, s, byte, byte + str_char(s, byte, &cp));
        /* To the next one taken, in either direction. */
        for (int64_t moved = 0; i + 1 < bounds.n && moved < bounds.step; moved++)
            byte += str_char(s, byte, &cp);
        for (int64_t moved = 0; i + 1 < bounds.n && moved > bounds.step; moved--) {
            do
                byte--;
            while (((unsigned char)s->bytes[byte] & 0xc0) == 0x80);
        }
    }
    const struct str *taken = strb_take(&b);
    return interp_str(in, taken ? str_as_markup(&in->arena, taken, s->markup) : NULL);
}

struct value op_slice(struct interp *in, struct value v, struct value start, struct value stop,
                      struct value step) {
    if (v.kind == V_UNDEFINED)
        op_fail_undefined(in, v);
    else if (v.kind == V_DICT)
        interp_fail(in, "unhashable type: 'slice'");
    else if (v.kind != V_STR && v.kind != V_LIST && v.kind != V_TUPLE && v.kind != V_RANGE)
        interp_fail(in, "'%s' object is not subscriptable", value_type_name(v));
    if (in->failed)
        return value_none();

    const struct bounds bounds = slice_bounds(in, op_length(in, v), start, stop, step);
    if (in->failed)
        return value_none();
    if (v.kind == V_STR)
        return slice_str(in, v.str, bounds);
    if (v.kind == V_RANGE) {
        struct range *range = interp_alloc(in, 1, sizeof *range);
        if (!range)
            return value_none();
        *range = (struct range){.start = v.range->start + bounds.start * v.range->step,
                                .stop = v.range->start + bounds.stop * v.range->step,
                                .step = v.range->step * bounds.step,
                                .n = bounds.n};
        return (struct value){.kind = V_RANGE, .range = range};
    }
    struct seq *list = interp_seq(in, (size_t)bounds.n);
    list->user = v.seq->user;
    for (int64_t i = 0; i < bounds.n; i++)
        interp_add(in, list, v.seq->items[bounds.start + i * bounds.step]);
    return value_seq(v.kind, list);
}

bool op_has_length(struct value v) {
    return v.kind == V_UNDEFINED || v.kind == V_STR || v.kind == V_DICT || v.kind == V_RANGE ||
           value_is_seq(v);
}

int64_t op_length(struct interp *in, struct value v) {
    switch (v.kind) {
    case V_UNDEFINED:
        return 0;
    case V_STR:
        return v.str->n_chars;
    case V_DICT:
        return (int64_t)v.dict->n;
    case V_RANGE:
        return v.range->n;
    default:
        if (value_is_seq(v))
            return (int64_t)v.seq->n;
        interp_fail(in, "object of type '%s' has no len()", value_type_name(v));
        return 0;
    }
}
