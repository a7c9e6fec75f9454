/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normal - what some tokenizers do to a text before they cut it: Unicode normalisation, a prefix,
 * replacements.
 */
#ifndef KVASIR_TEXT_NORMAL_H
#define KVASIR_TEXT_NORMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"

enum normal_kind {
    NORMAL_NFC,
    NORMAL_NFD,
    NORMAL_NFKC,
    NORMAL_NFKD,
    NORMAL_PREPEND, /* to, before a text that is not empty */
    NORMAL_REPLACE, /* every from by to */
};

enum { NORMAL_MAX_STRING = 16, NORMAL_MAX_STEPS = 8 };

struct normal_string {
    char bytes[NORMAL_MAX_STRING];
    size_t len;
};

struct normal_step {
    enum normal_kind kind;
    struct normal_string from; /* NORMAL_REPLACE */
    struct normal_string to;   /* NORMAL_REPLACE, NORMAL_PREPEND */
};

/* A zeroed struct changes nothing. Owns nothing. */
struct normalizer {
    struct normal_step steps[NORMAL_MAX_STEPS];
    uint32_t n_steps;
};

/* -ENOTSUP if there are too many steps. */
int normal_add(struct normalizer *normalizer, const struct normal_step *step, struct error *reterr)
    KV_MUST_CHECK;

/*
 * Normalises text. *ret_text is text itself if nothing changes, or lies in one of the two scratch
 * bufs (the caller's, overwritten). at_start: a prefix may be put before it. Linear. -ENOMEM.
 */
int normal_run(const struct normalizer *normalizer, const char *text, size_t len, bool at_start,
               struct buf scratch[2], const char **ret_text, size_t *ret_len) KV_MUST_CHECK;

/* --- normal_unicode.c --- */

/* True if the form certainly leaves the text as it is. */
bool normal_is_stable(enum normal_kind form, const char *text, size_t len);

/* Appends the text in the given form; bytes that are not UTF-8 stay. A failed out is -ENOMEM. */
int normal_unicode(enum normal_kind form, const char *text, size_t len, struct buf *out)
    KV_MUST_CHECK;

#endif
