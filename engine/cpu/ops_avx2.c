/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_avx2 - the operations of ops.h on AVX2, FMA and F16C; the same bits as ops_ref.c.
 *
 * The 16 lanes of ops.h are two vectors here. Attention keeps 4 rows x 16 columns of
 * accumulators in 8 of the 16 registers; see ops_avx512.c for the scheme.
 */
#include "cpu/ops.h"

#include <assert.h>
#include <immintrin.h>
#include <stddef.h>

#include "cpu/exp2.h"
#include "cpu/narrow.h"
#include "cpu/simd.h"

enum { LANES = 8, MAX_ROWS = 4 };

/* The 16 lanes of ops.h. */
struct v16 {
    __m256 lo, hi;
};

static inline struct v16 zero_v(void) {
    return (struct v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

static inline struct v16 load_v(const float *x) {
    return (struct v16){_mm256_loadu_ps(x), _mm256_loadu_ps(x + LANES)};
}

static inline void store_v(float *y, struct v16 v) {
    _mm256_storeu_ps(y, v.lo);
    _mm256_storeu_ps(y + LANES, v.hi);
}

static inline struct v16 fma_v(struct v16 a, struct v16 b, struct v16 c) {
    return (struct v16){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

static inline __m256 exp2_8(__m256 x) {
    const __m256 zero = _mm256_cmp_ps(x, _mm256_set1_ps(EXP2_MIN), _CMP_LT_OQ);

    x = _mm256_min_ps(_mm256_set1_ps(EXP2_MAX), x); /* the second operand if it is NaN */
    const __m256 n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 f = _mm256_sub_ps(x, n);
    __m256 g = _mm256_fmadd_ps(_mm256_set1_ps(EXP2_C6), f, _mm256_set1_ps(EXP2_C5));
    g = _mm256_fmadd_ps(g, f, _mm256_set1_ps(EXP2_C4));
    g = _mm256_fmadd_ps(g, f, _mm256_set1_ps(EXP2_C3));
    g = _mm256_fmadd_ps(g, f, _mm256_set1_ps(EXP2_C2));
    g = _mm256_fmadd_ps(g, f, _mm256_set1_ps(EXP2_C1));
    const __m256 mantissa = _mm256_fmadd_ps(g, f, _mm256_set1_ps(1.0f));

    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    const __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(mantissa), exponent));
    return _mm256_andnot_ps(zero, y);
}

/* The tree of ops.h: lane c adds lane c + 8, + 4, + 2, + 1. */
static inline float add_lanes(struct v16 v) {
    const __m256 v8 = _mm256_add_ps(v.lo, v.hi);
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* n < 16 numbers and zeros behind them. */
static inline struct v16 load_tail(const float *x, uint32_t n) {
    float padded[OPS_LANES] = {0};
    for (uint32_t j = 0; j < n; j++)
        padded[j] = x[j];
    return load_v(padded);
}

static void rms_norm(float *y, const float *x, const float *weight, float eps, uint32_t n) {
    const uint32_t n_full = n - n % OPS_LANES;

    struct v16 squares = zero_v();
    for (uint32_t j = 0; j < n_full; j += OPS_LANES) {
        const struct v16 v = load_v(x + j);
        squares = fma_v(v, v, squares);
    }
    const struct v16 last = load_tail(x + n_full, n - n_full);
    squares = fma_v(last, last, squares);

    const float mean = add_lanes(squares) / (float)n;
    const float scale = 1.0f / sqrtf(mean + eps);
    const __m256 scale_v = _mm256_set1_ps(scale);
    for (uint32_t j = 0; j < n_full; j += LANES) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + j), scale_v);
        _mm256_storeu_ps(y + j, _mm256_mul_ps(v, _mm256_loadu_ps(weight + j)));
    }
    for (uint32_t j = n_full; j < n; j++)
        y[j] = x[j] * scale * weight[j];
}

static inline __m256 silu_8(__m256 x) {
    const __m256 e = exp2_8(_mm256_mul_ps(x, _mm256_set1_ps(-LOG2_E)));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

static inline __m256 gelu_tanh_8(__m256 x) {
    const float minus_two_root = -2.0f * 0.79788456080286535588f * LOG2_E;
    const __m256 c = _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.044715f), x), x);
    const __m256 u = _mm256_fmadd_ps(c, x, x);
    const __m256 e = exp2_8(_mm256_mul_ps(u, _mm256_set1_ps(minus_two_root)));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

static KV_ALWAYS_INLINE void gate_rows(float *y, const float *gate, const float *up, uint32_t n,
                                       __m256 (*act)(__m256)) {
    const uint32_t n_full = n - n % LANES;
    for (uint32_t j = 0; j < n_full; j += LANES) {
        const __m256 g = act(_mm256_loadu_ps(gate + j));
        _mm256_storeu_ps(y + j, _mm256_mul_ps(g, _mm256_loadu_ps(up + j)));
    }

    float tail[OPS_LANES];
    const struct v16 g = load_tail(gate + n_full, n - n_full);
    const struct v16 u = load_tail(up + n_full, n - n_full);
    _mm256_storeu_ps(tail, _mm256_mul_ps(act(g.lo), u.lo));
    for (uint32_t j = n_full; j < n; j++)
        y[j] = tail[j - n_full];
}

static void gate_silu(float *y, const float *gate, const float *up, uint32_t n) {
    gate_rows(y, gate, up, n, silu_8);
}

static void gate_gelu_tanh(float *y, const float *gate, const float *up, uint32_t n) {
    gate_rows(y, gate, up, n, gelu_tanh_8);
}

/* Scores of rows r..r+n_rows against 16 positions from column on, into p. */
static KV_ALWAYS_INLINE void score_block(const struct attention_tile *t, uint32_t r,
                                         uint32_t column, const uint32_t n_rows) {
    struct v16 acc[MAX_ROWS];
    for (uint32_t m = 0; m < n_rows; m++)
        acc[m] = zero_v();

    const float *q = t->q + r;
    const float *k = t->k + column;
    for (uint32_t i = 0; i < t->head_dim; i++) {
        const struct v16 key = load_v(k);
        for (uint32_t m = 0; m < n_rows; m++) {
            const __m256 query = _mm256_set1_ps(q[m]);
            acc[m] = fma_v((struct v16){query, query}, key, acc[m]);
        }
        q += t->q_stride;
        k += ATTENTION_TILE;
    }

    for (uint32_t m = 0; m < n_rows; m++)
        store_v(t->p + (size_t)(r + m) * ATTENTION_TILE + column, acc[m]);
}

/* Adds p v to 16 columns of the rows' outputs, which it first scales by carry. */
static KV_ALWAYS_INLINE void value_block(const struct attention_tile *t, uint32_t r,
                                         uint32_t column, const float *carry,
                                         const uint32_t n_rows) {
    struct v16 acc[MAX_ROWS];
    float *out = t->out + (size_t)r * t->value_width + column;

    for (uint32_t m = 0; m < n_rows; m++) {
        const struct v16 old = load_v(out + m * t->value_width);
        const __m256 scale = _mm256_set1_ps(carry[m]);
        acc[m] = (struct v16){_mm256_mul_ps(old.lo, scale), _mm256_mul_ps(old.hi, scale)};
    }

    const float *p = t->p + (size_t)r * ATTENTION_TILE;
    for (uint32_t j = t->first; j < t->end; j++) {
        const struct v16 value = load_v(t->v + (size_t)j * t->value_width + column);
        for (uint32_t m = 0; m < n_rows; m++) {
            const __m256 weight = _mm256_set1_ps(p[m * ATTENTION_TILE + j]);
            acc[m] = fma_v((struct v16){weight, weight}, value, acc[m]);
        }
    }

    for (uint32_t m = 0; m < n_rows; m++)
        store_v(out + m * t->value_width, acc[m]);
}

static inline float max_of(const float *x, uint32_t first, uint32_t end, float m) {
    for (uint32_t j = first; j < end; j++)
        m = x[j] > m ? x[j] : m;
    return m;
}

/* Turns the scores of row r into weights; returns what its old sum and output are worth now. */
static inline float soften(const struct attention_tile *t, uint32_t r) {
    float *p = t->p + (size_t)r * ATTENTION_TILE;
    const float m = max_of(p, t->first, t->end, t->max[r]);

    for (uint32_t j = 0; j < t->first; j++)
        p[j] = -INFINITY;
    for (uint32_t j = t->end; j < ATTENTION_TILE; j++)
        p[j] = -INFINITY;

    struct v16 total = zero_v();
    for (uint32_t j = 0; j < ATTENTION_TILE; j += OPS_LANES) {
        const __m256 m_v = _mm256_set1_ps(m);
        const struct v16 s = load_v(p + j);
        const struct v16 e = {exp2_8(_mm256_sub_ps(s.lo, m_v)), exp2_8(_mm256_sub_ps(s.hi, m_v))};
        store_v(p + j, e);
        total.lo = _mm256_add_ps(total.lo, e.lo);
        total.hi = _mm256_add_ps(total.hi, e.hi);
    }

    const float carry = exp2_approx(t->max[r] - m);
    t->sum[r] = fmaf(t->sum[r], carry, add_lanes(total));
    t->max[r] = m;
    return carry;
}

static KV_ALWAYS_INLINE void attend_rows(const struct attention_tile *t, uint32_t r,
                                         const uint32_t n_rows) {
    for (uint32_t c = t->first / OPS_LANES * OPS_LANES; c < t->end; c += OPS_LANES)
        score_block(t, r, c, n_rows);

    float carry[MAX_ROWS];
    for (uint32_t m = 0; m < n_rows; m++)
        carry[m] = soften(t, r + m);

    for (uint32_t c = 0; c < t->value_width; c += OPS_LANES)
        value_block(t, r, c, carry, n_rows);
}

static void attention_tile(const struct attention_tile *t) {
    uint32_t r = 0;
    for (; r + MAX_ROWS <= t->n_rows; r += MAX_ROWS)
        attend_rows(t, r, MAX_ROWS);

    switch (t->n_rows - r) {
    case 3:
        attend_rows(t, r, 3);
        break;
    case 2:
        attend_rows(t, r, 2);
        break;
    case 1:
        attend_rows(t, r, 1);
        break;
    default:
        break;
    }
}

static inline __m256 widen_f16_8(const uint16_t *from) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}

static inline __m256 widen_bf16_8(const uint16_t *from) {
    const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)from);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16));
}

static void widen_f16(float *to, const void *from, uint32_t n) {
    const uint16_t *in = from;
    uint32_t j = 0;
    for (; j + LANES <= n; j += LANES)
        _mm256_storeu_ps(to + j, widen_f16_8(in + j));
    for (; j < n; j++)
        to[j] = half_to_float(in[j]);
}

static void widen_bf16(float *to, const void *from, uint32_t n) {
    const uint16_t *in = from;
    uint32_t j = 0;
    for (; j + LANES <= n; j += LANES)
        _mm256_storeu_ps(to + j, widen_bf16_8(in + j));
    for (; j < n; j++)
        to[j] = bf16_to_float(in[j]);
}

static_assert((int)KV_GROUP == (int)LANES, "a group of keys is one vector");

static void widen_keys_f16(float *to, const void *from, uint32_t head_dim) {
    const uint16_t *in = from;
    for (uint32_t i = 0; i < head_dim; i++)
        _mm256_storeu_ps(to + (size_t)i * ATTENTION_TILE, widen_f16_8(in + i * LANES));
}

static void widen_keys_bf16(float *to, const void *from, uint32_t head_dim) {
    const uint16_t *in = from;
    for (uint32_t i = 0; i < head_dim; i++)
        _mm256_storeu_ps(to + (size_t)i * ATTENTION_TILE, widen_bf16_8(in + i * LANES));
}

static void widen_keys_f32(float *to, const void *from, uint32_t head_dim) {
    const float *in = from;
    for (uint32_t i = 0; i < head_dim; i++)
        _mm256_storeu_ps(to + (size_t)i * ATTENTION_TILE, _mm256_loadu_ps(in + i * LANES));
}

static void narrow_f16(void *to, const float *from, uint32_t n) {
    uint16_t *out = to;
    const __m256 limit = _mm256_set1_ps(F16_MAX);
    const __m256 minus_limit = _mm256_set1_ps(-F16_MAX);

    uint32_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        __m256 v = _mm256_loadu_ps(from + j);
        v = _mm256_max_ps(minus_limit, _mm256_min_ps(limit, v)); /* the second operand if NaN */
        const __m128i half = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm_storeu_si128((__m128i *)(void *)(out + j), half);
    }
    for (; j < n; j++)
        out[j] = half_from_float_saturated(from[j]);
}

void ops_override_avx2(struct ops *ops) {
    ops->name = "avx2";
    ops->rms_norm = rms_norm;
    ops->gate[ACTIVATION_SILU] = gate_silu;
    ops->gate[ACTIVATION_GELU_TANH] = gate_gelu_tanh;
    ops->attention_tile = attention_tile;
    ops->kv[KV_FORMAT_F32].widen_keys = widen_keys_f32;
    ops->kv[KV_FORMAT_F16] = (struct kv_convert){narrow_f16, widen_f16, widen_keys_f16};
    ops->kv[KV_FORMAT_BF16].widen = widen_bf16;
    ops->kv[KV_FORMAT_BF16].widen_keys = widen_keys_bf16;
}
