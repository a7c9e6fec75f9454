/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decoder - what decoder families of the LLaMA shape have in common: the configuration keys, the
 * names of the tensors, and how layers with a sliding window are told.
 */
#ifndef KVASIR_ENGINE_DECODER_H
#define KVASIR_ENGINE_DECODER_H

#include "model/family.h"

/*
 * Embedding, per layer attn_norm q k v o ffn_norm gate up down, final norm and head; biases and
 * q/k norms as hparams' flags say.
 */
extern const struct rule_table decoder_rules;

/* What families differ in where a key is absent. */
struct decoder_defaults {
    uint32_t head_dim; /* 0: hidden_size / heads */
    bool tied_embeddings;
    float norm_eps;
};

/*
 * Sizes, norm, activation, rope, tying; allocates the layers (full attention, gated MLP). The
 * family then sets what is its own.
 */
void decoder_read_hf(const struct hf_config *config, struct hparams_build *build,
                     const struct decoder_defaults *defaults);

/* The same from a GGUF file; the flags for biases and q/k norms are set by the tensors of layer 0.
 */
void decoder_read_gguf(const struct gguf_config *config, struct hparams_build *build);

/* The key sliding_window: absent means `absent`, null means 0 (none). */
uint32_t decoder_window_hf(const struct hf_config *config, uint32_t absent);

/*
 * layer_types where the configuration has them, else every layer from first_layer on, gets a
 * sliding window of `window` keys; 0: none.
 */
void decoder_read_windows_hf(const struct hf_config *config, struct hparams_build *build,
                             uint32_t window, uint32_t first_layer);

#endif
