/* SPDX-License-Identifier: Apache-2.0 */
#include "load/hf_config.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

int hf_config_init(struct hf_config *ret_config, const char *name, const char *text, size_t len,
                   struct problems *problems, struct error *reterr) {
    struct json_pull json;
    json_pull_init(&json, text, len);
    if (json_peek(&json) != JSON_OBJECT)
        json_fail(&json, "expected an object");
    const struct json_str object = json_skip(&json);

    const int r = json_pull_end(&json, name, reterr);
    if (r < 0)
        return r;
    *ret_config = (struct hf_config){.name = name, .object = object, .problems = problems};
    return 0;
}

/* Leaves ret_value at the value of the last occurrence of key. The text is known to be valid. */
static bool find(const struct hf_config *config, const char *key, struct json_pull *ret_value) {
    struct json_pull json;
    struct json_str found_key, found = {.bytes = NULL};

    json_pull_init(&json, config->object.bytes, config->object.len);
    json_enter_object(&json);
    while (json_next_key(&json, &found_key)) {
        const bool matches = json_is(found_key, key);
        const struct json_str value = json_skip(&json);
        if (matches)
            found = value;
    }
    if (!found.bytes)
        return false;
    json_pull_init(ret_value, found.bytes, found.len);
    return true;
}

/* As find, but null counts as absent. */
static bool find_value(const struct hf_config *config, const char *key,
                       struct json_pull *ret_value) {
    return find(config, key, ret_value) && json_peek(ret_value) != JSON_NULL;
}

static void add_problem(const struct hf_config *config, const char *key, const char *expected,
                        const struct json_pull *value) {
    const size_t shown = value->len < 40 ? value->len : 40;

    problems_add(config->problems, -EINVAL, "%s: %s: expected %s, found %.*s", config->name, key,
                 expected, (int)shown, value->text);
}

enum json_kind hf_kind(const struct hf_config *config, const char *key) {
    struct json_pull value;
    return find(config, key, &value) ? json_peek(&value) : JSON_INVALID;
}

bool hf_has(const struct hf_config *config, const char *key) {
    struct json_pull value;
    return find_value(config, key, &value);
}

uint32_t hf_u32(const struct hf_config *config, const char *key, uint32_t min, uint32_t max,
                uint32_t absent) {
    struct json_pull value;
    if (!find_value(config, key, &value))
        return absent;

    const struct json_pull start = value;
    const int64_t number = json_take_int(&value);
    if (json_pull_status(&value, key, NULL) < 0 || number < (int64_t)min || number > (int64_t)max) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "an integer %" PRIu32 " to %" PRIu32, min,
                       max); /* fits */
        add_problem(config, key, expected, &start);
        return absent;
    }
    return (uint32_t)number;
}

uint32_t hf_u32_required(const struct hf_config *config, const char *key, uint32_t min,
                         uint32_t max) {
    if (!hf_has(config, key)) {
        problems_add(config->problems, -EINVAL, "%s: %s is missing", config->name, key);
        return min;
    }
    return hf_u32(config, key, min, max, min);
}

double hf_double(const struct hf_config *config, const char *key, double absent) {
    struct json_pull value;
    if (!find_value(config, key, &value))
        return absent;

    const struct json_pull start = value;
    const double number = json_take_double(&value);
    if (json_pull_status(&value, key, NULL) < 0 || !isfinite(number)) {
        add_problem(config, key, "a finite number", &start);
        return absent;
    }
    return number;
}

bool hf_bool(const struct hf_config *config, const char *key, bool absent) {
    struct json_pull value;
    if (!find_value(config, key, &value))
        return absent;

    const struct json_pull start = value;
    const bool flag = json_take_bool(&value);
    if (json_pull_status(&value, key, NULL) < 0) {
        add_problem(config, key, "true or false", &start);
        return absent;
    }
    return flag;
}

struct json_str hf_string(const struct hf_config *config, const char *key) {
    const struct json_str none = {.bytes = "", .len = 0};
    struct json_pull value;
    if (!find_value(config, key, &value))
        return none;

    if (json_peek(&value) != JSON_STRING) {
        add_problem(config, key, "a string", &value);
        return none;
    }
    return json_take_string(&value);
}

bool hf_object(const struct hf_config *config, const char *key, const char *name,
               struct hf_config *ret_object) {
    struct json_pull value;
    if (!find_value(config, key, &value))
        return false;

    if (json_peek(&value) != JSON_OBJECT) {
        add_problem(config, key, "an object", &value);
        return false;
    }
    *ret_object = (struct hf_config){
        .name = name,
        .object = json_skip(&value),
        .problems = config->problems,
    };
    return true;
}

bool hf_array(const struct hf_config *config, const char *key, struct json_pull *ret_items) {
    struct json_pull value;
    if (!find_value(config, key, &value))
        return false;

    if (json_peek(&value) != JSON_ARRAY) {
        add_problem(config, key, "a list", &value);
        return false;
    }
    *ret_items = value;
    json_enter_array(ret_items);
    return true;
}

bool hf_floats(const struct hf_config *config, const char *key, uint32_t n, float *ret_values) {
    struct json_pull items;
    if (!hf_array(config, key, &items)) {
        if (!hf_has(config, key))
            problems_add(config->problems, -EINVAL, "%s: %s is missing", config->name, key);
        return false;
    }

    const struct json_pull start = items;
    uint32_t n_found = 0;
    bool finite = true;
    while (json_next_item(&items)) {
        const double number = json_take_double(&items);
        if (n_found < n)
            ret_values[n_found] = (float)number;
        finite = finite && isfinite(number);
        n_found++;
    }
    if (json_pull_status(&items, key, NULL) < 0 || !finite || n_found != n) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "%" PRIu32 " finite numbers", n); /* fits */
        add_problem(config, key, expected, &start);
        return false;
    }
    return true;
}
