/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch - what one step computes: ragged, flat arrays of integers; and what comes back.
 *
 * Decode is n_tokens == 1; a prefill chunk is more. There is no other difference: no phases, no
 * padding. The scheduler's runner builds a batch, the engine reads it, both on the engine thread.
 *
 *   tokens     [ seq 0 chunk | seq 1 chunk | ... ]         n_tokens in all
 *   positions  [ n_context .. n_context + n_tokens of each ]
 *   seqs[i]    first, n_tokens: its slice;  n_context: slots already filled in its blocks
 *
 * Slot of position p of a sequence: block_table[p / block_size], row p % block_size. The table
 * covers n_context + n_tokens positions before the step starts.
 */
#ifndef KVASIR_BATCH_H
#define KVASIR_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/sampling.h"
#include "kvasir/types.h"

/* Which rows of a sequence's slice go through the output head. */
enum batch_rows {
    BATCH_ROWS_NONE, /* a chunk in the middle of a prompt */
    BATCH_ROWS_LAST, /* the last token of the slice: it is sampled */
    BATCH_ROWS_ALL,  /* every token: prompt_logprobs, eval; the last one is sampled if `sample` */
};

/* One sequence of a step. Lent: pointers are valid during the step only. */
struct batch_seq {
    uint32_t first;     /* index of its first token in batch::tokens */
    uint32_t n_tokens;  /* >= 1 */
    uint32_t n_context; /* == positions[first] */
    uint32_t n_prompt;  /* its prompt length: a token at position p is computed at length
                           max(n_prompt, p + 1), which RoPE kinds that depend on it use */
    const uint32_t *block_table;
    uint32_t n_blocks;
    uint32_t slot; /* 0 .. max_num_seqs-1, the same for a sequence while it runs */

    enum batch_rows rows;
    bool sample; /* the last row of the slice is sampled (the whole sequence is computed) */
    const struct sampling_params *params; /* not NULL when rows != NONE */
    const token_id *history;              /* prompt then output, n_history ids, this slice's
                                             tokens included; for penalties and prompt scores */
    uint32_t n_history;
    float *logits_out; /* NULL, or [rows of this slice, n_vocab] f32 to copy raw logits into */
};

struct batch {
    const token_id *tokens;
    const uint32_t *positions;
    uint32_t n_tokens;
    const struct batch_seq *seqs;
    uint32_t n_seqs;
};

/* Why a row gave nothing: its sequence cannot go on. */
enum row_problem {
    ROW_OK,
    ROW_NOT_FINITE,      /* the logits held NaN, or no finite one: blocks may hold NaN too */
    ROW_NOTHING_ALLOWED, /* the request's own masks (allowed ids, bad words, min_tokens, bias) left
                            no token; what was computed is sound */
    ROW_NOT_COMPUTED,    /* the slice breaks the contract above: nothing of it was computed. One
                            such row stands for the slice, whatever its rows are */
};

/* What one row of the head gave: the sampled token, or the score of the known next token. */
struct row_output {
    uint32_t seq;   /* index in batch::seqs */
    uint32_t row;   /* token index within the sequence's slice */
    token_id token; /* sampled; or, for a row whose next token is in history, that token */
    float logprob;  /* of token, natural log, raw logits; valid if params->wants_logprobs or
                          the row is a score */
    uint32_t rank;  /* number of logits >= its logit, itself included; valid as logprob */
    uint32_t n_top; /* valid entries in top, best first, ties by rising id */
    bool sampled;   /* false: a score of a prompt token */
    enum row_problem problem;
    struct token_logprob top[SAMPLING_MAX_LOGPROBS];
};

/* Lent by the engine until its next step. Rows in batch order, then by row. */
struct step_result {
    const struct row_output *rows;
    uint32_t n_rows;
    uint64_t forward_ns; /* embedding to head */
    uint64_t sample_ns;  /* sampling and scoring, within the step */
};

#endif
