/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rope_config - rotary position parameters from every spelling that is in use: config.json's
 * rope_theta + rope_scaling (transformers 4), rope_parameters (5, also keyed by layer type), and
 * GGUF's rope.* keys with its tensors of divisors.
 */
#ifndef KVASIR_ENGINE_ROPE_CONFIG_H
#define KVASIR_ENGINE_ROPE_CONFIG_H

#include <stddef.h>

#include "model/family.h"

/*
 * Both read into build->hparams->rope and set hparams->max_position to the length that the model
 * was trained for after scaling. hparams->max_position (as configured) must be set; head_dim is that
 * of the heads that are turned.
 * `interleaved` is the family's business and is not touched.
 */
void rope_read_hf(const struct hf_config *config, struct hparams_build *build, uint32_t head_dim);
void rope_read_gguf(const struct gguf_config *config, struct hparams_build *build,
                    uint32_t head_dim);

/* "default, theta 10000", "yarn x4 of 32768, theta 1000000". */
void rope_describe(const struct rope_params *rope, char *ret_text, size_t cap);

#endif
