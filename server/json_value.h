/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_value - JSON as variables of a chat template.
 *
 * Numbers keep whether they were written as integers, objects keep their order, and every string
 * is untrusted: it came from a client. Any thread; the values live in the arena.
 */
#ifndef KVASIR_JSON_VALUE_H
#define KVASIR_JSON_VALUE_H

#include <jansson.h>

#include "kvasir/arena.h"
#include "kvasir/chat.h"
#include "kvasir/error.h"

/* -EINVAL: nested too deeply to be a template's variable. -ENOMEM. */
int json_value_convert(const json_t *json, struct arena *arena, struct chat_value **ret_value,
                       struct error *reterr) KV_MUST_CHECK;

/* Parses text with json_read, which wants one JSON object, and converts it. */
int json_value_parse(const char *text, size_t len, struct arena *arena,
                     struct chat_value **ret_vars, struct error *reterr) KV_MUST_CHECK;

#endif
