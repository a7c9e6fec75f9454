/* SPDX-License-Identifier: Apache-2.0 */
/*
 * half - the two 16-bit float formats, exactly, without instructions that not every CPU has.
 */
#ifndef KVASIR_ENGINE_HALF_H
#define KVASIR_ENGINE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits) {
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t float_bits(float value) {
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* bfloat16 is the upper half of a float. */
static inline float bf16_to_float(uint16_t bf16) {
    return float_from_bits((uint32_t)bf16 << 16);
}

/*
 * IEEE half: 1 sign, 5 exponent (bias 15), 10 fraction bits. Exact for every value, subnormals
 * and infinities too; NaNs stay NaNs with their payload.
 */
static inline float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;

    if (exponent == 0x1f)
        return float_from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0)
        return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);

    /* Subnormal: fraction * 2^-24, which a float holds exactly. */
    const float magnitude = (float)fraction * 0x1p-24f;

    return float_from_bits(sign | float_bits(magnitude));
}

#endif
