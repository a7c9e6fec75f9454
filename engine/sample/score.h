/* SPDX-License-Identifier: Apache-2.0 */
/*
 * score - what a raw row of logits says about its tokens: the largest, log-probabilities, ranks.
 */
#ifndef KVASIR_ENGINE_SCORE_H
#define KVASIR_ENGINE_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/types.h"

/*
 * The largest logit of a row [n] f32. False if the row holds NaN, or its largest logit is not
 * finite (then nothing can be chosen from it).
 */
bool score_max(const float *logits, uint32_t n, float *ret_max);

/* The lowest id whose logit is max. */
token_id score_argmax(const float *logits, uint32_t n, float max);

/* log(sum(exp(logits))), natural. */
double score_log_sum_exp(const float *logits, uint32_t n, float max);

/* Number of logits >= value (so 1 for the best). */
uint32_t score_rank(const float *logits, uint32_t n, float value);

/* The n_top best ids with logit - log_sum_exp, best first, equal ones by rising id. */
void score_top(const float *logits, uint32_t n, double log_sum_exp, uint32_t n_top,
               struct token_logprob *ret_top);

#endif
