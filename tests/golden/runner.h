/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner - drives an engine as a scheduler would: chunks, block tables, one token at a time.
 *
 * Failing calls fail the running test.
 */
#ifndef KVASIR_TEST_RUNNER_H
#define KVASIR_TEST_RUNNER_H

#include "kvasir/engine.h"
#include "kvasir/model.h"
#include "support.h"

enum { RUNNER_MAX_LEN = 600, RUNNER_MAX_SEQS = 8 };

struct runner {
    struct model *model;
    struct engine *engine;
    struct engine_options options;
    uint32_t n_vocab;
};

/* Zero fields of options get values that fit RUNNER_MAX_SEQS sequences of RUNNER_MAX_LEN. */
void runner_open(struct runner *runner, const char *path, const struct engine_options *options);
void runner_close(struct runner *runner);

/* A sequence as the scheduler keeps it. */
struct runner_seq {
    token_id ids[RUNNER_MAX_LEN];
    uint32_t n_ids;    /* prompt and output */
    uint32_t n_prompt; /* for rope; n_ids unless set */
    uint32_t n_computed;
    uint32_t n_chunk; /* tokens of the next step */
    uint32_t blocks[RUNNER_MAX_LEN / 8 + 1];
    float *logits;    /* NULL, or [n_ids, n_vocab]: where every row goes */
    token_id sampled; /* of the last step, if it completed the ids */
    bool not_finite;
};

/* ids, and a block table that is scattered over the pool, apart from that of other slots. */
void runner_seq_init(struct runner_seq *seq, const struct runner *runner, const token_id *ids,
                     uint32_t n_ids, uint32_t slot);

/* One step over the n_chunk next tokens of each sequence (0: it does not take part). */
void runner_step(struct runner *runner, struct runner_seq *const *seqs, uint32_t n_seqs);

/* Computes what is left of seq alone, chunk tokens at a time. */
void runner_finish(struct runner *runner, struct runner_seq *seq, uint32_t chunk);

#endif
