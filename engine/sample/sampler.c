/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/sampler.h"

#include <string.h>

#include "sample/distribution.h"
#include "sample/process.h"
#include "sample/random.h"
#include "sample/score.h"

/* The layout of a worker's scratch: the struct, then its arrays. */
struct sampler_scratch {
    struct distribution_scratch distribution;
    float *work;      /* [n_vocab] processed logits */
    uint32_t *counts; /* [n_vocab] occurrences in the history */
};

enum { ALIGN = 64 };

static size_t rounded(size_t n) {
    return (n + ALIGN - 1) / ALIGN * ALIGN;
}

size_t sampler_scratch_bytes(uint32_t n_vocab) {
    const size_t n = n_vocab;
    return rounded(sizeof(struct sampler_scratch)) + 3 * rounded(n * sizeof(float)) +
           rounded(n * sizeof(struct candidate));
}

static struct sampler_scratch *lay_out(void *memory, uint32_t n_vocab) {
    char *next = memory;
    struct sampler_scratch *s = memory;
    const size_t n = n_vocab;

    next += rounded(sizeof *s);
    s->work = (float *)(void *)next;
    next += rounded(n * sizeof(float));
    s->counts = (uint32_t *)(void *)next;
    next += rounded(n * sizeof(uint32_t));
    s->distribution.weights = (float *)(void *)next;
    next += rounded(n * sizeof(float));
    s->distribution.candidates = (struct candidate *)(void *)next;
    return s;
}

/* Log-probability, rank and the best ids under the raw logits (vLLM: before any processing). */
static void report(const float *logits, uint32_t n_vocab, float max,
                   const struct sampling_params *params, struct row_output *ret) {
    const double log_sum_exp = score_log_sum_exp(logits, n_vocab, max);
    const float logit = logits[ret->token];

    ret->logprob = (float)((double)logit - log_sum_exp);
    ret->rank = score_rank(logits, n_vocab, logit);
    ret->n_top = params->n_top < SAMPLING_MAX_LOGPROBS ? params->n_top : SAMPLING_MAX_LOGPROBS;
    if (ret->n_top > n_vocab)
        ret->n_top = n_vocab;
    score_top(logits, n_vocab, log_sum_exp, ret->n_top, ret->top);
}

/* TOKEN_NONE if the request's own masks leave nothing. */
static token_id choose(const float *logits, uint32_t n_vocab, const struct sampling_params *params,
                       struct token_history history, struct sampler_scratch *scratch) {
    const float *processed =
        logits_process(logits, n_vocab, params, history, scratch->work, scratch->counts);
    float max;
    if (!score_max(processed, n_vocab, &max))
        return TOKEN_NONE;
    if (params->temperature < SAMPLING_GREEDY_TEMPERATURE)
        return score_argmax(processed, n_vocab, max);

    struct distribution dist;
    distribution_make(processed, n_vocab, max, params, &scratch->distribution, &dist);
    return distribution_draw(&dist, random_uniform(params->seed, history.n));
}

void sampler_row(const float *logits, uint32_t n_vocab, const struct batch_seq *seq, uint32_t row,
                 void *scratch, struct row_output *ret) {
    const uint32_t next = seq->n_context + row + 1; /* position of the token this row predicts */
    ret->row = row;
    ret->token = TOKEN_NONE;
    ret->sampled = next >= seq->n_history;
    ret->n_top = 0;
    ret->logprob = 0;
    ret->rank = 0;
    ret->problem = ROW_OK;

    float max;
    if (!score_max(logits, n_vocab, &max)) {
        ret->problem = ROW_NOT_FINITE;
        return;
    }

    if (ret->sampled && !seq->sample)
        return; /* the end of a prompt that is only scored */
    if (ret->sampled) {
        const struct token_history history = {
            .ids = seq->history,
            .n_prompt = seq->n_prompt,
            .n = seq->n_history,
        };
        ret->token = choose(logits, n_vocab, seq->params, history, lay_out(scratch, n_vocab));
        if (ret->token == TOKEN_NONE)
            ret->problem = ROW_NOTHING_ALLOWED;
    } else {
        ret->token = seq->history[next];
    }
    if (ret->token != TOKEN_NONE && (uint32_t)ret->token < n_vocab &&
        (!ret->sampled || seq->params->wants_logprobs))
        report(logits, n_vocab, max, seq->params, ret);
}
