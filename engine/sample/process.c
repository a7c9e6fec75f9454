/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/process.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

static bool has_penalties(const struct sampling_params *params) {
    return params->repetition_penalty != 1.0f || params->presence_penalty != 0.0f ||
           params->frequency_penalty != 0.0f;
}

static uint32_t n_output(struct token_history history) {
    return history.n - history.n_prompt;
}

static bool masks_stop_ids(const struct sampling_params *params, struct token_history history) {
    return params->n_stop_ids > 0 && n_output(history) < params->min_tokens;
}

static bool in_vocab(token_id id, uint32_t n_vocab) {
    return id >= 0 && (uint32_t)id < n_vocab;
}

static void keep_allowed(const struct sampling_params *params, const float *logits,
                         uint32_t n_vocab, float *work) {
    for (uint32_t i = 0; i < n_vocab; i++)
        work[i] = -INFINITY;
    for (uint32_t i = 0; i < params->n_allowed_ids; i++) {
        const token_id id = params->allowed_ids[i];
        if (in_vocab(id, n_vocab))
            work[id] = logits[id];
    }
}

/* True if the output ends with all ids of the run but its last. */
static bool run_would_end(const struct token_run *run, struct token_history history) {
    const uint32_t n_before = run->n - 1;
    if (n_before > n_output(history))
        return false;
    if (n_before == 0)
        return true;
    return memcmp(run->ids, history.ids + history.n - n_before, n_before * sizeof *run->ids) == 0;
}

static void mask_bad_words(const struct sampling_params *params, struct token_history history,
                           uint32_t n_vocab, float *work) {
    for (uint32_t i = 0; i < params->n_bad_words; i++) {
        const struct token_run *run = &params->bad_words[i];
        if (run->n > 0 && in_vocab(run->ids[run->n - 1], n_vocab) && run_would_end(run, history))
            work[run->ids[run->n - 1]] = -INFINITY;
    }
}

static void mask_stops(const struct sampling_params *params, uint32_t n_vocab, float *work) {
    for (uint32_t i = 0; i < params->n_stop_ids; i++)
        if (in_vocab(params->stop_ids[i], n_vocab))
            work[params->stop_ids[i]] = -INFINITY;
}

static void add_bias(const struct sampling_params *params, uint32_t n_vocab, float *work) {
    for (uint32_t i = 0; i < params->n_logit_bias; i++)
        if (in_vocab(params->logit_bias[i].token, n_vocab))
            work[params->logit_bias[i].token] += params->logit_bias[i].bias;
}

/* One id, met for the first time: count occurrences in the output, whatever in the prompt. */
static float penalised(float logit, const struct sampling_params *params, uint32_t count) {
    if (!isfinite(logit))
        return logit; /* masked already */
    const float r = params->repetition_penalty;
    if (r != 1.0f)
        logit = logit > 0 ? logit / r : logit * r;
    logit -= params->frequency_penalty * (float)count;
    if (count > 0)
        logit -= params->presence_penalty;
    /* A penalty is not a mask, even at the edge of float. */
    return fminf(fmaxf(logit, -FLT_MAX), FLT_MAX);
}

static void penalise(const struct sampling_params *params, struct token_history history,
                     uint32_t n_vocab, float *work, uint32_t *counts) {
    memset(counts, 0, (size_t)n_vocab * sizeof *counts);
    for (uint32_t i = history.n_prompt; i < history.n; i++)
        if (in_vocab(history.ids[i], n_vocab))
            counts[history.ids[i]]++;

    /* Each id once: its count is replaced by a mark when it was done. */
    const uint32_t done = UINT32_MAX;
    for (uint32_t i = 0; i < history.n; i++) {
        const token_id id = history.ids[i];
        if (!in_vocab(id, n_vocab) || counts[id] == done)
            continue;
        work[id] = penalised(work[id], params, counts[id]);
        counts[id] = done;
    }
}

const float *logits_process(const float *logits, uint32_t n_vocab,
                            const struct sampling_params *params, struct token_history history,
                            float *work, uint32_t *counts) {
    const bool penalties = has_penalties(params);
    const bool masks = masks_stop_ids(params, history);
    if (!penalties && !masks && params->n_logit_bias == 0 && params->n_allowed_ids == 0 &&
        params->n_bad_words == 0)
        return logits;

    if (params->n_allowed_ids > 0)
        keep_allowed(params, logits, n_vocab, work);
    else
        memcpy(work, logits, (size_t)n_vocab * sizeof *work);
    mask_bad_words(params, history, n_vocab, work);
    if (masks)
        mask_stops(params, n_vocab, work);
    add_bias(params, n_vocab, work);
    if (penalties)
        penalise(params, history, n_vocab, work, counts);
    return work;
}
