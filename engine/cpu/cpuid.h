/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid - which of our instruction sets this processor runs, and how fast its bf16 dot is.
 */
#ifndef KVASIR_ENGINE_CPUID_H
#define KVASIR_ENGINE_CPUID_H

#include <stdbool.h>

struct cpu_features {
    bool avx2;     /* AVX2, FMA, F16C */
    bool avx512;   /* AVX-512 F, BW, DQ, VL and VNNI */
    bool bf16_dot; /* AVX512-BF16, and its dot products outrun f32 FMA */
};

/* Reads the processor and what the system saves of its registers. Any thread, no state. */
struct cpu_features cpu_features(void);

#endif
