/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_peak - the limits of this processor, all workers together: nothing but one instruction.
 */
#ifndef KVASIR_BENCH_PEAK_H
#define KVASIR_BENCH_PEAK_H

#include "cpu/pool.h"

struct peaks {
    double int8_gops;   /* vpdpbusd zmm, else vpmaddubsw is not counted: 0 */
    double f32_gflops;  /* vfmadd ps */
    double bf16_gflops; /* vdpbf16ps; 0 where there is none */
    double read_gbs;    /* of 256 MiB, eight streams a thread, prefetched */
};

/* Raises each peak to what a few milliseconds show. Call it often; the best counts. */
void peaks_measure(struct pool *pool, struct peaks *peaks);

#endif
