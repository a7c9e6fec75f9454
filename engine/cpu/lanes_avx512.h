/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lanes_avx512 - what the AVX-512 files share: the 16 lanes of ops.h as one vector.
 */
#ifndef KVASIR_ENGINE_LANES_AVX512_H
#define KVASIR_ENGINE_LANES_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#include "cpu/exp2.h"
#include "cpu/ops.h"

static inline __m512 exp2_v(__m512 x) {
    const __mmask16 zero = _mm512_cmp_ps_mask(x, _mm512_set1_ps(EXP2_MIN), _CMP_LT_OQ);

    x = _mm512_min_ps(_mm512_set1_ps(EXP2_MAX), x); /* the second operand if it is NaN */
    const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(x, n);
    __m512 g = _mm512_fmadd_ps(_mm512_set1_ps(EXP2_C6), f, _mm512_set1_ps(EXP2_C5));
    g = _mm512_fmadd_ps(g, f, _mm512_set1_ps(EXP2_C4));
    g = _mm512_fmadd_ps(g, f, _mm512_set1_ps(EXP2_C3));
    g = _mm512_fmadd_ps(g, f, _mm512_set1_ps(EXP2_C2));
    g = _mm512_fmadd_ps(g, f, _mm512_set1_ps(EXP2_C1));
    const __m512 mantissa = _mm512_fmadd_ps(g, f, _mm512_set1_ps(1.0f));

    const __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    const __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(mantissa), exponent));
    return _mm512_mask_blend_ps(zero, y, _mm512_setzero_ps());
}

/* The tree of ops.h: lane c adds lane c + 8, + 4, + 2, + 1. */
static inline float add_lanes(__m512 v) {
    const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

static inline __mmask16 tail_mask(uint32_t n) {
    return (__mmask16)((1u << n) - 1);
}

static inline __m512 widen_f16_v(__m256i half) {
    return _mm512_cvtph_ps(half);
}

static inline __m512 widen_bf16_v(__m256i bf16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

/* private to the two files: entries of the table that live in attention_avx512.c */
void attention_tile_avx512(const struct attention_tile *tile);
void attention_stored_f16_avx512(const struct attention_tile *tile);
void attention_stored_bf16_avx512(const struct attention_tile *tile);

#endif
