/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotary parameters from both spellings of config.json and from GGUF keys.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "gguf_build.h"
#include "load/gguf_impl.h"
#include "load/tensor.h"
#include "model/rope_config.h"
#include "support.h"

/* Reading one configuration: head_dim 8, 100 positions. */
struct reading {
    struct hparams hparams;
    struct arena arena;
    struct problems problems;
};

static void read_hf(struct reading *reading, const char *text) {
    struct hf_config config;
    struct error error;
    *reading = (struct reading){.hparams = {.max_position = 100}};
    struct hparams_build build = {&reading->hparams, &reading->arena, &reading->problems};

    if (hf_config_init(&config, "config.json", text, strlen(text), &reading->problems, &error) < 0)
        fail_msg("%s", error.message);
    rope_read_hf(&config, &build, /* head_dim= */ 8);
}

static void done(struct reading *reading) {
    arena_fini(&reading->arena);
}

static void test_rope_kinds_in_both_spellings(void **state) {
    static const struct {
        const char *text;
        enum rope_kind kind;
        double theta, factor;
        uint32_t original, max_position;
    } cases[] = {
        {"{}", ROPE_DEFAULT, 10000, 1, 100, 100},
        {"{\"rope_theta\":500000.0,\"rope_scaling\":null}", ROPE_DEFAULT, 500000, 1, 100, 100},
        {"{\"rope_parameters\":{\"rope_theta\":1e6,\"rope_type\":\"default\"}}", ROPE_DEFAULT, 1e6,
         1, 100, 100},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":4}}", ROPE_LINEAR, 10000, 4, 100, 400},
        {"{\"rope_theta\":5,\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2.5,"
         "\"rope_theta\":7}}",
         ROPE_LINEAR, 7, 2.5, 100, 250},
        {"{\"rope_scaling\":{\"rope_type\":\"dynamic\",\"factor\":2}}", ROPE_DYNAMIC, 10000, 2, 100,
         200},
        /* the factor that is given counts, not the ratio of the lengths */
        {"{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,"
         "\"original_max_position_embeddings\":50}}",
         ROPE_YARN, 10000, 4, 50, 200},
        {"{\"rope_scaling\":{\"type\":\"yarn\",\"original_max_position_embeddings\":25}}",
         ROPE_YARN, 10000, 4, 25, 100},
        {"{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2}}", ROPE_YARN, 10000, 2, 100, 200},
        {"{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,"
         "\"high_freq_factor\":4,\"original_max_position_embeddings\":20}}",
         ROPE_LLAMA3, 10000, 8, 20, 100},
        {"{\"original_max_position_embeddings\":20,\"rope_scaling\":{\"type\":\"longrope\","
         "\"short_factor\":[1,1,1,1],\"long_factor\":[1,2,3,4]}}",
         ROPE_LONGROPE, 10000, 5, 20, 100},
        {"{\"rope_scaling\":{\"type\":\"su\",\"factor\":3,\"short_factor\":[1,1,1,1],"
         "\"long_factor\":[1,2,3,4]}}",
         ROPE_LONGROPE, 10000, 3, 100, 100},
        /* keyed by layer type, all the same */
        {"{\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":2},"
         "\"sliding_attention\":{\"rope_type\":\"linear\",\"factor\":2}}}",
         ROPE_LINEAR, 10000, 2, 100, 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reading reading;
        read_hf(&reading, cases[i].text);
        const struct rope_params *rope = &reading.hparams.rope;
        if (reading.problems.n > 0)
            fail_msg("%s: %s", cases[i].text, reading.problems.text);

        assert_int_equal(rope->kind, cases[i].kind);
        assert_true(rope->theta == cases[i].theta);
        assert_true(rope->factor == cases[i].factor);
        assert_int_equal(rope->original_length, cases[i].original);
        assert_int_equal(rope->max_position, 100);
        assert_int_equal(rope->n_dims, 8);
        assert_int_equal(reading.hparams.max_position, cases[i].max_position);
        assert_int_equal(rope->short_divisors != NULL, rope->kind == ROPE_LONGROPE);
        if (rope->short_divisors)
            assert_true(rope->short_divisors[3] == 1 && rope->long_divisors[3] == 4);
        done(&reading);
    }
}

static void test_rope_yarn_defaults_and_given_values(void **state) {
    struct reading reading;

    read_hf(&reading, "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4}}");
    assert_true(reading.hparams.rope.beta_fast == 32 && reading.hparams.rope.beta_slow == 1);
    assert_true(reading.hparams.rope.attention_factor == 0);
    assert_true(reading.hparams.rope.mscale == 0 && reading.hparams.rope.mscale_all_dim == 0);
    assert_true(reading.hparams.rope.truncate);
    done(&reading);

    read_hf(&reading, "{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"beta_fast\":16,"
                      "\"beta_slow\":2,\"attention_factor\":1.5,\"mscale\":0.7,"
                      "\"mscale_all_dim\":0.8,\"truncate\":false}}");
    assert_true(reading.hparams.rope.beta_fast == 16 && reading.hparams.rope.beta_slow == 2);
    assert_true(reading.hparams.rope.attention_factor == 1.5);
    assert_true(reading.hparams.rope.mscale == 0.7 && reading.hparams.rope.mscale_all_dim == 0.8);
    assert_false(reading.hparams.rope.truncate);
    done(&reading);
}

static void test_rope_of_part_of_a_head(void **state) {
    struct reading reading;

    read_hf(&reading, "{\"partial_rotary_factor\":0.5}");
    assert_int_equal(reading.hparams.rope.n_dims, 4);
    assert_int_equal(reading.problems.n, 0);
    done(&reading);
    read_hf(&reading, "{\"rope_parameters\":{\"partial_rotary_factor\":0.25}}");
    assert_int_equal(reading.hparams.rope.n_dims, 2);
    done(&reading);
}

static void test_rope_that_cannot_be_is_refused(void **state) {
    static const struct {
        const char *text;
        const char *refusal;
    } cases[] = {
        {"{\"rope_scaling\":{\"type\":\"weird\",\"factor\":4}}", "rope_type 'weird' is not served"},
        {"{\"rope_scaling\":{\"type\":7}}", "expected a string"},
        {"{\"rope_scaling\":[]}", "expected an object"},
        {"{\"rope_scaling\":{\"type\":\"linear\"}}", "factor: expected more than 0"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":-1}}", "factor: expected more than 0"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":1e9}}", "factor: expected more than 0"},
        {"{\"rope_scaling\":{\"type\":\"linear\",\"factor\":NaN}}", "a finite number"},
        {"{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"beta_slow\":0}}", "positive beta"},
        {"{\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,"
         "\"original_max_position_embeddings\":0}}",
         "original_max_position_embeddings"},
        {"{\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
         "\"high_freq_factor\":4}}",
         "low_freq_factor < high_freq_factor"},
        {"{\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8}}", "low_freq_factor"},
        {"{\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1,1]}}",
         "long_factor is missing"},
        {"{\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1],"
         "\"long_factor\":[1,1,1,1]}}",
         "expected 4 finite numbers"},
        {"{\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1,0],"
         "\"long_factor\":[1,1,1,1]}}",
         "a factor is not positive"},
        {"{\"rope_theta\":1}", "theta: expected more than 1"},
        {"{\"rope_theta\":-10000}", "theta: expected more than 1"},
        {"{\"rope_theta\":\"10000\"}", "a finite number"},
        {"{\"partial_rotary_factor\":0}", "partial_rotary_factor"},
        {"{\"partial_rotary_factor\":1.5}", "partial_rotary_factor"},
        {"{\"partial_rotary_factor\":0.4}", "an even number"},
        {"{\"partial_rotary_factor\":0.1}", "an even number"},
        {"{\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":2},"
         "\"sliding_attention\":{\"rope_type\":\"default\"}}}",
         "differ by layer type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reading reading;
        read_hf(&reading, cases[i].text);
        if (reading.problems.n == 0 || !strstr(reading.problems.text, cases[i].refusal))
            fail_msg("%s: expected '%s', got '%s'", cases[i].text, cases[i].refusal,
                     reading.problems.text);
        done(&reading);
    }
}

/* A GGUF file of architecture "a" with these rope keys; 0 or NULL: not there. */
struct keys {
    const char *type;
    float factor, attn_factor, freq_base;
    uint32_t original;
    const float *freqs; /* [4] */
    bool has_long;      /* rope_factors_long and _short */
};

static void read_gguf(struct reading *reading, const struct keys *keys) {
    static const float factors[8] = {1, 1, 1, 1, 1, 2, 3, 4};
    const uint64_t n_factors = 4;
    struct buf file;
    struct gguf *gguf;
    struct error error;
    *reading = (struct reading){.hparams = {.max_position = 100}};
    struct hparams_build build = {&reading->hparams, &reading->arena, &reading->problems};

    const uint32_t n_tensors = keys->freqs ? 1 : keys->has_long ? 2 : 0;
    gguf_begin(&file, 3, n_tensors,
               (keys->type != NULL) + (keys->factor != 0) + (keys->attn_factor != 0) +
                   (keys->freq_base != 0) + (keys->original != 0));
    if (keys->type)
        gguf_add_string(&file, "a.rope.scaling.type", keys->type);
    if (keys->factor != 0)
        gguf_add_f32(&file, "a.rope.scaling.factor", keys->factor);
    if (keys->attn_factor != 0)
        gguf_add_f32(&file, "a.rope.scaling.attn_factor", keys->attn_factor);
    if (keys->freq_base != 0)
        gguf_add_f32(&file, "a.rope.freq_base", keys->freq_base);
    if (keys->original)
        gguf_add_u32(&file, "a.rope.scaling.original_context_length", keys->original);
    if (keys->freqs)
        gguf_add_info(&file, "rope_freqs.weight", 1, &n_factors, WEIGHT_F32, 0);
    if (keys->has_long) {
        gguf_add_info(&file, "rope_factors_short.weight", 1, &n_factors, WEIGHT_F32, 0);
        gguf_add_info(&file, "rope_factors_long.weight", 1, &n_factors, WEIGHT_F32, 32);
    }
    gguf_pad(&file, 32);
    buf_append(&file, keys->freqs ? keys->freqs : factors, 16);
    gguf_put_zeros(&file, 16);
    buf_append(&file, factors + 4, 16);
    if (gguf_open_memory(file.data, file.len, "file", &gguf, &error) < 0)
        fail_msg("%s", error.message);

    const struct gguf_config config = {.gguf = gguf, .arch = "a", .problems = &reading->problems};
    rope_read_gguf(&config, &build, /* head_dim= */ 8);
    gguf_close(gguf);
    buf_fini(&file);
}

static void test_rope_of_gguf_keys(void **state) {
    static const float freqs[4] = {1, 2, 4, 8};
    static const struct {
        struct keys keys;
        enum rope_kind kind;
        double factor;
        uint32_t max_position;
    } cases[] = {
        {{.type = NULL}, ROPE_DEFAULT, 1, 100},
        {{.type = "none", .factor = 4}, ROPE_DEFAULT, 1, 100},
        {{.factor = 4}, ROPE_LINEAR, 4, 400},
        {{.type = "linear", .factor = 1}, ROPE_DEFAULT, 1, 100},
        {{.type = "linear", .factor = 2}, ROPE_LINEAR, 2, 200},
        {{.type = "yarn", .factor = 4, .original = 50}, ROPE_YARN, 4, 200},
        {{.freqs = freqs}, ROPE_DIVISORS, 1, 100},
        {{.type = "longrope", .attn_factor = 1.25f, .original = 20, .has_long = true},
         ROPE_LONGROPE,
         1,
         100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reading reading;
        read_gguf(&reading, &cases[i].keys);
        const struct rope_params *rope = &reading.hparams.rope;
        if (reading.problems.n > 0)
            fail_msg("case %zu: %s", i, reading.problems.text);
        assert_int_equal(rope->kind, cases[i].kind);
        assert_true(rope->factor == cases[i].factor);
        assert_int_equal(reading.hparams.max_position, cases[i].max_position);
        if (rope->kind == ROPE_DIVISORS)
            assert_memory_equal(rope->long_divisors, freqs, sizeof freqs);
        if (rope->kind == ROPE_LONGROPE) {
            assert_true(rope->long_divisors[3] == 4 && rope->short_divisors[3] == 1);
            assert_true(rope->attention_factor == 1.25);
        }
        done(&reading);
    }
}

static void test_rope_of_gguf_yarn_attn_factor_multiplies(void **state) {
    struct reading reading;
    const struct keys keys = {.type = "yarn", .factor = 4, .attn_factor = 0.5f};

    read_gguf(&reading, &keys);
    assert_true(fabs(reading.hparams.rope.attention_factor - 0.5 * (0.1 * log(4) + 1)) < 1e-12);
    done(&reading);
}

static void test_rope_of_gguf_that_cannot_be_is_refused(void **state) {
    static const float bad_freqs[][4] = {
        {1, 0, 1, 1}, {1, -1, 1, 1}, {1, NAN, 1, 1}, {1, INFINITY, 1, 1}};
    static const float freqs[4] = {1, 1, 1, 1};
    const struct {
        struct keys keys;
        const char *refusal;
    } cases[] = {
        {{.type = "weird"}, "a.rope.scaling.type 'weird' is not served"},
        {{.type = "linear", .factor = -2}, "factor: expected more than 0"},
        {{.freq_base = 0.5f}, "theta: expected more than 1"},
        {{.type = "longrope"}, "longrope without"},
        {{.type = "yarn", .factor = 2, .freqs = freqs}, "rope_freqs.weight beside"},
        {{.freqs = bad_freqs[0]}, "not positive"},
        {{.freqs = bad_freqs[1]}, "not positive"},
        {{.freqs = bad_freqs[2]}, "not positive"},
        {{.freqs = bad_freqs[3]}, "not positive"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct reading reading;
        read_gguf(&reading, &cases[i].keys);
        if (reading.problems.n == 0 || !strstr(reading.problems.text, cases[i].refusal))
            fail_msg("expected '%s', got '%s'", cases[i].refusal, reading.problems.text);
        done(&reading);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope_kinds_in_both_spellings),
        cmocka_unit_test(test_rope_yarn_defaults_and_given_values),
        cmocka_unit_test(test_rope_of_part_of_a_head),
        cmocka_unit_test(test_rope_that_cannot_be_is_refused),
        cmocka_unit_test(test_rope_of_gguf_keys),
        cmocka_unit_test(test_rope_of_gguf_yarn_attn_factor_multiplies),
        cmocka_unit_test(test_rope_of_gguf_that_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
