/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <assert.h>
#include <string.h>

#include "kvasir/mem.h"

/* One behind the other without padding: no type needs more alignment than those before it. */
static_assert(sizeof(struct scheduler_output) % _Alignof(struct scheduler_event) == 0,
              "events follow the struct");
static_assert(sizeof(struct scheduler_event) % _Alignof(struct token_score) == 0,
              "scores follow the events");
static_assert(sizeof(struct token_score) % _Alignof(struct token_logprob) == 0,
              "tops follow the scores");

struct scheduler_output *output_create(const struct output_room *room) {
    const size_t events_len = room->n_events * sizeof(struct scheduler_event);
    const size_t scores_len = room->n_scores * sizeof(struct token_score);
    const size_t tops_len = room->n_tops * sizeof(struct token_logprob);
    struct scheduler_output *output =
        mem_alloc(sizeof *output + events_len + scores_len + tops_len);
    if (!output)
        return NULL;

    char *behind = (char *)(output + 1);
    *output = (struct scheduler_output){
        .events = (void *)behind,
        .cap_events = room->n_events,
        .cap_scores = room->n_scores,
        .cap_tops = room->n_tops,
        .scores = (void *)(behind + events_len),
        .tops = (void *)(behind + events_len + scores_len),
    };
    return output;
}

void scheduler_output_free(struct scheduler_output *output) {
    mem_free(output);
}

struct scheduler_event *output_add_event(struct scheduler_output *output) {
    INVARIANT(output->n_events < output->cap_events);

    struct scheduler_event *event = &output->events[output->n_events++];
    *event = (struct scheduler_event){.token = TOKEN_NONE, .stop_token = TOKEN_NONE};
    return event;
}

/* The best n of row, as far as the row has them. */
static const struct token_logprob *copy_tops(struct scheduler_output *output,
                                             const struct row_output *row, uint32_t n,
                                             uint32_t *ret_n) {
    if (n > row->n_top)
        n = row->n_top;
    INVARIANT(n <= output->cap_tops - output->n_tops);

    struct token_logprob *tops = output->tops + output->n_tops;
    memcpy(tops, row->top, n * sizeof *tops);
    output->n_tops += n;
    *ret_n = n;
    return tops;
}

void output_set_tops(struct scheduler_output *output, struct scheduler_event *event,
                     const struct row_output *row, uint32_t n) {
    event->top = copy_tops(output, row, n, &event->n_top);
}

void output_set_scores(struct scheduler_output *output, struct scheduler_event *event,
                       const struct row_output *rows, uint32_t n, uint32_t first, uint32_t n_top) {
    INVARIANT(n <= output->cap_scores - output->n_scores);

    struct token_score *scores = output->scores + output->n_scores;
    for (uint32_t i = 0; i < n; i++) {
        scores[i] = (struct token_score){
            .token = rows[i].token,
            .logprob = rows[i].logprob,
            .rank = rows[i].rank,
        };
        scores[i].top = copy_tops(output, &rows[i], n_top, &scores[i].n_top);
    }
    output->n_scores += n;
    event->scores = scores;
    event->n_scores = n;
    event->first_score = first;
}
