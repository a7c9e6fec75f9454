/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blocks - the block layouts of the quantised weight types, as they lie in a GGUF file.
 *
 * Fields are in file order, little-endian, without padding; a `_half` field is an IEEE half.
 * Data in a file mapping need not be aligned to more than 2 bytes (Q4_K's neighbours decide), so
 * 32-bit fields are byte arrays. How a block is decoded is said, once, in its reference decoder
 * (legacy.c, k_quants.c).
 */
#ifndef KVASIR_ENGINE_BLOCKS_H
#define KVASIR_ENGINE_BLOCKS_H

#include <assert.h>
#include <stdint.h>

enum {
    LEGACY_BLOCK = 32, /* weights per block of Q4_0 .. Q8_0 */
    K_BLOCK = 256,     /* weights per block of the K-quants */
};

/* w = d * (q - 8); byte j of qs holds weight j (low nibble) and j + 16 (high nibble). */
struct block_q4_0 {
    uint16_t d_half;
    uint8_t qs[16];
};
static_assert(sizeof(struct block_q4_0) == 18, "GGUF type 2");

/* w = d * q + m */
struct block_q4_1 {
    uint16_t d_half;
    uint16_t m_half;
    uint8_t qs[16];
};
static_assert(sizeof(struct block_q4_1) == 20, "GGUF type 3");

/* w = d * (q - 16); bit j of qh (a little-endian u32) is bit 4 of weight j. */
struct block_q5_0 {
    uint16_t d_half;
    uint8_t qh[4];
    uint8_t qs[16];
};
static_assert(sizeof(struct block_q5_0) == 22, "GGUF type 6");

/* w = d * q + m */
struct block_q5_1 {
    uint16_t d_half;
    uint16_t m_half;
    uint8_t qh[4];
    uint8_t qs[16];
};
static_assert(sizeof(struct block_q5_1) == 24, "GGUF type 7");

/* w = d * q */
struct block_q8_0 {
    uint16_t d_half;
    int8_t qs[32];
};
static_assert(sizeof(struct block_q8_0) == 34, "GGUF type 8");

/*
 * Eight groups of 32 weights: w = d * sc * q - dmin * m. The 6-bit sc and m of all groups are
 * packed in scales (k_scale_min); qs holds for each pair of groups 32 low, then 32 high nibbles.
 */
struct block_q4_k {
    uint16_t d_half;
    uint16_t dmin_half;
    uint8_t scales[12];
    uint8_t qs[128];
};
static_assert(sizeof(struct block_q4_k) == 144, "GGUF type 12");

/* As Q4_K; bit g of qh[l] is bit 4 of weight l of group g. */
struct block_q5_k {
    uint16_t d_half;
    uint16_t dmin_half;
    uint8_t scales[12];
    uint8_t qh[32];
    uint8_t qs[128];
};
static_assert(sizeof(struct block_q5_k) == 176, "GGUF type 13");

/* Sixteen groups of 16: w = d * scales[g] * (q - 32), q of 4 bits in ql and 2 in qh. */
struct block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint16_t d_half;
};
static_assert(sizeof(struct block_q6_k) == 210, "GGUF type 14");

/* The 6-bit scale and minimum of group 0 .. 7 of a Q4_K or Q5_K block. */
static inline void k_scale_min(const uint8_t scales[12], unsigned group, uint8_t *ret_scale,
                               uint8_t *ret_min) {
    if (group < 4) {
        *ret_scale = scales[group] & 63;
        *ret_min = scales[group + 4] & 63;
    } else {
        *ret_scale = (uint8_t)((scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4);
        *ret_min = (uint8_t)((scales[group + 4] >> 4) | (scales[group] >> 6) << 4);
    }
}

#endif
