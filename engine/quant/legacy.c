/* SPDX-License-Identifier: Apache-2.0 */
/*
 * legacy - the blocks of 32 weights: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
 *
 * A block has a scale d, for the _1 types also a minimum m. Byte j of qs holds weight j in its
 * low and weight j + 16 in its high nibble; the 5-bit types keep bit 4 of all weights in qh.
 */
#include "quant/decode.h"

#include <stdint.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/half.h"

enum { HALF_BLOCK = LEGACY_BLOCK / 2 };

void decode_q4_0(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += LEGACY_BLOCK, out += LEGACY_BLOCK) {
        struct block_q4_0 block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        for (int j = 0; j < HALF_BLOCK; j++) {
            out[j] = d * (float)((block.qs[j] & 15) - 8);
            out[j + HALF_BLOCK] = d * (float)((block.qs[j] >> 4) - 8);
        }
    }
}

void decode_q4_1(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += LEGACY_BLOCK, out += LEGACY_BLOCK) {
        struct block_q4_1 block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        const float m = half_to_float(block.m_half);
        for (int j = 0; j < HALF_BLOCK; j++) {
            out[j] = d * (float)(block.qs[j] & 15) + m;
            out[j + HALF_BLOCK] = d * (float)(block.qs[j] >> 4) + m;
        }
    }
}

/* The 5-bit code of weight j of a block. */
static int code5(const uint8_t qs[16], const uint8_t qh[4], int j) {
    const int nibble = j < HALF_BLOCK ? qs[j] & 15 : qs[j - HALF_BLOCK] >> 4;
    const int high = (qh[j / 8] >> (j % 8)) & 1;

    return nibble | high << 4;
}

void decode_q5_0(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += LEGACY_BLOCK, out += LEGACY_BLOCK) {
        struct block_q5_0 block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        for (int j = 0; j < LEGACY_BLOCK; j++)
            out[j] = d * (float)(code5(block.qs, block.qh, j) - 16);
    }
}

void decode_q5_1(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += LEGACY_BLOCK, out += LEGACY_BLOCK) {
        struct block_q5_1 block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        const float m = half_to_float(block.m_half);
        for (int j = 0; j < LEGACY_BLOCK; j++)
            out[j] = d * (float)code5(block.qs, block.qh, j) + m;
    }
}

void decode_q8_0(const void *blocks, float *out, size_t n) {
    const char *in = blocks;

    for (size_t i = 0; i < n; i += LEGACY_BLOCK, out += LEGACY_BLOCK) {
        struct block_q8_0 block;
        memcpy(&block, in, sizeof block);
        in += sizeof block;

        const float d = half_to_float(block.d_half);
        for (int j = 0; j < LEGACY_BLOCK; j++)
            out[j] = d * (float)block.qs[j];
    }
}
