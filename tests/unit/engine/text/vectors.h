/* SPDX-License-Identifier: Apache-2.0 */
/* vectors - what the tests of the tokenizers share: files, ids, comparing. */
#ifndef KVASIR_TEST_TOKENIZER_VECTORS_H
#define KVASIR_TEST_TOKENIZER_VECTORS_H

#include "support.h"

#include "kvasir/buf.h"
#include "kvasir/json_pull.h"
#include "kvasir/tokenizer.h"

/* Opens DIR/tokenizer.json; the test fails if it cannot be. */
struct tokenizer *vectors_open(const char *dir);

/* The folder of a path below shared/ (the test is skipped if path is not there); static. */
const char *vectors_shared_dir(const char *path);

/* Takes a JSON array of ids. */
void vectors_take_ids(struct json_pull *p, struct token_buf *ret_ids);

/* Encodes text and fails the test unless the ids are these. name: for the message. */
void vectors_check(const struct tokenizer *tokenizer, const char *name, const char *text,
                   size_t len, unsigned flags, const struct token_buf *want);

/* Calls line(ctx, ...) for every line of the file; returns how many there are. */
int vectors_lines(const char *path, void (*line)(void *ctx, const char *json, size_t len),
                  void *ctx);

#endif
