/* SPDX-License-Identifier: Apache-2.0 */
/* The sampler against the vectors of the reference order (float64, vLLM's rules), and its edges. */
#include "support.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/mem.h"
#include "sample/distribution.h"
#include "sample/process.h"
#include "sample/random.h"
#include "sample/sampler.h"
#include "sample/score.h"

enum { MAX_VOCAB = 512, MAX_IDS = 64 };

static json_t *load(const char *name) {
    json_error_t error;
    json_t *root = json_load_file(test_path(name), 0, &error);
    if (!root)
        fail_msg("%s: %s", name, error.text);
    return root;
}

static float number(const json_t *value) {
    if (json_is_string(value))
        return -INFINITY; /* the only non-number of the vectors */
    return (float)json_number_value(value);
}

static uint32_t read_floats(const json_t *array, float *out) {
    size_t i;
    json_t *value;
    json_array_foreach(array, i, value) out[i] = number(value);
    return (uint32_t)json_array_size(array);
}

static uint32_t read_ids(const json_t *array, token_id *out) {
    size_t i;
    json_t *value;
    json_array_foreach(array, i, value) out[i] = (token_id)json_integer_value(value);
    return (uint32_t)json_array_size(array);
}

/* The parameters of one case, and the arrays that they point to. */
struct request {
    struct sampling_params params;
    token_id stop_ids[MAX_IDS];
    token_id allowed[MAX_IDS * 8];
    struct token_bias bias[MAX_IDS];
    token_id bad_ids[16][MAX_IDS];
    struct token_run bad_words[16];
};

static void read_params(const json_t *json, struct request *r) {
    struct sampling_params *p = &r->params;
    const char *key;
    json_t *value;

    *p = sampling_defaults();
    json_object_foreach((json_t *)(uintptr_t)json, key, value) {
        if (!strcmp(key, "temperature"))
            p->temperature = number(value);
        else if (!strcmp(key, "top_k"))
            p->top_k = (int32_t)json_integer_value(value);
        else if (!strcmp(key, "top_p"))
            p->top_p = number(value);
        else if (!strcmp(key, "min_p"))
            p->min_p = number(value);
        else if (!strcmp(key, "repetition_penalty"))
            p->repetition_penalty = number(value);
        else if (!strcmp(key, "presence_penalty"))
            p->presence_penalty = number(value);
        else if (!strcmp(key, "frequency_penalty"))
            p->frequency_penalty = number(value);
        else if (!strcmp(key, "min_tokens"))
            p->min_tokens = (uint32_t)json_integer_value(value);
        else if (!strcmp(key, "stop_token_ids")) {
            p->n_stop_ids = read_ids(value, r->stop_ids);
            p->stop_ids = r->stop_ids;
        } else if (!strcmp(key, "allowed_token_ids")) {
            p->n_allowed_ids = read_ids(value, r->allowed);
            p->allowed_ids = r->allowed;
        } else if (!strcmp(key, "logit_bias")) {
            const char *id;
            json_t *bias;
            json_object_foreach(value, id, bias) r->bias[p->n_logit_bias++] =
                (struct token_bias){.token = (token_id)strtol(id, NULL, 10), .bias = number(bias)};
            p->logit_bias = r->bias;
        } else if (!strcmp(key, "bad_words")) {
            size_t i;
            json_t *run;
            json_array_foreach(value, i, run) r->bad_words[i] =
                (struct token_run){.ids = r->bad_ids[i], .n = read_ids(run, r->bad_ids[i])};
            p->bad_words = r->bad_words;
            p->n_bad_words = (uint32_t)json_array_size(value);
        } else {
            fail_msg("case with an unknown parameter %s", key);
        }
    }
}

struct workspace {
    float logits[MAX_VOCAB];
    float work[MAX_VOCAB];
    uint32_t counts[MAX_VOCAB];
    float weights[MAX_VOCAB];
    struct candidate candidates[MAX_VOCAB];
    struct distribution_scratch scratch;
    token_id history_ids[2 * MAX_IDS];
    struct token_history history;
};

static double expected_probability(const json_t *test, token_id id) {
    const json_t *ids = json_object_get(test, "ids");
    const json_t *probs = json_object_get(test, "probs");
    if (json_is_string(ids))
        return json_number_value(json_array_get(probs, (size_t)id));
    size_t i;
    json_t *value;
    json_array_foreach(ids, i, value) if (json_integer_value(value) ==
                                          id) return json_number_value(json_array_get(probs, i));
    return 0;
}

static bool near_threshold(const json_t *test) {
    const char *const names[] = {"top_p_distance", "min_p_distance"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *distance = json_object_get(test, names[i]);
        if (distance && json_number_value(distance) < 1e-5)
            return true;
    }
    return false;
}

/* Compares one case; returns false if the vectors say that float32 may decide otherwise. */
static bool check_case(const json_t *test, const json_t *vectors, struct workspace *ws,
                       const char *what) {
    struct request request = {.params = sampling_defaults()};
    const char *vector = json_string_value(json_object_get(test, "logits"));
    const uint32_t n = read_floats(json_object_get(vectors, vector), ws->logits);
    read_params(json_object_get(test, "params"), &request);

    const float *processed =
        logits_process(ws->logits, n, &request.params, ws->history, ws->work, ws->counts);
    float max;
    assert_true(score_max(processed, n, &max));
    if (request.params.temperature < SAMPLING_GREEDY_TEMPERATURE) {
        const token_id best = score_argmax(processed, n, max);
        assert_true(expected_probability(test, best) > 0.99);
        return true;
    }
    if (near_threshold(test))
        return false;
    if (request.params.temperature < 0.01f)
        request.params.temperature = 0.01f; /* the edge raises it, as vLLM does */

    struct distribution dist;
    distribution_make(processed, n, max, &request.params, &ws->scratch, &dist);
    if (dist.n_kept != (uint32_t)json_integer_value(json_object_get(test, "kept")))
        fail_msg("%s: kept %u", what, dist.n_kept);
    for (uint32_t id = 0; id < n; id++) {
        const double got = distribution_probability(&dist, (token_id)id);
        const double want = expected_probability(test, (token_id)id);
        if (fabs(got - want) > 1e-5)
            fail_msg("%s (%s): id %u has probability %.8f, expected %.8f", what, vector, id, got,
                     want);
    }
    return true;
}

static void check_file(const char *name, size_t at_least) {
    json_t *root = load(name);
    struct workspace *ws = mem_alloc_zero(1, sizeof *ws);
    assert_non_null(ws);
    ws->scratch.weights = ws->weights;
    ws->scratch.candidates = ws->candidates;
    ws->history.ids = ws->history_ids;
    ws->history.n_prompt = read_ids(json_object_get(root, "prompt"), ws->history_ids);
    ws->history.n = ws->history.n_prompt + read_ids(json_object_get(root, "output"),
                                                    ws->history_ids + ws->history.n_prompt);

    size_t i;
    json_t *test;
    size_t compared = 0;
    json_array_foreach(json_object_get(root, "cases"), i, test) {
        char what[64];
        (void)snprintf(what, sizeof what, "case %zu", i);
        compared += check_case(test, json_object_get(root, "vectors"), ws, what);
    }
    assert_true(compared >= at_least);
    mem_free(ws);
    json_decref(root);
}

static void test_distribution_64_vectors_match(void **state) {
    check_file("tests/golden/sampling/cases-64.json", 376);
}

static void test_distribution_512_vectors_match(void **state) {
    check_file("tests/golden/sampling/cases-512.json", 98);
}

static void test_score_logprobs_and_ranks_match(void **state) {
    json_t *root = load("tests/golden/sampling/logprobs.json");
    json_t *vectors64 = load("tests/golden/sampling/cases-64.json");
    json_t *vectors512 = load("tests/golden/sampling/cases-512.json");
    size_t i;
    json_t *test;
    json_array_foreach(root, i, test) {
        float logits[MAX_VOCAB];
        const char *name = json_string_value(json_object_get(test, "logits"));
        const json_t *vector = json_object_get(json_object_get(vectors64, "vectors"), name);
        if (!vector)
            vector = json_object_get(json_object_get(vectors512, "vectors"), name);
        const uint32_t n = read_floats(vector, logits);
        float max;
        assert_true(score_max(logits, n, &max));

        struct token_logprob top[20];
        const double log_sum = score_log_sum_exp(logits, n, max);
        json_t *best = json_object_get(test, "top");
        const json_t *logprobs = json_object_get(test, "logprobs");
        const uint32_t n_top = (uint32_t)json_array_size(best);
        assert_true(n_top > 0 && n_top <= 20);
        score_top(logits, n, log_sum, n_top, top);
        for (uint32_t k = 0; k < n_top; k++) {
            assert_int_equal(top[k].token, json_integer_value(json_array_get(best, k)));
            const float want = number(json_array_get(logprobs, k));
            assert_true(top[k].logprob == want ||
                        fabs((double)(top[k].logprob - want)) < 2e-5 * (1 + fabs((double)want)));
        }
        const char *id;
        json_t *rank;
        json_object_foreach(json_object_get(test, "rank"), id, rank) assert_int_equal(
            score_rank(logits, n, logits[strtol(id, NULL, 10)]), json_integer_value(rank));
    }
    json_decref(root);
    json_decref(vectors64);
    json_decref(vectors512);
}

/* The known answers of the generator's authors (Random123 distribution, kat_vectors). */
static void test_philox_known_answers(void **state) {
    const uint32_t zero_key[2] = {0, 0};
    const uint32_t zero[4] = {0, 0, 0, 0};
    const uint32_t ones_key[2] = {0xffffffff, 0xffffffff};
    const uint32_t ones[4] = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
    uint32_t out[4];

    philox4x32(zero_key, zero, out);
    const uint32_t want_zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(out, want_zero, sizeof out);
    philox4x32(ones_key, ones, out);
    const uint32_t want_ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(out, want_ones, sizeof out);
}

static struct row_output run_row(const float *logits, uint32_t n, struct batch_seq *seq) {
    void *scratch = mem_map(sampler_scratch_bytes(n));
    assert_non_null(scratch);
    struct row_output out;
    memset(&out, 0xa5, sizeof out);
    sampler_row(logits, n, seq, seq->n_tokens - 1, scratch, &out);
    mem_unmap(scratch, sampler_scratch_bytes(n));
    return out;
}

static void test_sampler_row_draw_depends_on_seed_and_position_only(void **state) {
    float logits[256];
    uint64_t rng = 7;
    for (int i = 0; i < 256; i++)
        logits[i] = (float)(test_random(&rng) % 1000) / 250.0f;
    struct sampling_params params = sampling_defaults();
    const token_id history[3] = {1, 2, 3};
    struct batch_seq seq = {
        .n_tokens = 1,
        .n_context = 2,
        .n_prompt = 3,
        .history = history,
        .n_history = 3,
        .sample = true,
        .params = &params,
    };
    params.seed = 42;
    const token_id first = run_row(logits, 256, &seq).token;
    assert_int_equal(run_row(logits, 256, &seq).token, first);

    unsigned different = 0;
    for (uint64_t seed = 0; seed < 64; seed++) {
        params.seed = seed;
        different += run_row(logits, 256, &seq).token != first;
    }
    assert_true(different > 50);
}

/* 40,000 draws of a small distribution: each frequency within 5 standard deviations. */
static void test_draw_frequencies_follow_probabilities(void **state) {
    const float logits[4] = {0.0f, 1.0f, 2.0f, -1.0f};
    struct sampling_params params = sampling_defaults();
    struct workspace *ws = mem_alloc_zero(1, sizeof *ws);
    assert_non_null(ws);
    ws->scratch.weights = ws->weights;
    ws->scratch.candidates = ws->candidates;
    for (int with_top_p = 0; with_top_p < 2; with_top_p++) {
        params.top_p = with_top_p ? 0.9f : 1.0f;
        struct distribution dist;
        distribution_make(logits, 4, 2.0f, &params, &ws->scratch, &dist);
        int counts[4] = {0};
        const int n = 40000;
        for (int i = 0; i < n; i++)
            counts[distribution_draw(&dist, random_uniform(99, (uint64_t)i))]++;
        for (token_id id = 0; id < 4; id++) {
            const double p = distribution_probability(&dist, id);
            const double sigma = sqrt(n * p * (1 - p));
            assert_true(fabs(counts[id] - n * p) <= 5 * sigma);
        }
    }
    mem_free(ws);
}

static void test_sampler_row_not_finite_is_reported(void **state) {
    float logits[40];
    struct sampling_params params = sampling_defaults();
    const token_id history[1] = {0};
    struct batch_seq seq = {
        .n_tokens = 1,
        .n_prompt = 1,
        .history = history,
        .n_history = 1,
        .sample = true,
        .params = &params,
    };
    for (int bad = 0; bad < 3; bad++) {
        for (int i = 0; i < 40; i++)
            logits[i] = bad == 1 ? -INFINITY : (float)i;
        if (bad == 0)
            logits[17] = NAN;
        if (bad == 2)
            logits[39] = INFINITY;
        const struct row_output out = run_row(logits, 40, &seq);
        assert_int_equal(out.problem, ROW_NOT_FINITE);
        assert_int_equal(out.token, TOKEN_NONE);
    }
}

static void test_sampler_row_with_nothing_allowed_is_no_fault_of_the_logits(void **state) {
    float logits[40];
    const token_id eos[1] = {7};
    const token_id history[2] = {0, 3};
    struct sampling_params params = sampling_defaults();
    struct batch_seq seq = {
        .n_tokens = 1,
        .n_context = 1,
        .n_prompt = 1,
        .history = history,
        .n_history = 2,
        .sample = true,
        .params = &params,
    };
    for (int i = 0; i < 40; i++)
        logits[i] = (float)i;
    params.allowed_ids = params.stop_ids = eos;
    params.n_allowed_ids = params.n_stop_ids = 1;
    params.min_tokens = 2; /* there is one */
    assert_int_equal(run_row(logits, 40, &seq).problem, ROW_NOTHING_ALLOWED);
    params.min_tokens = 1;
    assert_int_equal(run_row(logits, 40, &seq).problem, ROW_OK);
    assert_int_equal(run_row(logits, 40, &seq).token, 7);
}

/* Any bit patterns and any parameters in range give a token of the vocabulary, or the row is not finite. */
static void test_sampler_row_is_total(void **state) {
    uint64_t rng = 2024;
    for (int round = 0; round < 3000; round++) {
        float logits[67];
        for (int i = 0; i < 67; i++) {
            uint32_t bits = (uint32_t)test_random(&rng);
            if (round % 2)
                bits = (bits & 0x83ffffffu) | 0x3c000000u; /* moderate numbers */
            memcpy(&logits[i], &bits, sizeof bits);
        }
        struct sampling_params params = sampling_defaults();
        params.temperature = (float)(test_random(&rng) % 200) / 100.0f + 0.01f;
        params.top_p = (float)(1 + test_random(&rng) % 100) / 100.0f;
        params.min_p = (float)(test_random(&rng) % 101) / 100.0f;
        params.top_k = (int32_t)(test_random(&rng) % 70);
        params.repetition_penalty = (float)(1 + test_random(&rng) % 300) / 100.0f;
        params.frequency_penalty = 1.5f;
        params.wants_logprobs = true;
        params.n_top = (uint32_t)(test_random(&rng) % 21);
        const token_id history[4] = {3, 66, 3, 9};
        struct batch_seq seq = {
            .n_tokens = 1,
            .n_context = 3,
            .n_prompt = 1,
            .history = history,
            .n_history = 4,
            .sample = true,
            .params = &params,
        };
        const struct row_output out = run_row(logits, 67, &seq);
        assert_true(out.problem == ROW_NOT_FINITE || (out.token >= 0 && out.token < 67));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution_64_vectors_match),
        cmocka_unit_test(test_distribution_512_vectors_match),
        cmocka_unit_test(test_score_logprobs_and_ranks_match),
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_sampler_row_draw_depends_on_seed_and_position_only),
        cmocka_unit_test(test_draw_frequencies_follow_probabilities),
        cmocka_unit_test(test_sampler_row_not_finite_is_reported),
        cmocka_unit_test(test_sampler_row_with_nothing_allowed_is_no_fault_of_the_logits),
        cmocka_unit_test(test_sampler_row_is_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
