/* SPDX-License-Identifier: Apache-2.0 */
/* json_pull: values, strictness, the sticky error, depth. */
#include "support.h"

#include <math.h>
#include <string.h>

#include "kvasir/json_pull.h"

static struct json_pull open_text(const char *text) {
    struct json_pull p;
    json_pull_init(&p, text, strlen(text));
    return p;
}

static void test_json_pull_walks_nested_containers(void **state) {
    struct json_pull p =
        open_text(" {\"a\": [1, -2, 3.5e1], \"skip\": {\"x\": [[], {}]}, \"b\": {\"c\": true, "
                  "\"d\": null}} ");
    struct json_str key;
    double sum = 0;
    unsigned n_items = 0;
    bool c = false;
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        if (json_is(key, "a")) {
            for (json_enter_array(&p); json_next_item(&p); n_items++)
                sum += json_take_double(&p);
        } else if (json_is(key, "b")) {
            json_enter_object(&p);
            while (json_next_key(&p, &key)) {
                if (json_is(key, "c"))
                    c = json_take_bool(&p);
                else
                    json_take_null(&p);
            }
        } else {
            const struct json_str skipped = json_skip(&p);
            assert_int_equal(skipped.len, strlen("{\"x\": [[], {}]}"));
        }
    }
    struct error error = {.message = ""};
    assert_int_equal(json_pull_end(&p, "text", &error), 0);
    assert_int_equal(n_items, 3);
    assert_true(sum == 34);
    assert_true(c);
}

static void test_json_pull_integers_have_their_range(void **state) {
    struct json_pull p = open_text("[9223372036854775807, -9223372036854775807, "
                                   "18446744073709551615, 1e3, 2.0]");
    json_enter_array(&p);
    assert_true(json_next_item(&p));
    assert_true(json_take_int(&p) == INT64_MAX);
    assert_true(json_next_item(&p));
    assert_true(json_take_int(&p) == -INT64_MAX);
    assert_true(json_next_item(&p));
    assert_true(json_take_uint(&p) == UINT64_MAX);
    assert_true(json_next_item(&p));
    assert_int_equal(json_take_uint(&p), 1000);
    assert_true(json_next_item(&p));
    assert_int_equal(json_take_int(&p), 2);
    assert_false(json_next_item(&p));
    assert_int_equal(json_pull_end(&p, "text", NULL), 0);
}

static void test_json_pull_numbers_out_of_range_are_refused(void **state) {
    const char *const texts[] = {"9223372036854775808", "18446744073709551616", "-1", "1.5",
                                 "1e99"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_pull p = open_text(texts[i]);
        if (i == 0)
            (void)json_take_int(&p); /* only the status counts */
        else
            (void)json_take_uint(&p); /* only the status counts */
        assert_true(json_pull_status(&p, "number", NULL) < 0);
    }
}

static void test_json_pull_takes_what_model_configurations_write(void **state) {
    struct json_pull p = open_text("[NaN, Infinity, -Infinity]");
    json_enter_array(&p);
    assert_true(json_next_item(&p));
    assert_true(isnan(json_take_double(&p)));
    assert_true(json_next_item(&p));
    assert_true(json_take_double(&p) == HUGE_VAL);
    assert_true(json_next_item(&p));
    assert_true(json_take_double(&p) == -HUGE_VAL);
    assert_false(json_next_item(&p));
    assert_int_equal(json_pull_end(&p, "text", NULL), 0);
}

static void test_json_pull_malformed_text_is_refused(void **state) {
    const char *const texts[] = {
        "",         " ",         "{",       "[",         "[1",         "[1,]",
        "[,1]",     "[1 2]",     "{\"a\"}", "{\"a\":}",  "{\"a\":1,}", "{a:1}",
        "{1:2}",    "{\"a\" 1}", "[1}",     "{\"a\":1]", "\"abc",      "\"\\x\"",
        "\"a\nb\"", "01",        "-",       "+1",        "1.",         ".5",
        "1e",       "1e+",       "tru",     "True",      "nul",        "nan",
        "1 1",      "[] []",     "{} x",    "'a'",       "[1]//",      "\xef\xbb\xbf[]",
        "Infinit",  "-Inf",      "0x10",    "\"\\",      "\"\\\"",     "}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct json_pull p = open_text(texts[i]);
        (void)json_skip(&p); /* only the status counts */
        struct error error = {.message = ""};
        if (json_pull_end(&p, "text", &error) == 0)
            fail_msg("%s is accepted", texts[i]);
        assert_non_null(strstr(error.message, "text: "));
        assert_non_null(strstr(error.message, " at byte "));
    }
}

static void test_json_pull_error_sticks_and_ends_every_loop(void **state) {
    struct json_pull p = open_text("[1, x, 3]");
    json_enter_array(&p);
    unsigned n = 0;
    while (json_next_item(&p)) {
        (void)json_take_int(&p); /* zero after the error */
        n++;
    }
    assert_int_equal(n, 2);
    assert_int_equal(json_take_int(&p), 0);
    assert_int_equal(json_take_string(&p).len, 0);
    assert_int_equal(json_peek(&p), JSON_INVALID);
    struct error error = {.message = ""};
    assert_true(json_pull_status(&p, "f.json", &error) < 0);
    assert_string_equal(error.message, "f.json: expected a number at byte 4");
}

static void test_json_pull_depth_is_limited(void **state) {
    char text[2 * (JSON_MAX_DEPTH + 1) + 1];
    for (int depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        struct json_pull p;
        json_pull_init(&p, text, (size_t)depth * 2);
        (void)json_skip(&p); /* only the status counts */
        assert_int_equal(json_pull_end(&p, "text", NULL) == 0, depth == JSON_MAX_DEPTH);
    }
}

static void check_string(const char *json, const char *expected, size_t len) {
    struct json_pull p = open_text(json);
    struct buf out = {.data = NULL};
    json_unescape(json_take_string(&p), &out);
    assert_int_equal(json_pull_end(&p, "text", NULL), 0);
    assert_int_equal(out.len, len);
    if (len > 0)
        assert_memory_equal(out.data, expected, len);
    buf_fini(&out);
}

static void test_json_pull_unescapes_strings(void **state) {
    check_string("\"\"", "", 0);
    check_string("\"a\\n\\t\\\"\\\\\\/\\b\\f\\r\"", "a\n\t\"\\/\b\f\r", 9);
    check_string("\"\\u0041\\u00e9\\u4e2d\"", "A\xc3\xa9\xe4\xb8\xad", 6);
    check_string("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4);
    check_string("\"a\\u0000b\"", "a\0b", 3);
    check_string("\"\\ud83d\"", "\xef\xbf\xbd", 3);
    check_string("\"\\ud83dx\"", "\xef\xbf\xbdx", 4);
    check_string("\"\\ude00\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd", 6);
    check_string("\"\\ud83d\\u0041\"",
                 "\xef\xbf\xbd"
                 "A",
                 4);
}

static void test_json_is_compares_the_unescaped_text(void **state) {
    struct json_pull p = open_text("\"vo\\u0063ab\"");
    const struct json_str str = json_take_string(&p);
    assert_true(json_is(str, "vocab"));
    assert_false(json_is(str, "voc"));
    assert_false(json_is(str, "vocabs"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_pull_walks_nested_containers),
        cmocka_unit_test(test_json_pull_integers_have_their_range),
        cmocka_unit_test(test_json_pull_numbers_out_of_range_are_refused),
        cmocka_unit_test(test_json_pull_takes_what_model_configurations_write),
        cmocka_unit_test(test_json_pull_malformed_text_is_refused),
        cmocka_unit_test(test_json_pull_error_sticks_and_ends_every_loop),
        cmocka_unit_test(test_json_pull_depth_is_limited),
        cmocka_unit_test(test_json_pull_unescapes_strings),
        cmocka_unit_test(test_json_is_compares_the_unescaped_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
