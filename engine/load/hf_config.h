/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf_config - reads the JSON configuration files of a model folder by key.
 *
 * A config is one JSON object, lent as text. Each accessor looks its key up (the last one counts,
 * as in Python) and returns the value or, where the key is absent or null, the caller's default.
 * A value of the wrong kind or out of range is added to the problems and the default is returned,
 * so that a reader is a list of fields and all that is wrong is said at once.
 *
 * Nothing is allocated; a lookup scans the object, which for the few kilobytes of a configuration
 * is cheaper than to build a tree, and cannot amplify a hostile file.
 */
#ifndef KVASIR_ENGINE_HF_CONFIG_H
#define KVASIR_ENGINE_HF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/json_pull.h"
#include "load/problems.h"

enum { HF_MAX_CONFIG_BYTES = 8 * 1024 * 1024 };

struct hf_config {
    const char *name; /* for messages: "config.json", or "config.json rope_scaling" */
    struct json_str object;
    struct problems *problems;
};

/* -EINVAL if text is not one JSON object and nothing else (nested at most as json_pull allows). */
int hf_config_init(struct hf_config *ret_config, const char *name, const char *text, size_t len,
                   struct problems *problems, struct error *reterr) KV_MUST_CHECK;

/* Kind of a key's value; JSON_INVALID if absent. */
enum json_kind hf_kind(const struct hf_config *config, const char *key);

/* True if the key is there and not null. */
bool hf_has(const struct hf_config *config, const char *key);

/* An integer min .. max. The _required form reports absence and returns min. */
uint32_t hf_u32(const struct hf_config *config, const char *key, uint32_t min, uint32_t max,
                uint32_t absent);
uint32_t hf_u32_required(const struct hf_config *config, const char *key, uint32_t min,
                         uint32_t max);

/* A finite number; also {"__float__": "Infinity"} forms are refused here as not finite. */
double hf_double(const struct hf_config *config, const char *key, double absent);
bool hf_bool(const struct hf_config *config, const char *key, bool absent);

/* The string without escapes resolved (names have none); {"", 0} if absent. */
struct json_str hf_string(const struct hf_config *config, const char *key);

/* A nested object; false if absent or null. name must outlive ret_object. */
bool hf_object(const struct hf_config *config, const char *key, const char *name,
               struct hf_config *ret_object);

/* Exactly n finite numbers. */
bool hf_floats(const struct hf_config *config, const char *key, uint32_t n, float *ret_values);

/* A list to be walked with json_next_item and the take functions; false if absent or null. */
bool hf_array(const struct hf_config *config, const char *key, struct json_pull *ret_items);

#endif
