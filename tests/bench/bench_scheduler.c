/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the scheduler costs without an engine: a step against running and waiting sequences, block
 * allocation, prefix lookup. Prints tables; not a test. Each figure is the best of several runs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core.h"
#include "kvasir/clock.h"
#include "kvasir/mem.h"

enum { BLOCK_SIZE = 16, PROMPT = 24, STEPS = 400, RUNS = 5 };

static void must(bool ok, const char *what) {
    if (ok)
        return;
    (void)fprintf(stderr, "bench_scheduler: %s\n", what);
    exit(1);
}

static int no_engine(void *engine, const struct batch *batch, struct step_result *ret_result) {
    (void)engine;
    (void)batch;
    *ret_result = (struct step_result){.n_rows = 0};
    return 0;
}

static struct core *make_core(uint32_t n_seqs, uint32_t n_blocks, uint32_t max_model_len) {
    const struct scheduler_options options = {
        .step = no_engine,
        .n_vocab = 1000,
        .block_size = BLOCK_SIZE,
        .n_blocks = n_blocks,
        .max_model_len = max_model_len,
        .max_num_seqs = n_seqs,
        .max_num_batched_tokens = max_model_len > 65536 ? max_model_len : 65536,
        .prefix_caching = true,
        .hash_key = {1, 2},
    };
    struct core *core = NULL;
    must(core_create(&options, &core, NULL) == 0, "no core");
    return core;
}

/* Prompts differ from the first token on, unless `first` is equal. */
static void add(struct core *core, token_id first, uint32_t n_prompt, uint32_t max_tokens) {
    token_id *prompt = mem_alloc_array(n_prompt, sizeof *prompt);
    must(prompt, "no memory");
    for (uint32_t i = 0; i < n_prompt; i++)
        prompt[i] = (token_id)((i + (uint32_t)first) % 1000);
    prompt[1] = first / 1000;

    struct scheduler_request *request = scheduler_request_create(prompt, n_prompt, 0);
    must(request, "no request");
    request->max_tokens = max_tokens;
    struct seq *seq = NULL;
    must(seq_create(&core->options, request, &seq, NULL) == 0, "no sequence");
    core_add(core, seq);
    mem_free(prompt);
}

/* One step as the runner does it; every sampled row gives token 5. */
static void step(struct core *core, struct row_output *rows) {
    const struct batch *batch = core_plan(core, 1);
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < batch->n_seqs; i++)
        if (batch->seqs[i].sample) {
            rows[n_rows].seq = i;
            rows[n_rows].token = 5;
            rows[n_rows++].sampled = true;
        }
    struct scheduler_output *output = core_output_create(core);
    must(output, "no output");
    const struct step_result result = {.rows = rows, .n_rows = n_rows};
    core_apply(core, &result, 0, 2, output);
    scheduler_output_free(output);
}

static double step_ns(uint32_t n_running, uint32_t n_waiting) {
    struct core *core = make_core(n_running, n_running * 64 + 64, 1024);
    struct row_output *rows = mem_alloc_zero(n_running, sizeof *rows);
    must(rows, "no memory");
    for (uint32_t i = 0; i < n_running + n_waiting; i++)
        add(core, (token_id)i, PROMPT, 960);
    for (int i = 0; i < 8; i++)
        step(core, rows);
    must(core->n_decoding == n_running && core->waiting.n == n_waiting, "not in the steady state");

    double best = 1e300;
    for (int run = 0; run < RUNS; run++) {
        const uint32_t n = STEPS / RUNS;
        const uint64_t begin_ns = clock_now_ns();
        for (uint32_t i = 0; i < n; i++)
            step(core, rows);
        const double ns = (double)(clock_now_ns() - begin_ns) / n;
        best = ns < best ? ns : best;
    }
    mem_free(rows);
    core_destroy(core);
    return best;
}

static void bench_steps(void) {
    static const uint32_t running[] = {1, 4, 16, 64, 256, 1024, 4096};
    static const uint32_t waiting[] = {0, 10000, 100000};

    (void)printf("one decode step: plan, output and apply, microseconds (ns per sequence)\n"
                 "%8s",
                 "running");
    for (size_t q = 0; q < 3; q++)
        (void)printf("  %10u waiting", waiting[q]);
    (void)printf("\n");
    for (size_t b = 0; b < sizeof running / sizeof *running; b++) {
        (void)printf("%8u", running[b]);
        for (size_t q = 0; q < 3; q++) {
            const double ns = step_ns(running[b], waiting[q]);
            (void)printf("  %9.2f (%6.1f)", ns / 1000, ns / running[b]);
        }
        (void)printf("\n");
    }
}

/* Takes and gives back one block at a time, with so much of the pool in use. */
static void bench_pool(void) {
    enum { N_BLOCKS = 1 << 20, ROUNDS = 2000000 };
    static const uint32_t percent[] = {1, 50, 99};
    uint32_t *held = mem_alloc_array(N_BLOCKS, sizeof *held);
    must(held, "no memory");

    (void)printf("\nblock out and in again, ns, pool of %d\n", N_BLOCKS);
    for (size_t p = 0; p < 3; p++) {
        struct pool pool;
        must(pool_init(&pool, N_BLOCKS) == 0, "no pool");
        const uint32_t n = (uint32_t)((uint64_t)N_BLOCKS * percent[p] / 100);
        for (uint32_t i = 0; i < n; i++)
            held[i] = pool_alloc(&pool);
        const uint64_t begin_ns = clock_now_ns();
        for (uint32_t i = 0; i < ROUNDS; i++) {
            const uint32_t block = pool_alloc(&pool);
            pool_unref(&pool, held[i % n]);
            held[i % n] = block;
        }
        (void)printf("%7u %% in use  %6.1f\n", percent[p],
                     (double)(clock_now_ns() - begin_ns) / ROUNDS);
        pool_fini(&pool);
    }
    mem_free(held);
}

/* Admission of a prompt whose blocks are all cached, its last token computed, and its end. */
static void bench_prefix(void) {
    static const uint32_t lengths[] = {2048, 16384, 131072};
    struct row_output row = {.n_top = 0};

    (void)printf("\nprompt found whole in the cache: admission to end, microseconds (ns per "
                 "block)\n");
    for (size_t l = 0; l < 3; l++) {
        const uint32_t n = lengths[l];
        struct core *core = make_core(1, n / BLOCK_SIZE * 2, n + 16);
        double best = 1e300;
        for (int run = 0; run < RUNS + 1; run++) {
            add(core, 7, n, 1);
            const uint64_t begin_ns = clock_now_ns();
            step(core, &row);
            const double ns = (double)(clock_now_ns() - begin_ns);
            best = run > 0 && ns < best ? ns : best; /* the first one fills the cache */
        }
        must(core->counters.prompt_tokens_cached > 0, "nothing was cached");
        (void)printf("%8u tokens  %9.1f (%5.1f)\n", n, best / 1000, best / (n / BLOCK_SIZE));
        core_destroy(core);
    }
}

int main(void) {
    bench_steps();
    bench_pool();
    bench_prefix();
    return 0;
}
