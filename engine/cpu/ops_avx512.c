/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_avx512 - the operations of ops.h on AVX-512 F, BW, DQ and VL; the same bits as ops_ref.c.
 *
 * Attention keeps 6 rows x 64 columns of accumulators in 24 of the 32 registers: positions are
 * the columns of q k, value dimensions those of p v. A column is one lane from first to last,
 * which is why the grouping of rows cannot change a bit.
 */
#include "cpu/ops.h"

#include <immintrin.h>
#include <stddef.h>

#include "cpu/exp2.h"
#include "cpu/narrow.h"
#include "cpu/simd.h"

enum { MAX_ROWS = 6, PANEL = 4, PANEL_FLOATS = PANEL * OPS_LANES };

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

/*
 * Dimension i of the first rows asks for its share of the next tile's memory. All at once would
 * fill the queue of misses and hold up the arithmetic; not at all would leave the bus idle.
 */
static inline void ask_ahead(const struct attention_tile *t, uint32_t i) {
    const size_t at = i * t->ahead_step;
    if (at % 64 >= t->ahead_step)
        return; /* another dimension's cache line */
    for (uint32_t g = 0; g < t->n_ahead; g++)
        KV_PREFETCH((const char *)t->ahead[g] + at);
}

/* Scores of rows r..r+n_rows against n_cols * 16 positions from column on, into p. */
static KV_ALWAYS_INLINE void score_block(const struct attention_tile *t, uint32_t r,
                                         uint32_t column, const uint32_t n_rows,
                                         const uint32_t n_cols) {
    __m512 acc[MAX_ROWS][PANEL];
    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t c = 0; c < n_cols; c++)
            acc[m][c] = _mm512_setzero_ps();

    const float *q = t->q + r;
    const float *k = t->k + column;
    for (uint32_t i = 0; i < t->head_dim; i++) {
        __m512 key[PANEL];
        for (uint32_t c = 0; c < n_cols; c++)
            key[c] = _mm512_loadu_ps(k + c * OPS_LANES);
        for (uint32_t m = 0; m < n_rows; m++) {
            const __m512 query = _mm512_set1_ps(q[m]);
            for (uint32_t c = 0; c < n_cols; c++)
                acc[m][c] = _mm512_fmadd_ps(query, key[c], acc[m][c]);
        }
        if (r == 0)
            ask_ahead(t, i);
        q += t->q_stride;
        k += ATTENTION_TILE;
    }

    float *p = t->p + (size_t)r * ATTENTION_TILE + column;
    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t c = 0; c < n_cols; c++)
            _mm512_storeu_ps(p + m * ATTENTION_TILE + c * OPS_LANES, acc[m][c]);
}

/* Adds p v to n_cols * 16 columns of the rows' outputs, which it first scales by carry. */
static KV_ALWAYS_INLINE void value_block(const struct attention_tile *t, uint32_t r,
                                         uint32_t column, const float *carry, const uint32_t n_rows,
                                         const uint32_t n_cols) {
    __m512 acc[MAX_ROWS][PANEL];
    float *out = t->out + (size_t)r * t->value_width + column;

    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t c = 0; c < n_cols; c++) {
            const __m512 old = _mm512_loadu_ps(out + m * t->value_width + c * OPS_LANES);
            acc[m][c] = _mm512_mul_ps(old, _mm512_set1_ps(carry[m]));
        }

    const float *p = t->p + (size_t)r * ATTENTION_TILE;
    for (uint32_t j = t->first; j < t->end; j++) {
        const float *v = t->v + (size_t)j * t->value_width + column;
        __m512 value[PANEL];
        for (uint32_t c = 0; c < n_cols; c++)
            value[c] = _mm512_loadu_ps(v + c * OPS_LANES);
        for (uint32_t m = 0; m < n_rows; m++) {
            const __m512 weight = _mm512_set1_ps(p[m * ATTENTION_TILE + j]);
            for (uint32_t c = 0; c < n_cols; c++)
                acc[m][c] = _mm512_fmadd_ps(weight, value[c], acc[m][c]);
        }
    }

    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t c = 0; c < n_cols; c++)
            _mm512_storeu_ps(out + m * t->value_width + c * OPS_LANES, acc[m][c]);
}

/* Turns the scores of row r into weights; returns what its old sum and output are worth now. */
static inline float soften(const struct attention_tile *t, uint32_t r) {
    float *p = t->p + (size_t)r * ATTENTION_TILE;
    const uint64_t visible = (t->end == 64 ? ~0ull : (1ull << t->end) - 1) & (~0ull << t->first);

    __m512 s[PANEL];
    for (uint32_t c = 0; c < PANEL; c++) {
        const __mmask16 mask = (__mmask16)(visible >> (c * OPS_LANES));
        s[c] = _mm512_mask_loadu_ps(_mm512_set1_ps(-INFINITY), mask, p + c * OPS_LANES);
    }

    const __m512 top = _mm512_max_ps(_mm512_max_ps(s[0], s[1]), _mm512_max_ps(s[2], s[3]));
    const float tile_max = _mm512_reduce_max_ps(top);
    const float m = tile_max > t->max[r] ? tile_max : t->max[r];

    __m512 total = _mm512_setzero_ps();
    for (uint32_t c = 0; c < PANEL; c++) {
        const __mmask16 mask = (__mmask16)(visible >> (c * OPS_LANES));
        const __m512 e = exp2_v(_mm512_sub_ps(s[c], _mm512_set1_ps(m)));
        const __m512 weight = _mm512_maskz_mov_ps(mask, e);
        _mm512_storeu_ps(p + c * OPS_LANES, weight);
        total = _mm512_add_ps(total, weight);
    }

    const float carry = exp2_approx(t->max[r] - m);
    t->sum[r] = fmaf(t->sum[r], carry, add_lanes(total));
    t->max[r] = m;
    return carry;
}

static KV_ALWAYS_INLINE void attend_rows(const struct attention_tile *t, uint32_t r,
                                         const uint32_t n_rows) {
    if (t->end - t->first > PANEL_FLOATS / 2) {
        score_block(t, r, 0, n_rows, PANEL);
    } else {
        for (uint32_t c = t->first / OPS_LANES * OPS_LANES; c < t->end; c += OPS_LANES)
            score_block(t, r, c, n_rows, 1);
    }

    float carry[MAX_ROWS];
    for (uint32_t m = 0; m < n_rows; m++)
        carry[m] = soften(t, r + m);

    uint32_t column = 0;
    for (; column + PANEL_FLOATS <= t->value_width; column += PANEL_FLOATS)
        value_block(t, r, column, carry, n_rows, PANEL);
    for (; column < t->value_width; column += OPS_LANES)
        value_block(t, r, column, carry, n_rows, 1);
}

static void attention_tile(const struct attention_tile *t) {
    /* As even as possible: 7 rows are 4 and 3, not 6 and 1 (a lone row wastes its key loads). */
    uint32_t n_blocks = (t->n_rows + MAX_ROWS - 1) / MAX_ROWS;

    for (uint32_t r = 0; n_blocks > 0; n_blocks--) {
        const uint32_t n_rows = (t->n_rows - r + n_blocks - 1) / n_blocks;
        switch (n_rows) {
        case 6:
            attend_rows(t, r, 6);
            break;
        case 5:
            attend_rows(t, r, 5);
            break;
        case 4:
            attend_rows(t, r, 4);
            break;
        case 3:
            attend_rows(t, r, 3);
            break;
        case 2:
            attend_rows(t, r, 2);
            break;
        default:
            attend_rows(t, r, 1);
            break;
        }
        r += n_rows;
    }
}

static inline __m512 widen_f16_v(__m256i half) {
    return _mm512_cvtph_ps(half);
}

static inline __m512 widen_bf16_v(__m256i bf16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
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
    ops->attention_tile = attention_tile;
    ops->kv[KV_FORMAT_F32].widen_keys = widen_keys_f32;
    ops->kv[KV_FORMAT_F16] = (struct kv_convert){narrow_f16, widen_f16, widen_keys_f16};
    ops->kv[KV_FORMAT_BF16].widen = widen_bf16;
    ops->kv[KV_FORMAT_BF16].widen_keys = widen_keys_bf16;
}
