/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of attention alone: decode of n sequences, and a prefill chunk, at a given context.
 *
 * usage: bench_attend [threads [heads [kv_heads [head_dim [context [n_seqs [chunk [f32|f16|bf16]]]]]]]]
 * Prints GFLOPS and the KV read in GB/s.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"
#include "layers/attend.h"

enum { BLOCK = 16, RUNS = 20, LAYERS = 4 };

static uint32_t argument(int argc, char **argv, int index, uint32_t initial) {
    return index < argc ? (uint32_t)strtoul(argv[index], NULL, 10) : initial;
}

int main(int argc, char **argv) {
    const struct attention_shape attention = {
        .n_heads = argument(argc, argv, 2, 14),
        .n_kv_heads = argument(argc, argv, 3, 2),
        .head_dim = argument(argc, argv, 4, 64),
        .scale = 0.125f,
    };
    struct layer_spec specs[LAYERS];
    for (uint32_t layer = 0; layer < LAYERS; layer++)
        specs[layer] = (struct layer_spec){.attention = attention, .intermediate_size = 64};
    struct hparams hparams = {
        .n_vocab = 64,
        .hidden_size = 64,
        .n_layers = LAYERS,
        .layers = specs,
    };
    const uint32_t context = argument(argc, argv, 5, 4096);
    const uint32_t n_seqs = argument(argc, argv, 6, 8);
    const uint32_t chunk = argument(argc, argv, 7, 1);
    const char *format = argc > 8 ? argv[8] : "f16";
    const uint32_t blocks_per_seq = (context + chunk + BLOCK - 1) / BLOCK;
    const struct forward_limits limits = {
        .max_batch_tokens = n_seqs * chunk,
        .max_model_len = context + chunk,
        .n_threads = argument(argc, argv, 1, 2),
        .prepared_row_bytes = 64,
    };
    const struct kv_shape shape = {
        .layers = specs,
        .n_layers = LAYERS,
        .n_blocks = blocks_per_seq * n_seqs,
        .block_size = BLOCK,
        .format = strcmp(format, "f32") == 0    ? KV_FORMAT_F32
                  : strcmp(format, "bf16") == 0 ? KV_FORMAT_BF16
                                                : KV_FORMAT_F16,
    };
    struct forward forward = {.hparams = &hparams};
    struct error err = {0};
    if (ops_init(&forward.ops, NULL, &err) < 0 ||
        workers_create(limits.n_threads, &forward.workers, &err) < 0 ||
        kv_store_init(&forward.kv, &shape, &forward.ops, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    memset(forward.kv.data, 0x11, forward.kv.n_bytes); /* else it would be one page of zeros */
    step_scratch_lay_out(&forward.scratch, &hparams, &limits, NULL);
    void *data = mem_map(forward.scratch.n_bytes);
    step_scratch_lay_out(&forward.scratch, &hparams, &limits, data);

    const uint32_t n_rows = n_seqs * chunk;
    const uint32_t width = attention.n_heads * attention.head_dim;
    struct batch_seq *seqs = calloc(n_seqs, sizeof *seqs);
    uint32_t *positions = calloc(n_rows, sizeof *positions);
    uint32_t *table = calloc(shape.n_blocks, sizeof *table);
    float *q = calloc((size_t)n_rows * width, sizeof *q);
    float *out = calloc((size_t)n_rows * width, sizeof *out);
    if (!data || !seqs || !positions || !table || !q || !out)
        return 1;
    for (uint32_t i = 0; i < shape.n_blocks; i++)
        table[i] = i % n_seqs * blocks_per_seq + i / n_seqs; /* blocks of sequences alternate */
    for (uint32_t s = 0; s < n_seqs; s++) {
        seqs[s] = (struct batch_seq){
            .first = s * chunk,
            .n_tokens = chunk,
            .n_context = context,
            .block_table = table + (size_t)s * blocks_per_seq,
            .n_blocks = blocks_per_seq,
        };
        for (uint32_t t = 0; t < chunk; t++) {
            positions[s * chunk + t] = context + t;
            forward.scratch.row_seq[s * chunk + t] = s;
        }
    }
    const struct batch batch = {
        .positions = positions, .n_tokens = n_rows, .seqs = seqs, .n_seqs = n_seqs};
    forward.batch = &batch;

    double best_ns = INFINITY;
    for (int run = 0; run < RUNS; run++) {
        const uint64_t start_ns = clock_now_ns();
        for (uint32_t layer = 0; layer < LAYERS; layer++)
            for (uint32_t row = 0; row < n_rows; row += BAND_ROWS) {
                const struct band band = {row, n_rows - row < BAND_ROWS ? n_rows - row : BAND_ROWS};
                attend_run(&forward, &band,
                           &(struct attend_call){
                               .layer = layer,
                               .shape = &attention,
                               .q = q + (size_t)row * width,
                               .q_stride = width,
                               .out = out + (size_t)row * width,
                               .out_stride = width,
                           });
            }
        best_ns = fmin(best_ns, (double)(clock_now_ns() - start_ns) / LAYERS);
    }

    const double seen = (double)n_rows * (context + (chunk + 1) / 2.0);
    const double kv_bytes =
        (double)n_seqs * (context + chunk) * (double)kv_bytes_per_position(&shape) / LAYERS;
    printf("%u threads, %s, context %u, %u x %u rows: %.3f ms a layer, %.1f GFLOPS, %.1f GB/s\n",
           limits.n_threads, format, context, n_seqs, chunk, best_ns * 1e-6,
           seen * 4 * width / best_ns, kv_bytes / best_ns);
    return 0;
}
