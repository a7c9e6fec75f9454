/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weights - the named places of a model's tensors, and the inside of struct model.
 *
 * A family's rules (family.h) say which stored name fills which slot. What is absent has
 * name == NULL. Tensors are lent from the file mapping; the engine packs matrices from them.
 */
#ifndef KVASIR_ENGINE_WEIGHTS_H
#define KVASIR_ENGINE_WEIGHTS_H

#include "kvasir/model.h"
#include "load/tensor.h"
#include "model/hparams.h"

/* One per model. Shapes [rows, cols]; H hidden, I intermediate, V vocab, d head_dim. */
enum global_slot {
    W_TOKEN_EMBEDDING, /* [V, H] */
    W_OUTPUT_NORM,     /* [H] */
    W_OUTPUT,          /* [V, H]; absent when tied: the embedding serves */
    GLOBAL_SLOTS,
};

/* One per layer. */
enum layer_slot {
    W_ATTN_NORM, /* [H] */
    W_ATTN_Q,    /* [n_heads * d, H] */
    W_ATTN_K,    /* [n_kv_heads * d, H] */
    W_ATTN_V,    /* [n_kv_heads * d, H] */
    W_ATTN_O,    /* [H, n_heads * d] */
    W_ATTN_Q_BIAS,
    W_ATTN_K_BIAS,
    W_ATTN_V_BIAS,
    W_ATTN_O_BIAS,
    W_ATTN_Q_NORM, /* [d], per head before rope */
    W_ATTN_K_NORM, /* [d] */
    W_FFN_NORM,    /* [H] */
    W_FFN_GATE,    /* [I, H] */
    W_FFN_UP,      /* [I, H] */
    W_FFN_DOWN,    /* [H, I] */
    W_FFN_GATE_BIAS,
    W_FFN_UP_BIAS,
    W_FFN_DOWN_BIAS,
    LAYER_SLOTS,
};

struct layer_weights {
    struct tensor slots[LAYER_SLOTS];
};

struct model_weights {
    struct tensor global[GLOBAL_SLOTS];
    struct layer_weights *layers; /* [n_layers] */
};

const struct hparams *model_hparams(const struct model *model);
const struct model_weights *model_weights(const struct model *model);

/*
 * Tells the kernel that the pages of a tensor, or of all the files, are no longer needed: resident
 * memory stays near the packed weights. They may still be read, if the files are still there.
 */
void model_release_tensor(const struct model *model, const struct tensor *tensor);
void model_release(const struct model *model);

#endif
