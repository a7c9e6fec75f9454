/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp2 - 2^x for softmax and SiLU, the same bits on every instruction set.
 *
 *   n = x rounded to an integer (ties to even), f = x - n in [-1/2, 1/2]
 *   2^f = 1 + f g(f), g a polynomial of degree 5 (Chebyshev interpolation of (2^f - 1) / f)
 *
 * The polynomial is within 9e-9 of 2^f; with float32 rounding the result is within 0.6 ulp
 * (measured from -125 to 127; test_ops.c allows 2). exp2(0) is exactly 1. Below -125 the result
 * is 0, above 127 it is 2^127, NaN stays NaN. The vector forms in ops_avx*.c follow these lines
 * one for one.
 */
#ifndef KVASIR_ENGINE_EXP2_H
#define KVASIR_ENGINE_EXP2_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define EXP2_C1 0x1.62e43p-1f
#define EXP2_C2 0x1.ebfbep-3f
#define EXP2_C3 0x1.c6af6cp-5f
#define EXP2_C4 0x1.3b2a1cp-7f
#define EXP2_C5 0x1.5f0896p-10f
#define EXP2_C6 0x1.444004p-13f

#define EXP2_MIN (-125.0f)
#define EXP2_MAX 127.0f

#define LOG2_E 1.44269504088896340736f

static inline float exp2_approx(float x) {
    if (isnan(x))
        return x;
    if (x < EXP2_MIN)
        return 0.0f;

    const float clamped = x > EXP2_MAX ? EXP2_MAX : x;
    const float n = rintf(clamped);
    const float f = clamped - n;
    float g = fmaf(EXP2_C6, f, EXP2_C5);
    g = fmaf(g, f, EXP2_C4);
    g = fmaf(g, f, EXP2_C3);
    g = fmaf(g, f, EXP2_C2);
    g = fmaf(g, f, EXP2_C1);
    const float mantissa = fmaf(g, f, 1.0f);

    /* mantissa is in [0.7, 1.42], so adding n to its exponent field cannot overflow */
    uint32_t bits;
    memcpy(&bits, &mantissa, sizeof bits);
    bits += (uint32_t)(int32_t)n << 23;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

#endif
