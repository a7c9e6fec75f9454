/* SPDX-License-Identifier: Apache-2.0 */
/*
 * narrow - float32 to the two 16-bit formats, rounded to nearest even. quant/half.h widens.
 */
#ifndef KVASIR_ENGINE_NARROW_H
#define KVASIR_ENGINE_NARROW_H

#include <math.h>
#include <stdint.h>

#include "quant/half.h"

#define F16_MAX 65504.0f

static inline uint16_t bf16_from_float(float value) {
    const uint32_t bits = float_bits(value);

    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40); /* quiet: rounding could carry it into infinity */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Values beyond +-65504, infinities too, become +-65504: one large key must not end a stream. */
static inline uint16_t half_from_float_saturated(float value) {
    const uint16_t sign = (uint16_t)(float_bits(value) >> 16 & 0x8000);
    const float magnitude = fabsf(value);

    if (isnan(value))
        return sign | 0x7e00;
    if (magnitude >= F16_MAX)
        return sign | 0x7bff;
    /* Below the normal range the last bit is 2^-24: adding 1.5 * 2^-1 rounds to it exactly. */
    if (magnitude < 0x1p-14f)
        return sign | (uint16_t)(float_bits(magnitude + 0.75f) - float_bits(0.75f));

    const uint32_t bits = float_bits(magnitude);
    const uint32_t rounded = bits + 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)((rounded >> 13) - (112u << 10));
}

#endif
