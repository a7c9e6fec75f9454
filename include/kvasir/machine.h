/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine - the cores and the memory that this process may really use.
 *
 * A container sees the files of its host: what counts is the smallest of the hardware, the
 * affinity mask and the limits of every control group above the process (v1 and v2). Linux.
 */
#ifndef KVASIR_MACHINE_H
#define KVASIR_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/error.h"

struct machine {
    uint32_t n_cpus;        /* online */
    uint32_t n_usable_cpus; /* allowed by the affinity mask and whole ones of the quota; >= 1 */
    uint64_t memory_total;  /* bytes: of the hardware, or the control group's limit if lower */
    uint64_t memory_free;   /* bytes that can be taken without swapping, under the same limit */
    bool cpu_limited;       /* by the mask or a quota */
    bool memory_limited;    /* by a control group */
};

/*
 * Reads /proc and /sys beneath root ("" for the real ones; a folder in tests). What cannot be read
 * does not limit. -ENOENT and others if /proc/meminfo or /proc/self/status cannot be read.
 */
int machine_read(const char *root, struct machine *ret_machine, struct error *reterr) KV_MUST_CHECK;

#endif
