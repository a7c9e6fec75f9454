/* SPDX-License-Identifier: Apache-2.0 */
/* Loops are written over fixed lanes, so that the order of operations is ours and vectorises. */
#include "sample/score.h"

#include <math.h>

#include "sample/exp.h"

enum { LANES = 16, RUN = 256 };

bool score_max(const float *logits, uint32_t n, float *ret_max) {
    float max[LANES];
    uint32_t nan[LANES] = {0};
    for (uint32_t j = 0; j < LANES; j++)
        max[j] = -INFINITY;

    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (uint32_t j = 0; j < LANES; j++) {
            const float x = logits[i + j];
            max[j] = x > max[j] ? x : max[j];
            nan[j] |= x != x;
        }
    }
    for (; i < n; i++) {
        max[0] = logits[i] > max[0] ? logits[i] : max[0];
        nan[0] |= logits[i] != logits[i];
    }
    for (uint32_t j = 1; j < LANES; j++) {
        max[0] = max[j] > max[0] ? max[j] : max[0];
        nan[0] |= nan[j];
    }
    *ret_max = max[0];
    return !nan[0] && isfinite(max[0]);
}

token_id score_argmax(const float *logits, uint32_t n, float max) {
    for (uint32_t i = 0; i < n; i++)
        if (logits[i] == max)
            return (token_id)i;
    return TOKEN_NONE;
}

double score_log_sum_exp(const float *logits, uint32_t n, float max) {
    double total = 0;
    for (uint32_t start = 0; start < n; start += RUN) {
        const uint32_t end = n - start < RUN ? n : start + RUN;
        float weights[RUN];
        for (uint32_t i = start; i < end; i++)
            weights[i - start] = exp_nonpositive(logits[i] - max);

        double sum = 0;
        for (uint32_t i = 0; i < end - start; i++)
            sum += (double)weights[i];
        total += sum;
    }
    return (double)max + log(total);
}

uint32_t score_rank(const float *logits, uint32_t n, float value) {
    uint32_t rank = 0;
    for (uint32_t i = 0; i < n; i++)
        rank += logits[i] >= value;
    return rank;
}

void score_top(const float *logits, uint32_t n, double log_sum_exp, uint32_t n_top,
               struct token_logprob *ret_top) {
    uint32_t filled = 0;
    if (n_top == 0)
        return;
    for (uint32_t i = 0; i < n; i++) {
        /* Ids come in rising order, so an equal logit goes behind those that are there. */
        if (filled == n_top && !(logits[i] > ret_top[filled - 1].logprob))
            continue;
        uint32_t at = filled < n_top ? filled++ : filled - 1;
        for (; at > 0 && logits[i] > ret_top[at - 1].logprob; at--)
            ret_top[at] = ret_top[at - 1];
        ret_top[at] = (struct token_logprob){.token = (token_id)i, .logprob = logits[i]};
    }
    for (uint32_t i = 0; i < filled; i++)
        ret_top[i].logprob = (float)((double)ret_top[i].logprob - log_sum_exp);
}
