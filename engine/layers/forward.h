/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward - the forward pass: everything a step reads and writes, and the pass itself.
 *
 * A step is a flat run of rows, one token each, of any number of sequences (batch.h). A layer
 * takes them in bands of up to BAND_ROWS rows, in order, so that the wide activations of a long
 * prompt stay small and warm; the keys and values of a band are stored before the next one looks
 * at them. No row's numbers depend on its band.
 *
 * All memory is laid out when the engine opens (step_scratch_lay_out); a step allocates nothing.
 * Engine thread; workers see it through workers_for.
 */
#ifndef KVASIR_ENGINE_FORWARD_H
#define KVASIR_ENGINE_FORWARD_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/ops.h"
#include "cpu/workers.h"
#include "kv/kv_store.h"
#include "kvasir/batch.h"
#include "kvasir/engine.h"
#include "layers/network.h"
#include "layers/rope.h"

enum {
    BAND_ROWS = 256,   /* weights are read from memory once a band: enough to hide that */
    LOGIT_ROWS = 64,   /* rows of logits that exist at once */
    ROWS_PER_ITEM = 4, /* rows that a worker takes at once where each is little work */
};

struct forward;
struct attend_tile;
struct attend_item;

/* Rows first_row .. first_row + n_rows - 1 of the batch. */
struct band {
    uint32_t first_row;
    uint32_t n_rows;
};

/* One run of a branch: y = f(x), or y += f(x). x.make and y are layer_run's business. */
struct branch_call {
    const struct layer *layer;
    const union branch_weights *weights;
    struct band band;
    struct linear_x x; /* rows of the band, hidden_size wide: made when they are needed */
    struct linear_y y; /* likewise */
};

/* A kind of mixer or ffn: one file of layers/. */
struct branch_kind {
    int (*pack)(union branch_weights *weights, struct packer *packer,
                const struct layer_weights *stored, struct error *reterr);
    void (*fini)(union branch_weights *weights);            /* also half-packed ones */
    uint32_t (*work_floats)(const struct layer_spec *spec); /* scratch for one row */
    void (*run)(struct forward *forward, const struct branch_call *call);
};

extern const struct branch_kind attention_kind; /* MIXER_ATTENTION */
extern const struct branch_kind gated_kind;     /* FFN_GATED */

const struct branch_kind *mixer_of(enum mixer_kind kind);
const struct branch_kind *ffn_of(enum ffn_kind kind);

/* One row that goes through the head. */
struct head_row {
    uint32_t row;    /* of the batch */
    uint32_t seq;    /* in batch::seqs */
    uint32_t output; /* its place in step_scratch::outputs, or HEAD_NO_OUTPUT: logits only */
};
#define HEAD_NO_OUTPUT UINT32_MAX

/* What a step may write. Sizes are those of the limits given at open. */
struct step_scratch {
    void *data;
    size_t n_bytes;

    float *x;          /* [max_batch_tokens, hidden_size]: the residual stream */
    uint32_t *row_seq; /* [max_batch_tokens]: index in batch::seqs */
    float *cosines;    /* [max_batch_tokens, rope n_dims / 2] */
    float *sines;

    float *normed;  /* [BAND_ROWS, hidden_size] */
    float *work;    /* [BAND_ROWS, most work_floats of the kinds] */
    void *prepared; /* x of a linear in its own format */

    struct attend_tile *tiles; /* [BAND_ROWS] */
    struct attend_item *items; /* [BAND_ROWS + partial_units] */
    float *partials;           /* [partial_units, attend_sizes::partial_floats] */
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
    struct workers *workers;
    struct network network;
    struct kv_store kv;
    struct rope rope;
    struct step_scratch scratch;
    const struct batch *batch; /* during a step */
};

/* Lays scratch out in one mapping. base NULL: only computes n_bytes. */
void step_scratch_lay_out(struct step_scratch *scratch, const struct hparams *hparams,
                          const struct forward_limits *limits, void *base);

/* Computes the batch, which the caller has checked. */
void forward_run(struct forward *forward, const struct batch *batch,
                 struct step_result *ret_result);

/* The head: norm, logits, samples of the wanted rows. */
void head_run(struct forward *forward, struct step_result *ret_result);

static inline void *worker_scratch(const struct forward *forward, uint32_t worker) {
    return forward->scratch.worker + worker * forward->scratch.worker_bytes;
}

#endif
