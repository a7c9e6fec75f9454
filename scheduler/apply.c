/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply - what a computed step changes: tokens, published blocks, ends; and the events of it.
 */
#include <errno.h>

#include "core.h"
#include "output.h"
#include "share.h"

/* The rows of one sequence of the batch. */
struct slice {
    const struct batch_seq *seq;
    const struct row_output *rows;
    uint32_t n_rows;
};

/* Events. */

static struct scheduler_event *add_event(struct scheduler_output *output, const struct seq *seq,
                                         uint64_t now_us) {
    struct scheduler_event *event = output_add_event(output);
    event->id = seq->id;
    event->finish = seq->finish;
    event->error_code = seq->error_code;
    event->error = seq->error;
    event->n_cached_tokens = seq->n_cached;
    event->n_preemptions = seq->n_preemptions;
    event->scheduled_us = seq->scheduled_us;
    event->produced_us = now_us;
    return event;
}

static bool is_stop(const struct seq *seq, token_id token) {
    const struct sampling_params *params = &seq->request->sampling;
    if (seq_n_generated(seq) < params->min_tokens)
        return false;
    for (uint32_t i = 0; i < params->n_stop_ids; i++)
        if (params->stop_ids[i] == token)
            return true;
    return false;
}

static const struct row_output *sampled_row(const struct slice *slice) {
    if (!slice->seq->sample || slice->n_rows == 0)
        return NULL;
    const struct row_output *last = &slice->rows[slice->n_rows - 1];
    return last->sampled ? last : NULL;
}

/* Why a sequence cannot go on. */
struct failure {
    int code;   /* 0: it can */
    bool sound; /* what it computed so far is right, and others may use it */
    const char *text;
};

static struct failure failure_of_row(enum row_problem problem) {
    switch (problem) {
    case ROW_NOT_FINITE:
        return (struct failure){-EIO, false, "The model gave logits that are not finite."};
    case ROW_NOTHING_ALLOWED:
        return (struct failure){
            -EINVAL, true,
            "The request allows no token here: allowed ids, bad words, bias and "
            "min_tokens together leave none."};
    case ROW_NOT_COMPUTED:
        return (struct failure){-EIO, false, "The engine could not compute this sequence."};
    case ROW_OK:
        break;
    }
    return (struct failure){.code = 0};
}

static struct failure failure_of(const struct core *core, const struct slice *slice, int step_rc) {
    if (step_rc == -ENOMEM)
        return (struct failure){-ENOMEM, true, "There is not enough memory for one more step."};
    if (step_rc < 0)
        return (struct failure){-EIO, false, "The engine could not compute this step."};
    for (uint32_t i = 0; i < slice->n_rows; i++)
        if (slice->rows[i].problem != ROW_OK)
            return failure_of_row(slice->rows[i].problem);
    if (!slice->seq->sample)
        return (struct failure){.code = 0};

    const struct row_output *row = sampled_row(slice);
    if (!row)
        return (struct failure){-EIO, false, "The engine gave no token."};
    if (row->token < 0 || (uint32_t)row->token >= core->options.n_vocab)
        return (struct failure){-EIO, false, "The engine gave a token outside the vocabulary."};
    return (struct failure){.code = 0};
}

/* The computed tokens count once, however often a preemption makes them be computed. */
static void count_computed(struct core *core, struct seq *seq) {
    if (seq->n_computed <= seq->n_reached)
        return;
    const uint32_t end = seq->n_computed < seq->n_prompt ? seq->n_computed : seq->n_prompt;
    if (end > seq->n_reached)
        core->counters.prompt_tokens_computed += end - seq->n_reached;
    seq->n_reached = seq->n_computed;
}

/* Scores of this slice's prompt rows; the last prompt token has no known successor. */
static uint32_t n_scores(const struct slice *slice) {
    uint32_t n = 0;
    while (n < slice->n_rows && !slice->rows[n].sampled &&
           slice->seq->n_context + slice->rows[n].row + 1 < slice->seq->n_prompt)
        n++;
    return n;
}

/* One sequence of the step; everything went well. */
static void advance(struct core *core, struct seq *seq, const struct slice *slice, uint64_t now_us,
                    struct scheduler_output *output) {
    const bool score = slice->seq->rows == BATCH_ROWS_ALL && seq->request->score_prompt;
    const struct row_output *row = sampled_row(slice);

    seq->n_computed += slice->seq->n_tokens;
    if (slice->seq->rows == BATCH_ROWS_ALL)
        seq->n_scored = seq->n_computed;
    count_computed(core, seq);
    share_publish(core, seq);

    if (row && seq_append(seq, row->token) < 0) {
        core_fail(core, seq, -ENOMEM, "There is not enough memory for one more token.");
        return;
    }
    enum finish_reason finish = FINISH_NONE;
    if (row && is_stop(seq, row->token))
        finish = FINISH_STOP;
    else if (seq->n_tokens == seq->max_length && (row || seq_need(seq) == 0))
        finish = FINISH_LENGTH;

    const uint32_t n = score ? n_scores(slice) : 0;
    if (finish != FINISH_NONE) {
        core_end(core, seq, finish);
        core_retire(core, seq); /* its event is made below */
    } else if (row && seq->state == SEQ_PREFILLING)
        core_start_decoding(core, seq);
    if (!row && n == 0 && finish == FINISH_NONE)
        return; /* a chunk in the middle of a prompt */

    struct scheduler_event *event = add_event(output, seq, now_us);
    if (n > 0)
        output_set_scores(output, event, slice->rows, n, slice->seq->n_context,
                          seq->request->sampling.n_top);
    if (row) {
        event->token = row->token;
        event->stop_token = finish == FINISH_STOP ? row->token : TOKEN_NONE;
        event->logprob = row->logprob;
        event->rank = row->rank;
        output_set_tops(output, event, row, seq->request->sampling.n_top);
        core->counters.generated_tokens++;
    }
}

static void apply_slice(struct core *core, struct seq *seq, const struct slice *slice, int step_rc,
                        uint64_t now_us, struct scheduler_output *output) {
    seq->in_step = false;
    if (seq->cancelled) {
        core_end(core, seq, FINISH_CANCELLED);
        return;
    }
    const struct failure failure = failure_of(core, slice, step_rc);
    if (failure.code < 0) {
        if (!failure.sound)
            share_forget(core, seq); /* a block may hold NaN, and nobody knows which */
        core_fail(core, seq, failure.code, failure.text);
        return;
    }
    advance(core, seq, slice, now_us, output);
}

struct scheduler_output *core_output_create(const struct core *core) {
    struct output_room room = {.n_events = core->batch.n_seqs + core->n_ended};

    for (uint32_t i = 0; i < core->batch.n_seqs; i++) {
        const struct batch_seq *seq = &core->batch_seqs[i];
        const bool scores = seq->rows == BATCH_ROWS_ALL && core->planned[i]->request->score_prompt;
        const uint32_t n_scores = scores ? seq->n_tokens : 0;
        room.n_scores += n_scores;
        if (seq->rows != BATCH_ROWS_NONE)
            room.n_tops += (n_scores + seq->sample) * seq->params->n_top;
    }
    return output_create(&room);
}

struct scheduler_output *core_spare_output_create(const struct core *core) {
    return output_create(&(struct output_room){.n_events = core->options.max_num_seqs});
}

static void count_step(struct core_counters *counters, uint32_t n_tokens) {
    uint32_t i = 0;
    while (i < SCHEDULER_STEP_BOUNDS && n_tokens > (i == 0 ? 1u : 4u << i))
        i++;
    counters->steps++;
    counters->step_tokens += n_tokens;
    counters->steps_by_tokens[i]++;
}

void core_apply(struct core *core, const struct step_result *result, int step_rc, uint64_t now_us,
                struct scheduler_output *output) {
    const struct batch *batch = &core->batch;
    const uint32_t n_rows = result && step_rc == 0 ? result->n_rows : 0;
    uint32_t row = 0;

    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        struct slice slice = {.seq = &batch->seqs[i], .rows = n_rows ? &result->rows[row] : NULL};
        for (; row < n_rows && result->rows[row].seq == i; row++)
            slice.n_rows++;
        apply_slice(core, core->planned[i], &slice, step_rc, now_us, output);
    }

    while (!list_empty(&core->ended) && output->n_events < output->cap_events) {
        struct seq *seq = list_entry(core->ended.next, struct seq, link);
        (void)add_event(output, seq, now_us); /* it has nothing but its end */
        core_retire(core, seq);
    }

    if (batch->n_seqs > 0)
        count_step(&core->counters, batch->n_tokens);
    core->batch.n_seqs = 0;
    core->batch.n_tokens = 0;
}
