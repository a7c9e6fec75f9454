/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampler - one row of logits in, one token (or the score of a known token) out.
 *
 * Rows are independent of each other: any worker may do any row, each with its own scratch, and
 * the result depends only on the row, the parameters and (seed, position).
 */
#ifndef KVASIR_ENGINE_SAMPLER_H
#define KVASIR_ENGINE_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "kvasir/batch.h"

/* Bytes of scratch that one worker needs for rows of n_vocab logits; 64-byte aligned by caller. */
size_t sampler_scratch_bytes(uint32_t n_vocab);

/*
 * Token row of the slice of seq has the raw logits [n_vocab] f32 (not changed). If its next token
 * is in seq->history the row is a score of it; otherwise it is sampled with seq->params.
 * Fills everything of ret but ret->seq. scratch: sampler_scratch_bytes(n_vocab), any content.
 */
void sampler_row(const float *logits, uint32_t n_vocab, const struct batch_seq *seq, uint32_t row,
                 void *scratch, struct row_output *ret);

#endif
