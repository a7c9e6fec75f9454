/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward - the forward pass: everything a step reads and writes, and the pass itself.
 *
 * A step is a flat run of rows, one token each, of any number of sequences (batch.h). A layer
 * takes them in panels of up to PANEL_ROWS rows, in order, so that the wide activations of a
 * long prompt stay small and warm; the keys and values of a panel are stored before the next
 * one looks at them. No row's numbers depend on its panel.
 *
 * All memory is reserved by engine_open and laid out by scratch_lay_out; a step allocates nothing. Engine thread; workers see it
 * through pool_for.
 */
#ifndef KVASIR_ENGINE_FORWARD_H
#define KVASIR_ENGINE_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/ops.h"
#include "cpu/pool.h"
#include "kv/kv_store.h"
#include "kvasir/batch.h"
#include "kvasir/engine.h"
#include "layers/network.h"
#include "layers/rope.h"

enum {
    PANEL_ROWS = 256,  /* weights are read from memory once a panel: enough to hide that */
    LOGIT_ROWS = 64,   /* rows of logits that exist at once */
    ROWS_PER_ITEM = 4, /* rows that a worker takes at once where each is little work */
};

struct forward;
struct attend_tile;
struct attend_item;

/* Rows first_row .. first_row + n_rows - 1 of the batch. */
struct panel {
    uint32_t first_row;
    uint32_t n_rows;
};

/* A kind of mixer or ffn: one file of layers/. */
struct layer_kind {
    int (*pack)(struct layer *layer, struct packer *packer, const struct layer_weights *weights,
                struct error *reterr);
    void (*fini)(struct layer *layer);                      /* also a half-packed one */
    uint32_t (*work_floats)(const struct hparams *hparams); /* scratch for one row */
    /* x[rows of panel] += f(norm(x)) */
    void (*run)(struct forward *forward, const struct layer *layer, const struct panel *panel);
};

extern const struct layer_kind attention_kind; /* MIXER_ATTENTION */
extern const struct layer_kind gated_kind;     /* FFN_GATED */

const struct layer_kind *mixer_of(enum mixer_kind kind);
const struct layer_kind *ffn_of(enum ffn_kind kind);

/* One row that goes through the head. */
struct head_row {
    uint32_t row;    /* of the batch */
    uint32_t seq;    /* in batch::seqs */
    uint32_t output; /* its place in scratch::outputs, or HEAD_NO_OUTPUT: logits only */
};
#define HEAD_NO_OUTPUT UINT32_MAX

/* What a step may write. Sizes are those of the limits given at open. */
struct scratch {
    void *data;
    size_t n_bytes;

    float *x;          /* [max_batch_tokens, hidden_size]: the residual stream */
    uint32_t *row_seq; /* [max_batch_tokens]: index in batch::seqs */
    float *cosines;    /* [max_batch_tokens, rope n_dims / 2] */
    float *sines;

    float *normed;  /* [PANEL_ROWS, hidden_size] */
    float *work;    /* [PANEL_ROWS, most work_floats of the kinds] */
    void *prepared; /* x of a linear in its own format */

    struct attend_tile *tiles; /* [PANEL_ROWS] */
    struct attend_item *items; /* [PANEL_ROWS + partial_units] */
    float *partials;           /* [partial_units, attend_partial_floats] */
    uint32_t partial_units;

    float *logits;              /* [LOGIT_ROWS, n_vocab] */
    struct head_row *head_rows; /* [max_batch_tokens] */
    struct row_output *outputs; /* [max_batch_tokens] */
    unsigned char *worker;      /* [n_threads, worker_bytes] */
    size_t worker_bytes;
};

struct forward_limits {
    uint32_t max_batch_tokens;
    uint32_t max_model_len;
    uint32_t n_threads;
    size_t prepared_row_bytes; /* as the packer found */
};

struct forward {
    const struct hparams *hparams;
    struct ops ops;
    struct pool *pool;
    struct network network;
    struct kv_store kv;
    struct rope rope;
    struct scratch scratch;
    const struct batch *batch; /* during a step */
};

/* Lays scratch out in one mapping. base NULL: only computes n_bytes. */
void scratch_lay_out(struct scratch *scratch, const struct hparams *hparams,
                     const struct forward_limits *limits, void *base);

/* Computes the batch, which the caller has checked. */
void forward_run(struct forward *forward, const struct batch *batch,
                 struct step_result *ret_result);

/* ret[i] = rms_norm(x[rows[i]]): shared by the kinds, which begin with it. */
struct norm_rows {
    const struct forward *forward;
    const float *weight;
    const float *x; /* [, hidden_size], the first row */
};
void norm_rows_make(void *ctx, uint32_t first, uint32_t n); /* ctx: struct norm_rows */

/* The head: norm, logits, samples of the wanted rows. */
void head_run(struct forward *forward, struct step_result *ret_result);

static inline void *worker_scratch(const struct forward *forward, uint32_t worker) {
    return forward->scratch.worker + worker * forward->scratch.worker_bytes;
}

#endif
