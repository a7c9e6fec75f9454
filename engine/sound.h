/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sound - the check of a batch, and a copy of it without the sequences that fail.
 *
 * A slice that breaks the contract of batch.h costs its own sequence only: the others are
 * computed as if it were not there, and it gets a row that says so. After this check nothing
 * below looks at a limit again. Engine thread; the memory is reserved by sound_init.
 */
#ifndef KVASIR_ENGINE_SOUND_H
#define KVASIR_ENGINE_SOUND_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/batch.h"
#include "kvasir/error.h"

struct sound_limits {
    uint32_t max_batch_tokens;
    uint32_t max_num_seqs;
    uint32_t max_model_len;
    uint32_t block_size;
    uint32_t n_blocks;
    uint32_t n_vocab;
};

struct sound {
    struct sound_limits limits;
    struct batch batch;     /* the copy */
    struct batch_seq *seqs; /* [max_num_seqs] */
    uint32_t *origins;      /* [max_num_seqs]: index in the batch that it is a copy of */
    token_id *tokens;       /* [max_batch_tokens] */
    uint32_t *positions;    /* [max_batch_tokens] */
};

int sound_init(struct sound *sound, const struct sound_limits *limits, struct error *reterr)
    KV_MUST_CHECK;
void sound_fini(struct sound *sound); /* also a zeroed one */

/*
 * Gives batch itself if all of it can be computed, else the copy (perhaps empty). -EINVAL: its
 * slices are not a partition of its tokens, or there are too many of either.
 */
int sound_part(struct sound *sound, const struct batch *batch, const struct batch **ret_part)
    KV_MUST_CHECK;

/*
 * The rows [n_rows] of the copy become those of batch: each under its own sequence, and one of
 * ROW_NOT_COMPUTED for every sequence that was left out. rows has room for max_batch_tokens.
 * Returns their number.
 */
uint32_t sound_restore(const struct sound *sound, const struct batch *batch,
                       struct row_output *rows, uint32_t n_rows);

#endif
