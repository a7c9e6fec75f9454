/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_peak - the limits of this processor, all workers together: nothing but one instruction.
 */
#ifndef KVASIR_BENCH_PEAK_H
#define KVASIR_BENCH_PEAK_H

#include "cpu/workers.h"

enum { PEAK_READ_BYTES = 256 << 20, PEAK_READ_PART = 16 << 20 };

struct peaks {
    unsigned char *memory; /* [PEAK_READ_BYTES], the caller's, written once */
    unsigned next_part;    /* of it */
    double int8_gops;      /* vpdpbusd zmm, else vpmaddubsw is not counted: 0 */
    double f32_gflops;     /* vfmadd ps */
    double bf16_gflops;    /* vdpbf16ps; 0 where there is none */
    double read_gbs;       /* of memory, eight streams a thread, prefetched */
};

/* Raises each peak to what a millisecond or two show. Call it often; the best counts. */
void peaks_measure(struct workers *workers, struct peaks *peaks);

#endif
