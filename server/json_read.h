/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_read - a request body as a jansson tree, within a memory budget.
 *
 * A tree takes up to 77 times the memory of its text. So the text is looked over first, without
 * allocating (depth, length of numbers, count of values), and then jansson parses it under a
 * budget that its allocator enforces on the parsing thread. Duplicate keys are refused. Any
 * thread; a tree stays on the thread that made it.
 */
#ifndef KVASIR_SERVER_JSON_READ_H
#define KVASIR_SERVER_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "kvasir/error.h"

enum {
    JSON_READ_MAX_DEPTH = 64,
    JSON_READ_MAX_NUMBER = 64, /* characters */
    JSON_READ_MAX_VALUES = 4 << 20,
};

/* Points jansson at mem.h. Once per process (again is harmless), before anything else here. */
void json_read_init(void);

/* The most that json_read may allocate for a body of that length. */
size_t json_read_cost(size_t len);

/* -EINVAL with where and what, -ENOMEM. Free with json_decref on the same thread. */
int json_read(const char *bytes, size_t len, json_t **ret_root, struct error *reterr) KV_MUST_CHECK;

/* A member that is there and not null (null counts as absent); else NULL. */
const json_t *json_member(const json_t *object, const char *name);

/* The first half alone, for tests: what the text may cost. */
int json_read_scan(const char *bytes, size_t len, struct error *reterr) KV_MUST_CHECK;

#endif
