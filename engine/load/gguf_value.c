/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_value - the typed accessors of gguf.h. Values are copied out of the mapping byte by byte:
 * they lie on any address. Where they may be read was checked when the file was opened.
 */
#include "load/gguf.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "load/gguf_impl.h"

static const char *const type_names[GGUF_TYPE_END] = {
    [GGUF_U8] = "u8",         [GGUF_I8] = "i8",       [GGUF_U16] = "u16", [GGUF_I16] = "i16",
    [GGUF_U32] = "u32",       [GGUF_I32] = "i32",     [GGUF_F32] = "f32", [GGUF_BOOL] = "bool",
    [GGUF_STRING] = "string", [GGUF_ARRAY] = "array", [GGUF_U64] = "u64", [GGUF_I64] = "i64",
    [GGUF_F64] = "f64",
};

static int wrong_type(const struct gguf_entry *entry, const char *key, const char *expected,
                      struct error *reterr) {
    const bool is_array = entry->type == GGUF_ARRAY;
    return error_set_param(reterr, -EINVAL, key, "key %s: expected %s, found %s%s", key, expected,
                           is_array ? "an array of " : "", type_names[entry->item_type]);
}

bool gguf_has(const struct gguf *gguf, const char *key) {
    return gguf_find(gguf, key) != NULL;
}

/* Any integer as sign and magnitude. */
struct integer {
    bool negative;
    uint64_t magnitude;
};

/* The item at index i of an entry of an integer type; false for other types. */
static bool integer_at(const struct gguf_entry *entry, uint64_t i, struct integer *ret) {
    const size_t n_bytes = gguf_type_bytes(entry->item_type);
    const uint8_t *bytes = (const uint8_t *)entry->data + i * n_bytes;
    bool is_signed = false;

    switch (entry->item_type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64:
        break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64:
        is_signed = true;
        break;
    default:
        return false;
    }

    INVARIANT(n_bytes > 0 && n_bytes <= sizeof(uint64_t));
    uint64_t value = 0;
    for (size_t k = n_bytes; k > 0; k--)
        value = value << 8 | bytes[k - 1];
    const uint64_t sign_bit = (uint64_t)1 << (8 * n_bytes - 1);
    const bool negative = is_signed && (value & sign_bit);
    if (negative) /* -value in n_bytes: the distance to 2^(8 n_bytes) */
        value = (~value & (sign_bit - 1)) + 1;
    *ret = (struct integer){.negative = negative, .magnitude = value};
    return true;
}

static bool float_at(const struct gguf_entry *entry, uint64_t i, double *ret) {
    if (entry->item_type == GGUF_F32) {
        float value;
        memcpy(&value, entry->data + i * sizeof value, sizeof value);
        *ret = (double)value;
        return true;
    }
    if (entry->item_type == GGUF_F64) {
        memcpy(ret, entry->data + i * sizeof *ret, sizeof *ret);
        return true;
    }
    return false;
}

/* Of a value that was checked to fit. */
static int32_t to_i32(struct integer value) {
    const int64_t magnitude = (int64_t)value.magnitude;
    return (int32_t)(value.negative ? -magnitude : magnitude);
}

static int get_unsigned(const struct gguf *gguf, const char *key, uint64_t max, uint64_t *ret,
                        struct error *reterr) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    struct integer value;
    if (!entry)
        return -ENOENT;
    if (entry->type == GGUF_ARRAY || !integer_at(entry, 0, &value))
        return wrong_type(entry, key, "an integer", reterr);
    if (value.negative || value.magnitude > max)
        return error_set_param(reterr, -EINVAL, key,
                               "key %s: expected 0 to %" PRIu64 ", found %s%" PRIu64, key, max,
                               value.negative ? "-" : "", value.magnitude);
    *ret = value.magnitude;
    return 0;
}

int gguf_get_u32(const struct gguf *gguf, const char *key, uint32_t *ret, struct error *reterr) {
    uint64_t value = 0;
    const int r = get_unsigned(gguf, key, UINT32_MAX, &value, reterr);
    if (r == 0)
        *ret = (uint32_t)value;
    return r;
}

int gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *ret, struct error *reterr) {
    return get_unsigned(gguf, key, UINT64_MAX, ret, reterr);
}

int gguf_get_i32(const struct gguf *gguf, const char *key, int32_t *ret, struct error *reterr) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    struct integer value;
    if (!entry)
        return -ENOENT;
    if (entry->type == GGUF_ARRAY || !integer_at(entry, 0, &value))
        return wrong_type(entry, key, "an integer", reterr);
    if (value.magnitude > (uint64_t)INT32_MAX + (value.negative ? 1 : 0))
        return error_set_param(reterr, -EINVAL, key,
                               "key %s: expected a 32-bit integer, found %s%" PRIu64, key,
                               value.negative ? "-" : "", value.magnitude);
    *ret = to_i32(value);
    return 0;
}

int gguf_get_f32(const struct gguf *gguf, const char *key, float *ret, struct error *reterr) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    double value;
    if (!entry)
        return -ENOENT;
    if (entry->type == GGUF_ARRAY || !float_at(entry, 0, &value))
        return wrong_type(entry, key, "a float", reterr);
    if (!isfinite((float)value))
        return error_set_param(reterr, -EINVAL, key, "key %s: is not finite", key);
    *ret = (float)value;
    return 0;
}

int gguf_get_bool(const struct gguf *gguf, const char *key, bool *ret, struct error *reterr) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    if (!entry)
        return -ENOENT;
    if (entry->type != GGUF_BOOL)
        return wrong_type(entry, key, "a bool", reterr);
    *ret = entry->data[0] != 0;
    return 0;
}

/* The string at *at; the lengths were checked when the file was opened. */
static struct gguf_str take_string(const char **at) {
    const uint8_t *bytes = (const uint8_t *)*at;
    uint64_t len = 0;
    for (size_t i = sizeof len; i > 0; i--)
        len = len << 8 | bytes[i - 1];

    const struct gguf_str str = {.bytes = *at + sizeof len, .len = (size_t)len};
    *at = str.bytes + str.len;
    return str;
}

int gguf_get_str(const struct gguf *gguf, const char *key, struct gguf_str *ret,
                 struct error *reterr) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    if (!entry)
        return -ENOENT;
    if (entry->type != GGUF_STRING)
        return wrong_type(entry, key, "a string", reterr);
    const char *at = entry->data;
    *ret = take_string(&at);
    return 0;
}

uint64_t gguf_array_len(const struct gguf *gguf, const char *key) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    return entry && entry->type == GGUF_ARRAY ? entry->n_items : 0;
}

/* The array at key with exactly n elements. */
static int find_array(const struct gguf *gguf, const char *key, uint64_t n, const char *expected,
                      const struct gguf_entry **ret_entry, struct error *reterr) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    if (!entry)
        return -ENOENT;
    if (entry->type != GGUF_ARRAY)
        return wrong_type(entry, key, expected, reterr);
    if (entry->n_items != n)
        return error_set_param(reterr, -EINVAL, key,
                               "key %s: expected %" PRIu64 " elements, found %" PRIu64, key, n,
                               entry->n_items);
    *ret_entry = entry;
    return 0;
}

static int out_of_range(const char *key, uint64_t i, struct integer value, struct error *reterr) {
    return error_set_param(reterr, -EINVAL, key,
                           "key %s: element %" PRIu64 " is out of range: %s%" PRIu64, key, i,
                           value.negative ? "-" : "", value.magnitude);
}

int gguf_copy_i32(const struct gguf *gguf, const char *key, uint64_t n, int32_t *ret_values,
                  struct error *reterr) {
    static const char expected[] = "an array of integers";
    const struct gguf_entry *entry = NULL;
    const int r = find_array(gguf, key, n, expected, &entry, reterr);
    if (r < 0)
        return r;

    for (uint64_t i = 0; i < n; i++) {
        struct integer value;
        if (!integer_at(entry, i, &value))
            return wrong_type(entry, key, expected, reterr);
        if (value.magnitude > (uint64_t)INT32_MAX + (value.negative ? 1 : 0))
            return out_of_range(key, i, value, reterr);
        ret_values[i] = to_i32(value);
    }
    return 0;
}

int gguf_copy_f32(const struct gguf *gguf, const char *key, uint64_t n, float *ret_values,
                  struct error *reterr) {
    static const char expected[] = "an array of floats";
    const struct gguf_entry *entry = NULL;
    const int r = find_array(gguf, key, n, expected, &entry, reterr);
    if (r < 0)
        return r;

    for (uint64_t i = 0; i < n; i++) {
        double value;
        if (!float_at(entry, i, &value))
            return wrong_type(entry, key, expected, reterr);
        ret_values[i] = (float)value;
    }
    return 0;
}

int gguf_copy_u32(const struct gguf *gguf, const char *key, uint64_t n, uint32_t *ret_values,
                  struct error *reterr) {
    static const char expected[] = "an integer or an array of integers";
    const struct gguf_entry *entry = gguf_find(gguf, key);
    const bool is_single = entry && entry->type != GGUF_ARRAY;
    if (!is_single) {
        const int r = find_array(gguf, key, n, expected, &entry, reterr);
        if (r < 0)
            return r;
    }

    for (uint64_t i = 0; i < n; i++) {
        struct integer value;
        if (!integer_at(entry, is_single ? 0 : i, &value))
            return wrong_type(entry, key, expected, reterr);
        if (value.negative || value.magnitude > UINT32_MAX)
            return out_of_range(key, i, value, reterr);
        ret_values[i] = (uint32_t)value.magnitude;
    }
    return 0;
}

int gguf_copy_bool(const struct gguf *gguf, const char *key, uint64_t n, bool *ret_values,
                   struct error *reterr) {
    static const char expected[] = "a bool or an array of bools";
    const struct gguf_entry *entry = gguf_find(gguf, key);
    const bool is_single = entry && entry->type != GGUF_ARRAY;
    if (!is_single) {
        const int r = find_array(gguf, key, n, expected, &entry, reterr);
        if (r < 0)
            return r;
    }
    if (entry->item_type != GGUF_BOOL)
        return wrong_type(entry, key, expected, reterr);
    for (uint64_t i = 0; i < n; i++)
        ret_values[i] = entry->data[is_single ? 0 : i] != 0;
    return 0;
}

int gguf_get_strings(const struct gguf *gguf, const char *key, struct gguf_strings *ret,
                     struct error *reterr) {
    const struct gguf_entry *entry = gguf_find(gguf, key);
    if (!entry)
        return -ENOENT;
    if (entry->type != GGUF_ARRAY || entry->item_type != GGUF_STRING)
        return wrong_type(entry, key, "an array of strings", reterr);
    *ret = (struct gguf_strings){
        .n = entry->n_items,
        .next = entry->data,
        .end = entry->end,
        .n_left = entry->n_items,
    };
    return 0;
}

bool gguf_next_string(struct gguf_strings *strings, struct gguf_str *ret) {
    if (strings->n_left == 0)
        return false;
    INVARIANT(strings->next < strings->end);
    *ret = take_string(&strings->next);
    strings->n_left--;
    return true;
}
