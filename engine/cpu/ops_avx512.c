/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_avx512 - the operations of ops.h on AVX-512 F, BW, DQ and VL; the same bits as ops_ref.c.
 * Attention is in attention_avx512.c.
 */
#include "cpu/ops.h"

#include <immintrin.h>
#include <stddef.h>

#include "cpu/exp2.h"
#include "cpu/lanes_avx512.h"
#include "cpu/narrow.h"
#include "cpu/simd.h"

static void rms_norm(float *y, const float *x, const float *weight, float eps, uint32_t n) {
    const uint32_t n_full = n - n % OPS_LANES;
    const __mmask16 tail = tail_mask(n % OPS_LANES);

    __m512 squares = _mm512_setzero_ps();
    for (uint32_t j = 0; j < n_full; j += OPS_LANES) {
        const __m512 v = _mm512_loadu_ps(x + j);
        squares = _mm512_fmadd_ps(v, v, squares);
    }
    const __m512 last = _mm512_maskz_loadu_ps(tail, x + n_full);
    squares = _mm512_fmadd_ps(last, last, squares);

    const float mean = add_lanes(squares) / (float)n;
    const __m512 scale = _mm512_set1_ps(1.0f / sqrtf(mean + eps));
    for (uint32_t j = 0; j < n_full; j += OPS_LANES) {
        const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + j), scale);
        _mm512_storeu_ps(y + j, _mm512_mul_ps(v, _mm512_loadu_ps(weight + j)));
    }
    const __m512 w = _mm512_maskz_loadu_ps(tail, weight + n_full);
    _mm512_mask_storeu_ps(y + n_full, tail, _mm512_mul_ps(_mm512_mul_ps(last, scale), w));
}

static inline __m512 silu_v(__m512 x) {
    const __m512 e = exp2_v(_mm512_mul_ps(x, _mm512_set1_ps(-LOG2_E)));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

static inline __m512 gelu_tanh_v(__m512 x) {
    const float minus_two_root = -2.0f * 0.79788456080286535588f * LOG2_E;
    const __m512 c = _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.044715f), x), x);
    const __m512 u = _mm512_fmadd_ps(c, x, x);
    const __m512 e = exp2_v(_mm512_mul_ps(u, _mm512_set1_ps(minus_two_root)));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

static KV_ALWAYS_INLINE void gate_rows(float *y, const float *gate, const float *up, uint32_t n,
                                       __m512 (*act)(__m512)) {
    for (uint32_t j = 0; j < n; j += OPS_LANES) {
        const __mmask16 mask = n - j >= OPS_LANES ? 0xffff : tail_mask(n - j);
        const __m512 g = _mm512_maskz_loadu_ps(mask, gate + j);
        const __m512 u = _mm512_maskz_loadu_ps(mask, up + j);
        _mm512_mask_storeu_ps(y + j, mask, _mm512_mul_ps(act(g), u));
    }
}

static void gate_silu(float *y, const float *gate, const float *up, uint32_t n) {
    gate_rows(y, gate, up, n, silu_v);
}

static void gate_gelu_tanh(float *y, const float *gate, const float *up, uint32_t n) {
    gate_rows(y, gate, up, n, gelu_tanh_v);
}

static KV_ALWAYS_INLINE void widen_16(float *to, const uint16_t *from, uint32_t n,
                                      __m512 (*widen)(__m256i)) {
    for (uint32_t j = 0; j < n; j += OPS_LANES) {
        const __mmask16 mask = n - j >= OPS_LANES ? 0xffff : tail_mask(n - j);
        const __m256i v = _mm256_maskz_loadu_epi16(mask, from + j);
        _mm512_mask_storeu_ps(to + j, mask, widen(v));
    }
}

/* Two dimensions of a group at once: 16 numbers in, two halves of a vector out. */
static KV_ALWAYS_INLINE void widen_keys_16(float *to, const uint16_t *from, uint32_t head_dim,
                                           __m512 (*widen)(__m256i)) {
    uint32_t i = 0;
    for (; i + 2 <= head_dim; i += 2) {
        const __m256i pair =
            _mm256_loadu_si256((const __m256i *)(const void *)(from + i * KV_GROUP));
        const __m512 v = widen(pair);
        _mm256_storeu_ps(to + (size_t)i * ATTENTION_TILE, _mm512_castps512_ps256(v));
        _mm256_storeu_ps(to + (size_t)(i + 1) * ATTENTION_TILE, _mm512_extractf32x8_ps(v, 1));
    }
    if (i < head_dim)
        widen_16(to + (size_t)i * ATTENTION_TILE, from + i * KV_GROUP, KV_GROUP, widen);
}

static void widen_f16(float *to, const void *from, uint32_t n) {
    widen_16(to, from, n, widen_f16_v);
}

static void widen_bf16(float *to, const void *from, uint32_t n) {
    widen_16(to, from, n, widen_bf16_v);
}

static void widen_keys_f16(float *to, const void *from, uint32_t head_dim) {
    widen_keys_16(to, from, head_dim, widen_f16_v);
}

static void widen_keys_bf16(float *to, const void *from, uint32_t head_dim) {
    widen_keys_16(to, from, head_dim, widen_bf16_v);
}

static void widen_keys_f32(float *to, const void *from, uint32_t head_dim) {
    const float *in = from;
    for (uint32_t i = 0; i < head_dim; i++)
        _mm256_storeu_ps(to + (size_t)i * ATTENTION_TILE, _mm256_loadu_ps(in + i * KV_GROUP));
}

static void narrow_f16(void *to, const float *from, uint32_t n) {
    uint16_t *out = to;
    const __m512 limit = _mm512_set1_ps(F16_MAX);
    const __m512 minus_limit = _mm512_set1_ps(-F16_MAX);

    for (uint32_t j = 0; j < n; j += OPS_LANES) {
        const __mmask16 mask = n - j >= OPS_LANES ? 0xffff : tail_mask(n - j);
        __m512 v = _mm512_maskz_loadu_ps(mask, from + j);
        v = _mm512_max_ps(minus_limit, _mm512_min_ps(limit, v)); /* the second operand if NaN */
        const __m256i half = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_mask_storeu_epi16(out + j, mask, half);
    }
}

void ops_override_avx512(struct ops *ops) {
    ops->name = "avx512";
    ops->rms_norm = rms_norm;
    ops->gate[ACTIVATION_SILU] = gate_silu;
    ops->gate[ACTIVATION_GELU_TANH] = gate_gelu_tanh;
    ops->attention_tile = attention_tile_avx512;
    ops->attention_stored[KV_FORMAT_F16] = attention_stored_f16_avx512;
    ops->attention_stored[KV_FORMAT_BF16] = attention_stored_bf16_avx512;
    ops->kv[KV_FORMAT_F32].widen_keys = widen_keys_f32;
    ops->kv[KV_FORMAT_F16] = (struct kv_convert){narrow_f16, widen_f16, widen_keys_f16};
    ops->kv[KV_FORMAT_BF16].widen = widen_bf16;
    ops->kv[KV_FORMAT_BF16].widen_keys = widen_keys_bf16;
}
