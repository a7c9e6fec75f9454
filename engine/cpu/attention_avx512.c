/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_avx512 - the attention tile of ops.h on AVX-512; the same bits as ops_ref.c.
 *
 * 6 rows x 64 columns of accumulators take 24 of the 32 registers: positions are the columns of
 * q k, value dimensions those of p v. A column is one lane from first to last, which is why the
 * grouping of rows cannot change a bit. With few rows (decode) keys and values come straight
 * from the store and are widened in registers: writing them out first would cost more than
 * computing with them.
 */
#include <immintrin.h>
#include <stddef.h>

#include "cpu/lanes_avx512.h"
#include "cpu/simd.h"

enum { MAX_ROWS = 6, MAX_STORED_ROWS = 4, PANEL = 4, PANEL_FLOATS = PANEL * OPS_LANES };

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

/* Where a kernel takes keys and values from; always a constant. */
enum source { WIDENED, STORED_F16, STORED_BF16 };

static KV_ALWAYS_INLINE __m512 widen_v(__m256i stored, const enum source source) {
    return source == STORED_F16 ? widen_f16_v(stored) : widen_bf16_v(stored);
}

/* Dimension i of the keys of 16 positions from column on: of two groups, where they are stored. */
static KV_ALWAYS_INLINE __m512 load_keys(const struct attention_tile *t, uint32_t i,
                                         uint32_t column, const enum source source) {
    if (source == WIDENED)
        return _mm512_loadu_ps(t->k + (size_t)i * ATTENTION_TILE + column);

    const uint16_t *lower = t->groups[column / KV_GROUP];
    const uint16_t *upper = t->groups[column / KV_GROUP + 1];
    const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(lower + i * KV_GROUP));
    const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(upper + i * KV_GROUP));
    return widen_v(_mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1), source);
}

/* 16 dimensions of the value of position j from column on. */
static KV_ALWAYS_INLINE __m512 load_values(const struct attention_tile *t, uint32_t j,
                                           uint32_t column, const enum source source) {
    if (source == WIDENED)
        return _mm512_loadu_ps(t->v + (size_t)j * t->value_width + column);

    const uint16_t *group = t->groups[j / KV_GROUP];
    const uint16_t *value = group + (KV_GROUP + j % KV_GROUP) * t->head_dim + column;
    return widen_v(_mm256_loadu_si256((const __m256i *)(const void *)value), source);
}

/* Scores of rows r..r+n_rows against n_cols * 16 positions from column on, into p. */
static KV_ALWAYS_INLINE void score_block(const struct attention_tile *t, uint32_t r,
                                         uint32_t column, const uint32_t n_rows,
                                         const uint32_t n_cols, const enum source source) {
    __m512 acc[MAX_ROWS][PANEL];
    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t c = 0; c < n_cols; c++)
            acc[m][c] = _mm512_setzero_ps();

    const float *q = t->q + r;
    for (uint32_t i = 0; i < t->head_dim; i++) {
        __m512 key[PANEL];
        for (uint32_t c = 0; c < n_cols; c++)
            key[c] = load_keys(t, i, column + c * OPS_LANES, source);
        for (uint32_t m = 0; m < n_rows; m++) {
            const __m512 query = _mm512_set1_ps(q[m]);
            for (uint32_t c = 0; c < n_cols; c++)
                acc[m][c] = _mm512_fmadd_ps(query, key[c], acc[m][c]);
        }
        if (r == 0)
            ask_ahead(t, i);
        q += t->q_stride;
    }

    float *p = t->p + (size_t)r * ATTENTION_TILE + column;
    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t c = 0; c < n_cols; c++)
            _mm512_storeu_ps(p + m * ATTENTION_TILE + c * OPS_LANES, acc[m][c]);
}

/* Adds p v to n_cols * 16 columns of the rows' outputs, which it first scales by carry. */
static KV_ALWAYS_INLINE void value_block(const struct attention_tile *t, uint32_t r,
                                         uint32_t column, const float *carry, const uint32_t n_rows,
                                         const uint32_t n_cols, const enum source source) {
    __m512 acc[MAX_ROWS][PANEL];
    float *out = t->out + (size_t)r * t->value_width + column;

    for (uint32_t m = 0; m < n_rows; m++)
        for (uint32_t c = 0; c < n_cols; c++) {
            const __m512 old = _mm512_loadu_ps(out + m * t->value_width + c * OPS_LANES);
            acc[m][c] = _mm512_mul_ps(old, _mm512_set1_ps(carry[m]));
        }

    const float *p = t->p + (size_t)r * ATTENTION_TILE;
    for (uint32_t j = t->first; j < t->end; j++) {
        __m512 value[PANEL];
        for (uint32_t c = 0; c < n_cols; c++)
            value[c] = load_values(t, j, column + c * OPS_LANES, source);
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
                                         const uint32_t n_rows, const enum source source) {
    if (t->end - t->first > PANEL_FLOATS / 2) {
        score_block(t, r, 0, n_rows, PANEL, source);
    } else {
        for (uint32_t c = t->first / OPS_LANES * OPS_LANES; c < t->end; c += OPS_LANES)
            score_block(t, r, c, n_rows, 1, source);
    }

    float carry[MAX_ROWS];
    for (uint32_t m = 0; m < n_rows; m++)
        carry[m] = soften(t, r + m);

    uint32_t column = 0;
    for (; column + PANEL_FLOATS <= t->value_width; column += PANEL_FLOATS)
        value_block(t, r, column, carry, n_rows, PANEL, source);
    for (; column < t->value_width; column += OPS_LANES)
        value_block(t, r, column, carry, n_rows, 1, source);
}

void attention_tile_avx512(const struct attention_tile *t) {
    /* As even as possible: 7 rows are 4 and 3, not 6 and 1 (a lone row wastes its key loads). */
    uint32_t n_blocks = (t->n_rows + MAX_ROWS - 1) / MAX_ROWS;

    for (uint32_t r = 0; n_blocks > 0; n_blocks--) {
        const uint32_t n_rows = (t->n_rows - r + n_blocks - 1) / n_blocks;
        switch (n_rows) {
        case 6:
            attend_rows(t, r, 6, WIDENED);
            break;
        case 5:
            attend_rows(t, r, 5, WIDENED);
            break;
        case 4:
            attend_rows(t, r, 4, WIDENED);
            break;
        case 3:
            attend_rows(t, r, 3, WIDENED);
            break;
        case 2:
            attend_rows(t, r, 2, WIDENED);
            break;
        default:
            attend_rows(t, r, 1, WIDENED);
            break;
        }
        r += n_rows;
    }
}

/* A few rows: four at a time, so that the conversions of a group are not done too often. */
static KV_ALWAYS_INLINE void attend_stored(const struct attention_tile *t,
                                           const enum source source) {
    uint32_t n_blocks = (t->n_rows + MAX_STORED_ROWS - 1) / MAX_STORED_ROWS;

    for (uint32_t r = 0; n_blocks > 0; n_blocks--) {
        const uint32_t n_rows = (t->n_rows - r + n_blocks - 1) / n_blocks;
        switch (n_rows) {
        case 4:
            attend_rows(t, r, 4, source);
            break;
        case 3:
            attend_rows(t, r, 3, source);
            break;
        case 2:
            attend_rows(t, r, 2, source);
            break;
        default:
            attend_rows(t, r, 1, source);
            break;
        }
        r += n_rows;
    }
}

void attention_stored_f16_avx512(const struct attention_tile *t) {
    attend_stored(t, STORED_F16);
}

void attention_stored_bf16_avx512(const struct attention_tile *t) {
    attend_stored(t, STORED_BF16);
}
