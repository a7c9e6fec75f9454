/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_avx2 - AVX2 with FMA and F16C. What each function computes is said in kernel_ref.c, and
 * all of it has equal bits here; layouts are in pack.h. A step is four registers of 8 rows
 * ("quarters"); the int8 tile takes two of them at a time, for there are only 16 registers.
 *
 * Without a 4-way dot product the int8 tile uses vpmaddubsw, u8 times s8 with pairs summed in 16
 * bits, which saturate above 2 * 128 * 127. So weights become |w| <= 128 and their sign goes to
 * x: then no sum can saturate and the integers are exact. The sums of weights + 128 are not
 * needed (starts are 0).
 */
#include <immintrin.h>

#include "cpu/kernel.h"
#include "cpu/kernel_prepare.h"
#include "cpu/kernel_x86.h"

enum {
    GROUP_STEPS = 8,
    HALF_STEPS = 4,
    QUARTERS = 4,
    QUARTER_ROWS = 8,
    QUARTER_BYTES = 32,
    TWO = 2, /* quarters in an int8 tile */
    MOST_INT8_ROWS = 3,
    MOST_FLOAT_ROWS = 3,
};

/* n is 16 or 32. */
static inline int32_t greatest_avx2(const float *x, uint32_t n) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i most = _mm256_setzero_si256();

    for (uint32_t i = 0; i < n; i += QUARTER_ROWS) {
        const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i));
        most = _mm256_max_epi32(most, _mm256_and_si256(bits, magnitude));
    }
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

static inline int32_t round_avx2(const float *x, uint32_t n, float inverse, int8_t *codes) {
    const __m256 factor = _mm256_set1_ps(inverse);
    __m256i sum = _mm256_setzero_si256();

    for (uint32_t i = 0; i < n; i += QUARTER_ROWS) {
        const __m256i code = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        const __m128i words =
            _mm_packs_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
        _mm_storel_epi64((__m128i *)(void *)(codes + i), _mm_packs_epi16(words, words));
        sum = _mm256_add_epi32(sum, code);
    }
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
    return _mm_cvtsi128_si32(four);
}

static void prepare_int8_avx2(const float *x, uint32_t n_in, uint32_t group, void *row) {
    if (group == GROUP) /* a constant length unrolls the loops */
        prepare_int8_row(greatest_avx2, round_avx2, x, n_in, GROUP, row);
    else
        prepare_int8_row(greatest_avx2, round_avx2, x, n_in, CHANNEL_GROUP, row);
}

/* ---- unpack ---- */

static inline __m256i load_quarter(const uint8_t *bytes) {
    return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

static inline void store_quarter(uint8_t *bytes, __m256i v) {
    _mm256_storeu_si256((__m256i *)(void *)bytes, v);
}

/* Shifts 16-bit lanes; the bits that cross into the other byte are masked away by the caller. */
static inline __m256i shift_right(__m256i v, int n) {
    return _mm256_srl_epi16(v, _mm_cvtsi32_si128(n));
}

static inline __m256i shift_left(__m256i v, int n) {
    return _mm256_sll_epi16(v, _mm_cvtsi32_si128(n));
}

/* Nibbles of step t of a group; `codes` at this quarter of the group's first stored step. */
static inline __m256i nibbles(const uint8_t *codes, int t) {
    const __m256i both = load_quarter(codes + t % HALF_STEPS * STEP_BYTES);

    return _mm256_and_si256(t < HALF_STEPS ? both : shift_right(both, 4), _mm256_set1_epi8(15));
}

static void unpack_4_avx2(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                          uint32_t n_groups, uint8_t *out) {
    const __m256i add = _mm256_set1_epi8((char)bias);

    (void)highs; /* codes of 4 bits have none */
    for (uint32_t i = 0; i < n_groups * QUARTERS; i++) {
        const uint8_t *src =
            codes + i / QUARTERS * HALF_STEPS * STEP_BYTES + i % QUARTERS * QUARTER_BYTES;
        uint8_t *dst = out + i / QUARTERS * GROUP_STEPS * STEP_BYTES + i % QUARTERS * QUARTER_BYTES;

        if (i % QUARTERS == 0)
            prefetch_ahead(src, HALF_STEPS * STEP_BYTES);
        KERNEL_UNROLL(8)
        for (int t = 0; t < GROUP_STEPS; t++)
            store_quarter(dst + t * STEP_BYTES, _mm256_add_epi8(nibbles(src, t), add));
    }
}

static void unpack_5_avx2(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                          uint32_t n_groups, uint8_t *out) {
    const __m256i add = _mm256_set1_epi8((char)bias);
    const __m256i bit_4 = _mm256_set1_epi8(16);

    for (uint32_t i = 0; i < n_groups * QUARTERS; i++) {
        const uint8_t *src =
            codes + i / QUARTERS * HALF_STEPS * STEP_BYTES + i % QUARTERS * QUARTER_BYTES;
        uint8_t *dst = out + i / QUARTERS * GROUP_STEPS * STEP_BYTES + i % QUARTERS * QUARTER_BYTES;
        const __m256i bits = load_quarter(highs + i * QUARTER_BYTES);

        if (i % QUARTERS == 0)
            prefetch_ahead(src, HALF_STEPS * STEP_BYTES);
        KERNEL_UNROLL(8)
        for (int t = 0; t < GROUP_STEPS; t++) {
            const __m256i moved = t < 4 ? shift_left(bits, 4 - t) : shift_right(bits, t - 4);
            const __m256i code = _mm256_or_si256(nibbles(src, t), _mm256_and_si256(moved, bit_4));
            store_quarter(dst + t * STEP_BYTES, _mm256_add_epi8(code, add));
        }
    }
}

static void unpack_6_avx2(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                          uint32_t n_groups, uint8_t *out) {
    const __m256i add = _mm256_set1_epi8((char)bias);
    const __m256i bits_45 = _mm256_set1_epi8(48);

    for (uint32_t i = 0; i < n_groups * QUARTERS; i++) {
        const uint8_t *src =
            codes + i / QUARTERS * HALF_STEPS * STEP_BYTES + i % QUARTERS * QUARTER_BYTES;
        const uint8_t *high = highs + i / QUARTERS * 2 * STEP_BYTES + i % QUARTERS * QUARTER_BYTES;
        uint8_t *dst = out + i / QUARTERS * GROUP_STEPS * STEP_BYTES + i % QUARTERS * QUARTER_BYTES;

        if (i % QUARTERS == 0)
            prefetch_ahead(src, HALF_STEPS * STEP_BYTES);
        KERNEL_UNROLL(8)
        for (int t = 0; t < GROUP_STEPS; t++) {
            const __m256i bits = load_quarter(high + t / 4 * STEP_BYTES);
            const int left = 4 - 2 * (t % 4);
            const __m256i moved = left >= 0 ? shift_left(bits, left) : shift_right(bits, -left);
            const __m256i code = _mm256_or_si256(nibbles(src, t), _mm256_and_si256(moved, bits_45));
            store_quarter(dst + t * STEP_BYTES, _mm256_add_epi8(code, add));
        }
    }
}

static inline __m256 load_halfs(const uint8_t *halfs) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)halfs));
}

static void unpack_half_avx2(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                             float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups * PANEL_ROWS * 2);
    (void)ret_mins; /* these types have none */
    for (uint32_t i = 0; i < n_groups * PANEL_ROWS; i += QUARTER_ROWS)
        _mm256_storeu_ps(ret_scales + i, load_halfs(scales + ((size_t)first * PANEL_ROWS + i) * 2));
}

static void unpack_half_min_avx2(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                                 float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups * PANEL_ROWS * 4);
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t o = 0; o < PANEL_ROWS; o += QUARTER_ROWS) {
            const uint8_t *group = scales + (size_t)(first + g) * PANEL_ROWS * 4 + o * 2;
            _mm256_storeu_ps(ret_scales + g * PANEL_ROWS + o, load_halfs(group));
            _mm256_storeu_ps(ret_mins + g * PANEL_ROWS + o, load_halfs(group + PANEL_ROWS * 2));
        }
}

/* out[16] = factors (f16) * values (signed bytes), or minus that. */
static inline void scale_bytes(const uint8_t *factors, __m128i values, float sign, float *out) {
    const __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(values));
    const __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(values, 8)));
    const __m256 signs = _mm256_set1_ps(sign);

    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_mul_ps(load_halfs(factors), signs), low));
    _mm256_storeu_ps(out + QUARTER_ROWS,
                     _mm256_mul_ps(_mm256_mul_ps(load_halfs(factors + 16), signs), high));
}

static void unpack_k_avx2(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                          float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups / 8 * K_SCALES_BYTES);
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t o = 0; o < PANEL_ROWS; o += TWO * QUARTER_ROWS) {
            const uint8_t *super = scales + (size_t)((first + g) / 8) * K_SCALES_BYTES;
            __m128i sc;
            __m128i m;

            k_scale_min_16(super + PANEL_ROWS * 4 + o, (first + g) % 8, &sc, &m);
            scale_bytes(super + o * 2, sc, 1.0f, ret_scales + g * PANEL_ROWS + o);
            scale_bytes(super + (PANEL_ROWS + o) * 2, m, -1.0f, ret_mins + g * PANEL_ROWS + o);
        }
}

static void unpack_q6_k_avx2(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                             float *ret_scales, float *ret_mins) {
    prefetch_ahead(scales, n_groups / 8 * Q6_K_SCALES_BYTES);
    (void)ret_mins; /* has none */
    for (uint32_t h = 0; h < 2 * n_groups; h++)
        for (uint32_t o = 0; o < PANEL_ROWS; o += TWO * QUARTER_ROWS) {
            const uint32_t half = 2 * first + h;
            const uint8_t *super = scales + (size_t)(half / 16) * Q6_K_SCALES_BYTES;
            const uint8_t *sc = super + PANEL_ROWS * 2 + half % 16 * PANEL_ROWS + o;
            const __m128i values = _mm_loadu_si128((const __m128i *)(const void *)sc);
            scale_bytes(super + o * 2, values, 1.0f, ret_scales + h * PANEL_ROWS + o);
        }
}

static void widen_avx2(const uint8_t *codes, const float *scales, const float *mins,
                       uint32_t n_per_scale, uint32_t n_in, float *out) {
    const __m256i byte = _mm256_set1_epi32(255);
    const __m256i zero_point = _mm256_set1_epi32(128);

    for (uint32_t i = 0; i < n_in; i += 4)
        for (uint32_t o = 0; o < PANEL_ROWS; o += QUARTER_ROWS) {
            const uint32_t s = i / n_per_scale * PANEL_ROWS + o;
            const __m256 scale = _mm256_loadu_ps(scales + s);
            const __m256 min = mins ? _mm256_loadu_ps(mins + s) : _mm256_set1_ps(-0.0f);
            __m256i four = load_quarter(codes + (size_t)i * PANEL_ROWS + o * 4);

            for (uint32_t j = 0; j < 4; j++) {
                const __m256i code = _mm256_sub_epi32(_mm256_and_si256(four, byte), zero_point);
                const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(code), scale);
                _mm256_storeu_ps(out + (size_t)(i + j) * PANEL_ROWS + o,
                                 _mm256_add_ps(product, min));
                four = _mm256_srli_epi32(four, 8);
            }
        }
}

/* ---- int8 tiles ---- */

/* The sums of n_rows rows (a constant) and two quarters over some steps of codes. */
KERNEL_INLINE void add_dots(__m256i dots[][TWO], uint32_t n_rows, int n_steps, const uint8_t *w,
                            const int8_t *x, size_t stride) {
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i top = _mm256_set1_epi8((char)0x80);

    KERNEL_UNROLL(16)
    for (int t = 0; t < n_steps; t++) {
        KERNEL_UNROLL(2)
        for (int h = 0; h < TWO; h++) {
            const __m256i weights =
                _mm256_xor_si256(load_quarter(w + t * STEP_BYTES + h * QUARTER_BYTES), top);
            const __m256i size = _mm256_abs_epi8(weights);

            KERNEL_UNROLL(4)
            for (uint32_t r = 0; r < n_rows; r++) {
                int32_t four;
                memcpy(&four, x + r * stride + t * 4, sizeof four);
                const __m256i turned = _mm256_sign_epi8(_mm256_set1_epi32(four), weights);
                const __m256i pairs = _mm256_maddubs_epi16(size, turned);
                dots[r][h] = _mm256_add_epi32(dots[r][h], _mm256_madd_epi16(pairs, ones));
            }
        }
    }
}

/* One group of two quarters, from row o on: see add_group in kernel_ref.c. */
KERNEL_INLINE void add_group(enum int8_tile_kind kind, uint32_t n_rows, const struct int8_chunk *w,
                             uint32_t o, const struct int8_rows *x, uint32_t g,
                             __m256 sums[][TWO]) {
    const uint32_t group = kind == TILE_CHANNEL ? CHANNEL_GROUP : GROUP;
    const uint32_t n_parts = kind == TILE_HALF_GROUPS ? 2 : 1;
    __m256 products[MOST_INT8_ROWS][TWO];

    KERNEL_UNROLL(2)
    for (uint32_t part = 0; part < n_parts; part++) {
        const uint32_t first = g * group + part * (group / n_parts);
        __m256i dots[MOST_INT8_ROWS][TWO];

        KERNEL_UNROLL(4)
        for (uint32_t r = 0; r < n_rows; r++)
            dots[r][0] = dots[r][1] = _mm256_setzero_si256();
        add_dots(dots, n_rows, (int)(group / n_parts / 4),
                 w->codes + (size_t)first * PANEL_ROWS + o * 4, x->codes + first, x->stride);

        KERNEL_UNROLL(2)
        for (uint32_t h = 0; h < TWO; h++) {
            const uint32_t s = (g * n_parts + part) * PANEL_ROWS + o + h * QUARTER_ROWS;

            KERNEL_UNROLL(4)
            for (uint32_t r = 0; r < n_rows; r++) {
                const __m256 dot = _mm256_cvtepi32_ps(dots[r][h]);
                if (kind == TILE_CHANNEL)
                    products[r][h] = dot;
                else if (part == 0)
                    products[r][h] = _mm256_mul_ps(dot, _mm256_loadu_ps(w->scales + s));
                else
                    products[r][h] =
                        _mm256_fmadd_ps(dot, _mm256_loadu_ps(w->scales + s), products[r][h]);
            }
        }
    }

    KERNEL_UNROLL(4)
    for (uint32_t r = 0; r < n_rows; r++) {
        const __m256 scale = _mm256_set1_ps(row_float(x->scale, x->stride, r, g));

        KERNEL_UNROLL(2)
        for (uint32_t h = 0; h < TWO; h++) {
            sums[r][h] = _mm256_fmadd_ps(products[r][h], scale, sums[r][h]);
            if (kind == TILE_MINIMUM) {
                const uint32_t s = g * PANEL_ROWS + o + h * QUARTER_ROWS;
                const float scaled_sum = row_float(x->scaled_sum, x->stride, r, g);
                sums[r][h] = _mm256_fmadd_ps(_mm256_loadu_ps(w->mins + s),
                                             _mm256_set1_ps(scaled_sum), sums[r][h]);
            }
        }
    }
}

/* A tile whose number of rows is a constant, so that the sums live in registers. */
KERNEL_INLINE void int8_tile(enum int8_tile_kind kind, uint32_t n_rows, const struct int8_chunk *w,
                             const struct int8_rows *x, float *acc) {
    for (uint32_t o = 0; o < PANEL_ROWS; o += TWO * QUARTER_ROWS) {
        float *part = acc + o;
        __m256 sums[MOST_INT8_ROWS][TWO];

        KERNEL_UNROLL(4)
        for (uint32_t r = 0; r < n_rows; r++) {
            sums[r][0] = _mm256_loadu_ps(part + r * PANEL_ROWS);
            sums[r][1] = _mm256_loadu_ps(part + r * PANEL_ROWS + QUARTER_ROWS);
        }
        for (uint32_t g = 0; g < w->n_groups; g++) {
            if (o == 0)
                prefetch_soon(w, g);
            add_group(kind, n_rows, w, o, x, g, sums);
        }
        KERNEL_UNROLL(4)
        for (uint32_t r = 0; r < n_rows; r++) {
            _mm256_storeu_ps(part + r * PANEL_ROWS, sums[r][0]);
            _mm256_storeu_ps(part + r * PANEL_ROWS + QUARTER_ROWS, sums[r][1]);
        }
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
    }
}

static void tile_channel_avx2(const struct int8_chunk *w, const struct int8_rows *x,
                              uint32_t n_rows, float *acc) {
    int8_tile_of(TILE_CHANNEL, w, x, n_rows, acc);
}

static void tile_groups_avx2(const struct int8_chunk *w, const struct int8_rows *x, uint32_t n_rows,
                             float *acc) {
    int8_tile_of(TILE_GROUPS, w, x, n_rows, acc);
}

static void tile_minimum_avx2(const struct int8_chunk *w, const struct int8_rows *x,
                              uint32_t n_rows, float *acc) {
    int8_tile_of(TILE_MINIMUM, w, x, n_rows, acc);
}

static void tile_half_groups_avx2(const struct int8_chunk *w, const struct int8_rows *x,
                                  uint32_t n_rows, float *acc) {
    int8_tile_of(TILE_HALF_GROUPS, w, x, n_rows, acc);
}

/* ---- float tiles: all four quarters together ---- */

KERNEL_INLINE void add_inputs(enum weight_type type, uint32_t n_rows, const uint8_t *w, uint32_t i,
                              const float *x, size_t stride, __m256 sums[][QUARTERS]) {
    KERNEL_UNROLL(4)
    for (uint32_t h = 0; h < QUARTERS; h++) {
        const size_t at = (size_t)i * PANEL_ROWS;
        const uint32_t o = h * QUARTER_ROWS;
        __m256 first;
        __m256 second = _mm256_setzero_ps();

        if (type == WEIGHT_F32) {
            first = _mm256_loadu_ps((const float *)(const void *)w + at + o);
        } else if (type == WEIGHT_F16) {
            first = load_halfs(w + (at + o) * 2);
        } else {
            const __m256i both = load_quarter(w + at * 2 + o * 4);
            first = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
            second =
                _mm256_castsi256_ps(_mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000u)));
        }

        KERNEL_UNROLL(4)
        for (uint32_t r = 0; r < n_rows; r++) {
            const float *row = (const float *)(const void *)((const char *)x + r * stride) + i;
            sums[r][h] = _mm256_fmadd_ps(first, _mm256_set1_ps(row[0]), sums[r][h]);
            if (type == WEIGHT_BF16)
                sums[r][h] = _mm256_fmadd_ps(second, _mm256_set1_ps(row[1]), sums[r][h]);
        }
    }
}

KERNEL_INLINE void float_tile(enum weight_type type, uint32_t n_rows, const void *w, size_t ahead,
                              uint32_t n_in, const void *x, size_t stride, float *acc) {
    const uint32_t step = type == WEIGHT_BF16 ? 2 : 1;
    const size_t step_bytes = (size_t)PANEL_ROWS * (type == WEIGHT_F16 ? 2 : 4);
    __m256 sums[MOST_FLOAT_ROWS][QUARTERS];

    KERNEL_UNROLL(4)
    for (uint32_t r = 0; r < n_rows; r++) {
        KERNEL_UNROLL(4)
        for (uint32_t h = 0; h < QUARTERS; h++)
            sums[r][h] = _mm256_setzero_ps();
    }
    for (uint32_t i = 0; i < n_in; i += step) {
        const char *soon = (const char *)w + i / step * step_bytes + ahead;
        if (ahead != 0) {
            _mm_prefetch(soon, _MM_HINT_T0);
            if (type != WEIGHT_F16)
                _mm_prefetch(soon + 64, _MM_HINT_T0);
        }
        add_inputs(type, n_rows, w, i, x, stride, sums);
    }
    KERNEL_UNROLL(4)
    for (uint32_t r = 0; r < n_rows; r++) {
        KERNEL_UNROLL(4)
        for (uint32_t h = 0; h < QUARTERS; h++) {
            float *part = acc + r * PANEL_ROWS + h * QUARTER_ROWS;
            _mm256_storeu_ps(part, _mm256_add_ps(_mm256_loadu_ps(part), sums[r][h]));
        }
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
    }
}

static void tile_f32_avx2(const void *w, size_t ahead, uint32_t n_in, const void *x,
                          size_t x_stride, uint32_t n_rows, float *acc) {
    float_tile_of(WEIGHT_F32, w, ahead, n_in, x, x_stride, n_rows, acc);
}

static void tile_f16_avx2(const void *w, size_t ahead, uint32_t n_in, const void *x,
                          size_t x_stride, uint32_t n_rows, float *acc) {
    float_tile_of(WEIGHT_F16, w, ahead, n_in, x, x_stride, n_rows, acc);
}

static void tile_bf16_avx2(const void *w, size_t ahead, uint32_t n_in, const void *x,
                           size_t x_stride, uint32_t n_rows, float *acc) {
    float_tile_of(WEIGHT_BF16, w, ahead, n_in, x, x_stride, n_rows, acc);
}

const struct matmul_ops matmul_ops_avx2 = {
    .name = "avx2",
    .int8_name = "int8 (avx2)",
    .int8_rows = {MOST_INT8_ROWS, MOST_INT8_ROWS, MOST_INT8_ROWS, MOST_INT8_ROWS},
    .float_rows = MOST_FLOAT_ROWS,
    .prepare_int8 = prepare_int8_avx2,
    .unpack_codes = {[CODE_4] = unpack_4_avx2, [CODE_5] = unpack_5_avx2, [CODE_6] = unpack_6_avx2},
    .unpack_scales = {[SCALE_HALF] = unpack_half_avx2,
                      [SCALE_HALF_MIN] = unpack_half_min_avx2,
                      [SCALE_K] = unpack_k_avx2,
                      [SCALE_Q6_K] = unpack_q6_k_avx2},
    .tile_int8 = {[TILE_CHANNEL] = tile_channel_avx2,
                  [TILE_GROUPS] = tile_groups_avx2,
                  [TILE_MINIMUM] = tile_minimum_avx2,
                  [TILE_HALF_GROUPS] = tile_half_groups_avx2},
    .widen = widen_avx2,
    .tile_f32 = tile_f32_avx2,
    .tile_f16 = tile_f16_avx2,
    .tile_bf16 = tile_bf16_avx2,
};
