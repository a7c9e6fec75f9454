/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference's numbers, through engine_open and engine_step: every stored logit within its
 * tolerance, greedy continuations exactly. One row of the table is one test.
 *
 * The small models in tests/golden/models are always there; the others are skipped with a word
 * where the folder of oracles is not.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/safetensors.h"
#include "runner.h"

enum check {
    CHECK_FOLDER,     /* golden.json of an oracle folder */
    CHECK_GGUF,       /* oracle/gguf: the last rows of three prompts, within 5e-4 */
    CHECK_QUANT,      /* oracle/quant: the last rows of three prompts, within 1e-3 */
    CHECK_QUANT_INT8, /* the same with int8 activations: rms and largest difference as stated */
    CHECK_STORIES,
    CHECK_DEMO,
};

struct golden_case {
    const char *name;
    enum check check;
    const char *model;  /* "tests/..." or "share/..." of the tree, else below the shared folder */
    const char *golden; /* folder of golden.json; NULL: model */
    const char *key;    /* which part of golden.json */
    enum compute_dtype dtype;
    enum kv_dtype kv;
};

#define F32 COMPUTE_F32, KV_F32
#define BF16 COMPUTE_BF16, KV_BF16
#define AUTO COMPUTE_AUTO, KV_AUTO
#define LOCAL(name)                                                                                \
    {name " float32", CHECK_FOLDER, "tests/golden/models/" name, NULL, NULL, F32},                 \
        {name " bfloat16", CHECK_FOLDER, "tests/golden/models/" name, NULL, NULL, BF16}, {         \
        name " auto", CHECK_FOLDER, "tests/golden/models/" name, NULL, NULL, AUTO                  \
    }
#define SHARED(name)                                                                               \
    {name " float32", CHECK_FOLDER, "oracle/" name, NULL, NULL, F32},                              \
        {name " bfloat16", CHECK_FOLDER, "oracle/" name, NULL, NULL, BF16}, {                      \
        name " auto", CHECK_FOLDER, "oracle/" name, NULL, NULL, AUTO                               \
    }
#define GGUF(key, file)                                                                            \
    { "gguf " key " float32", CHECK_GGUF, "oracle/gguf/" file, "oracle/gguf", key, F32 }
#define QUANT(key)                                                                                 \
    {"quant " key " float32", CHECK_QUANT, "oracle/quant/qwen3-q-" key ".gguf",                    \
     "oracle/quant",          key,         F32},                                                   \
    {                                                                                              \
        "quant " key " auto", CHECK_QUANT_INT8, "oracle/quant/qwen3-q-" key ".gguf",               \
            "oracle/quant", key, AUTO                                                              \
    }

static const struct golden_case cases[] = {
    LOCAL("qwen2"),
    LOCAL("qwen3"),
    LOCAL("llama-gqa"),
    LOCAL("mistral"),
    SHARED("qwen2-tied"),
    SHARED("qwen2-swa"),
    SHARED("qwen2-yarn"),
    SHARED("qwen3-untied"),
    SHARED("qwen3-yarn"),
    SHARED("llama"),
    SHARED("llama-bias"),
    SHARED("llama-dynamic"),
    SHARED("llama-linear"),
    SHARED("llama3-rope"),
    GGUF("llama", "llama-f32.gguf"),
    GGUF("llama-gqa", "llama-gqa-f32.gguf"),
    GGUF("qwen2", "qwen2-f32.gguf"),
    GGUF("qwen3", "qwen3-f32-00001-of-00003.gguf"),
    QUANT("F16"),
    QUANT("Q8_0"),
    QUANT("Q4_0"),
    QUANT("Q4_1"),
    QUANT("Q5_0"),
    QUANT("Q5_1"),
    QUANT("Q4_K_M"),
    QUANT("Q5_K_M"),
    QUANT("Q6_K"),
    {"stories260k float32", CHECK_STORIES, "models/stories260k/stories260K-f32.gguf",
     "models/stories260k", NULL, F32},
    {"demo float32", CHECK_DEMO, "share/models/demo", NULL, NULL, F32},
    {"demo auto", CHECK_DEMO, "share/models/demo", NULL, NULL, AUTO},
};

enum { N_CASES = sizeof cases / sizeof *cases, MAX_GREEDY = 300 };

/* The engine, the numbers, and what was found so far. */
struct session {
    struct runner runner;
    json_t *golden;
    struct tensor_dir tensors;
    double max, square_sum;
    size_t n_compared;
};

static bool in_tree(const char *path) {
    return strncmp(path, "tests/", 6) == 0 || strncmp(path, "share/", 6) == 0;
}

static const char *resolve(const char *path) {
    return in_tree(path) ? test_path(path) : test_shared_path(path);
}

static void session_open(struct session *session, const struct golden_case *c) {
    const char *folder = c->golden ? c->golden : c->model;
    char path[512];
    json_error_t json_err;
    struct error err = {0};

    *session = (struct session){0};
    (void)snprintf(path, sizeof path, "%s/golden.json", resolve(folder));
    session->golden = json_load_file(path, 0, &json_err);
    if (!session->golden)
        fail_msg("%s: %s", path, json_err.text);

    (void)snprintf(path, sizeof path, "%s/golden.safetensors", resolve(folder));
    if (c->check != CHECK_STORIES && c->check != CHECK_DEMO) {
        if (safetensors_read(path, &session->tensors, &err) < 0)
            fail_msg("%s", err.message);
        assert_int_equal(tensor_dir_sort(&session->tensors, NULL), 0);
    }
    const struct engine_options options = {.dtype = c->dtype, .kv_dtype = c->kv};
    runner_open(&session->runner, resolve(c->model), &options);
}

static void session_close(struct session *session) {
    runner_close(&session->runner);
    tensor_dir_fini(&session->tensors);
    json_decref(session->golden);
}

static uint32_t read_ids(const json_t *list, token_id *ids, uint32_t max) {
    const size_t n = json_array_size(list);
    assert_true(n > 0 && n <= max);
    for (size_t i = 0; i < n; i++)
        ids[i] = (token_id)json_integer_value(json_array_get(list, i));
    return (uint32_t)n;
}

/* Compares the rows at positions (NULL: the last ones) of a prompt with the stored tensor. */
static void compare_logits(struct session *session, const token_id *ids, uint32_t n_ids,
                           const char *tensor_name, const json_t *positions) {
    const uint32_t n_vocab = session->runner.n_vocab;
    const struct stored_tensor *stored = tensor_dir_find(&session->tensors, tensor_name);
    assert_non_null(stored);
    assert_int_equal(stored->n_dims, 2);
    assert_int_equal(stored->shape[1], n_vocab);
    const uint32_t n_rows = (uint32_t)stored->shape[0];

    struct runner_seq *seq = malloc(sizeof *seq);
    float *logits = malloc((size_t)n_ids * n_vocab * sizeof *logits);
    runner_seq_init(seq, &session->runner, ids, n_ids, /* slot= */ 1);
    seq->logits = logits;
    runner_finish(&session->runner, seq, /* chunk= */ 0);
    assert_false(seq->not_finite);

    if (positions)
        assert_int_equal(json_array_size(positions), n_rows);
    for (uint32_t r = 0; r < n_rows; r++) {
        const uint32_t at = positions ? (uint32_t)json_integer_value(json_array_get(positions, r))
                                      : n_ids - n_rows + r;
        const float *want = (const float *)stored->data + (size_t)r * n_vocab;
        for (uint32_t i = 0; i < n_vocab; i++) {
            const double d = fabs((double)logits[(size_t)at * n_vocab + i] - (double)want[i]);
            session->max = d > session->max ? d : session->max;
            session->square_sum += d * d;
            session->n_compared++;
            assert_true(isfinite(d));
        }
    }
    free(logits);
    free(seq);
}

/*
 * Greedy decoding, token by token over the paged context; or, for models whose reference
 * computes every step as a new pass of its own length, with the whole sequence again each time.
 */
static void compare_greedy(struct session *session, const token_id *ids, uint32_t n_ids,
                           const json_t *want_list, bool again) {
    token_id want[MAX_GREEDY];
    const uint32_t n_want = read_ids(want_list, want, MAX_GREEDY);
    struct runner_seq *seq = malloc(sizeof *seq);

    runner_seq_init(seq, &session->runner, ids, n_ids, /* slot= */ 0);
    for (uint32_t i = 0; i < n_want; i++) {
        if (again) {
            seq->n_computed = 0;
            seq->n_prompt = seq->n_ids;
        }
        runner_finish(&session->runner, seq, /* chunk= */ 0);
        if (seq->sampled != want[i])
            fail_msg("greedy token %u after %u ids: %d, expected %d", i, n_ids, seq->sampled,
                     want[i]);
        seq->ids[seq->n_ids++] = seq->sampled;
    }
    free(seq);
}

static void report(const struct session *session, const char *name, double limit) {
    print_message("%s: max %.3g, rms %.3g over %zu logits (limit %.3g)\n", name, session->max,
                  sqrt(session->square_sum / (double)session->n_compared), session->n_compared,
                  limit);
}

static void check_folder(struct session *session, const struct golden_case *c) {
    const bool exact = c->dtype == COMPUTE_F32;
    const json_t *tolerance = json_object_get(session->golden, "tolerance");
    const double limit = json_real_value(json_object_get(tolerance, exact ? "f32" : "bf16"));
    const bool again = strstr(c->model, "dynamic") != NULL;
    const char *const lists[] = {"prompts", "texts"};
    token_id ids[RUNNER_MAX_LEN];

    for (size_t l = 0; l < 2; l++) {
        const json_t *prompts = json_object_get(session->golden, lists[l]);
        size_t i;
        json_t *prompt;
        json_array_foreach(prompts, i, prompt) {
            const uint32_t n = read_ids(json_object_get(prompt, "ids"), ids, RUNNER_MAX_LEN);
            const char *tensor = json_string_value(json_object_get(prompt, "logits"));
            if (tensor)
                compare_logits(session, ids, n, tensor, json_object_get(prompt, "positions"));
            if (exact)
                compare_greedy(session, ids, n, json_object_get(prompt, "greedy"), again);
        }
    }
    report(session, c->name, limit);
    assert_true(session->n_compared > 0 && session->max <= limit);
}

static void check_gguf(struct session *session, const struct golden_case *c) {
    const json_t *file = json_object_get(json_object_get(session->golden, "files"), c->key);
    token_id ids[RUNNER_MAX_LEN];
    size_t i;
    json_t *prompt;

    json_array_foreach(json_object_get(file, "prompts"), i, prompt) {
        const uint32_t n = read_ids(json_object_get(prompt, "ids"), ids, RUNNER_MAX_LEN);
        compare_logits(session, ids, n, json_string_value(json_object_get(prompt, "logits")), NULL);
        compare_greedy(session, ids, n, json_object_get(prompt, "greedy"), false);
    }
    report(session, c->name, 5e-4);
    assert_true(session->n_compared > 0 && session->max <= 5e-4);
}

static void check_quant(struct session *session, const struct golden_case *c) {
    const json_t *type = json_object_get(json_object_get(session->golden, "types"), c->key);
    const json_t *prompts = json_object_get(session->golden, "prompts");
    const json_t *tensors = json_object_get(type, "logits");
    token_id ids[RUNNER_MAX_LEN];

    for (size_t i = 0; i < json_array_size(prompts); i++) {
        const uint32_t n = read_ids(json_array_get(prompts, i), ids, RUNNER_MAX_LEN);
        compare_logits(session, ids, n, json_string_value(json_array_get(tensors, i)), NULL);
    }
    assert_true(session->n_compared > 0);
    if (c->check == CHECK_QUANT) {
        report(session, c->name, 1e-3);
        assert_true(session->max <= 1e-3);
        return;
    }

    const json_t *rounding = json_object_get(type, "int8_activations");
    const double rms = json_real_value(json_object_get(rounding, "rms"));
    const double max = json_real_value(json_object_get(rounding, "max"));
    report(session, c->name, rms);
    assert_true(sqrt(session->square_sum / (double)session->n_compared) <= 1.25 * rms);
    assert_true(session->max <= 2 * max);
}

static void check_stories(struct session *session) {
    token_id ids[RUNNER_MAX_LEN];
    const uint32_t n =
        read_ids(json_object_get(session->golden, "prompt_ids"), ids, RUNNER_MAX_LEN);
    compare_greedy(session, ids, n, json_object_get(session->golden, "greedy_ids"), false);
}

static void check_demo(struct session *session) {
    token_id ids[RUNNER_MAX_LEN];
    const json_t *chats = json_object_get(session->golden, "chats");
    size_t i;
    json_t *chat;

    assert_true(json_array_size(chats) > 0);
    json_array_foreach(chats, i, chat) {
        const uint32_t n = read_ids(json_object_get(chat, "prompt_ids"), ids, RUNNER_MAX_LEN);
        compare_greedy(session, ids, n, json_object_get(chat, "greedy_ids"), false);
    }
}

static void run_case(void **state) {
    const struct golden_case *c = *state;
    struct session session;

    session_open(&session, c);
    switch (c->check) {
    case CHECK_FOLDER:
        check_folder(&session, c);
        break;
    case CHECK_GGUF:
        check_gguf(&session, c);
        break;
    case CHECK_QUANT:
    case CHECK_QUANT_INT8:
        check_quant(&session, c);
        break;
    case CHECK_STORIES:
        check_stories(&session);
        break;
    case CHECK_DEMO:
        check_demo(&session);
        break;
    }
    session_close(&session);
}

int main(void) {
    struct CMUnitTest tests[N_CASES];

    for (size_t i = 0; i < N_CASES; i++)
        tests[i] = (struct CMUnitTest){
            .name = cases[i].name,
            .test_func = run_case,
            .initial_state = (void *)&cases[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
