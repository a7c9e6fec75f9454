/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend - softmax(q k) v of a band's rows over their paged contexts.
 *
 * One kernel for decode, chunk and prefill. The context of a sequence is cut at fixed absolute
 * positions into spans of ATTEND_SPAN, each of which gives a partial result (online softmax over
 * its tiles, from nothing); partial results are merged in the order of the spans. Whether one
 * worker does all spans or several share them, which rows are computed together, and how blocks
 * lie, changes nothing in any row's sequence of float operations.
 *
 * K and V are read once for a tile of query rows: all query heads of a kv head, times up to
 * ATTEND_ROWS / group tokens.
 */
#ifndef KVASIR_ENGINE_ATTEND_H
#define KVASIR_ENGINE_ATTEND_H

#include <stddef.h>
#include <stdint.h>

#include "layers/forward.h"

enum {
    ATTEND_ROWS = 64,  /* query rows of a tile, unless one token's group is larger */
    ATTEND_SPAN = 512, /* positions; a multiple of ATTENTION_TILE */
};

/* Consecutive tokens of one sequence whose attention is computed together. */
struct attend_tile {
    const struct batch_seq *seq;
    uint32_t first_row; /* of the batch */
    uint32_t n_tokens;
    uint32_t position;   /* of its first token */
    uint32_t first_span; /* spans that it sees */
    uint32_t n_spans;
    uint32_t partial_unit; /* where its partial results go; ATTEND_WHOLE: one worker does all */
};

/* What a worker takes at once, for each kv head. */
struct attend_item {
    uint32_t tile;
    uint32_t span; /* index from first_span; ATTEND_WHOLE: all of them, and the merging */
};
#define ATTEND_WHOLE UINT32_MAX

struct attend_call {
    uint32_t layer; /* of the KV store */
    const struct attention_shape *shape;
    uint32_t sliding_window; /* 0: none */
    const float *q;          /* [band rows, q_stride], heads side by side */
    size_t q_stride;
    float *out; /* [band rows, out_stride], likewise */
    size_t out_stride;
};

void attend_run(struct forward *forward, const struct band *band, const struct attend_call *call);

/* What the attention of any layer may need. */
struct attend_sizes {
    size_t partial_floats; /* of a partial unit: one token in one span, all heads */
    uint32_t partial_units;
    size_t worker_bytes; /* scratch of a worker */
};
struct attend_sizes attend_sizes(const struct hparams *hparams,
                                 const struct forward_limits *limits);

#endif
