/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_avx512bf16 - the bf16 dot product, apart from kernel_avx512.c because not every CPU with
 * VNNI has it. Whether it is used is said by cpu_features: on some it is slower than f32 FMA.
 *
 * vdpbf16ps adds two products to a sum; subnormals count as zero and the rounding in between is
 * the processor's. So there is no bit-equal twin: tile_bf16 of kernel_ref.c on activations that
 * were rounded to bf16 is the specification, within a relative 1e-5 of sum |w x| (test_matmul).
 * The order is still fixed: pairs of inputs ascending, partial sums of FLOAT_CHUNK.
 */
#include <immintrin.h>
#include <string.h>

#include "cpu/kernel.h"

enum { MOST_ROWS = 12, LANES = 16 };

/* Nearest, even; an odd last input is followed by a zero. */
void prepare_bf16_avx512(const float *x, uint32_t n_in, uint16_t *row) {
    uint32_t i = 0;

    for (; i + LANES <= n_in; i += LANES) {
        const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
        memcpy(row + i, &rounded, sizeof rounded);
    }
    if (i == n_in)
        return;

    const __mmask16 left = (__mmask16)((1u << (n_in - i)) - 1);
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(left, x + i));
    memcpy(row + i, &rounded, (n_in - i + 1) / 2 * 2 * sizeof *row);
}

/* Two bf16 of a row, in all lanes. */
static inline __m512bh broadcast_2(const uint16_t *row) {
    int32_t two;

    memcpy(&two, row, sizeof two);
    const __m512i all = _mm512_set1_epi32(two);
    __m512bh pairs;
    memcpy(&pairs, &all, sizeof pairs);
    return pairs;
}

static inline __m512bh load_pairs(const uint16_t *w) {
    __m512bh pairs;

    memcpy(&pairs, w, sizeof pairs);
    return pairs;
}

KERNEL_INLINE void dot_tile(uint32_t n_rows, const void *w, size_t ahead, uint32_t n_in,
                            const void *x, size_t stride, float *acc) {
    const uint16_t *pairs = w;
    __m512 sums[MOST_ROWS][2];

    KERNEL_UNROLL(16)
    for (uint32_t r = 0; r < n_rows; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n_in; i += 2) {
        const uint16_t *step = pairs + (size_t)i * PANEL_ROWS;
        const __m512bh pairs_0 = load_pairs(step);
        const __m512bh pairs_1 = load_pairs(step + 2 * LANES);

        if (ahead != 0) {
            _mm_prefetch((const char *)step + ahead, _MM_HINT_T0);
            _mm_prefetch((const char *)step + ahead + 64, _MM_HINT_T0);
        }
        KERNEL_UNROLL(16)
        for (uint32_t r = 0; r < n_rows; r++) {
            const void *row = (const char *)x + r * stride;
            const __m512bh two = broadcast_2((const uint16_t *)row + i);
            sums[r][0] = _mm512_dpbf16_ps(sums[r][0], pairs_0, two);
            sums[r][1] = _mm512_dpbf16_ps(sums[r][1], pairs_1, two);
        }
    }
    KERNEL_UNROLL(16)
    for (uint32_t r = 0; r < n_rows; r++) {
        float *row = acc + r * PANEL_ROWS;
        _mm512_storeu_ps(row, _mm512_add_ps(_mm512_loadu_ps(row), sums[r][0]));
        _mm512_storeu_ps(row + LANES, _mm512_add_ps(_mm512_loadu_ps(row + LANES), sums[r][1]));
    }
}

void tile_bf16_dot_avx512(const void *w, size_t ahead, uint32_t n_in, const void *x,
                          size_t x_stride, uint32_t n_rows, float *acc) {
    switch (n_rows) {
    case 1:
        dot_tile(1, w, ahead, n_in, x, x_stride, acc);
        return;
    case 2:
        dot_tile(2, w, ahead, n_in, x, x_stride, acc);
        return;
    case 3:
        dot_tile(3, w, ahead, n_in, x, x_stride, acc);
        return;
    case 4:
        dot_tile(4, w, ahead, n_in, x, x_stride, acc);
        return;
    case 5:
        dot_tile(5, w, ahead, n_in, x, x_stride, acc);
        return;
    case 6:
        dot_tile(6, w, ahead, n_in, x, x_stride, acc);
        return;
    case 7:
        dot_tile(7, w, ahead, n_in, x, x_stride, acc);
        return;
    case 8:
        dot_tile(8, w, ahead, n_in, x, x_stride, acc);
        return;
    case 9:
        dot_tile(9, w, ahead, n_in, x, x_stride, acc);
        return;
    case 10:
        dot_tile(10, w, ahead, n_in, x, x_stride, acc);
        return;
    case 11:
        dot_tile(11, w, ahead, n_in, x, x_stride, acc);
        return;
    case 12:
        dot_tile(12, w, ahead, n_in, x, x_stride, acc);
        return;
    }
}
