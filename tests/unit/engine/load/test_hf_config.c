/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json by key: defaults for what is absent or null, one line for each that is wrong.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "load/hf_config.h"
#include "support.h"

/* A config of this text; the problems start empty. */
static struct hf_config config_of(const char *text, struct problems *problems) {
    struct hf_config config;
    struct error error;
    *problems = (struct problems){.n = 0};

    assert_int_equal(hf_config_init(&config, "c", text, strlen(text), problems, &error), 0);
    return config;
}

static void expect_problem(const struct problems *problems, const char *text) {
    struct error error = {.message = ""};

    assert_int_equal(problems_status(problems, "what", &error), -EINVAL);
    if (!strstr(error.message, text))
        fail_msg("expected '%s' in: %s", text, error.message);
}

static void test_hf_config_text_that_is_no_object_is_refused(void **state) {
    static const char *const texts[] = {"",       "[]",       "1",     "\"x\"",      "null", "{",
                                        "{\"a\"", "{\"a\":}", "{} {}", "{\"a\":1,}", "{a:1}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct hf_config config;
        struct problems problems = {.n = 0};
        struct error error;
        assert_int_equal(
            hf_config_init(&config, "c", texts[i], strlen(texts[i]), &problems, &error), -EINVAL);
        assert_true(strncmp(error.message, "c: ", 3) == 0);
    }
}

static void test_hf_config_integers(void **state) {
    static const struct {
        const char *text;
        uint32_t value; /* 7 is the default */
        bool is_wrong;
    } cases[] = {
        {"{}", 7, false},
        {"{\"k\":null}", 7, false},
        {"{\"k\":1}", 1, false},
        {"{\"k\":1,\"k\":2}", 2, false}, /* the last one counts */
        {"{\"k\":1,\"k\":null}", 7, false},
        {"{\"\\u006b\":3}", 3, false},
        {"{\"x\":{\"k\":1}}", 7, false}, /* not that of a nested object */
        {"{\"k\":100}", 100, false},
        {"{\"k\":1e2}", 100, false},
        {"{\"k\":0}", 7, true},
        {"{\"k\":101}", 7, true},
        {"{\"k\":-1}", 7, true},
        {"{\"k\":4294967297}", 7, true},
        {"{\"k\":18446744073709551617}", 7, true},
        {"{\"k\":1.5}", 7, true},
        {"{\"k\":\"1\"}", 7, true},
        {"{\"k\":true}", 7, true},
        {"{\"k\":[1]}", 7, true},
        {"{\"k\":Infinity}", 7, true},
        {"{\"k\":NaN}", 7, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problems problems;
        const struct hf_config config = config_of(cases[i].text, &problems);
        assert_int_equal(hf_u32(&config, "k", 1, 100, 7), cases[i].value);
        if (cases[i].is_wrong)
            expect_problem(&problems, "c: k: expected an integer 1 to 100, found ");
        else
            assert_int_equal(problems.n, 0);
    }
}

static void test_hf_config_required_integer_that_is_missing_is_reported(void **state) {
    struct problems problems;
    const struct hf_config config = config_of("{\"k\":null}", &problems);

    assert_int_equal(hf_u32_required(&config, "k", 1, 100), 1);
    expect_problem(&problems, "c: k is missing");
}

static void test_hf_config_numbers_must_be_finite(void **state) {
    struct problems problems;
    struct hf_config config = config_of("{\"a\":0.5,\"b\":Infinity,\"c\":NaN,\"d\":1e999,"
                                        "\"e\":{\"__float__\":\"Infinity\"}}",
                                        &problems);
    assert_true(hf_double(&config, "a", 9) == 0.5);
    assert_true(hf_double(&config, "z", 9) == 9.0);
    assert_int_equal(problems.n, 0);
    for (const char *key = "bcde"; *key; key++) {
        const char name[2] = {*key, '\0'};
        assert_true(hf_double(&config, name, 9) == 9.0);
    }
    assert_int_equal(problems.n, 4);
}

static void test_hf_config_all_problems_are_said_at_once(void **state) {
    struct problems problems;
    struct error error;
    const struct hf_config config =
        config_of("{\"a\":-1,\"b\":\"yes\",\"c\":3,\"d\":[1,2]}", &problems);

    (void)hf_u32(&config, "a", 1, 5, 1);
    assert_true(hf_bool(&config, "b", true));
    assert_int_equal(hf_string(&config, "c").len, 0);
    float values[3];
    assert_false(hf_floats(&config, "d", 3, values));
    assert_int_equal(problems_status(&problems, "config", &error), -EINVAL);
    assert_string_equal(error.message,
                        "config: c: a: expected an integer 1 to 5, found -1; c: b: expected true "
                        "or false, found \"yes\"; c: c: expected a string, found 3; c: d: expected "
                        "3 finite numbers, found [1,2]");
}

static void test_hf_config_problems_that_do_not_fit_are_counted(void **state) {
    struct problems problems = {.n = 0};
    struct error error;

    for (int i = 0; i < 100; i++)
        problems_add(&problems, i == 0 ? -ENOTSUP : -EINVAL, "problem number %d of this file", i);
    assert_int_equal(problems_status(&problems, "file", &error), -ENOTSUP);
    assert_non_null(strstr(error.message, "file: problem number 0 of this file; problem number 1"));
    assert_non_null(strstr(error.message, " more problems"));
    uint32_t n_shown = 0;
    for (const char *at = error.message; (at = strstr(at, "problem number")) != NULL; at++)
        n_shown++;
    char tail[32];
    (void)snprintf(tail, sizeof tail, "and %u more problems", 100 - n_shown);
    assert_non_null(strstr(error.message, tail));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hf_config_text_that_is_no_object_is_refused),
        cmocka_unit_test(test_hf_config_integers),
        cmocka_unit_test(test_hf_config_required_integer_that_is_missing_is_reported),
        cmocka_unit_test(test_hf_config_numbers_must_be_finite),
        cmocka_unit_test(test_hf_config_all_problems_are_said_at_once),
        cmocka_unit_test(test_hf_config_problems_that_do_not_fit_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
