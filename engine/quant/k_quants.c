/* SPDX-License-Identifier: Apache-2.0 */
/*
 * k_quants - the super-blocks of 256 weights: Q4_K, Q5_K, Q6_K.
 *
 * Q4_K and Q5_K: eight groups of 32, each with a 6-bit scale and a 6-bit minimum (k_scale_min):
 * w = (d * sc) * q - (dmin * m), each product rounded. Q6_K: sixteen groups of 16 with a signed
 * 8-bit scale: w = (d * sc) * q.
 */
#include "quant/decode.h"

#include <stdint.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/half.h"

enum { GROUP = 32 };

/* Scale and offset of one group, as floats. */
struct group_scale {
    float scale;
    float min;
};

static struct group_scale group_scale(float d, float dmin, const uint8_t scales[12], int group) {
    uint8_t scale, min;

    k_scale_min(scales, (unsigned)group, &scale, &min);
    return (struct group_scale){.scale = d * (float)scale, .min = dmin * (float)min};
}

void decode_q4_k(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += K_BLOCK, out += K_BLOCK) {
        struct block_q4_k block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        const float dmin = half_to_float(block.dmin_half);
        for (int group = 0; group < K_BLOCK / GROUP; group++) {
            const struct group_scale s = group_scale(d, dmin, block.scales, group);
            const uint8_t *qs = block.qs + group / 2 * GROUP;
            const int shift = group % 2 * 4;

            for (int l = 0; l < GROUP; l++)
                out[group * GROUP + l] = s.scale * (float)((qs[l] >> shift) & 15) - s.min;
        }
    }
}

void decode_q5_k(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += K_BLOCK, out += K_BLOCK) {
        struct block_q5_k block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        const float dmin = half_to_float(block.dmin_half);
        for (int group = 0; group < K_BLOCK / GROUP; group++) {
            const struct group_scale s = group_scale(d, dmin, block.scales, group);
            const uint8_t *qs = block.qs + group / 2 * GROUP;
            const int shift = group % 2 * 4;

            for (int l = 0; l < GROUP; l++) {
                const int q = ((qs[l] >> shift) & 15) | ((block.qh[l] >> group) & 1) << 4;
                out[group * GROUP + l] = s.scale * (float)q - s.min;
            }
        }
    }
}

/*
 * Each half of 128 weights is four runs of 32: run t takes the low (t < 2) or high nibbles of
 * 32 bytes of ql, and bits 2t, 2t + 1 of the 32 bytes of qh.
 */
void decode_q6_k(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += K_BLOCK, out += K_BLOCK) {
        struct block_q6_k block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        for (int j = 0; j < K_BLOCK; j++) {
            const int half = j / 128;
            const int run = j % 128 / GROUP;
            const int l = j % GROUP;

            const uint8_t low = block.ql[64 * half + 32 * (run % 2) + l];
            const int nibble = run < 2 ? low & 15 : low >> 4;
            const int high = (block.qh[32 * half + l] >> (2 * run)) & 3;
            const int scale_index = j / 16;
            const float scale = d * (float)block.scales[scale_index];

            out[j] = scale * (float)((nibble | high << 4) - 32);
        }
    }
}
