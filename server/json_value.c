/* SPDX-License-Identifier: Apache-2.0 */
#include "json_value.h"

#include <errno.h>

#include "json_read.h"

enum { MAX_DEPTH = 100 };

static struct chat_value *convert(const json_t *json, struct arena *arena, int depth);

/* jansson's objects are walked in the order in which their keys were written. */
static struct chat_value *convert_object(const json_t *object, struct arena *arena, int depth) {
    struct chat_value *map = chat_map(arena);
    void *iter = json_object_iter((json_t *)object); /* not changed; the type lacks const */
    for (; iter; iter = json_object_iter_next((json_t *)object, iter)) {
        struct chat_value *value = convert(json_object_iter_value(iter), arena, depth + 1);
        if (chat_map_set(arena, map, json_object_iter_key(iter), json_object_iter_key_len(iter),
                         value) < 0)
            return NULL;
    }
    return map;
}

static struct chat_value *convert_array(const json_t *array, struct arena *arena, int depth) {
    struct chat_value *list = chat_list(arena);
    for (size_t i = 0; i < json_array_size(array); i++) {
        struct chat_value *item = convert(json_array_get(array, i), arena, depth + 1);
        if (chat_list_add(arena, list, item) < 0)
            return NULL;
    }
    return list;
}

/* NULL: memory. The depth was checked before. */
static struct chat_value *convert(const json_t *json, struct arena *arena, int depth) {
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        return convert_object(json, arena, depth);
    case JSON_ARRAY:
        return convert_array(json, arena, depth);
    case JSON_STRING:
        return chat_string(arena, json_string_value(json), json_string_length(json),
                           /* trusted= */ false);
    case JSON_INTEGER:
        return chat_int(arena, json_integer_value(json));
    case JSON_REAL:
        return chat_float(arena, json_real_value(json));
    case JSON_TRUE:
    case JSON_FALSE:
        return chat_bool(arena, json_is_true(json));
    default:
        return chat_none(arena);
    }
}

static bool is_too_deep(const json_t *json, int depth) {
    if (depth > MAX_DEPTH)
        return true;
    for (size_t i = 0; i < json_array_size(json); i++) {
        if (is_too_deep(json_array_get(json, i), depth + 1))
            return true;
    }
    void *iter = json_object_iter((json_t *)json);
    for (; iter; iter = json_object_iter_next((json_t *)json, iter)) {
        if (is_too_deep(json_object_iter_value(iter), depth + 1))
            return true;
    }
    return false;
}

int json_value_convert(const json_t *json, struct arena *arena, struct chat_value **ret_value,
                       struct error *reterr) {
    if (is_too_deep(json, 0))
        return error_set(reterr, -EINVAL, "the JSON is nested more than %d deep", MAX_DEPTH);

    struct chat_value *value = convert(json, arena, 0);
    if (!value)
        return error_set(reterr, -ENOMEM, "out of memory for the variables");
    *ret_value = value;
    return 0;
}

int json_value_parse(const char *text, size_t len, struct arena *arena,
                     struct chat_value **ret_vars, struct error *reterr) {
    json_t *json;
    json_read_init();
    int r = json_read(text, len, &json, reterr);
    if (r < 0)
        return r;

    r = json_value_convert(json, arena, ret_vars, reterr);
    json_decref(json);
    return r;
}
