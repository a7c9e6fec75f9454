/* SPDX-License-Identifier: Apache-2.0 */
/*
 * output - the events of one step, in one allocation made before the first is written.
 *
 * So core_apply cannot run out of memory half-way and lose a token. Made on the engine thread,
 * moved through the mailbox, freed by the taking thread with scheduler_output_free.
 */
#ifndef KVASIR_OUTPUT_H
#define KVASIR_OUTPUT_H

#include <stdint.h>

#include "kvasir/batch.h"
#include "kvasir/scheduler.h"

/* How many of each kind there is room for. */
struct output_room {
    uint32_t n_events;
    uint32_t n_scores; /* struct token_score of all events */
    uint32_t n_tops;   /* struct token_logprob of all events and scores */
};

/* NULL without memory. */
struct scheduler_output *output_create(const struct output_room *room);

/* The next event: of nothing yet, no token, not finished. There must be room. */
struct scheduler_event *output_add_event(struct scheduler_output *output);

/* Copies the best n of row into event, as far as the row has them. There must be room. */
void output_set_tops(struct scheduler_output *output, struct scheduler_event *event,
                     const struct row_output *row, uint32_t n);

/* Copies the scores of n prompt rows, that of the first one being row `first` of the prompt, and
 * the best n_top of each into event. There must be room. */
void output_set_scores(struct scheduler_output *output, struct scheduler_event *event,
                       const struct row_output *rows, uint32_t n, uint32_t first, uint32_t n_top);

#endif
