/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of the engine alone, without scheduler and server: one prompt of a given length, then
 * decode steps of several sequences at a given context.
 *
 * usage: bench_engine MODEL [threads [prompt [context [isa]]]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "kvasir/clock.h"
#include "kvasir/engine.h"
#include "kvasir/model.h"

enum { MAX_SEQS = 32, BLOCK = 16, CHUNK = 512, STEPS = 24 };

static uint32_t argument(int argc, char **argv, int index, uint32_t initial) {
    return index < argc ? (uint32_t)strtoul(argv[index], NULL, 10) : initial;
}

struct bench {
    struct engine *engine;
    uint32_t n_vocab;
    uint32_t blocks_per_seq;
    uint32_t *tables; /* [MAX_SEQS, blocks_per_seq] */
    token_id *ids;
    token_id *tokens;
    uint32_t *positions;
};

/* One step: n_seqs sequences advance by n_tokens each from position n_context. */
static double step_ms(struct bench *bench, uint32_t n_seqs, uint32_t n_tokens, uint32_t n_context) {
    struct sampling_params params = sampling_defaults();
    struct batch_seq seqs[MAX_SEQS];
    struct batch batch = {.tokens = bench->tokens, .positions = bench->positions, .seqs = seqs};
    params.temperature = 0;

    for (uint32_t s = 0; s < n_seqs; s++) {
        seqs[batch.n_seqs++] = (struct batch_seq){
            .first = batch.n_tokens,
            .n_tokens = n_tokens,
            .n_context = n_context,
            .n_prompt = n_context,
            .block_table = bench->tables + (size_t)s * bench->blocks_per_seq,
            .n_blocks = bench->blocks_per_seq,
            .slot = s,
            .rows = BATCH_ROWS_LAST,
            .sample = true,
            .params = &params,
            .history = bench->ids,
            .n_history = n_context + n_tokens,
        };
        for (uint32_t t = 0; t < n_tokens; t++) {
            bench->tokens[batch.n_tokens] = bench->ids[n_context + t];
            bench->positions[batch.n_tokens++] = n_context + t;
        }
    }

    struct step_result result;
    const uint64_t start_ns = clock_now_ns();
    if (engine_step(bench->engine, &batch, &result) < 0)
        abort();
    return (double)(clock_now_ns() - start_ns) * 1e-6;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run_prefill(struct bench *bench, uint32_t n_prompt) {
    for (int run = 0; run < 3; run++) {
        double ms = 0;
        for (uint32_t at = 0; at < n_prompt; at += CHUNK)
            ms += step_ms(bench, 1, n_prompt - at < CHUNK ? n_prompt - at : CHUNK, at);
        printf("prefill %u: %.1f tok/s\n", n_prompt, n_prompt * 1e3 / ms);
    }
}

static void run_decode(struct bench *bench, uint32_t context) {
    for (uint32_t n_seqs = 1; n_seqs <= MAX_SEQS; n_seqs = n_seqs == 1 ? 8 : n_seqs * 2) {
        double ms[STEPS];
        for (uint32_t i = 0; i < STEPS; i++)
            ms[i] = step_ms(bench, n_seqs, 1, context + i);
        qsort(ms, STEPS, sizeof *ms, by_value);
        printf("decode %u at context %u: %.2f ms, %.1f tok/s\n", n_seqs, context, ms[STEPS / 2],
               n_seqs * 1e3 / ms[STEPS / 2]);
    }
}

int main(int argc, char **argv) {
    const uint32_t n_prompt = argument(argc, argv, 3, 512);
    const uint32_t context = argument(argc, argv, 4, 128);
    const uint32_t max_len = (n_prompt > context + STEPS ? n_prompt : context + STEPS) + BLOCK;
    struct bench bench = {.blocks_per_seq = max_len / BLOCK + 1};
    struct model *model;
    struct error err = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: bench_engine MODEL [threads [prompt [context [isa]]]]\n");
        return 2;
    }
    const uint64_t start_ns = clock_now_ns();
    const struct engine_options options = {
        .n_threads = argument(argc, argv, 2, 2),
        .block_size = BLOCK,
        .n_blocks = bench.blocks_per_seq * MAX_SEQS,
        .max_model_len = max_len,
        .max_num_seqs = MAX_SEQS,
        .max_batch_tokens = CHUNK,
        .isa = argc > 5 ? argv[5] : NULL,
    };
    if (model_open(argv[1], &model, &err) < 0 ||
        engine_open(model, &options, &bench.engine, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const struct engine_info *info = engine_info(bench.engine);
    printf("open %.2f s, isa %s, dtype %s, kv %s, weights %.0f MB, scratch %.0f MB\n",
           (double)(clock_now_ns() - start_ns) * 1e-9, info->isa, info->dtype, info->kv_dtype,
           (double)info->weight_bytes * 1e-6, (double)info->scratch_bytes * 1e-6);

    bench.n_vocab = info->n_vocab;
    bench.tables = calloc((size_t)MAX_SEQS * bench.blocks_per_seq, sizeof *bench.tables);
    bench.ids = calloc(max_len, sizeof *bench.ids);
    bench.tokens = calloc(CHUNK, sizeof *bench.tokens);
    bench.positions = calloc(CHUNK, sizeof *bench.positions);
    if (!bench.tables || !bench.ids || !bench.tokens || !bench.positions)
        return 1;
    for (uint32_t i = 0; i < MAX_SEQS * bench.blocks_per_seq; i++)
        bench.tables[i] = i;
    for (uint32_t i = 0; i < max_len; i++)
        bench.ids[i] = (token_id)(i * 7919u % bench.n_vocab);

    run_prefill(&bench, n_prompt);
    run_decode(&bench, context);

    engine_close(bench.engine);
    model_close(model);
    free(bench.tables);
    free(bench.ids);
    free(bench.tokens);
    free(bench.positions);
    return 0;
}
