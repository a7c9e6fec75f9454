/* SPDX-License-Identifier: Apache-2.0 */
/* version - which build this is: number, commit, compiler, and what the processor offers. */
#include <stdio.h>

#include "cli.h"
#include "commit.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

const char *version_number(void) {
    return KVASIR_VERSION;
}

#if defined(__x86_64__)
static const char *best_isa(void) {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        return __builtin_cpu_supports("avx512vnni") ? "x86-64, AVX-512 with VNNI"
                                                    : "x86-64, AVX-512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "x86-64, AVX2";
    return "x86-64";
}
#else
static const char *best_isa(void) {
    return "portable";
}
#endif

void version_print(void) {
    const char *commit = KVASIR_COMMIT;
    (void)printf("kvasir %s%s%s%s\n", KVASIR_VERSION, commit[0] ? " (" : "", commit,
                 commit[0] ? ")" : "");                /* a closed standard output */
    (void)printf("compiler: %s\n", COMPILER);          /* is found when main */
    (void)printf("instruction set: %s\n", best_isa()); /* flushes it */
}
