/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types - the scalar ids that cross folders.
 */
#ifndef KVASIR_TYPES_H
#define KVASIR_TYPES_H

#include <stdint.h>

/* A vocabulary index; -1 is "none". Valid ids are 0 .. n_vocab-1. */
typedef int32_t token_id;
#define TOKEN_NONE ((token_id)-1)

/* One sequence in the scheduler: slot and generation. Never reused in a run; 0 is "none". */
typedef uint64_t seq_id;

/* A token with its natural-log probability under the raw (unprocessed) logits. */
struct token_logprob {
    token_id token;
    float logprob;
};

#endif
