/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_avx512 - AVX-512 (F, BW, DQ, VL) with VNNI. What each function computes is said in
 * kernel_ref.c, and all of it has equal bits here; layouts are in pack.h.
 *
 * The int8 tile is an outer product: a register of weights holds [16 outputs][4 inputs], 4 inputs
 * of one row of x are broadcast, and vpdpbusd adds to 16 sums. A panel times six rows makes 12
 * integer and 12 float accumulators: enough to hide the latency, few enough for 32 registers,
 * and 8 loads feed 12 dot products (two of each start in a cycle).
 */
#include <immintrin.h>

#include "cpu/kernel.h"
#include "cpu/kernel_prepare.h"
#include "cpu/kernel_x86.h"

enum {
    GROUP_STEPS = 8,
    HALF_STEPS = 4,
    HALVES = 2, /* registers of 64 bytes to a step: rows 0 - 15, 16 - 31 */
    HALF_ROWS = 16,
    HALF_BYTES = 64,
    MOST_INT8_ROWS = 6,
    MOST_HALF_GROUP_ROWS = 4, /* the half sums need registers too */
    MOST_FLOAT_ROWS = 12,
};

static inline int32_t greatest_avx512(const float *x, uint32_t n) {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    __m512i most = _mm512_setzero_si512();

    for (uint32_t i = 0; i < n; i += HALF_ROWS) {
        const __m512i bits = _mm512_castps_si512(_mm512_loadu_ps(x + i));
        most = _mm512_max_epi32(most, _mm512_and_si512(bits, magnitude));
    }
    return _mm512_reduce_max_epi32(most);
}

static inline int32_t round_avx512(const float *x, uint32_t n, float inverse, int8_t *codes) {
    const __m512 factor = _mm512_set1_ps(inverse);
    __m512i sum = _mm512_setzero_si512();

    for (uint32_t i = 0; i < n; i += HALF_ROWS) {
        const __m512i code = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + i), factor));
        _mm_storeu_si128((__m128i *)(void *)(codes + i), _mm512_cvtepi32_epi8(code));
        sum = _mm512_add_epi32(sum, code);
    }
    return _mm512_reduce_add_epi32(sum);
}

static void prepare_int8_avx512(const float *x, uint32_t n_in, uint32_t group, void *row) {
    if (group == GROUP) /* a constant length unrolls the loops */
        prepare_int8_row(greatest_avx512, round_avx512, x, n_in, GROUP, row);
    else
        prepare_int8_row(greatest_avx512, round_avx512, x, n_in, CHANNEL_GROUP, row);
}

/* ---- unpack ---- */

static inline __m512i load_vector(const uint8_t *bytes) {
    return _mm512_loadu_si512(bytes);
}

/* Shifts 16-bit lanes; the bits that cross into the other byte are masked away by the caller. */
static inline __m512i shift_right(__m512i v, int n) {
    return _mm512_srl_epi16(v, _mm_cvtsi32_si128(n));
}

static inline __m512i shift_left(__m512i v, int n) {
    return _mm512_sll_epi16(v, _mm_cvtsi32_si128(n));
}

/* Nibbles of step t of a group; `codes` at this half of the group's first stored step. */
static inline __m512i nibbles(const uint8_t *codes, int t) {
    const __m512i both = load_vector(codes + t % HALF_STEPS * STEP_BYTES);

    return _mm512_and_si512(t < HALF_STEPS ? both : shift_right(both, 4), _mm512_set1_epi8(15));
}

static void unpack_4_avx512(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                            uint32_t n_groups, uint8_t *out) {
    const __m512i add = _mm512_set1_epi8((char)bias);

    (void)highs; /* codes of 4 bits have none */
    for (uint32_t g = 0; g < n_groups; g++) {
        prefetch_ahead(codes, HALF_STEPS * STEP_BYTES);
        for (int h = 0; h < HALVES; h++) {
            KERNEL_UNROLL(8)
            for (int t = 0; t < GROUP_STEPS; t++)
                _mm512_storeu_si512(out + t * STEP_BYTES + h * HALF_BYTES,
                                    _mm512_add_epi8(nibbles(codes + h * HALF_BYTES, t), add));
        }
        codes += HALF_STEPS * STEP_BYTES;
        out += GROUP_STEPS * STEP_BYTES;
    }
}

static void unpack_5_avx512(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                            uint32_t n_groups, uint8_t *out) {
    const __m512i add = _mm512_set1_epi8((char)bias);
    const __m512i bit_4 = _mm512_set1_epi8(16);

    for (uint32_t g = 0; g < n_groups; g++) {
        prefetch_ahead(codes, HALF_STEPS * STEP_BYTES);
        prefetch_ahead(highs, STEP_BYTES);
        for (int h = 0; h < HALVES; h++) {
            const __m512i bits = load_vector(highs + h * HALF_BYTES);

            KERNEL_UNROLL(8)
            for (int t = 0; t < GROUP_STEPS; t++) {
                const __m512i moved = t < 4 ? shift_left(bits, 4 - t) : shift_right(bits, t - 4);
                const __m512i code = _mm512_or_si512(nibbles(codes + h * HALF_BYTES, t),
                                                     _mm512_and_si512(moved, bit_4));
                _mm512_storeu_si512(out + t * STEP_BYTES + h * HALF_BYTES,
                                    _mm512_add_epi8(code, add));
            }
        }
        codes += HALF_STEPS * STEP_BYTES;
        highs += STEP_BYTES;
        out += GROUP_STEPS * STEP_BYTES;
    }
}

static void unpack_6_avx512(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                            uint32_t n_groups, uint8_t *out) {
    const __m512i add = _mm512_set1_epi8((char)bias);
    const __m512i bits_45 = _mm512_set1_epi8(48);

    for (uint32_t g = 0; g < n_groups; g++) {
        prefetch_ahead(codes, HALF_STEPS * STEP_BYTES);
        prefetch_ahead(highs, 2 * STEP_BYTES);
        for (int h = 0; h < HALVES; h++) {
            KERNEL_UNROLL(8)
            for (int t = 0; t < GROUP_STEPS; t++) {
                const __m512i bits = load_vector(highs + t / 4 * STEP_BYTES + h * HALF_BYTES);
                const int left = 4 - 2 * (t % 4);
                const __m512i moved = left >= 0 ? shift_left(bits, left) : shift_right(bits, -left);
                const __m512i code = _mm512_or_si512(nibbles(codes + h * HALF_BYTES, t),
                                                     _mm512_and_si512(moved, bits_45));
                _mm512_storeu_si512(out + t * STEP_BYTES + h * HALF_BYTES,
                                    _mm512_add_epi8(code, add));
            }
        }
        codes += HALF_STEPS * STEP_BYTES;
        highs += 2 * STEP_BYTES;
        out += GROUP_STEPS * STEP_BYTES;
    }
}

static inline __m512 load_halves(const uint8_t *halves) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)halves));
}

static void unpack_half_avx512(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                               float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups * PANEL_ROWS * 2);
    (void)ret_mins; /* these types have none */
    for (uint32_t i = 0; i < n_groups * PANEL_ROWS; i += HALF_ROWS)
        _mm512_storeu_ps(ret_scales + i,
                         load_halves(scales + ((size_t)first * PANEL_ROWS + i) * 2));
}

static void unpack_half_min_avx512(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                                   float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups * PANEL_ROWS * 4);
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t o = 0; o < PANEL_ROWS; o += HALF_ROWS) {
            const uint8_t *group = scales + (size_t)(first + g) * PANEL_ROWS * 4 + o * 2;
            _mm512_storeu_ps(ret_scales + g * PANEL_ROWS + o, load_halves(group));
            _mm512_storeu_ps(ret_mins + g * PANEL_ROWS + o, load_halves(group + PANEL_ROWS * 2));
        }
}

/* out[16] = factors (f16) * values (signed bytes) * sign (1 or -1): exact. */
static inline void scale_bytes(const uint8_t *factors, __m128i values, float sign, float *out) {
    const __m512 value = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(values));
    const __m512 factor = _mm512_mul_ps(load_halves(factors), _mm512_set1_ps(sign));

    _mm512_storeu_ps(out, _mm512_mul_ps(factor, value));
}

static void unpack_k_avx512(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                            float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups / 8 * K_SCALES_BYTES);
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t o = 0; o < PANEL_ROWS; o += HALF_ROWS) {
            const uint8_t *super = scales + (size_t)((first + g) / 8) * K_SCALES_BYTES;
            __m128i sc;
            __m128i m;

            k_scale_min_16(super + PANEL_ROWS * 4 + o, (first + g) % 8, &sc, &m);
            scale_bytes(super + o * 2, sc, 1.0f, ret_scales + g * PANEL_ROWS + o);
            scale_bytes(super + (PANEL_ROWS + o) * 2, m, -1.0f, ret_mins + g * PANEL_ROWS + o);
        }
}

static void unpack_q6_k_avx512(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                               float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups / 8 * Q6_K_SCALES_BYTES);
    (void)ret_mins; /* has none */
    for (uint32_t h = 0; h < 2 * n_groups; h++)
        for (uint32_t o = 0; o < PANEL_ROWS; o += HALF_ROWS) {
            const uint32_t half = 2 * first + h;
            const uint8_t *super = scales + (size_t)(half / 16) * Q6_K_SCALES_BYTES;
            const uint8_t *sc = super + PANEL_ROWS * 2 + half % 16 * PANEL_ROWS + o;
            const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)sc);
            scale_bytes(super + o * 2, values, 1.0f, ret_scales + h * PANEL_ROWS + o);
        }
}

static void widen_avx512(const uint8_t *codes, const float *scales, const float *mins,
                         uint32_t n_per_scale, uint32_t n_in, float *out) {
    const __m512i byte = _mm512_set1_epi32(255);
    const __m512i zero_point = _mm512_set1_epi32(128);

    for (uint32_t i = 0; i < n_in; i += 4)
        for (uint32_t o = 0; o < PANEL_ROWS; o += HALF_ROWS) {
            const uint32_t s = i / n_per_scale * PANEL_ROWS + o;
            const __m512 scale = _mm512_loadu_ps(scales + s);
            const __m512 min = mins ? _mm512_loadu_ps(mins + s) : _mm512_set1_ps(-0.0f);
            __m512i four = load_vector(codes + (size_t)i * PANEL_ROWS + o * 4);

            for (uint32_t j = 0; j < 4; j++) {
                const __m512i code = _mm512_sub_epi32(_mm512_and_si512(four, byte), zero_point);
                const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(code), scale);
                _mm512_storeu_ps(out + (size_t)(i + j) * PANEL_ROWS + o,
                                 _mm512_add_ps(product, min));
                four = _mm512_srli_epi32(four, 8);
            }
        }
}

/* ---- int8 tiles ---- */

static inline __m512i broadcast_4(const int8_t *codes) {
    int32_t four;

    memcpy(&four, codes, sizeof four);
    return _mm512_set1_epi32(four);
}

/* The sums of n_rows rows (a constant) over some steps of codes. */
KERNEL_INLINE void add_dots(__m512i dots[][HALVES], uint32_t n_rows, int n_steps, const uint8_t *w,
                            const int8_t *x, size_t stride) {
    KERNEL_UNROLL(16)
    for (int t = 0; t < n_steps; t++) {
        const __m512i w_0 = load_vector(w + t * STEP_BYTES);
        const __m512i w_1 = load_vector(w + t * STEP_BYTES + HALF_BYTES);
        KERNEL_UNROLL(8)
        for (uint32_t r = 0; r < n_rows; r++) {
            const __m512i four = broadcast_4(x + r * stride + t * 4);
            dots[r][0] = _mm512_dpbusd_epi32(dots[r][0], w_0, four);
            dots[r][1] = _mm512_dpbusd_epi32(dots[r][1], w_1, four);
        }
    }
}

/* One group of the tile: see add_group in kernel_ref.c. */
KERNEL_INLINE void add_group(enum int8_tile_kind kind, uint32_t n_rows, const struct int8_chunk *w,
                             const struct int8_rows *x, uint32_t g, __m512 sums[][HALVES]) {
    const uint32_t group = kind == TILE_CHANNEL ? CHANNEL_GROUP : GROUP;
    const uint8_t *codes = w->codes + (size_t)g * group * PANEL_ROWS;
    __m512i dots[MOST_INT8_ROWS][HALVES];

    KERNEL_UNROLL(8)
    for (uint32_t r = 0; r < n_rows; r++)
        dots[r][0] = dots[r][1] = _mm512_set1_epi32(row_int(x->start, x->stride, r, g));
    add_dots(dots, n_rows, (int)group / 4, codes, x->codes + g * group, x->stride);

    KERNEL_UNROLL(8)
    for (uint32_t r = 0; r < n_rows; r++) {
        const __m512 scale = _mm512_set1_ps(row_float(x->scale, x->stride, r, g));

        KERNEL_UNROLL(2)
        for (uint32_t h = 0; h < HALVES; h++) {
            const uint32_t s = g * PANEL_ROWS + h * HALF_ROWS;
            __m512 product = _mm512_cvtepi32_ps(dots[r][h]);
            if (kind != TILE_CHANNEL)
                product = _mm512_mul_ps(product, _mm512_loadu_ps(w->scales + s));
            sums[r][h] = _mm512_fmadd_ps(product, scale, sums[r][h]);
            if (kind == TILE_MINIMUM) {
                const float scaled_sum = row_float(x->scaled_sum, x->stride, r, g);
                sums[r][h] = _mm512_fmadd_ps(_mm512_loadu_ps(w->mins + s),
                                             _mm512_set1_ps(scaled_sum), sums[r][h]);
            }
        }
    }
}

/* The same with two scales a group. */
KERNEL_INLINE void add_half_groups(uint32_t n_rows, const struct int8_chunk *w,
                                   const struct int8_rows *x, uint32_t g, __m512 sums[][HALVES]) {
    __m512 products[MOST_HALF_GROUP_ROWS][HALVES];

    KERNEL_UNROLL(2)
    for (uint32_t part = 0; part < 2; part++) {
        const uint32_t first = g * GROUP + part * (GROUP / 2);
        const float *scales = w->scales + (2 * g + part) * PANEL_ROWS;
        __m512i dots[MOST_HALF_GROUP_ROWS][HALVES];

        KERNEL_UNROLL(8)
        for (uint32_t r = 0; r < n_rows; r++) {
            const int32_t start_0 = row_int(x->start_half, x->stride, r, g);
            const int32_t start = row_int(x->start, x->stride, r, g);
            dots[r][0] = dots[r][1] = _mm512_set1_epi32(part == 0 ? start_0 : start - start_0);
        }
        add_dots(dots, n_rows, HALF_STEPS, w->codes + (size_t)first * PANEL_ROWS, x->codes + first,
                 x->stride);

        KERNEL_UNROLL(8)
        for (uint32_t r = 0; r < n_rows; r++) {
            KERNEL_UNROLL(2)
            for (uint32_t h = 0; h < HALVES; h++) {
                const __m512 scale = _mm512_loadu_ps(scales + h * HALF_ROWS);
                const __m512 dot = _mm512_cvtepi32_ps(dots[r][h]);
                products[r][h] = part == 0 ? _mm512_mul_ps(dot, scale)
                                           : _mm512_fmadd_ps(dot, scale, products[r][h]);
            }
        }
    }

    KERNEL_UNROLL(8)
    for (uint32_t r = 0; r < n_rows; r++) {
        const __m512 scale = _mm512_set1_ps(row_float(x->scale, x->stride, r, g));
        sums[r][0] = _mm512_fmadd_ps(products[r][0], scale, sums[r][0]);
        sums[r][1] = _mm512_fmadd_ps(products[r][1], scale, sums[r][1]);
    }
}

/* A tile whose number of rows is a constant, so that the sums live in registers. */
KERNEL_INLINE void int8_tile(enum int8_tile_kind kind, uint32_t n_rows, const struct int8_chunk *w,
                             const struct int8_rows *x, float *acc) {
    __m512 sums[MOST_INT8_ROWS][HALVES];

    KERNEL_UNROLL(8)
    for (uint32_t r = 0; r < n_rows; r++) {
        sums[r][0] = _mm512_loadu_ps(acc + r * PANEL_ROWS);
        sums[r][1] = _mm512_loadu_ps(acc + r * PANEL_ROWS + HALF_ROWS);
    }
    for (uint32_t g = 0; g < w->n_groups; g++) {
        prefetch_soon(w, g);
        if (kind == TILE_HALF_GROUPS)
            add_half_groups(n_rows, w, x, g, sums);
        else
            add_group(kind, n_rows, w, x, g, sums);
    }
    KERNEL_UNROLL(8)
    for (uint32_t r = 0; r < n_rows; r++) {
        _mm512_storeu_ps(acc + r * PANEL_ROWS, sums[r][0]);
        _mm512_storeu_ps(acc + r * PANEL_ROWS + HALF_ROWS, sums[r][1]);
    }
}

KERNEL_INLINE void int8_tile_of(enum int8_tile_kind kind, const struct int8_chunk *w,
                                const struct int8_rows *x, uint32_t n_rows, float *acc) {
    switch (n_rows) {
    case 1:
        int8_tile(kind, 1, w, x, acc);
        return;
    case 2:
        int8_tile(kind, 2, w, x, acc);
        return;
    case 3:
        int8_tile(kind, 3, w, x, acc);
        return;
    case 4:
        int8_tile(kind, 4, w, x, acc);
        return;
    case 5:
        if (kind != TILE_HALF_GROUPS)
            int8_tile(kind, 5, w, x, acc);
        return;
    case 6:
        if (kind != TILE_HALF_GROUPS)
            int8_tile(kind, 6, w, x, acc);
        return;
    }
}

static void tile_channel_avx512(const struct int8_chunk *w, const struct int8_rows *x,
                                uint32_t n_rows, float *acc) {
    int8_tile_of(TILE_CHANNEL, w, x, n_rows, acc);
}

static void tile_groups_avx512(const struct int8_chunk *w, const struct int8_rows *x,
                               uint32_t n_rows, float *acc) {
    int8_tile_of(TILE_GROUPS, w, x, n_rows, acc);
}

static void tile_minimum_avx512(const struct int8_chunk *w, const struct int8_rows *x,
                                uint32_t n_rows, float *acc) {
    int8_tile_of(TILE_MINIMUM, w, x, n_rows, acc);
}

static void tile_half_groups_avx512(const struct int8_chunk *w, const struct int8_rows *x,
                                    uint32_t n_rows, float *acc) {
    int8_tile_of(TILE_HALF_GROUPS, w, x, n_rows, acc);
}

/* ---- float tiles ---- */

/* sums += two inputs' (bf16) or one input's weights times x, in order of the inputs. */
KERNEL_INLINE void add_inputs(enum weight_type type, uint32_t n_rows, const uint8_t *w, uint32_t i,
                              const float *x, size_t stride, __m512 sums[][HALVES]) {
    __m512 first[HALVES];
    __m512 second[HALVES];

    KERNEL_UNROLL(2)
    for (uint32_t h = 0; h < HALVES; h++) {
        const size_t at = (size_t)i * PANEL_ROWS;
        const uint32_t o = h * HALF_ROWS;

        if (type == WEIGHT_F32) {
            first[h] = _mm512_loadu_ps((const float *)(const void *)w + at + o);
        } else if (type == WEIGHT_F16) {
            first[h] = load_halves(w + (at + o) * 2);
        } else {
            const __m512i both = load_vector(w + at * 2 + o * 4);
            first[h] = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
            second[h] =
                _mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000u)));
        }
    }
    KERNEL_UNROLL(16)
    for (uint32_t r = 0; r < n_rows; r++) {
        const float *row = (const float *)(const void *)((const char *)x + r * stride) + i;
        const __m512 x_0 = _mm512_set1_ps(row[0]);
        sums[r][0] = _mm512_fmadd_ps(first[0], x_0, sums[r][0]);
        sums[r][1] = _mm512_fmadd_ps(first[1], x_0, sums[r][1]);
        if (type == WEIGHT_BF16) {
            const __m512 x_1 = _mm512_set1_ps(row[1]);
            sums[r][0] = _mm512_fmadd_ps(second[0], x_1, sums[r][0]);
            sums[r][1] = _mm512_fmadd_ps(second[1], x_1, sums[r][1]);
        }
    }
}

KERNEL_INLINE void float_tile(enum weight_type type, uint32_t n_rows, const void *w, size_t ahead,
                              uint32_t n_in, const void *x, size_t stride, float *acc) {
    const uint32_t step = type == WEIGHT_BF16 ? 2 : 1;
    const size_t step_bytes = (size_t)PANEL_ROWS * (type == WEIGHT_F16 ? 2 : 4);
    __m512 sums[MOST_FLOAT_ROWS][HALVES];

    KERNEL_UNROLL(16)
    for (uint32_t r = 0; r < n_rows; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n_in; i += step) {
        const char *soon = (const char *)w + i / step * step_bytes + ahead;
        if (ahead != 0) {
            _mm_prefetch(soon, _MM_HINT_T0);
            if (type != WEIGHT_F16)
                _mm_prefetch(soon + 64, _MM_HINT_T0);
        }
        add_inputs(type, n_rows, w, i, x, stride, sums);
    }
    KERNEL_UNROLL(16)
    for (uint32_t r = 0; r < n_rows; r++) {
        float *row = acc + r * PANEL_ROWS;
        _mm512_storeu_ps(row, _mm512_add_ps(_mm512_loadu_ps(row), sums[r][0]));
        _mm512_storeu_ps(row + HALF_ROWS,
                         _mm512_add_ps(_mm512_loadu_ps(row + HALF_ROWS), sums[r][1]));
    }
}

KERNEL_INLINE void float_tile_of(enum weight_type type, const void *w, size_t ahead, uint32_t n_in,
                                 const void *x, size_t stride, uint32_t n_rows, float *acc) {
    switch (n_rows) {
    case 1:
        float_tile(type, 1, w, ahead, n_in, x, stride, acc);
        return;
    case 2:
        float_tile(type, 2, w, ahead, n_in, x, stride, acc);
        return;
    case 3:
        float_tile(type, 3, w, ahead, n_in, x, stride, acc);
        return;
    case 4:
        float_tile(type, 4, w, ahead, n_in, x, stride, acc);
        return;
    case 5:
        float_tile(type, 5, w, ahead, n_in, x, stride, acc);
        return;
    case 6:
        float_tile(type, 6, w, ahead, n_in, x, stride, acc);
        return;
    case 7:
        float_tile(type, 7, w, ahead, n_in, x, stride, acc);
        return;
    case 8:
        float_tile(type, 8, w, ahead, n_in, x, stride, acc);
        return;
    case 9:
        float_tile(type, 9, w, ahead, n_in, x, stride, acc);
        return;
    case 10:
        float_tile(type, 10, w, ahead, n_in, x, stride, acc);
        return;
    case 11:
        float_tile(type, 11, w, ahead, n_in, x, stride, acc);
        return;
    case 12:
        float_tile(type, 12, w, ahead, n_in, x, stride, acc);
        return;
    }
}

static void tile_f32_avx512(const void *w, size_t ahead, uint32_t n_in, const void *x,
                            size_t x_stride, uint32_t n_rows, float *acc) {
    float_tile_of(WEIGHT_F32, w, ahead, n_in, x, x_stride, n_rows, acc);
}

static void tile_f16_avx512(const void *w, size_t ahead, uint32_t n_in, const void *x,
                            size_t x_stride, uint32_t n_rows, float *acc) {
    float_tile_of(WEIGHT_F16, w, ahead, n_in, x, x_stride, n_rows, acc);
}

static void tile_bf16_avx512(const void *w, size_t ahead, uint32_t n_in, const void *x,
                             size_t x_stride, uint32_t n_rows, float *acc) {
    float_tile_of(WEIGHT_BF16, w, ahead, n_in, x, x_stride, n_rows, acc);
}

const struct matmul_ops matmul_ops_avx512 = {
    .name = "avx512",
    .int8_name = "int8 (vnni)",
    .int8_rows = {MOST_INT8_ROWS, MOST_INT8_ROWS, MOST_INT8_ROWS, MOST_HALF_GROUP_ROWS},
    .float_rows = MOST_FLOAT_ROWS,
    .prepare_int8 = prepare_int8_avx512,
    .prepare_bf16 = prepare_bf16_avx512,
    .unpack_codes =
        {[CODE_4] = unpack_4_avx512, [CODE_5] = unpack_5_avx512, [CODE_6] = unpack_6_avx512},
    .unpack_scales = {[SCALE_HALF] = unpack_half_avx512,
                      [SCALE_HALF_MIN] = unpack_half_min_avx512,
                      [SCALE_K] = unpack_k_avx512,
                      [SCALE_Q6_K] = unpack_q6_k_avx512},
    .tile_int8 = {[TILE_CHANNEL] = tile_channel_avx512,
                  [TILE_GROUPS] = tile_groups_avx512,
                  [TILE_MINIMUM] = tile_minimum_avx512,
                  [TILE_HALF_GROUPS] = tile_half_groups_avx512},
    .widen = widen_avx512,
    .tile_f32 = tile_f32_avx512,
    .tile_f16 = tile_f16_avx512,
    .tile_bf16 = tile_bf16_avx512,
    .tile_bf16_dot = tile_bf16_dot_avx512,
};
