/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain - F32, F16 and BF16: one value each, no blocks. Values are copied out byte by byte
 * because a safetensors file may place them on any byte.
 */
#include "quant/decode.h"

#include <stdint.h>
#include <string.h>

#include "quant/half.h"

void decode_f32(const void *blocks, float *out, size_t n) {
    memcpy(out, blocks, n * sizeof *out);
}

void decode_f16(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i++) {
        uint16_t half;

        memcpy(&half, in + i * sizeof half, sizeof half);
        out[i] = half_to_float(half);
    }
}

void decode_bf16(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i++) {
        uint16_t bf16;

        memcpy(&bf16, in + i * sizeof bf16, sizeof bf16);
        out[i] = bf16_to_float(bf16);
    }
}
