/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head - from the residual stream to tokens: the wanted rows only, LOGIT_ROWS at a time.
 *
 * Rows of logits are large (a vocabulary each), so few exist at once; each is copied out,
 * sampled or scored by one worker while the others take the next rows.
 */
#include <string.h>

#include "kvasir/clock.h"
#include "layers/forward.h"
#include "sample/sampler.h"

/* Rows of one chunk, normed and gathered. */
struct gather_rows {
    const struct forward *forward;
    const struct head_row *rows;
};

static void gather_rows_make(void *ctx, uint32_t first, uint32_t n) {
    const struct gather_rows *gather = ctx;
    const struct forward *forward = gather->forward;
    const uint32_t hidden = forward->hparams->hidden_size;

    for (uint32_t i = first; i < first + n; i++)
        forward->ops.rms_norm(forward->scratch.normed + (size_t)i * hidden,
                              forward->scratch.x + (size_t)gather->rows[i].row * hidden,
                              forward->network.output_norm, forward->hparams->norm_eps, hidden);
}

/* A row has an output if its next token is known (a score), or if it is the one to sample. */
static bool has_output(const struct batch_seq *seq, uint32_t row) {
    const bool is_scored = seq->n_context + row + 1 < seq->n_history;
    const bool is_sampled = seq->sample && row + 1 == seq->n_tokens;
    return is_scored || is_sampled;
}

/* Lists the wanted rows in batch order; returns their number. */
static uint32_t list_rows(struct forward *forward, uint32_t *ret_n_outputs) {
    const struct batch *batch = forward->batch;
    uint32_t n_rows = 0, n_outputs = 0;

    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        const struct batch_seq *seq = &batch->seqs[i];
        if (seq->rows == BATCH_ROWS_NONE)
            continue;
        for (uint32_t r = seq->rows == BATCH_ROWS_ALL ? 0 : seq->n_tokens - 1; r < seq->n_tokens;
             r++) {
            forward->scratch.head_rows[n_rows++] = (struct head_row){
                .row = seq->first + r,
                .seq = i,
                .output = has_output(seq, r) ? n_outputs++ : HEAD_NO_OUTPUT,
            };
        }
    }
    *ret_n_outputs = n_outputs;
    return n_rows;
}

static void finish_row(void *ctx, uint32_t item, uint32_t worker) {
    const struct gather_rows *gather = ctx;
    const struct forward *forward = gather->forward;
    const struct head_row *head_row = &gather->rows[item];
    const struct batch_seq *seq = &forward->batch->seqs[head_row->seq];
    const uint32_t n_vocab = forward->network.head.n_out;
    const float *logits = forward->scratch.logits + (size_t)item * n_vocab;
    const uint32_t row = head_row->row - seq->first;

    if (seq->logits_out) {
        const uint32_t first = seq->rows == BATCH_ROWS_ALL ? 0 : seq->n_tokens - 1;
        memcpy(seq->logits_out + (size_t)(row - first) * n_vocab, logits, n_vocab * sizeof *logits);
    }
    if (head_row->output == HEAD_NO_OUTPUT)
        return;

    struct row_output *output = &forward->scratch.outputs[head_row->output];
    sampler_row(logits, n_vocab, seq, row, worker_scratch(forward, worker), output);
    output->seq = head_row->seq;
}

void head_run(struct forward *forward, struct step_result *ret_result) {
    struct step_scratch *s = &forward->scratch;
    const uint32_t n_vocab = forward->network.head.n_out;
    uint32_t n_outputs;
    const uint32_t n_rows = list_rows(forward, &n_outputs);

    for (uint32_t first = 0; first < n_rows; first += LOGIT_ROWS) {
        const uint64_t start_ns = clock_now_ns();
        struct gather_rows gather = {forward, s->head_rows + first};
        const uint32_t n = n_rows - first < LOGIT_ROWS ? n_rows - first : LOGIT_ROWS;

        linear_run(forward->workers,
                   &(struct linear_call){
                       .linear = &forward->network.head,
                       .n_rows = n,
                       .x = {s->normed, forward->hparams->hidden_size, gather_rows_make, &gather},
                       .prepared = s->prepared,
                       .y = {s->logits, n_vocab},
                   });
        const uint64_t logits_ns = clock_now_ns();
        workers_for(forward->workers, n, finish_row, &gather);
        ret_result->forward_ns += logits_ns - start_ns;
        ret_result->sample_ns += clock_now_ns() - logits_ns;
    }
    ret_result->rows = s->outputs;
    ret_result->n_rows = n_outputs;
}
