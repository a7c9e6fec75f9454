/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - which instruction set serves; see ops.h.
 */
#include "cpu/ops.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "cpu/cpuid.h"

enum level { LEVEL_REF, LEVEL_AVX2, LEVEL_AVX512, LEVELS };

static bool cpu_has(enum level level) {
    const struct cpu_features cpu = cpu_features();

    return level == LEVEL_AVX512 ? cpu.avx512 : level == LEVEL_AVX2 ? cpu.avx2 : true;
}

#if defined(__x86_64__)
static void fill(struct ops *ops, enum level level) {
    ops_fill_ref(ops);
    if (level >= LEVEL_AVX2)
        ops_override_avx2(ops);
    if (level >= LEVEL_AVX512)
        ops_override_avx512(ops);
}
#else
static void fill(struct ops *ops, enum level level) {
    (void)level; /* there is only one */
    ops_fill_ref(ops);
}
#endif

int ops_init(struct ops *ret_ops, const char *isa, struct error *reterr) {
    static const char *const names[LEVELS] = {"ref", "avx2", "avx512"};

    for (int level = LEVELS - 1; level >= 0; level--) {
        if (isa && strcmp(isa, names[level]) != 0)
            continue;
        if (cpu_has((enum level)level)) {
            fill(ret_ops, (enum level)level);
            return 0;
        }
        if (isa)
            return error_set_param(reterr, -ENOTSUP, "isa", "this CPU has no %s", isa);
    }
    return error_set_param(reterr, -EINVAL, "isa", "isa must be ref, avx2 or avx512, not %s", isa);
}
