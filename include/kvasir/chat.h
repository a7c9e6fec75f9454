/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat - chat templates: a Jinja source and variables in, the prompt text out.
 *
 * The engine is our own and bounded: steps, nesting, output and time have limits, because the
 * template comes from a model file and the variables from a client. Every byte of the output
 * knows whether it came from the template (or a literal in it) or from the variables, so that a
 * user's text cannot become special tokens. A parsed template is immutable: any thread may render
 * it, each with its own values.
 */
#ifndef KVASIR_CHAT_H
#define KVASIR_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"
#include "kvasir/buf.h"
#include "kvasir/error.h"
#include "kvasir/tokenizer.h"

struct chat_template;
struct chat_value; /* a template variable: none, bool, int, float, string, list, map */

/*
 * Builders of variables. Everything lives in arena; NULL means out of memory, and passing a NULL
 * value to an adder makes it fail, so that one check at the end is enough.
 */
struct chat_value *chat_none(struct arena *arena);
struct chat_value *chat_bool(struct arena *arena, bool value);
struct chat_value *chat_int(struct arena *arena, int64_t value);
struct chat_value *chat_float(struct arena *arena, double value);
/* trusted: may contain special tokens that are to be recognised (bos_token, template literals). */
struct chat_value *chat_string(struct arena *arena, const char *bytes, size_t len, bool trusted);
struct chat_value *chat_list(struct arena *arena);
int chat_list_add(struct arena *arena, struct chat_value *list, struct chat_value *item)
    KV_MUST_CHECK;
struct chat_value *chat_map(struct arena *arena); /* keeps insertion order */
int chat_map_set(struct arena *arena, struct chat_value *map, const char *key, size_t key_len,
                 struct chat_value *value) KV_MUST_CHECK;
const struct chat_value *chat_map_get(const struct chat_value *map, const char *key);

/* Parses source (copied). name is used in messages. -EINVAL with line and what was wrong. */
int chat_template_parse(const char *source, size_t len, const char *name,
                        struct chat_template **ret_template, struct error *reterr) KV_MUST_CHECK;
void chat_template_free(struct chat_template *tmpl);

/* A zeroed field takes the default in parentheses. */
struct chat_limits {
    uint64_t max_steps;      /* evaluated nodes (4 M) */
    size_t max_output_bytes; /* (16 MiB) */
    size_t max_memory_bytes; /* of intermediate values (64 MiB) */
    uint32_t max_depth;      /* of calls and nesting while rendering (128) */
    uint64_t max_time_us;    /* (2 s) */
};

struct chat_clock {
    int64_t unix_seconds; /* what strftime_now formats */
    int32_t utc_offset_s;
};

/* The prompt. Owned by the caller: chat_prompt_fini. A zeroed struct is empty. */
struct chat_prompt {
    struct buf text;
    struct text_range *user_ranges; /* sorted, disjoint, merged */
    size_t n_user_ranges;
};
void chat_prompt_fini(struct chat_prompt *prompt);

/*
 * Renders with the members of vars (a map) as variables; an absent one is undefined. On error
 * (raise_exception, type errors, limits) -EINVAL with a message that names line and reason;
 * raise_exception's own words stand first. -ENOMEM.
 */
int chat_template_render(const struct chat_template *tmpl, const struct chat_value *vars,
                         const struct chat_limits *limits, struct chat_clock now,
                         struct chat_prompt *ret_prompt, struct error *reterr) KV_MUST_CHECK;

#endif
