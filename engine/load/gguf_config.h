/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_config - reads the hyperparameter keys of a GGUF file ("{arch}.key") as hf_config reads
 * those of a config.json: absent keys take the caller's default, wrong ones are added to the
 * problems and take it too.
 */
#ifndef KVASIR_ENGINE_GGUF_CONFIG_H
#define KVASIR_ENGINE_GGUF_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "load/gguf.h"
#include "load/problems.h"
#include "load/tensor_dir.h"

enum { GGUF_MAX_ARCH = 64 };

struct gguf_config {
    const struct gguf *gguf;
    char arch[GGUF_MAX_ARCH]; /* prefix of the keys */
    struct problems *problems;
};

/* Keys below are without the "{arch}." prefix. */
bool gguf_config_has(const struct gguf_config *config, const char *key);

uint32_t gguf_config_u32(const struct gguf_config *config, const char *key, uint32_t min,
                         uint32_t max, uint32_t absent);
uint32_t gguf_config_u32_required(const struct gguf_config *config, const char *key, uint32_t min,
                                  uint32_t max);
float gguf_config_f32(const struct gguf_config *config, const char *key, float absent);
bool gguf_config_bool(const struct gguf_config *config, const char *key, bool absent);
struct gguf_str gguf_config_str(const struct gguf_config *config, const char *key);

/*
 * "A number, or one per layer", of which this family can only use a single one: reports an array
 * whose elements differ.
 */
uint32_t gguf_config_uniform_u32(const struct gguf_config *config, const char *key, uint32_t n,
                                 uint32_t min, uint32_t max, uint32_t absent);

#endif
