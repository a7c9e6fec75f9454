/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pretok - cuts a text into words, each of which is encoded by itself, as the model's reference
 * pre-tokenizer does.
 *
 * A pretok is a list of steps; each cuts the pieces of the step before it. Most steps split by a
 * pattern. Patterns of known models are matched by hand-written code (pretok_match.c,
 * pretok_runs.c), others by PCRE2 with limits (pretok_regex.c). Words are handed to a sink as they
 * are found; only a step that changes the text (a prefixed space) copies it.
 */
#ifndef KVASIR_TEXT_PRETOK_H
#define KVASIR_TEXT_PRETOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"

/* Bytes [start, end) of a text. */
struct span {
    size_t start;
    size_t end;
};

/*
 * Finds the first match that starts at from or later. Returns 1 and the match (never empty), 0 if
 * there is none, or a negative errno (a regex ran into its limits).
 */
struct matcher;
typedef int (*matcher_find_fn)(const struct matcher *matcher, const unsigned char *text, size_t len,
                               size_t from, struct span *ret_match);

struct matcher {
    matcher_find_fn find;
    void *arg;                  /* what find needs; NULL for the hand-written ones */
    void (*release)(void *arg); /* NULL: nothing to free */
};

/*
 * A pattern as a file writes it: by hand if it is known, by PCRE2 otherwise. *ret_family is the
 * name of the known one, "regex", or NULL for a plain run of a class. -EINVAL, -ENOTSUP, -ENOMEM.
 */
int matcher_init(struct matcher *matcher, const char *pattern, size_t len, const char **ret_family,
                 struct error *reterr) KV_MUST_CHECK;
/* A plain string; at most 16 bytes. */
int matcher_init_literal(struct matcher *matcher, const char *bytes, size_t len,
                         struct error *reterr) KV_MUST_CHECK;
/* A run of "▁" and what follows up to the next: words of a text whose spaces became "▁". */
void matcher_init_metaspace_words(struct matcher *matcher);
void matcher_fini(struct matcher *matcher);

/* What becomes of the matches ("delimiters") and of what lies between them. */
enum split_behavior {
    SPLIT_ISOLATED,             /* both are pieces */
    SPLIT_REMOVED,              /* matches disappear */
    SPLIT_MERGED_WITH_PREVIOUS, /* a match ends the piece before it */
    SPLIT_MERGED_WITH_NEXT,     /* a match begins the piece after it */
    SPLIT_CONTIGUOUS,           /* neighbouring matches are one piece */
};

/* When a step puts its prefix before a piece that does not begin with it. */
enum prefix_scheme {
    PREFIX_NEVER,
    PREFIX_FIRST, /* only at the very start of the text */
    PREFIX_ALWAYS,
};

enum pretok_kind {
    PRETOK_SPLIT,
    PRETOK_PREFIX_SPACE, /* a space before a piece without one (ByteLevel, add_prefix_space) */
    PRETOK_METASPACE,    /* spaces become U+2581; prefix as the scheme says */
};

struct pretok_step {
    enum pretok_kind kind;
    struct matcher matcher;       /* PRETOK_SPLIT */
    enum split_behavior behavior; /* PRETOK_SPLIT */
    bool invert;                  /* PRETOK_SPLIT: what lies between the matches is the delimiter */
    enum prefix_scheme prefix;    /* PRETOK_METASPACE */
};

enum { PRETOK_MAX_STEPS = 16 };

/* A zeroed struct takes the whole text as one word. */
struct pretok {
    struct pretok_step steps[PRETOK_MAX_STEPS];
    uint32_t n_steps;
    const char *family; /* name of the last known pattern, or "regex"; NULL: none */
};

struct pretok_sink {
    int (*word)(void *ctx, const char *text, size_t len);
    void *ctx;
};

/* -ENOTSUP if there are too many steps. */
int pretok_add(struct pretok *pretok, const struct pretok_step *step, struct error *reterr)
    KV_MUST_CHECK;
/* The same, but the step's matcher is moved: freed if it cannot be added. */
int pretok_add_owned(struct pretok *pretok, struct pretok_step *step, struct error *reterr)
    KV_MUST_CHECK;
/* Adds a split by the pattern. */
int pretok_add_pattern(struct pretok *pretok, const char *pattern, size_t len,
                       enum split_behavior behavior, bool invert, struct error *reterr)
    KV_MUST_CHECK;
void pretok_fini(struct pretok *pretok);

/*
 * Hands the words of text to the sink in order. at_start: text begins the whole input. Stops at
 * the first negative result of the sink or of a regex, and returns it.
 */
int pretok_run(const struct pretok *pretok, const char *text, size_t len, bool at_start,
               const struct pretok_sink *sink) KV_MUST_CHECK;

extern const char pretok_gpt2_pattern[]; /* what ByteLevel splits by */

/* --- inside pretok --- */

/* Each returns 1 and the matcher, 0 if the pattern is not for it, or a negative errno. */
int pretok_match_init(struct matcher *ret_matcher, const char *pattern, size_t len,
                      const char **ret_family) KV_MUST_CHECK;
int pretok_run_init(struct matcher *ret_matcher, const char *pattern, size_t len) KV_MUST_CHECK;
int pretok_regex_init(struct matcher *ret_matcher, const char *pattern, size_t len,
                      struct error *reterr) KV_MUST_CHECK;

#endif
