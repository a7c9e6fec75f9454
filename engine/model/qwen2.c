/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qwen2 - Qwen2, Qwen2.5 (also Math and Coder): q, k and v have biases; the sliding window, if
 * use_sliding_window switches it on, begins at layer max_window_layers.
 */
#include "model/families.h"

#include "model/decoder.h"

static void read_hf(const struct hf_config *config, struct hparams_build *build) {
    const struct decoder_defaults defaults = {.norm_eps = 1e-6f};

    decoder_read_hf(config, build, &defaults);
    build->hparams->qkv_bias = true;

    const bool has_window = hf_bool(config, "use_sliding_window", false);
    const uint32_t window = has_window ? decoder_window_hf(config, /* absent= */ 4096) : 0;
    decoder_read_windows_hf(config, build, window,
                            hf_u32(config, "max_window_layers", 0, UINT32_MAX, 28));
}

static const char *const model_types[] = {"qwen2", NULL};
static const char *const architectures[] = {"Qwen2ForCausalLM", NULL};
static const char *const gguf_archs[] = {"qwen2", NULL};
static const struct rule_table *const tables[] = {&decoder_rules, NULL};

const struct family family_qwen2 = {
    .name = "qwen2",
    .hf_model_types = model_types,
    .hf_architectures = architectures,
    .gguf_archs = gguf_archs,
    .read_hf = read_hf,
    .read_gguf = decoder_read_gguf,
    .tables = tables,
};
