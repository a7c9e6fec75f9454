/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpuid - see cpuid.h.
 *
 * Whether vdpbf16ps pays is decided by maker, not by a timing loop: a loop on a busy machine can
 * come out either way, and then the same model would give other logits on the next start.
 * Measured: AMD Zen 4 and Zen 5 twice the f32 FMA rate, Intel Sapphire and Emerald Rapids half
 * of it (they expect AMX to be used instead). tests/bench/bench_matmul prints both rates.
 */
#include "cpu/cpuid.h"

#if defined(__x86_64__)

#include <cpuid.h>

/* Not a name that every compiler's __builtin_cpu_supports knows. */
static bool has_f16c(void) {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

struct cpu_features cpu_features(void) {
    __builtin_cpu_init();

    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512vnni");

    return (struct cpu_features){
        .avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c(),
        .avx512 = avx512,
        .bf16_dot = avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd"),
    };
}

#else

struct cpu_features cpu_features(void) {
    return (struct cpu_features){.avx2 = false};
}

#endif
