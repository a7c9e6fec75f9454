/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llama - LLaMA 1, 2, 3 and the many models of that class.
 *
 * GGUF's architecture "llama" stores the rows of q and k of a head in the order of the original
 * release, so that rope turns neighbouring pairs there and the two halves in Hugging Face's files.
 * It is also what Mistral models are converted to.
 */
#include "model/families.h"

#include "model/decoder.h"

static void read_hf(const struct hf_config *config, struct hparams_build *build) {
    const struct decoder_defaults defaults = {.norm_eps = 1e-6f};

    decoder_read_hf(config, build, &defaults);
    build->hparams->qkv_bias = hf_bool(config, "attention_bias", false);
    build->hparams->o_bias = build->hparams->qkv_bias;
    build->hparams->ffn_bias = hf_bool(config, "mlp_bias", false);
    decoder_read_windows_hf(config, build, /* window= */ 0, /* first_layer= */ 0);
}

static void read_gguf(const struct gguf_config *config, struct hparams_build *build) {
    decoder_read_gguf(config, build);
    build->hparams->rope.interleaved = true;
}

static const char *const model_types[] = {"llama", NULL};
static const char *const architectures[] = {"LlamaForCausalLM", NULL};
static const char *const gguf_archs[] = {"llama", NULL};
static const struct rule_table *const tables[] = {&decoder_rules, NULL};

const struct family family_llama = {
    .name = "llama",
    .hf_model_types = model_types,
    .hf_architectures = architectures,
    .gguf_archs = gguf_archs,
    .read_hf = read_hf,
    .read_gguf = read_gguf,
    .tables = tables,
};
