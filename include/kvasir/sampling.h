/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampling - how one token is chosen from one row of logits; semantics and ranges are vLLM's.
 *
 * Order: allowed ids, bad words, min_tokens and logit_bias, penalties, temperature, min_p, top_k, top_p,
 * softmax, draw. Ranges are checked at the edge (server); the sampler is total on all inputs.
 * A draw depends only on (seed, position): never on the neighbours in the batch.
 */
#ifndef KVASIR_SAMPLING_H
#define KVASIR_SAMPLING_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/types.h"

enum { SAMPLING_MAX_LOGPROBS = 20 };

/* Below this a temperature means greedy: the largest logit, the lowest id among equals. */
#define SAMPLING_GREEDY_TEMPERATURE 1e-5f

struct token_bias {
    token_id token;
    float bias; /* -100 .. 100, added to the logit */
};

/* A run of ids whose last one must not follow the others (bad_words). */
struct token_run {
    const token_id *ids;
    uint32_t n;
};

/*
 * Plain value; the arrays are lent by whoever owns the request (its arena). A zeroed struct is
 * not a valid default: start from sampling_defaults().
 */
struct sampling_params {
    float temperature;        /* 0 .. 2 */
    float top_p;              /* (0, 1]; 1: off */
    float min_p;              /* 0 .. 1; 0: off */
    int32_t top_k;            /* 0: off */
    float repetition_penalty; /* > 0; 1: off */
    float presence_penalty;   /* -2 .. 2 */
    float frequency_penalty;  /* -2 .. 2 */
    uint64_t seed;            /* of the counter-based generator */

    uint32_t min_tokens; /* while fewer were generated, every stop id has logit -inf */
    const token_id *stop_ids;
    uint32_t n_stop_ids;

    const struct token_bias *logit_bias;
    uint32_t n_logit_bias;

    const token_id *allowed_ids; /* when n_allowed_ids > 0, all others have logit -inf */
    uint32_t n_allowed_ids;

    const struct token_run *bad_words; /* a run of one id is never produced */
    uint32_t n_bad_words;

    bool wants_logprobs; /* report the chosen token's log-probability (raw logits) */
    uint32_t n_top;      /* and the n best, 0 .. SAMPLING_MAX_LOGPROBS */
};

/* temperature 1, everything else off. */
static inline struct sampling_params sampling_defaults(void) {
    return (struct sampling_params){
        .temperature = 1.0f,
        .top_p = 1.0f,
        .repetition_penalty = 1.0f,
    };
}

#endif
