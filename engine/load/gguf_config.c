/* SPDX-License-Identifier: Apache-2.0 */
#include "load/gguf_config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum { MAX_KEY = GGUF_MAX_ARCH + 64 };

static void full_key(const struct gguf_config *config, const char *key, char ret_key[MAX_KEY]) {
    (void)snprintf(ret_key, MAX_KEY, "%s.%s", config->arch, key); /* keys are ours and short */
}

/* True if r means that there is a value; a wrong one is reported. */
static bool is_found(const struct gguf_config *config, int r, const struct error *error) {
    if (r < 0 && r != -ENOENT)
        problems_add(config->problems, r, "%s", error->message);
    return r == 0;
}

bool gguf_config_has(const struct gguf_config *config, const char *key) {
    char name[MAX_KEY];

    full_key(config, key, name);
    return gguf_has(config->gguf, name);
}

static uint32_t check_range(const struct gguf_config *config, const char *name, uint32_t value,
                            uint32_t min, uint32_t max, uint32_t absent) {
    if (value >= min && value <= max)
        return value;
    problems_add(config->problems, -EINVAL,
                 "key %s: expected %" PRIu32 " to %" PRIu32 ", found %" PRIu32, name, min, max,
                 value);
    return absent;
}

uint32_t gguf_config_u32(const struct gguf_config *config, const char *key, uint32_t min,
                         uint32_t max, uint32_t absent) {
    char name[MAX_KEY];
    uint32_t value;
    struct error error = {.message = ""};

    full_key(config, key, name);
    const int r = gguf_get_u32(config->gguf, name, &value, &error);
    return is_found(config, r, &error) ? check_range(config, name, value, min, max, absent)
                                       : absent;
}

uint32_t gguf_config_u32_required(const struct gguf_config *config, const char *key, uint32_t min,
                                  uint32_t max) {
    if (!gguf_config_has(config, key)) {
        problems_add(config->problems, -EINVAL, "key %s.%s is missing", config->arch, key);
        return min;
    }
    return gguf_config_u32(config, key, min, max, min);
}

float gguf_config_f32(const struct gguf_config *config, const char *key, float absent) {
    char name[MAX_KEY];
    float value;
    struct error error = {.message = ""};

    full_key(config, key, name);
    const int r = gguf_get_f32(config->gguf, name, &value, &error);
    return is_found(config, r, &error) ? value : absent;
}

bool gguf_config_bool(const struct gguf_config *config, const char *key, bool absent) {
    char name[MAX_KEY];
    bool value;
    struct error error = {.message = ""};

    full_key(config, key, name);
    const int r = gguf_get_bool(config->gguf, name, &value, &error);
    return is_found(config, r, &error) ? value : absent;
}

struct gguf_str gguf_config_str(const struct gguf_config *config, const char *key) {
    char name[MAX_KEY];
    struct gguf_str value;
    struct error error = {.message = ""};

    full_key(config, key, name);
    const int r = gguf_get_str(config->gguf, name, &value, &error);
    return is_found(config, r, &error) ? value : (struct gguf_str){.bytes = "", .len = 0};
}

uint32_t gguf_config_uniform_u32(const struct gguf_config *config, const char *key, uint32_t n,
                                 uint32_t min, uint32_t max, uint32_t absent) {
    enum { MAX_LAYERS = 4096 };
    char name[MAX_KEY];
    uint32_t values[MAX_LAYERS];
    struct error error = {.message = ""};
    if (n < 1 || n > MAX_LAYERS)
        return absent; /* the number of layers was reported already */

    full_key(config, key, name);
    const int r = gguf_copy_u32(config->gguf, name, n, values, &error);
    if (!is_found(config, r, &error))
        return absent;
    for (uint32_t i = 1; i < n; i++) {
        if (values[i] == values[0])
            continue;
        problems_add(config->problems, -ENOTSUP,
                     "key %s: different values for different layers are not served here", name);
        return absent;
    }
    return check_range(config, name, values[0], min, max, absent);
}
