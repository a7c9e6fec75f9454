/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batch invariance, bit for bit: whatever surrounds a sequence, its logits are the same floats.
 *
 * The long prompts cross several tiles of attention and a span; test_attend.c of the unit tests
 * goes further where models would be slow.
 */
#include <stdlib.h>
#include <string.h>

#include "runner.h"

static const char *const models[] = {
    "tests/golden/models/qwen2",
    "tests/golden/models/qwen3",
    "tests/golden/models/mistral", /* sliding window */
    "tests/golden/models/llama-gqa",
};

enum { N_MODELS = 4, N_VOCAB = 512, LONG = 560 };

/* One arithmetic of the engine; each must keep the promise by itself. */
static const struct engine_options arithmetics[] = {
    {.dtype = COMPUTE_F32, .kv_dtype = KV_F32},
    {.dtype = COMPUTE_AUTO, .kv_dtype = KV_AUTO},
    {.dtype = COMPUTE_BF16, .kv_dtype = KV_BF16, .quantize = QUANTIZE_INT8},
    {.dtype = COMPUTE_BF16, .kv_dtype = KV_BF16},
    {.dtype = COMPUTE_AUTO, .kv_dtype = KV_AUTO, .isa = "avx2"},
    {.dtype = COMPUTE_AUTO, .kv_dtype = KV_AUTO, .isa = "ref"},
};

enum { N_ARITHMETICS = sizeof arithmetics / sizeof *arithmetics };

static void random_ids(token_id *ids, uint32_t n, uint64_t seed) {
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (token_id)(test_random(&seed) % N_VOCAB);
}

static void assert_same_logits(const float *a, const float *b, uint32_t n_rows, const char *what) {
    for (uint32_t r = 0; r < n_rows; r++)
        if (memcmp(a + (size_t)r * N_VOCAB, b + (size_t)r * N_VOCAB, N_VOCAB * sizeof *a) != 0)
            fail_msg("%s: row %u differs", what, r);
}

static float *alloc_logits(uint32_t n_rows) {
    float *logits = calloc((size_t)n_rows * N_VOCAB, sizeof *logits);
    assert_non_null(logits);
    return logits;
}

/* The logits of ids alone, in chunks of chunk tokens (0: one pass), with these options. */
static float *logits_at(const char *path, const struct engine_options *options, const token_id *ids,
                        uint32_t n, uint32_t chunk) {
    struct runner runner;
    struct runner_seq *seq = malloc(sizeof *seq);
    runner_open(&runner, path, options);
    runner_seq_init(seq, &runner, ids, n, /* slot= */ 3);
    seq->logits = alloc_logits(n);
    runner_finish(&runner, seq, chunk);
    float *logits = seq->logits;
    runner_close(&runner);
    free(seq);
    return logits;
}

static float *logits_alone(const char *model, const struct engine_options *options,
                           const token_id *ids, uint32_t n, uint32_t chunk) {
    return logits_at(test_path(model), options, ids, n, chunk);
}

static void test_logits_do_not_depend_on_chunks(void **state) {
    static const uint32_t chunks[] = {1, 2, 3, 7, 16, 64, 100, 257};
    token_id ids[LONG];
    random_ids(ids, LONG, 1);

    for (int m = 0; m < N_MODELS; m++)
        for (int a = 0; a < N_ARITHMETICS; a++) {
            /* the slow specification gets a short one */
            const bool slow = arithmetics[a].isa && strcmp(arithmetics[a].isa, "ref") == 0;
            const uint32_t n = slow ? 70 : LONG;
            float *whole = logits_alone(models[m], &arithmetics[a], ids, n, 0);
            for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
                if (chunks[c] == 1 && m > 0)
                    continue; /* token by token once per arithmetic */
                float *logits = logits_alone(models[m], &arithmetics[a], ids, n, chunks[c]);
                assert_same_logits(logits, whole, n, models[m]);
                free(logits);
            }
            free(whole);
        }
}

static void test_logits_do_not_depend_on_threads_or_block_size(void **state) {
    token_id ids[LONG];
    random_ids(ids, LONG, 2);

    for (int m = 0; m < N_MODELS; m++) {
        struct engine_options options = arithmetics[1];
        options.n_threads = 1;
        float *whole = logits_alone(models[m], &options, ids, LONG, 0);
        for (uint32_t threads = 1; threads <= 5; threads++) {
            options.n_threads = threads;
            for (uint32_t chunk = 0; chunk <= 556; chunk += 139) {
                float *logits = logits_alone(models[m], &options, ids, LONG, chunk);
                assert_same_logits(logits, whole, LONG, "threads");
                free(logits);
            }
        }
        static const uint32_t block_sizes[] = {8, 24, 64, 256};
        for (int b = 0; b < 4; b++) {
            options.block_size = block_sizes[b];
            float *logits = logits_alone(models[m], &options, ids, LONG, 100);
            assert_same_logits(logits, whole, LONG, "block size");
            free(logits);
        }
        free(whole);
    }
}

static void test_logits_do_not_depend_on_the_step_limit(void **state) {
    token_id ids[LONG];
    random_ids(ids, LONG, 3);
    struct engine_options options = arithmetics[1];
    float *whole = logits_alone(models[1], &options, ids, LONG, 0);

    options.max_batch_tokens = 33; /* also the panel's rows */
    float *logits = logits_alone(models[1], &options, ids, LONG, 33);
    assert_same_logits(logits, whole, LONG, "max_batch_tokens");
    free(logits);
    free(whole);
}

/* Random company: sequences of random lengths advance by random chunks in common steps. */
static void test_logits_do_not_depend_on_company(void **state) {
    enum { N = 6 };
    uint64_t seed = 4;

    for (int m = 0; m < N_MODELS; m++)
        for (int a = 0; a < N_ARITHMETICS - 1; a++) {
            struct runner runner;
            struct runner_seq *seqs[N];
            token_id ids[N][LONG];
            runner_open(&runner, test_path(models[m]), &arithmetics[a]);
            for (uint32_t i = 0; i < N; i++) {
                const uint32_t n = 1 + (uint32_t)(test_random(&seed) % (i == 0 ? LONG : 120));
                random_ids(ids[i], n, test_random(&seed));
                seqs[i] = malloc(sizeof *seqs[i]);
                runner_seq_init(seqs[i], &runner, ids[i], n, i);
                seqs[i]->logits = alloc_logits(n);
            }

            for (bool any = true; any;) {
                uint32_t room = runner.options.max_batch_tokens;
                any = false;
                for (uint32_t i = 0; i < N; i++) {
                    const uint32_t left = seqs[i]->n_ids - seqs[i]->n_computed;
                    const uint32_t most = test_random(&seed) % 2 ? 1 : 90;
                    uint32_t chunk = (uint32_t)(test_random(&seed) % (most + 1));
                    chunk = chunk < left ? chunk : left;
                    seqs[i]->n_chunk = chunk < room ? chunk : room;
                    room -= seqs[i]->n_chunk;
                    any = any || left > 0;
                }
                if (room < runner.options.max_batch_tokens)
                    runner_step(&runner, seqs, N);
            }
            runner_close(&runner);

            for (uint32_t i = 0; i < N; i++) {
                float *alone = logits_alone(models[m], &arithmetics[a], ids[i], seqs[i]->n_ids, 0);
                assert_same_logits(seqs[i]->logits, alone, seqs[i]->n_ids, models[m]);
                free(alone);
                free(seqs[i]->logits);
                free(seqs[i]);
            }
        }
}

/* A second sequence reads the blocks that the first one filled. */
static void test_logits_do_not_depend_on_shared_prefix_blocks(void **state) {
    for (int m = 0; m < N_MODELS; m++) {
        enum { SHARED = 64, N = 150 };
        struct runner runner;
        struct runner_seq *first = malloc(sizeof *first), *second = malloc(sizeof *second);
        token_id ids[N];
        random_ids(ids, N, 5);
        runner_open(&runner, test_path(models[m]), &arithmetics[1]);

        runner_seq_init(first, &runner, ids, N, 0);
        runner_finish(&runner, first, 0);
        runner_seq_init(second, &runner, ids, N, 1);
        memcpy(second->blocks, first->blocks, SHARED / 16 * sizeof *first->blocks);
        second->n_computed = SHARED;
        second->logits = alloc_logits(N);
        runner_finish(&runner, second, 0);

        float *alone = logits_alone(models[m], &arithmetics[1], ids, N, 0);
        assert_same_logits(second->logits + (size_t)SHARED * N_VOCAB,
                           alone + (size_t)SHARED * N_VOCAB, N - SHARED, models[m]);
        runner_close(&runner);
        free(second->logits);
        free(alone);
        free(first);
        free(second);
    }
}

/* Blocks that another sequence left behind, full of whatever it stored. */
static void test_logits_do_not_depend_on_what_blocks_held_before(void **state) {
    enum { N = 100 };
    struct runner runner;
    struct runner_seq *seq = malloc(sizeof *seq);
    token_id other[LONG], ids[N];
    random_ids(other, LONG, 6);
    random_ids(ids, N, 7);
    runner_open(&runner, test_path(models[0]), &arithmetics[1]);

    runner_seq_init(seq, &runner, other, LONG, 2);
    runner_finish(&runner, seq, 0);
    runner_seq_init(seq, &runner, ids, N, 2);
    seq->logits = alloc_logits(N);
    runner_finish(&runner, seq, 31);

    float *alone = logits_alone(models[0], &arithmetics[1], ids, N, 0);
    assert_same_logits(seq->logits, alone, N, models[0]);
    runner_close(&runner);
    free(seq->logits);
    free(alone);
    free(seq);
}

/* Quantised weights, whose layers mix types: several matrices side by side in one projection. */
static void test_logits_of_quantised_weights_do_not_depend_on_chunks(void **state) {
    enum { N = 90 };
    const char *const path = test_shared_path("oracle/quant/qwen3-q-Q4_K_M.gguf");
    token_id ids[N];
    random_ids(ids, N, 8);

    float *whole = logits_at(path, &arithmetics[1], ids, N, 0);
    for (uint32_t chunk = 1; chunk < N; chunk += 8) {
        float *logits = logits_at(path, &arithmetics[1], ids, N, chunk);
        assert_same_logits(logits, whole, N, "Q4_K_M");
        free(logits);
    }
    free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_do_not_depend_on_chunks),
        cmocka_unit_test(test_logits_do_not_depend_on_threads_or_block_size),
        cmocka_unit_test(test_logits_do_not_depend_on_the_step_limit),
        cmocka_unit_test(test_logits_do_not_depend_on_company),
        cmocka_unit_test(test_logits_do_not_depend_on_shared_prefix_blocks),
        cmocka_unit_test(test_logits_do_not_depend_on_what_blocks_held_before),
        cmocka_unit_test(test_logits_of_quantised_weights_do_not_depend_on_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
