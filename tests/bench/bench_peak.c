/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_peak - see bench_peak.h. Built with AVX-512; a CPU without it gets zeros, except for read.
 */
#include "bench_peak.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kvasir/clock.h"

enum { N_SUMS = 16, TURNS = 50000, STREAMS = 8, PREFETCH = 1024 };

#define UNROLLED _Pragma("GCC unroll 16")

static void keep(const void *value) {
    __asm__ volatile("" ::"r"(value) : "memory");
}

__attribute__((target("avx512f,avx512vnni"))) static void turn_int8(void *ctx, uint32_t item,
                                                                    uint32_t worker) {
    __m512i sums[N_SUMS];
    __m512i a = _mm512_set1_epi8(3);

    UNROLLED
    for (int i = 0; i < N_SUMS; i++)
        sums[i] = _mm512_set1_epi32(i);
    for (int t = 0; t < TURNS; t++) {
        __asm__ volatile("" : "+v"(a));
        UNROLLED
        for (int i = 0; i < N_SUMS; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], a, a);
    }
    keep(sums);
}

__attribute__((target("avx512f"))) static void turn_f32(void *ctx, uint32_t item, uint32_t worker) {
    __m512 sums[N_SUMS];
    __m512 a = _mm512_set1_ps(0.5f);

    UNROLLED
    for (int i = 0; i < N_SUMS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (int t = 0; t < TURNS; t++) {
        __asm__ volatile("" : "+v"(a));
        UNROLLED
        for (int i = 0; i < N_SUMS; i++)
            sums[i] = _mm512_fmadd_ps(sums[i], a, a);
    }
    keep(sums);
}

__attribute__((target("avx512f,avx512bf16"))) static void turn_bf16(void *ctx, uint32_t item,
                                                                    uint32_t worker) {
    __m512 sums[N_SUMS];
    __m512i a = _mm512_set1_epi32(0x3f003f00);

    UNROLLED
    for (int i = 0; i < N_SUMS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (int t = 0; t < TURNS; t++) {
        __m512bh b;
        __asm__ volatile("" : "+v"(a));
        memcpy(&b, &a, sizeof b);
        UNROLLED
        for (int i = 0; i < N_SUMS; i++)
            sums[i] = _mm512_dpbf16_ps(sums[i], b, b);
    }
    keep(sums);
}

struct reading {
    const uint8_t *bytes;
    uint32_t n_items;
};

__attribute__((target("avx512f"))) static void turn_read(void *ctx, uint32_t item,
                                                         uint32_t worker) {
    const struct reading *reading = ctx;
    const size_t part = PEAK_READ_PART / reading->n_items;
    const size_t stream = part / STREAMS;
    const uint8_t *start = reading->bytes + item * part;
    __m512i sums[STREAMS];

    UNROLLED
    for (int s = 0; s < STREAMS; s++)
        sums[s] = _mm512_setzero_si512();
    for (size_t i = 0; i + 64 <= stream; i += 64) {
        UNROLLED
        for (int s = 0; s < STREAMS; s++) {
            const uint8_t *line = start + s * stream + i;
            __builtin_prefetch(line + PREFETCH);
            sums[s] = _mm512_add_epi64(sums[s], _mm512_loadu_si512(line));
        }
    }
    keep(sums);
}

static double seconds(struct workers *workers, uint32_t n_items, worker_fn fn, void *ctx) {
    const uint64_t start = clock_now_ns();

    workers_for(workers, n_items, fn, ctx);
    return 1e-9 * (double)(clock_now_ns() - start);
}

static void raise_to(double *peak, double value) {
    *peak = value > *peak ? value : *peak;
}

void peaks_measure(struct workers *workers, struct peaks *peaks) {
    const uint32_t n = workers_n_threads(workers);
    const double turns = 1e-9 * N_SUMS * TURNS * n;
    const bool has_vnni = __builtin_cpu_supports("avx512vnni");

    if (has_vnni) {
        raise_to(&peaks->int8_gops, 128 * turns / seconds(workers, n, turn_int8, NULL));
        raise_to(&peaks->f32_gflops, 32 * turns / seconds(workers, n, turn_f32, NULL));
    }
    if (has_vnni && __builtin_cpu_supports("avx512bf16"))
        raise_to(&peaks->bf16_gflops, 64 * turns / seconds(workers, n, turn_bf16, NULL));

    const struct reading reading = {
        .bytes = peaks->memory + (size_t)peaks->next_part * PEAK_READ_PART, .n_items = 4 * n};
    peaks->next_part = (peaks->next_part + 1) % (PEAK_READ_BYTES / PEAK_READ_PART);
    raise_to(&peaks->read_gbs,
             1e-9 * PEAK_READ_PART / seconds(workers, 4 * n, turn_read, (void *)&reading));
}
