/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_x86 - what the AVX2 and AVX-512 kernels have in common: 16 bytes at a time.
 */
#ifndef KVASIR_ENGINE_KERNEL_X86_H
#define KVASIR_ENGINE_KERNEL_X86_H

#include <immintrin.h>

#include "cpu/kernel.h"

/* Asks for what comes AHEAD_BYTES after some bytes that are read now. */
static inline void prefetch_ahead(const uint8_t *bytes, uint32_t n_bytes) {
    for (uint32_t i = 0; i < n_bytes; i += 64)
        _mm_prefetch((const char *)bytes + AHEAD_BYTES + i, _MM_HINT_T0);
}

/* What a chunk wants prefetched with group g. */
static inline void prefetch_soon(const struct int8_chunk *w, uint32_t g) {
    for (uint32_t i = 0; i < w->soon_bytes; i += 64)
        _mm_prefetch((const char *)w->soon + (size_t)g * w->soon_bytes + i, _MM_HINT_T0);
}

static inline __m128i load_16(const uint8_t *packed, uint32_t i) {
    return _mm_loadu_si128((const __m128i *)(const void *)(packed + (size_t)i * PANEL_ROWS));
}

/* k_scale_min (quant/blocks.h) for 16 rows; packed: [12][PANEL_ROWS], at their column. */
static inline void k_scale_min_16(const uint8_t *packed, uint32_t group, __m128i *ret_scale,
                                  __m128i *ret_min) {
    const __m128i low_6 = _mm_set1_epi8(63);
    const __m128i low_4 = _mm_set1_epi8(15);
    const __m128i bits_45 = _mm_set1_epi8(48);

    if (group < 4) {
        *ret_scale = _mm_and_si128(load_16(packed, group), low_6);
        *ret_min = _mm_and_si128(load_16(packed, group + 4), low_6);
        return;
    }
    const __m128i both = load_16(packed, group + 4);
    const __m128i scale_high = _mm_srli_epi16(load_16(packed, group - 4), 2);
    const __m128i min_high = _mm_srli_epi16(load_16(packed, group), 2);
    *ret_scale = _mm_or_si128(_mm_and_si128(both, low_4), _mm_and_si128(scale_high, bits_45));
    *ret_min = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(both, 4), low_4),
                            _mm_and_si128(min_high, bits_45));
}

#endif
