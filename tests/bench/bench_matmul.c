/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_matmul - how fast the matrix products are, as a part of what this processor can do.
 *
 *   bench_matmul [-t threads] [-m rows,rows,...] [-k type,type,...] [-s n_out x n_in,...] [-n reps]
 *                [-d auto|float32|bfloat16] [-i isa] [-c most copies]
 *
 * The limits are measured in the same run, with the same number of threads: loops of nothing but
 * vpdpbusd, f32 FMA and vdpbf16ps, and a read of memory larger than the caches. All cases take
 * turns and the best of the repetitions counts, because the machine is never quiet. For one row
 * the weights are copied until they exceed the caches, as a model's do; -c 1 keeps them hot.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_peak.h"
#include "cpu/matmul.h"
#include "kvasir/clock.h"
#include "kvasir/mem.h"

enum { MAX_LIST = 16, MAX_CASES = 1024, COLD_BYTES = 192 << 20, MAX_COPIES = 256 };

struct shape {
    uint32_t n_out, n_in;
};

struct options {
    uint32_t n_threads;
    uint32_t reps;
    uint32_t max_copies;
    const char *isa;
    enum compute_dtype dtype;
    uint32_t rows[MAX_LIST];
    uint32_t n_rows;
    const char *types[MAX_LIST];
    uint32_t n_types;
    struct shape shapes[MAX_LIST];
    uint32_t n_shapes;
};

/* Names as -k takes them; "int8" is BF16 weights with --quantize int8. */
static const struct {
    const char *name;
    enum weight_type type;
    enum weight_quantize quantize;
} types[] = {
    {"q8_0", WEIGHT_Q8_0, QUANTIZE_NONE}, {"q4_0", WEIGHT_Q4_0, QUANTIZE_NONE},
    {"q4_1", WEIGHT_Q4_1, QUANTIZE_NONE}, {"q5_0", WEIGHT_Q5_0, QUANTIZE_NONE},
    {"q5_1", WEIGHT_Q5_1, QUANTIZE_NONE}, {"q4_k", WEIGHT_Q4_K, QUANTIZE_NONE},
    {"q5_k", WEIGHT_Q5_K, QUANTIZE_NONE}, {"q6_k", WEIGHT_Q6_K, QUANTIZE_NONE},
    {"bf16", WEIGHT_BF16, QUANTIZE_NONE}, {"f16", WEIGHT_F16, QUANTIZE_NONE},
    {"f32", WEIGHT_F32, QUANTIZE_NONE},   {"int8", WEIGHT_BF16, QUANTIZE_INT8},
};

/* One weight matrix, copied until it is cold in every cache. */
struct weights {
    struct matrix copies[MAX_COPIES];
    uint32_t n_copies;
    uint32_t next;
    double pack_s; /* best time to pack one copy */
    double src_bytes;
};

struct bench_case {
    const char *type;
    struct weights *weights;
    uint32_t n_rows;
    double best_s;
};

static double now_s(void) {
    return (double)clock_now_ns() * 1e-9;
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 16;
}

/* Random stored weights whose scales are ordinary numbers. */
static void *random_weights(enum weight_type type, struct shape shape, size_t *ret_bytes) {
    const struct weight_type_info *info = weight_type_info(type);
    const size_t n_blocks = (size_t)shape.n_out * shape.n_in / info->block_len;
    uint8_t *data = mem_map(n_blocks * info->block_bytes);
    uint64_t seed = 1;

    *ret_bytes = n_blocks * info->block_bytes;
    for (size_t i = 0; data && i + 8 <= *ret_bytes; i += 8) {
        const uint64_t r = next_random(&seed) << 16 ^ next_random(&seed);
        memcpy(data + i, &r, 8);
    }
    for (size_t b = 0; data && b < n_blocks; b++) {
        uint8_t *block = data + b * info->block_bytes;
        static const uint16_t half = 0x2345; /* 0.014 */
        if (info->block_len == 1) {
            block[info->block_bytes - 1] = 0x3c; /* exponents near 1 */
            continue;
        }
        memcpy(type == WEIGHT_Q6_K ? block + 208 : block, &half, 2);
        if (type == WEIGHT_Q4_1 || type == WEIGHT_Q5_1 || info->block_len == 256)
            memcpy(type == WEIGHT_Q6_K ? block + 208 : block + 2, &half, 2);
    }
    return data;
}

static bool make_weights(const struct options *o, uint32_t type, struct shape shape,
                         struct workers *workers, struct weights *ret) {
    const struct matmul_choice choice = {
        .dtype = o->dtype, .quantize = types[type].quantize, .isa = o->isa};
    struct tensor tensor = {.name = "weights",
                            .type = types[type].type,
                            .n_dims = 2,
                            .shape = {shape.n_out, shape.n_in, 1, 1}};
    const struct tensor *const src[] = {&tensor};
    struct error error;

    if (shape.n_in % weight_type_info(tensor.type)->block_len != 0)
        return false;
    tensor.data = random_weights(tensor.type, shape, &tensor.n_bytes);
    if (!tensor.data)
        return false;

    ret->pack_s = 1e9;
    ret->src_bytes = (double)tensor.n_bytes;
    const size_t one = matrix_packed_bytes(src, 1, &choice);
    uint32_t n_copies = 1 + (uint32_t)(COLD_BYTES / (one ? one : 1));
    if (n_copies > o->max_copies)
        n_copies = o->max_copies;
    for (uint32_t i = 0; i < n_copies; i++) {
        /* Pack twice: the first time pays for pages that the system never gave out before. */
        if (matrix_pack(&ret->copies[i], src, 1, &choice, workers, &error) == 0)
            matrix_fini(&ret->copies[i]);

        const double start = now_s();
        int r = matrix_pack(&ret->copies[i], src, 1, &choice, workers, &error);
        if (r < 0) {
            fprintf(stderr, "%s\n", error.message);
            exit(1);
        }
        const double s = now_s() - start;
        ret->pack_s = s < ret->pack_s ? s : ret->pack_s;
        ret->n_copies++;
    }
    mem_unmap((void *)tensor.data, tensor.n_bytes);
    return true;
}

/*
 * One repetition: products for about half a millisecond, so that some repetition falls into a
 * time slice that nobody else disturbed; each on the next cold copy.
 */
static void time_case(struct bench_case *c, struct workers *workers, const float *x, void *prepared,
                      float *y) {
    struct weights *w = c->weights;
    const double macs = (double)w->copies[0].n_out * w->copies[0].n_in * c->n_rows;
    const double least = c->n_rows < 8 ? 2e7 : 1e8;
    const uint32_t n = (uint32_t)(least / macs) + 1;

    const double start = now_s();
    for (uint32_t i = 0; i < n; i++) {
        const struct matrix *m = &w->copies[w->next];
        const struct matmul_job job = {
            .matrix = m, .prepared = prepared, .n_rows = c->n_rows, .y = y, .y_stride = m->n_out};
        matmul_run(workers, x, m->n_in, prepared, &job);
        w->next = (w->next + 1) % w->n_copies;
    }
    const double s = (now_s() - start) / n;
    c->best_s = s < c->best_s ? s : c->best_s;
}

static void report(const struct bench_case *c, const struct peaks *peaks) {
    const struct matrix *m = &c->weights->copies[0];
    const double gops = 2e-9 * m->n_out * m->n_in * c->n_rows / c->best_s;
    const double gbs = 1e-9 * (double)m->n_bytes / c->best_s;
    const bool is_int8 = m->arithmetic == MATMUL_INT8 || m->arithmetic == MATMUL_INT8_CHANNEL;
    const double peak = is_int8                            ? peaks->int8_gops
                        : m->arithmetic == MATMUL_BF16_DOT ? peaks->bf16_gflops
                                                           : peaks->f32_gflops;

    printf("%-5s %-15s %6ux%-5u %4u %9.1f %8.1f %5.0f%% %7.1f %5.0f%%\n", c->type,
           matrix_kernel_name(m), m->n_out, m->n_in, c->n_rows, c->best_s * 1e6, gops,
           100 * gops / peak, gbs, 100 * gbs / peaks->read_gbs);
}

static uint32_t split(char *list, const char **items) {
    uint32_t n = 0;
    for (char *save, *item = strtok_r(list, ",", &save); item && n < MAX_LIST;
         item = strtok_r(NULL, ",", &save))
        items[n++] = item;
    return n;
}

static bool parse(int argc, char **argv, struct options *o) {
    const char *items[MAX_LIST];

    for (int c; (c = getopt(argc, argv, "t:m:k:s:n:d:i:c:")) != -1;) {
        switch (c) {
        case 't':
            o->n_threads = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'n':
            o->reps = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            o->max_copies = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'i':
            o->isa = optarg;
            break;
        case 'd':
            o->dtype = strcmp(optarg, "float32") == 0    ? COMPUTE_F32
                       : strcmp(optarg, "bfloat16") == 0 ? COMPUTE_BF16
                                                         : COMPUTE_AUTO;
            break;
        case 'k':
            o->n_types = split(optarg, o->types);
            break;
        case 'm':
            o->n_rows = split(optarg, items);
            for (uint32_t i = 0; i < o->n_rows; i++)
                o->rows[i] = (uint32_t)strtoul(items[i], NULL, 10);
            break;
        case 's':
            o->n_shapes = split(optarg, items);
            for (uint32_t i = 0; i < o->n_shapes; i++)
                if (sscanf(items[i], "%ux%u", &o->shapes[i].n_out, &o->shapes[i].n_in) != 2)
                    return false;
            break;
        default:
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv) {
    struct options o = {
        .n_threads = 1,
        .reps = 40,
        .max_copies = MAX_COPIES,
        .rows = {1, 4, 8, 16, 32, 128, 512},
        .n_rows = 7,
        .types = {"q8_0", "q4_0", "q5_0", "q4_k", "q6_k", "bf16", "int8"},
        .n_types = 7,
        /* Qwen2.5-0.5B: q|k|v and o, gate|up, down; a 2048-wide model */
        .shapes = {{896, 896}, {4864, 896}, {896, 4864}, {2048, 2048}},
        .n_shapes = 4,
    };
    static struct bench_case cases[MAX_CASES];
    uint32_t n_cases = 0;
    struct workers *workers;
    uint32_t most_rows = 1, most_in = 1, most_out = 1;

    if (!parse(argc, argv, &o) || o.max_copies == 0 || o.max_copies > MAX_COPIES ||
        workers_create(o.n_threads, &workers, NULL) < 0) {
        fprintf(stderr, "bench_matmul: see the head of bench_matmul.c for the options\n");
        return 2;
    }
    for (uint32_t t = 0; t < o.n_types; t++)
        for (uint32_t s = 0; s < o.n_shapes; s++)
            for (uint32_t k = 0; k < sizeof types / sizeof types[0]; k++) {
                struct weights *w = mem_alloc_zero(1, sizeof *w);
                if (strcmp(types[k].name, o.types[t]) != 0 || !w ||
                    !make_weights(&o, k, o.shapes[s], workers, w)) {
                    mem_free(w);
                    continue;
                }
                printf("# pack %-5s %6ux%-5u %8.2f ms %6.2f GB/s read\n", types[k].name,
                       o.shapes[s].n_out, o.shapes[s].n_in, w->pack_s * 1e3,
                       1e-9 * w->src_bytes / w->pack_s);
                most_in = o.shapes[s].n_in > most_in ? o.shapes[s].n_in : most_in;
                most_out = o.shapes[s].n_out > most_out ? o.shapes[s].n_out : most_out;
                for (uint32_t m = 0; m < o.n_rows && n_cases < MAX_CASES; m++) {
                    most_rows = o.rows[m] > most_rows ? o.rows[m] : most_rows;
                    cases[n_cases++] = (struct bench_case){
                        .type = types[k].name, .weights = w, .n_rows = o.rows[m], .best_s = 1e9};
                }
            }

    float *x = mem_map((size_t)most_rows * most_in * sizeof *x);
    float *y = mem_map((size_t)most_rows * most_out * sizeof *y);
    void *prepared = mem_map((size_t)most_rows * (most_in * 4 + 256));
    uint64_t seed = 2;
    struct peaks peaks = {.memory = mem_map(PEAK_READ_BYTES)};

    if (!x || !y || !prepared || !peaks.memory)
        return 1;
    memset(peaks.memory, 1, PEAK_READ_BYTES);
    for (size_t i = 0; i < (size_t)most_rows * most_in; i++)
        x[i] = (float)(next_random(&seed) & 0xffff) / 65536.0f - 0.5f;
    for (uint32_t r = 0; r < o.reps; r++) {
        peaks_measure(workers, &peaks);
        for (uint32_t i = 0; i < n_cases; i++)
            time_case(&cases[i], workers, x, prepared, y);
    }
    printf("# %u threads: int8 %.0f GOPS, f32 %.0f GFLOPS, bf16 %.0f GFLOPS, read %.1f GB/s\n",
           o.n_threads, peaks.int8_gops, peaks.f32_gflops, peaks.bf16_gflops, peaks.read_gbs);
    printf("%-5s %-15s %12s %4s %9s %8s %6s %7s %6s\n", "type", "kernel", "shape", "rows", "us",
           "GOP/s", "peak", "GB/s", "read");
    for (uint32_t i = 0; i < n_cases; i++)
        report(&cases[i], &peaks);
    workers_destroy(workers);
    return 0;
}
