/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_added - tokens that are found in the text before the model sees it: control tokens,
 * <think>, reserved words of a vocabulary.
 *
 * The search is leftmost-longest, as the reference's. A set is built once and then read-only.
 */
#ifndef KVASIR_TEXT_TOKEN_ADDED_H
#define KVASIR_TEXT_TOKEN_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"
#include "kvasir/tokenizer.h"

#include "token_trie.h"

enum added_flags {
    ADDED_SINGLE_WORD = 1 << 0, /* only between characters that are not of a word */
    ADDED_LSTRIP = 1 << 1,      /* takes the white space before it along */
    ADDED_RSTRIP = 1 << 2,      /* takes the white space behind it along */
    ADDED_SPECIAL = 1 << 3,     /* found only where the guard allows it */
};

struct added_token {
    token_id id;
    uint32_t flags;
    uint32_t offset; /* of the content, into text */
    uint32_t len;
};

/* A zeroed struct is an empty set (added_ready is optional then). */
struct added_set {
    struct added_token *tokens;
    uint32_t n;
    struct buf text;
    struct token_trie trie; /* content -> index into tokens */
    bool first[256];        /* bytes with which some content begins */
    /* private */
    uint32_t cap;
};

int added_insert(struct added_set *set, token_id id, unsigned flags, const char *content,
                 size_t len, struct error *reterr) KV_MUST_CHECK;
/* After the last insert, before the first search. */
int added_ready(struct added_set *set, struct error *reterr) KV_MUST_CHECK;
void added_fini(struct added_set *set);

/* Where special tokens may be found. Ranges are in the coordinates of the searched text. */
struct added_guard {
    bool parse_special;
    const struct text_range *user; /* sorted, disjoint */
    size_t n_user;
};

struct added_match {
    size_t start; /* with the white space that it takes along */
    size_t end;
    size_t scan_from; /* where the search goes on: behind the content */
    token_id id;
};

/*
 * The first token at from or later. *scan is the position to begin at (0, then scan_from of the
 * match before); after is the end of the match before, which lstrip does not reach over. Ranges
 * before *guard are dropped from it as the search moves on. False if there is none.
 */
bool added_find(const struct added_set *set, const char *text, size_t len, size_t scan,
                size_t after, struct added_guard *guard, struct added_match *ret_match);

/* The id of exactly this content; TOKEN_NONE. */
token_id added_lookup(const struct added_set *set, const char *content, size_t len);

#endif
