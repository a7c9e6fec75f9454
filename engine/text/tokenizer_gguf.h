/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_gguf - the vocabulary of a GGUF file as a tokenizer. */
#ifndef KVASIR_TEXT_TOKENIZER_GGUF_H
#define KVASIR_TEXT_TOKENIZER_GGUF_H

#include "kvasir/error.h"
#include "kvasir/tokenizer.h"

struct gguf;

/*
 * Reads the tokenizer.ggml.* keys; nothing is lent from the file afterwards. -EINVAL for what is
 * wrong, -ENOTSUP for a model or a pre-tokenizer that is not served (the message names it).
 */
int tokenizer_open_gguf(const struct gguf *gguf, struct tokenizer **ret_tokenizer,
                        struct error *reterr) KV_MUST_CHECK;

#endif
