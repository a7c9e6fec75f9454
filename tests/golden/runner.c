/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include <string.h>

static uint32_t or_default(uint32_t value, uint32_t initial) {
    return value ? value : initial;
}

void runner_open(struct runner *runner, const char *path, const struct engine_options *options) {
    struct error err = {0};
    *runner = (struct runner){.options = *options};
    struct engine_options *o = &runner->options;

    o->n_threads = or_default(o->n_threads, 2);
    o->block_size = or_default(o->block_size, 16);
    o->n_blocks = or_default(o->n_blocks, RUNNER_MAX_SEQS * (RUNNER_MAX_LEN / o->block_size + 1));
    o->max_model_len = or_default(o->max_model_len, RUNNER_MAX_LEN);
    o->max_num_seqs = or_default(o->max_num_seqs, RUNNER_MAX_SEQS);
    o->max_batch_tokens = or_default(o->max_batch_tokens, RUNNER_MAX_LEN);

    if (model_open(path, &runner->model, &err) < 0)
        fail_msg("%s", err.message);
    if (engine_open(runner->model, o, &runner->engine, &err) < 0)
        fail_msg("%s", err.message);
    runner->n_vocab = engine_info(runner->engine)->n_vocab;
}

void runner_close(struct runner *runner) {
    engine_close(runner->engine);
    model_close(runner->model);
}

void runner_seq_init(struct runner_seq *seq, const struct runner *runner, const token_id *ids,
                     uint32_t n_ids, uint32_t slot) {
    assert_true(n_ids <= RUNNER_MAX_LEN && slot < RUNNER_MAX_SEQS);
    memset(seq, 0, sizeof *seq);
    memcpy(seq->ids, ids, n_ids * sizeof *ids);
    seq->n_ids = n_ids;
    seq->n_prompt = n_ids;

    /* block j of the slot is RUNNER_MAX_SEQS * j + slot, and every other pair is swapped */
    const uint32_t n_blocks = RUNNER_MAX_LEN / runner->options.block_size + 1;
    for (uint32_t j = 0; j < n_blocks; j++) {
        const uint32_t swapped = (j ^ 1) < n_blocks ? j ^ 1 : j;
        seq->blocks[j] = swapped * RUNNER_MAX_SEQS + slot;
    }
}

void runner_step(struct runner *runner, struct runner_seq *const *seqs, uint32_t n_seqs) {
    token_id tokens[RUNNER_MAX_LEN];
    uint32_t positions[RUNNER_MAX_LEN];
    struct batch_seq batch_seqs[RUNNER_MAX_SEQS];
    struct runner_seq *members[RUNNER_MAX_SEQS];
    struct sampling_params greedy = sampling_defaults();
    greedy.temperature = 0;
    struct batch batch = {.tokens = tokens, .positions = positions, .seqs = batch_seqs};

    for (uint32_t i = 0; i < n_seqs; i++) {
        struct runner_seq *seq = seqs[i];
        if (seq->n_chunk == 0)
            continue;
        assert_true(seq->n_computed + seq->n_chunk <= seq->n_ids);
        const bool completes = seq->n_computed + seq->n_chunk == seq->n_ids;
        members[batch.n_seqs] = seq;
        batch_seqs[batch.n_seqs++] = (struct batch_seq){
            .first = batch.n_tokens,
            .n_tokens = seq->n_chunk,
            .n_context = seq->n_computed,
            .n_prompt = seq->n_prompt,
            .block_table = seq->blocks,
            .n_blocks = RUNNER_MAX_LEN / runner->options.block_size + 1,
            .slot = i,
            .rows = seq->logits ? BATCH_ROWS_ALL
                    : completes ? BATCH_ROWS_LAST
                                : BATCH_ROWS_NONE,
            .sample = completes,
            .params = &greedy,
            .history = seq->ids,
            .n_history = seq->n_ids,
            .logits_out =
                seq->logits ? seq->logits + (size_t)seq->n_computed * runner->n_vocab : NULL,
        };
        for (uint32_t t = 0; t < seq->n_chunk; t++) {
            tokens[batch.n_tokens] = seq->ids[seq->n_computed];
            positions[batch.n_tokens++] = seq->n_computed++;
        }
    }

    struct step_result result;
    assert_int_equal(engine_step(runner->engine, &batch, &result), 0);
    for (uint32_t i = 0; i < result.n_rows; i++) {
        struct runner_seq *seq = members[result.rows[i].seq];
        if (result.rows[i].sampled)
            seq->sampled = result.rows[i].token;
        seq->not_finite = seq->not_finite || result.rows[i].problem == ROW_NOT_FINITE;
    }
}

void runner_finish(struct runner *runner, struct runner_seq *seq, uint32_t chunk) {
    while (seq->n_computed < seq->n_ids) {
        const uint32_t left = seq->n_ids - seq->n_computed;
        seq->n_chunk = chunk && chunk < left ? chunk : left;
        runner_step(runner, &seq, 1);
    }
}
