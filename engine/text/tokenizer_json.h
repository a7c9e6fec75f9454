/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_json - what the two readers of a tokenizer.json share. */
#ifndef KVASIR_TEXT_TOKENIZER_JSON_H
#define KVASIR_TEXT_TOKENIZER_JSON_H

#include "kvasir/json_pull.h"

#include "tokenizer_impl.h"

/* The file's members as text (empty: absent), and what becomes of them. */
struct json_tokenizer {
    struct tokenizer *tokenizer;
    struct json_str added_tokens;
    struct json_str normalizer;
    struct json_str pre_tokenizer;
    struct json_str post_processor;
    struct json_str decoder;
    bool bytes_alphabet; /* some component is ByteLevel */
    struct error *reterr;
};

/* Reads the normalizer, pre-tokenizer, post-processor and decoder into the tokenizer. */
int json_tokenizer_read_parts(struct json_tokenizer *reader) KV_MUST_CHECK;

/* True if the member is absent or null. */
bool json_part_absent(struct json_str text);

/* Takes a boolean; null is the fallback. */
bool json_bool_or(struct json_pull *p, bool fallback);

#endif
