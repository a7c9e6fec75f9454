/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_prepare - a row of f32 activations as int8.
 *
 * Each group: x ~ scale * code, scale = max|x| / 127, code = x * (127 / max|x|) to the nearest
 * (even). A group of zeros, or so small that 127 / max|x| overflows, is all 0. A group that is
 * not finite has codes of 0 and a NaN for its scale, so that the sums it enters are NaN.
 *
 * The walk over the groups is written once. An ISA brings the two loops that need vectors, or
 * takes those at the end; the divisions are made together for all groups, as vectors too.
 */
#ifndef KVASIR_ENGINE_KERNEL_PREPARE_H
#define KVASIR_ENGINE_KERNEL_PREPARE_H

#include <stdbool.h>
#include <string.h>

#include "cpu/kernel.h"
#include "quant/half.h"

/* Greatest magnitude of n floats as bits, which order as integers do; a NaN is above all. */
typedef int32_t (*greatest_fn)(const float *x, uint32_t n);

/* codes = x * inverse to the nearest integer (even), within -127 .. 127; returns their sum. */
typedef int32_t (*round_fn)(const float *x, uint32_t n, float inverse, int8_t *codes);

/* From the greatest magnitudes: scale, and 127 / max|x| into inverse. */
static inline void scales_of_groups(const int32_t *greatest, uint32_t n_groups, float *scale,
                                    float *inverse) {
    for (uint32_t g = 0; g < n_groups; g++) {
        const float amax = float_from_bits((uint32_t)greatest[g]);
        const bool is_finite = greatest[g] < 0x7f800000;
        const bool usable = is_finite && amax >= 0x1p-119f;

        inverse[g] = usable ? 127.0f / amax : 0.0f;
        scale[g] = usable ? amax / 127.0f : is_finite ? 0.0f : float_from_bits(0x7fc00000u);
    }
}

KERNEL_INLINE void prepare_int8_row(greatest_fn greatest, round_fn round_codes, const float *x,
                                    uint32_t n_in, uint32_t group, void *row) {
    const uint32_t n_groups = (n_in + group - 1) / group;
    const struct int8_row_layout layout = int8_row_layout(n_groups * group, group);
    int8_t *codes = row;
    float *scale = (float *)(void *)((char *)row + layout.scale);
    int32_t *start = (int32_t *)(void *)((char *)row + layout.start);
    int32_t *start_half = (int32_t *)(void *)((char *)row + layout.start_half);
    float *scaled_sum = (float *)(void *)((char *)row + layout.scaled_sum);
    float *inverse = scaled_sum; /* until a group's sum is known */
    float tail[CHANNEL_GROUP] = {0};

    if (n_in % group != 0)
        memcpy(tail, x + n_in / group * group, n_in % group * sizeof *tail);

    for (uint32_t g = 0; g < n_groups; g++)
        start[g] = greatest((g + 1) * group <= n_in ? x + g * group : tail, group);
    scales_of_groups(start, n_groups, scale, inverse);

    for (uint32_t g = 0; g < n_groups; g++) {
        static const float zeros[CHANNEL_GROUP];
        const float *src = (g + 1) * group <= n_in ? x + g * group : tail;
        if (scale[g] != scale[g])
            src = zeros;

        int8_t *first = codes + g * group;
        const int32_t sum_0 = round_codes(src, group / 2, inverse[g], first);
        const int32_t sum_1 =
            round_codes(src + group / 2, group / 2, inverse[g], first + group / 2);
        start[g] = -128 * (sum_0 + sum_1);
        start_half[g] = -128 * sum_0;
        scaled_sum[g] = scale[g] * (float)(sum_0 + sum_1);
    }
}

static inline int32_t greatest_plain(const float *x, uint32_t n) {
    int32_t greatest = 0;

    for (uint32_t i = 0; i < n; i++) {
        const int32_t magnitude = (int32_t)(float_bits(x[i]) & 0x7fffffffu);
        greatest = magnitude > greatest ? magnitude : greatest;
    }
    return greatest;
}

static inline int32_t round_plain(const float *x, uint32_t n, float inverse, int8_t *codes) {
    const float round_even = 12582912.0f; /* 1.5 * 2^23: an integer added stands in the fraction */
    int32_t sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        const uint32_t code = float_bits(x[i] * inverse + round_even) - float_bits(round_even);
        codes[i] = (int8_t)code;
        sum += (int32_t)code;
    }
    return sum;
}

#endif
