/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mistral - LLaMA's shape with a sliding window in every layer (v0.1) or none (null, since v0.2),
 * and a head_dim that need not be hidden_size / heads (Nemo). As GGUF it comes as "llama".
 */
#include "model/families.h"

#include "model/decoder.h"

static void read_hf(const struct hf_config *config, struct hparams_build *build) {
    const struct decoder_defaults defaults = {.norm_eps = 1e-6f};

    decoder_read_hf(config, build, &defaults);
    decoder_read_windows_hf(config, build, decoder_window_hf(config, /* absent= */ 4096),
                            /* first_layer= */ 0);
}

static const char *const model_types[] = {"mistral", NULL};
static const char *const architectures[] = {"MistralForCausalLM", NULL};
static const char *const gguf_archs[] = {NULL};
static const struct rule_table *const tables[] = {&decoder_rules, NULL};

const struct family family_mistral = {
    .name = "mistral",
    .hf_model_types = model_types,
    .hf_architectures = architectures,
    .gguf_archs = gguf_archs,
    .read_hf = read_hf,
    .tables = tables,
};
