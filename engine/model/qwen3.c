/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qwen3 - Qwen3 dense: q and k are normed per head before rope, head_dim is its own number (128
 * where it is not said), biases only if attention_bias.
 */
#include "model/families.h"

#include "model/decoder.h"

static void read_hf(const struct hf_config *config, struct hparams_build *build) {
    const struct decoder_defaults defaults = {.head_dim = 128, .norm_eps = 1e-6f};

    decoder_read_hf(config, build, &defaults);
    build->hparams->qk_norm = true;
    build->hparams->qkv_bias = hf_bool(config, "attention_bias", false);
    build->hparams->o_bias = build->hparams->qkv_bias;

    const bool has_window = hf_bool(config, "use_sliding_window", false);
    const uint32_t window = has_window ? decoder_window_hf(config, /* absent= */ 4096) : 0;
    decoder_read_windows_hf(config, build, window,
                            hf_u32(config, "max_window_layers", 0, UINT32_MAX, 28));
}

static const char *const model_types[] = {"qwen3", NULL};
static const char *const architectures[] = {"Qwen3ForCausalLM", NULL};
static const char *const gguf_archs[] = {"qwen3", NULL};
static const struct rule_table *const tables[] = {&decoder_rules, NULL};

const struct family family_qwen3 = {
    .name = "qwen3",
    .hf_model_types = model_types,
    .hf_architectures = architectures,
    .gguf_archs = gguf_archs,
    .read_hf = read_hf,
    .read_gguf = decoder_read_gguf,
    .tables = tables,
};
