/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_prepare - a row of f32 activations as int8, written once for all ISAs.
 *
 * Every kernel_<isa>.c includes this, so that the compiler makes vectors of that ISA from it: the
 * loops are over whole groups and compare and round as integers, which needs no -ffast-math.
 */
#ifndef KVASIR_ENGINE_KERNEL_PREPARE_H
#define KVASIR_ENGINE_KERNEL_PREPARE_H

#include <string.h>

#include "cpu/kernel.h"
#include "quant/half.h"

/*
 * One group: x ~ scale * code, scale = max|x| / 127, code = x * (127 / max|x|) to the nearest
 * (even). A group of zeros, or so small that 127 / max|x| overflows, is all 0. A group that is
 * not finite has a NaN for its scale, so that the sums it enters are NaN too.
 */
static inline float prepare_int8_group(const float *x, uint32_t group, int8_t *codes) {
    const float round_even = 12582912.0f; /* 1.5 * 2^23: an integer added stands in the fraction */
    int32_t greatest = 0;

    for (uint32_t i = 0; i < group; i++) {
        const int32_t magnitude = (int32_t)(float_bits(x[i]) & 0x7fffffffu);
        greatest = magnitude > greatest ? magnitude : greatest;
    }

    const float amax = float_from_bits((uint32_t)greatest);
    const bool is_finite = greatest < 0x7f800000;
    const bool usable = is_finite && amax >= 0x1p-119f;
    const float inverse = usable ? 127.0f / amax : 0.0f;

    for (uint32_t i = 0; i < group; i++)
        codes[i] = (int8_t)(float_bits(x[i] * inverse + round_even) - float_bits(round_even));
    return usable ? amax / 127.0f : is_finite ? 0.0f : float_from_bits(0x7fc00000u);
}

static inline int32_t sum_codes(const int8_t *codes, uint32_t n) {
    int32_t sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += codes[i];
    return sum;
}

static inline void prepare_int8_row(const float *x, uint32_t n_in, uint32_t group, void *row) {
    const uint32_t padded = (n_in + group - 1) / group * group;
    const struct int8_row_layout layout = int8_row_layout(padded, group);
    int8_t *codes = row;
    float *scale = (float *)(void *)((char *)row + layout.scale);
    int32_t *start = (int32_t *)(void *)((char *)row + layout.start);
    int32_t *start_half = (int32_t *)(void *)((char *)row + layout.start_half);
    float *scaled_sum = (float *)(void *)((char *)row + layout.scaled_sum);

    for (uint32_t g = 0; g < padded / group; g++) {
        const uint32_t first = g * group;
        float tail[CHANNEL_GROUP] = {0};
        const float *src = x + first;

        if (first + group > n_in) {
            memcpy(tail, src, (n_in - first) * sizeof *tail);
            src = tail;
        }
        scale[g] = prepare_int8_group(src, group, codes + first);
        const int32_t half_sum = sum_codes(codes + first, group / 2);
        const int32_t sum = half_sum + sum_codes(codes + first + group / 2, group / 2);
        start[g] = -128 * sum;
        start_half[g] = -128 * half_sum;
        scaled_sum[g] = scale[g] * (float)sum;
    }
}

#endif
