/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of kvasir/engine.h on a small real model: options, batches, scores, memory, and
 * what a broken number does.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvasir/mem.h"
#include "kvasir/tokenizer.h"
#include "load/safetensors.h"
#include "load/tensor.h"
#include "runner.h"

static const char model_path[] = "tests/golden/models/qwen2";

static void ids_of(token_id *ids, uint32_t n, uint64_t seed) {
    for (uint32_t i = 0; i < n; i++)
        ids[i] = (token_id)(test_random(&seed) % 512);
}

static struct engine_options plain_options(void) {
    return (struct engine_options){
        .n_threads = 1,
        .block_size = 16,
        .n_blocks = 8,
        .max_model_len = 100,
        .max_num_seqs = 4,
        .max_batch_tokens = 64,
    };
}

static struct model *open_model(void) {
    struct model *model;
    struct error err = {0};
    if (model_open(test_path(model_path), &model, &err) < 0)
        fail_msg("%s", err.message);
    return model;
}

static void assert_refused(const struct model *model, const struct engine_options *options,
                           const char *param) {
    struct engine *engine = NULL;
    struct error err = {0};
    assert_int_equal(engine_open(model, options, &engine, &err), -EINVAL);
    assert_string_equal(err.param, param);
    assert_true(strlen(err.message) > 10);
    assert_null(engine);
}

static void test_engine_open_names_the_option_that_is_wrong(void **state) {
    struct model *model = open_model();
    struct engine_options o = plain_options();
    o.n_threads = 0;
    assert_refused(model, &o, "threads");
    o = plain_options();
    o.block_size = 12;
    assert_refused(model, &o, "block-size");
    o.block_size = 264;
    assert_refused(model, &o, "block-size");
    o = plain_options();
    o.isa = "z80";
    assert_refused(model, &o, "isa");
    o = plain_options();
    o.max_batch_tokens = 0;
    assert_refused(model, &o, "max-num-batched-tokens");
    o = plain_options();
    o.max_model_len = 0;
    assert_refused(model, &o, "max-model-len");
    o = plain_options();
    o.max_num_seqs = 0;
    assert_refused(model, &o, "max-num-seqs");
    o = plain_options();
    o.n_blocks = 0;
    assert_refused(model, &o, "kv-memory");
    engine_close(NULL);
    model_close(model);
}

static void note_progress(void *ctx, double fraction) {
    double *last = ctx;
    assert_true(fraction >= *last && fraction <= 1.0 + 1e-9);
    *last = fraction;
}

static void test_engine_info_says_what_was_opened(void **state) {
    struct model *model = open_model();
    struct engine_options o = plain_options();
    struct engine *engine;
    double progress = 0;
    o.dtype = COMPUTE_F32;
    o.on_progress = note_progress;
    o.progress_ctx = &progress;
    assert_int_equal(engine_open(model, &o, &engine, NULL), 0);

    const struct engine_info *info = engine_info(engine);
    const struct model_info *about = model_info(model);
    assert_true(fabs(progress - 1.0) < 1e-9);
    assert_int_equal(info->n_vocab, about->n_vocab);
    assert_int_equal(info->kv_bytes_per_token, about->kv_values_per_token * 2);
    assert_int_equal(info->kv_bytes_per_token, engine_kv_bytes_per_token(model, KV_AUTO));
    assert_int_equal(engine_kv_bytes_per_token(model, KV_F32), about->kv_values_per_token * 4);
    assert_string_equal(info->kv_dtype, "float16");
    assert_string_equal(info->dtype, "float32");
    assert_int_equal(info->weight_bytes, engine_weight_bytes(model, &o));
    assert_int_equal(info->scratch_bytes, engine_scratch_bytes(model, &o));
    assert_int_equal(engine_rope_class(engine, 1000000), 0);
    engine_close(engine);
    model_close(model);
}

/* Every allocation of engine_open fails in turn; nothing leaks (ASan), nothing crashes. */
struct fault {
    int at, count;
};

static bool fail_at(void *ctx, size_t size) {
    struct fault *fault = ctx;
    return fault->count++ == fault->at;
}

static void test_engine_open_survives_every_failing_allocation(void **state) {
    struct model *model = open_model();
    const struct engine_options o = plain_options();

    for (int at = 0;; at++) {
        struct fault fault = {.at = at};
        struct engine *engine = NULL;
        struct error err = {0};
        mem_set_fault_hook(fail_at, &fault);
        const int r = engine_open(model, &o, &engine, &err);
        mem_set_fault_hook(NULL, NULL);
        if (r == 0) {
            assert_true(at > 10 && fault.count == at);
            engine_close(engine);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_true(err.message[0] != '\0');
        assert_null(engine);
    }
    model_close(model);
}

static bool count_allocations(void *ctx, size_t size) {
    (*(int *)ctx)++;
    return false;
}

static void test_engine_step_allocates_nothing(void **state) {
    const struct engine_options options = {.n_threads = 3};
    struct runner runner;
    struct runner_seq *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    token_id ids[550];
    ids_of(ids, 550, 1);
    runner_open(&runner, test_path(model_path), &options);
    runner_seq_init(a, &runner, ids, 550, 0);
    runner_seq_init(b, &runner, ids, 40, 1);

    int n_allocations = 0;
    mem_set_fault_hook(count_allocations, &n_allocations);
    struct runner_seq *const both[] = {a, b};
    a->n_chunk = 500;
    b->n_chunk = 40;
    runner_step(&runner, both, 2);
    a->n_chunk = 1;
    b->n_chunk = 0;
    for (int i = 0; i < 50; i++)
        runner_step(&runner, both, 1);
    mem_set_fault_hook(NULL, NULL);
    assert_int_equal(n_allocations, 0);
    runner_close(&runner);
    free(a);
    free(b);
}

/* A batch of one sequence that breaks the contract. */
static void assert_not_computed(struct engine *engine, const struct batch *batch) {
    struct step_result result;
    assert_int_equal(engine_step(engine, batch, &result), 0);
    assert_int_equal(result.n_rows, 1);
    assert_int_equal(result.rows[0].seq, 0);
    assert_int_equal(result.rows[0].problem, ROW_NOT_COMPUTED);
}

static void test_engine_step_refuses_a_batch_outside_its_limits(void **state) {
    struct model *model = open_model();
    const struct engine_options o = plain_options();
    struct engine *engine;
    assert_int_equal(engine_open(model, &o, &engine, NULL), 0);

    const struct sampling_params params = sampling_defaults();
    token_id tokens[100] = {1, 2, 3};
    uint32_t positions[100] = {0, 1, 2};
    uint32_t table[7] = {0, 1, 2, 3, 4, 5, 6};
    const struct batch_seq good = {
        .n_tokens = 3,
        .n_prompt = 3,
        .block_table = table,
        .n_blocks = 1,
        .rows = BATCH_ROWS_LAST,
        .sample = true,
        .params = &params,
        .history = tokens,
        .n_history = 3,
    };
    struct batch_seq seq = good;
    struct batch batch = {tokens, positions, 3, &seq, 1};
    struct step_result result;
    assert_int_equal(engine_step(engine, &batch, &result), 0);
    assert_int_equal(result.n_rows, 1);
    assert_true(result.rows[0].sampled && result.forward_ns > 0);

    batch.n_tokens = 4; /* more tokens than the sequences have */
    assert_int_equal(engine_step(engine, &batch, &result), -EINVAL);
    batch.n_tokens = 0;
    batch.n_seqs = 0;
    assert_int_equal(engine_step(engine, &batch, &result), -EINVAL);
    batch.n_tokens = 3;
    batch.n_seqs = 1;

    seq.first = 1;
    assert_int_equal(engine_step(engine, &batch, &result), -EINVAL);
    seq = good;
    seq.n_context = 1; /* not the position of its first token */
    assert_not_computed(engine, &batch);
    seq = good;
    seq.n_blocks = 0; /* no block for its tokens */
    assert_not_computed(engine, &batch);
    seq = good;
    table[0] = 8; /* no such block */
    assert_not_computed(engine, &batch);
    table[0] = 0;
    seq.params = NULL;
    assert_not_computed(engine, &batch);
    seq = good;
    tokens[1] = 512; /* beyond the vocabulary */
    assert_not_computed(engine, &batch);
    tokens[1] = TOKEN_NONE;
    assert_not_computed(engine, &batch);
    tokens[1] = 2;
    positions[2] = 5;
    assert_not_computed(engine, &batch);

    for (uint32_t i = 0; i < 100; i++)
        positions[i] = i;
    seq.n_tokens = 65; /* more than max_batch_tokens */
    seq.n_blocks = 7;
    batch.n_tokens = 65;
    assert_int_equal(engine_step(engine, &batch, &result), -EINVAL);
    for (uint32_t i = 0; i < 100; i++)
        positions[i] = 90 + i;
    seq.n_context = 90;
    seq.n_tokens = 11; /* beyond max_model_len */
    batch.n_tokens = 11;
    assert_not_computed(engine, &batch);
    seq.n_tokens = 10;
    batch.n_tokens = 10;
    assert_int_equal(engine_step(engine, &batch, &result), 0);

    engine_close(engine);
    model_close(model);
}

/* Broken slices first, in the middle and last: the others are what they are without them. */
static void test_engine_step_leaves_out_the_sequence_that_breaks_the_contract(void **state) {
    enum { N = 5, LEN = 3 };
    struct model *model = open_model();
    struct engine_options o = plain_options();
    o.max_num_seqs = N;
    struct engine *engine;
    assert_int_equal(engine_open(model, &o, &engine, NULL), 0);

    struct sampling_params params = sampling_defaults();
    params.temperature = 0;
    params.wants_logprobs = true;
    token_id tokens[N * LEN];
    uint32_t positions[N * LEN];
    uint32_t tables[N];
    struct batch_seq seqs[N];
    for (uint32_t i = 0; i < N; i++) {
        tables[i] = i;
        for (uint32_t t = 0; t < LEN; t++) {
            tokens[i * LEN + t] = (token_id)(10 * i + t);
            positions[i * LEN + t] = t;
        }
        seqs[i] = (struct batch_seq){
            .first = i * LEN,
            .n_tokens = LEN,
            .n_prompt = LEN,
            .block_table = &tables[i],
            .n_blocks = 1,
            .rows = i == 3 ? BATCH_ROWS_ALL : BATCH_ROWS_LAST,
            .sample = true,
            .params = &params,
            .history = tokens + i * LEN,
            .n_history = LEN,
        };
    }
    const struct batch batch = {tokens, positions, N * LEN, seqs, N};
    struct step_result result;
    struct row_output whole[N * LEN];
    assert_int_equal(engine_step(engine, &batch, &result), 0);
    assert_int_equal(result.n_rows, N + 2);
    memcpy(whole, result.rows, result.n_rows * sizeof *whole);

    tables[0] = tables[2] = tables[4] = 1000; /* no such block */
    seqs[2].rows = BATCH_ROWS_NONE;           /* it would give no row at all */
    assert_int_equal(engine_step(engine, &batch, &result), 0);
    assert_int_equal(result.n_rows, N + 2);
    for (uint32_t r = 0; r < result.n_rows; r++) {
        const struct row_output *row = &result.rows[r];
        assert_int_equal(row->seq, whole[r].seq);
        if (row->seq % 2 == 0) {
            assert_int_equal(row->problem, ROW_NOT_COMPUTED);
            continue;
        }
        assert_int_equal(row->problem, ROW_OK);
        assert_int_equal(row->row, whole[r].row);
        assert_int_equal(row->token, whole[r].token);
        assert_memory_equal(&row->logprob, &whole[r].logprob, sizeof row->logprob);
    }
    engine_close(engine);
    model_close(model);
}

static double exact_logprob(const float *logits, uint32_t n, token_id token) {
    double max = -INFINITY, total = 0;
    for (uint32_t i = 0; i < n; i++)
        max = fmax(max, (double)logits[i]);
    for (uint32_t i = 0; i < n; i++)
        total += exp((double)logits[i] - max);
    return (double)logits[token] - max - log(total);
}

/* ROWS_ALL in two chunks: every prompt token but the first gets its score, the end is sampled. */
static void test_engine_step_scores_every_prompt_token(void **state) {
    enum { N = 70, FIRST = 33 };
    struct runner runner;
    const struct engine_options options = {.dtype = COMPUTE_F32, .kv_dtype = KV_F32};
    runner_open(&runner, test_path(model_path), &options);
    token_id ids[N];
    uint32_t positions[N], table[RUNNER_MAX_LEN / 16];
    ids_of(ids, N, 3);
    for (uint32_t i = 0; i < N; i++)
        positions[i] = i;
    for (uint32_t i = 0; i < RUNNER_MAX_LEN / 16; i++)
        table[i] = i;
    struct sampling_params params = sampling_defaults();
    params.temperature = 0;
    params.wants_logprobs = true;
    params.n_top = 2;
    float *logits = malloc((size_t)N * runner.n_vocab * sizeof *logits);

    uint32_t n_scores = 0, n_sampled = 0;
    for (uint32_t at = 0; at < N; at = FIRST) {
        const uint32_t n = at == 0 ? FIRST : N - FIRST;
        const struct batch_seq seq = {
            .n_tokens = n,
            .n_context = at,
            .n_prompt = N,
            .block_table = table,
            .n_blocks = RUNNER_MAX_LEN / 16,
            .rows = BATCH_ROWS_ALL,
            .sample = at > 0,
            .params = &params,
            .history = ids,
            .n_history = N,
            .logits_out = logits + (size_t)at * runner.n_vocab,
        };
        const struct batch batch = {ids + at, positions + at, n, &seq, 1};
        struct step_result result;
        assert_int_equal(engine_step(runner.engine, &batch, &result), 0);
        assert_int_equal(result.n_rows, n);
        for (uint32_t i = 0; i < result.n_rows; i++) {
            const struct row_output *row = &result.rows[i];
            const uint32_t position = at + row->row;
            const float *row_logits = logits + (size_t)position * runner.n_vocab;
            assert_int_equal(row->row, i);
            assert_int_equal(row->problem, ROW_OK);
            if (row->sampled) {
                n_sampled++;
                assert_int_equal(position, N - 1);
            } else {
                n_scores++;
                assert_int_equal(row->token, ids[position + 1]);
            }
            assert_true(fabs((double)row->logprob -
                             exact_logprob(row_logits, runner.n_vocab, row->token)) < 1e-5);
        }
        if (at == FIRST)
            break;
    }
    assert_int_equal(n_scores, N - 1);
    assert_int_equal(n_sampled, 1);
    free(logits);
    runner_close(&runner);
}

static void copy_file(const char *from_dir, const char *to_dir, const char *name, size_t patch_at,
                      const void *patch, size_t patch_len) {
    char path[600];
    size_t len;
    (void)snprintf(path, sizeof path, "%s/%s", from_dir, name);
    char *bytes = test_read_file(path, &len);
    if (patch) {
        assert_true(patch_at + patch_len <= len);
        memcpy(bytes + patch_at, patch, patch_len);
    }
    (void)snprintf(path, sizeof path, "%s/%s", to_dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    test_release(bytes);
}

static void remove_copy(const char *dir) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* A copy of the model in which the embedding of token 7 is one NaN among numbers. */
static void make_broken_model(char *dir) {
    const char *from = test_path(model_path);
    struct tensor_dir tensors = {0};
    char path[600];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", from);
    assert_int_equal(safetensors_read(path, &tensors, NULL), 0);
    assert_int_equal(tensor_dir_sort(&tensors, NULL), 0);
    const struct stored_tensor *t = tensor_dir_find(&tensors, "model.embed_tokens.weight");
    assert_non_null(t);
    assert_int_equal(t->type, WEIGHT_F32);
    const size_t offset = (size_t)((const char *)t->data - (const char *)tensors.maps[0].data);
    const float nan = NAN;

    assert_non_null(mkdtemp(dir));
    copy_file(from, dir, "config.json", 0, NULL, 0);
    copy_file(from, dir, "model.safetensors", offset + (7 * t->shape[1] + 3) * sizeof nan, &nan,
              sizeof nan);
    tensor_dir_fini(&tensors);
}

static void test_engine_step_keeps_a_nan_in_its_sequence(void **state) {
    static const struct engine_options arithmetics[] = {
        {.dtype = COMPUTE_F32, .kv_dtype = KV_F32},
        {.dtype = COMPUTE_AUTO},
        {.dtype = COMPUTE_BF16, .kv_dtype = KV_BF16},
        {.quantize = QUANTIZE_INT8},
    };
    enum { N = 40 };
    char dir[] = "/tmp/kvasir-test-XXXXXX";
    make_broken_model(dir);

    for (size_t a = 0; a < sizeof arithmetics / sizeof *arithmetics; a++) {
        struct runner runner;
        struct runner_seq *good = malloc(sizeof *good), *bad = malloc(sizeof *bad);
        struct runner_seq *const both[] = {bad, good};
        token_id good_ids[N], bad_ids[N];
        ids_of(good_ids, N, 4);
        for (uint32_t i = 0; i < N; i++)
            good_ids[i] = good_ids[i] == 7 ? 8 : good_ids[i];
        memcpy(bad_ids, good_ids, sizeof bad_ids);
        bad_ids[20] = 7;

        runner_open(&runner, dir, &arithmetics[a]);
        const size_t logits_bytes = (size_t)N * runner.n_vocab * sizeof(float);
        float *alone = malloc(logits_bytes), *beside = malloc(logits_bytes);
        float *of_bad = malloc(logits_bytes);
        runner_seq_init(good, &runner, good_ids, N, 0);
        good->logits = alone;
        runner_finish(&runner, good, 0);

        runner_seq_init(good, &runner, good_ids, N, 1);
        runner_seq_init(bad, &runner, bad_ids, N, 2);
        good->logits = beside;
        bad->logits = of_bad;
        good->n_chunk = bad->n_chunk = N;
        runner_step(&runner, both, 2);
        assert_memory_equal(beside, alone, logits_bytes);
        assert_false(good->not_finite);
        assert_true(bad->not_finite);
        /* its own rows before the broken token are whole as well */
        assert_memory_equal(of_bad, alone, (size_t)20 * runner.n_vocab * sizeof(float));

        /* and whoever gets its blocks next does not notice */
        runner_seq_init(good, &runner, good_ids, N, 2);
        good->logits = beside;
        runner_finish(&runner, good, 7);
        assert_memory_equal(beside, alone, logits_bytes);
        assert_false(good->not_finite);

        runner_close(&runner);
        free(alone);
        free(beside);
        free(of_bad);
        free(good);
        free(bad);
    }
    remove_copy(dir);
}

/* Everything that a run says: the logits of every row. The caller frees. */
static float *all_logits(struct runner *runner, const token_id *ids, uint32_t n, uint32_t slot) {
    struct runner_seq *seq = malloc(sizeof *seq);
    float *logits = malloc((size_t)n * runner->n_vocab * sizeof *logits);
    runner_seq_init(seq, runner, ids, n, slot);
    seq->logits = logits;
    runner_finish(runner, seq, 0);
    free(seq);
    return logits;
}

/*
 * Once read from its mapping in every step: cutting the file short ended the process by SIGBUS,
 * and writing another one over it changed the answers. Overwritten first, then cut.
 */
static void test_engine_step_does_not_need_the_files_after_open(void **state) {
    static const char *const models[] = {"qwen2" /* untied */, "qwen3" /* tied */};
    static const struct engine_options arithmetics[] = {
        {.dtype = COMPUTE_F32, .kv_dtype = KV_F32},
        {.dtype = COMPUTE_BF16},
        {.quantize = QUANTIZE_INT8},
    };
    enum { N = 40, N_WAYS = sizeof arithmetics / sizeof *arithmetics };
    token_id ids[N];
    ids_of(ids, N, 8);

    for (size_t i = 0; i < 2 * N_WAYS; i++) {
        char dir[] = "/tmp/kvasir-test-XXXXXX", from[300], path[300];
        struct runner runner;
        (void)snprintf(path, sizeof path, "tests/golden/models/%s", models[i / N_WAYS]);
        (void)snprintf(from, sizeof from, "%s", test_path(path));
        assert_non_null(mkdtemp(dir));
        copy_file(from, dir, "config.json", 0, NULL, 0);
        copy_file(from, dir, "model.safetensors", 0, NULL, 0);
        runner_open(&runner, dir, &arithmetics[i % N_WAYS]);
        const size_t n_bytes = (size_t)N * runner.n_vocab * sizeof(float);
        float *before = all_logits(&runner, ids, N, 0);

        (void)snprintf(path, sizeof path, "%s/model.safetensors", dir);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        for (uint32_t byte = 0; byte < 64 << 10; byte++)
            assert_int_equal(fputc(0x7f, file), 0x7f);
        assert_int_equal(fclose(file), 0);
        float *overwritten = all_logits(&runner, ids, N, 1);
        assert_memory_equal(overwritten, before, n_bytes);

        assert_int_equal(truncate(path, 0), 0);
        float *cut = all_logits(&runner, ids, N, 2);
        assert_memory_equal(cut, before, n_bytes);

        free(before);
        free(overwritten);
        free(cut);
        runner_close(&runner);
        remove_copy(dir);
    }
}

/* The same of a GGUF file, with the tokenizer and the template that were read from it. */
static void test_a_gguf_file_is_not_needed_after_open(void **state) {
    enum { N = 20 };
    static const char text[] = "Once upon a time, there was a \xc3\xa9l\xc3\xa8ve.";
    char dir[] = "/tmp/kvasir-test-XXXXXX", from[300], path[300];
    const struct engine_options options = {.dtype = COMPUTE_AUTO};
    struct runner runner;
    struct tokenizer *tokenizer;
    struct token_buf before = {.n = 0}, after = {.n = 0};
    struct buf decoded;
    token_id ids[N];

    (void)test_shared_path("models/stories260k/stories260K-f32.gguf"); /* skips where absent */
    (void)snprintf(from, sizeof from, "%s", test_shared_path("models/stories260k"));
    assert_non_null(mkdtemp(dir));
    copy_file(from, dir, "stories260K-f32.gguf", 0, NULL, 0);
    (void)snprintf(path, sizeof path, "%s/stories260K-f32.gguf", dir);
    ids_of(ids, N, 9);
    runner_open(&runner, path, &options);
    assert_int_equal(model_open_tokenizer(runner.model, &tokenizer, NULL), 0);
    assert_int_equal(tokenizer_encode(tokenizer, text, sizeof text - 1, 0, NULL, 0, &before), 0);
    float *logits = all_logits(&runner, ids, N, 0);

    assert_int_equal(truncate(path, 0), 0);
    float *logits_after = all_logits(&runner, ids, N, 1);
    assert_memory_equal(logits_after, logits, (size_t)N * runner.n_vocab * sizeof *logits);
    assert_int_equal(tokenizer_encode(tokenizer, text, sizeof text - 1, 0, NULL, 0, &after), 0);
    assert_int_equal(after.n, before.n);
    assert_memory_equal(after.ids, before.ids, after.n * sizeof *after.ids);
    buf_init(&decoded, 0);
    assert_int_equal(tokenizer_decode(tokenizer, after.ids, after.n, false, &decoded), 0);
    assert_memory_equal(decoded.data + decoded.len - (sizeof text - 1), text, sizeof text - 1);

    buf_fini(&decoded);
    token_buf_fini(&before);
    token_buf_fini(&after);
    tokenizer_close(tokenizer);
    free(logits);
    free(logits_after);
    runner_close(&runner);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_open_names_the_option_that_is_wrong),
        cmocka_unit_test(test_engine_info_says_what_was_opened),
        cmocka_unit_test(test_engine_open_survives_every_failing_allocation),
        cmocka_unit_test(test_engine_step_allocates_nothing),
        cmocka_unit_test(test_engine_step_refuses_a_batch_outside_its_limits),
        cmocka_unit_test(test_engine_step_leaves_out_the_sequence_that_breaks_the_contract),
        cmocka_unit_test(test_engine_step_scores_every_prompt_token),
        cmocka_unit_test(test_engine_step_keeps_a_nan_in_its_sequence),
        cmocka_unit_test(test_engine_step_does_not_need_the_files_after_open),
        cmocka_unit_test(test_a_gguf_file_is_not_needed_after_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
