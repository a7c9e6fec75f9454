/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network - the packed weights of a model, layer by layer.
 *
 * What a layer consists of is its layer_spec (hparams.h). It is a list of branches, each of which
 * adds to the residual stream; each kind of mixer or ffn is one file here, which packs its own
 * weights and runs on them, and knows neither norm nor residual. The network owns all of it;
 * immutable between network_pack and network_fini.
 */
#ifndef KVASIR_ENGINE_NETWORK_H
#define KVASIR_ENGINE_NETWORK_H

#include <stdint.h>

#include "kvasir/error.h"
#include "layers/embedding.h"
#include "layers/linear.h"
#include "layers/packer.h"
#include "model/hparams.h"
#include "model/weights.h"

struct attention_weights {
    struct linear qkv;
    struct linear o;
    float *q_norm; /* [head_dim]; NULL: none */
    float *k_norm;
};

struct gated_weights {
    struct linear gate_up;
    struct linear down;
};

/* What a kind packed; which member, it alone knows. */
union branch_weights {
    struct attention_weights attention; /* MIXER_ATTENTION */
    struct gated_weights gated;         /* FFN_GATED */
};

/* x += f(norm(x)): a mixer or a feed-forward, and what layer_run does around it. */
struct branch {
    const struct branch_kind *kind; /* NULL: not packed yet */
    float *norm;                    /* [hidden_size]: before f */
    union branch_weights weights;
};

enum { LAYER_BRANCHES = 2 };

struct layer {
    const struct layer_spec *spec; /* lent from hparams */
    uint32_t index;
    struct branch branches[LAYER_BRANCHES]; /* in their order: mixer, feed-forward */
};

struct network {
    uint32_t n_layers;
    struct layer *layers;
    float *output_norm; /* [hidden_size] */
    struct linear head;
    struct embedding embedding;
};

/* On failure nothing is left to release. A measuring packer leaves *network zeroed. */
int network_pack(struct network *network, struct packer *packer, struct error *reterr)
    KV_MUST_CHECK;
void network_fini(struct network *network);

#endif
