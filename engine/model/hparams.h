/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hparams - what a family's configuration comes to: the numbers that the forward pass reads.
 *
 * Filled once by a family file (family.h) from config.json or GGUF keys, checked, then constant.
 * A zero field means what its comment says. Both file formats give the same struct; where they
 * store weights differently (rope pairing, 1+w norms), a field here says which form is meant.
 */
#ifndef KVASIR_ENGINE_HPARAMS_H
#define KVASIR_ENGINE_HPARAMS_H

#include <stdbool.h>
#include <stdint.h>

enum rope_kind {
    ROPE_NONE,
    ROPE_DEFAULT,
    ROPE_LINEAR,  /* inv_freq / factor */
    ROPE_DYNAMIC, /* base grows with the sequence's length beyond max_position */
    ROPE_YARN,
    ROPE_LLAMA3,
    ROPE_LONGROPE, /* divisors: short up to original_length, long beyond */
    ROPE_DIVISORS, /* GGUF rope_freqs.weight: fixed divisors */
};

struct rope_params {
    enum rope_kind kind;
    bool interleaved; /* pairs (2i, 2i+1); else (i, i + n_dims/2) */
    uint32_t n_dims;  /* rotated dims of a head; the rest pass through */
    double theta;
    double factor;                               /* 1 when unscaled */
    uint32_t original_length;                    /* trained length before scaling */
    uint32_t max_position;                       /* config's max_position_embeddings (dynamic) */
    double low_freq_factor, high_freq_factor;    /* llama3 */
    double beta_fast, beta_slow;                 /* yarn */
    bool truncate;                               /* yarn: floor and ceil the ramp */
    double attention_factor;                     /* on cos and sin; 0: derive from the rest */
    double mscale, mscale_all_dim;               /* yarn, 0: absent */
    const float *short_divisors, *long_divisors; /* [n_dims / 2]; NULL unless the kind has them;
                                                       ROPE_DIVISORS uses long_divisors */
};

enum mixer_kind { MIXER_ATTENTION };
enum ffn_kind { FFN_GATED }; /* down(act(gate x) * up x) */
enum activation { ACTIVATION_SILU, ACTIVATION_GELU, ACTIVATION_GELU_TANH };

/* The sizes of one layer's attention. */
struct attention_shape {
    uint32_t n_heads;
    uint32_t n_kv_heads; /* divides n_heads */
    uint32_t head_dim;   /* of q, k and v */
    float scale;         /* on q k: head_dim^-0.5 unless the family says otherwise */
};

/* What a layer consists of: the forward pass switches on these, never on the family. */
struct layer_spec {
    enum mixer_kind mixer;
    enum ffn_kind ffn;
    struct attention_shape attention; /* of MIXER_ATTENTION */
    uint32_t sliding_window;          /* keys seen, the token itself included; 0: all */
    bool no_rope;
    uint32_t intermediate_size; /* of FFN_GATED */
};

struct hparams {
    uint32_t n_vocab;
    uint32_t hidden_size;
    uint32_t n_layers;
    float norm_eps;
    enum activation activation;
    struct rope_params rope;
    bool tied_embeddings;  /* the head is the embedding */
    uint32_t max_position; /* context length trained for, after rope scaling */

    /* Which of the tensors that not every model has are there, in every layer or in none. */
    bool qkv_bias, o_bias, ffn_bias, qk_norm;
    struct layer_spec *layers; /* [n_layers], owned by the model */
};

#endif
