/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf_config: any text as the config.json of every family. What is taken without a problem has
 * sizes that multiply without overflow and layers that can be walked.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "model/families.h"
#include "model/rope_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_as(const struct family *family, const char *text, size_t size) {
    struct hparams hparams = {.n_layers = 0};
    struct arena arena = {.head = NULL};
    struct problems problems = {.n = 0};
    struct hparams_build build = {.hparams = &hparams, .arena = &arena, .problems = &problems};
    struct hf_config config;
    struct error error;
    if (hf_config_init(&config, "config.json", text, size, &problems, &error) < 0)
        return;

    family->read_hf(&config, &build);
    if (problems_status(&problems, "config", &error) == 0) {
        char rope[128];
        rope_describe(&hparams.rope, rope, sizeof rope);
        if (hparams.n_layers == 0 || hparams.rope.n_dims % 2 != 0 || !(hparams.rope.theta > 1))
            abort();
        for (uint32_t layer = 0; layer < hparams.n_layers; layer++) {
            const struct layer_spec *spec = &hparams.layers[layer];
            if (spec->mixer != MIXER_ATTENTION || spec->attention.n_kv_heads == 0 ||
                spec->attention.n_heads % spec->attention.n_kv_heads != 0 ||
                hparams.rope.n_dims > spec->attention.head_dim || spec->intermediate_size == 0)
                abort();
        }
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_as(&family_llama, (const char *)data, size);
    read_as(&family_mistral, (const char *)data, size);
    read_as(&family_qwen2, (const char *)data, size);
    read_as(&family_qwen3, (const char *)data, size);
    return 0;
}
