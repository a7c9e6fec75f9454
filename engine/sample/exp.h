/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exp - e^z for z <= 0, written so that a compiler vectorises the loop around it.
 *
 * z = n ln2 + r with |r| <= ln2/2, e^r by its Taylor polynomial of degree 7, 2^n by the exponent
 * bits. Relative error below 3e-7; below z = -87 the result is 0. NaN gives an unspecified value.
 */
#ifndef KVASIR_ENGINE_EXP_H
#define KVASIR_ENGINE_EXP_H

#include <stdint.h>
#include <string.h>

static inline float exp_nonpositive(float z) {
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: adding it rounds to the nearest integer */
    const float ln2_high = 0.693359375f;  /* few bits, so that n * ln2_high is exact */
    const float ln2_low = -2.12194440e-4f;

    const float clamped = z > -87.0f ? z : -87.0f;
    const float n = (clamped * 1.44269504f + to_integer) - to_integer;
    const float r = (clamped - n * ln2_high) - n * ln2_low;

    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;

    const int32_t bits = ((int32_t)n + 127) << 23; /* n >= -126 */
    float power;
    memcpy(&power, &bits, sizeof power);
    return z > -87.0f ? p * power : 0.0f;
}

#endif
