/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_model - the seam between the tokenizer and a kind of model (BPE now; WordPiece, Unigram
 * and others each in a file of their own).
 *
 * A model turns one word into ids. To add a kind: implement these operations and a reader, and
 * add a line to the table of kinds in tokenizer_json.c.
 */
#ifndef KVASIR_TEXT_TOKEN_MODEL_H
#define KVASIR_TEXT_TOKEN_MODEL_H

#include <stddef.h>

#include "kvasir/error.h"
#include "kvasir/tokenizer.h"

struct token_model_ops {
    const char *name; /* "byte-level BPE" */
    /* Appends the ids of a word; -ENOMEM, and then ret_ids may hold some. Any thread. */
    int (*encode)(const void *state, const char *word, size_t len, struct token_buf *ret_ids);
    /* The id of exactly these bytes; TOKEN_NONE. */
    token_id (*find)(const void *state, const char *piece, size_t len);
    void (*destroy)(void *state);
};

/* A zeroed struct is no model. */
struct token_model {
    const struct token_model_ops *ops;
    void *state; /* owned */
};

#endif
