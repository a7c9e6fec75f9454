/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget - how much one step may compute.
 *
 * Tokens for now. The promise behind it is time: a step must not take so long that the streams
 * which are decoding notice. When the cost of a step is known (so much a prefill token, so much a
 * decode, so much a token of context, fitted while serving), budget_begin is the one place that
 * turns a target time into `tokens`; the planner only spends.
 */
#ifndef KVASIR_BUDGET_H
#define KVASIR_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/scheduler.h"

/* Prompt rows a step sends through the head for scores or logits: the rows of the output. */
enum { MAX_SCORE_ROWS = 256 };

struct budget {
    uint32_t tokens;     /* left in this step */
    uint32_t prefill;    /* of those, kept for prefills while decodes are served first */
    uint32_t score_rows; /* left in this step */
};

/*
 * Decodes go first, so they leave n - n_decoding tokens for prefills. Only where the budget is
 * so small that they would leave nothing (max_num_batched_tokens <= decoding sequences) is a
 * part kept from them: a quarter, and with a budget of one token every second step.
 */
static inline struct budget budget_begin(const struct scheduler_options *options,
                                         uint32_t n_decoding, bool prefill_waits,
                                         uint64_t n_steps) {
    struct budget budget = {
        .tokens = options->max_num_batched_tokens,
        .score_rows = MAX_SCORE_ROWS,
    };
    if (!prefill_waits || n_decoding < budget.tokens)
        return budget;

    if (budget.tokens == 1)
        budget.prefill = n_steps % 2;
    else
        budget.prefill = budget.tokens < 8 ? 1 : budget.tokens / 4;
    return budget;
}

#endif
