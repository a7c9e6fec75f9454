/* SPDX-License-Identifier: Apache-2.0 */
/* value: every type from text and back, ranges, and the words of errors. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/options.h"

struct values {
    bool flag;
    uint32_t u32;
    uint64_t u64;
    const char *text;
    struct option_list list;
    int choice;
};

static const struct option_choice colours[] = {{"red", 3}, {"green", 7}, {NULL, 0}};

static const struct option flag = {
    .name = "flag", .type = OPTION_BOOL, .offset = offsetof(struct values, flag)};
static const struct option count = {.name = "count",
                                    .type = OPTION_U32,
                                    .min = 2,
                                    .max = 100,
                                    .offset = offsetof(struct values, u32)};
static const struct option automatic = {.name = "automatic",
                                        .type = OPTION_U32,
                                        .zero = "auto",
                                        .offset = offsetof(struct values, u32)};
static const struct option big = {
    .name = "big", .type = OPTION_U64, .offset = offsetof(struct values, u64)};
static const struct option size = {
    .name = "size", .type = OPTION_BYTES, .offset = offsetof(struct values, u64)};
static const struct option wait = {.name = "wait",
                                   .type = OPTION_DURATION,
                                   .min = 1000,
                                   .max = 3600000000,
                                   .offset = offsetof(struct values, u64)};
static const struct option text = {
    .name = "text", .type = OPTION_STRING, .offset = offsetof(struct values, text)};
static const struct option list = {
    .name = "list", .type = OPTION_LIST, .offset = offsetof(struct values, list)};
static const struct option colour = {.name = "colour",
                                     .type = OPTION_CHOICE,
                                     .choices = colours,
                                     .offset = offsetof(struct values, choice)};

/* Parses and formats again; the result must be canonical. */
static void check(const struct option *row, const char *in, const char *canonical) {
    struct values values = {.u32 = 99};
    struct arena arena = {.head = NULL};
    struct error error = {.message = ""};
    if (option_parse(row, in, &values, &arena, &error) < 0)
        fail_msg("%s: %s", in, error.message);
    struct buf out = {.data = NULL};
    option_format(row, &values, &out);
    assert_string_equal(out.data, canonical);
    buf_fini(&out);
    arena_fini(&arena);
}

static void check_refused(const struct option *row, const char *in, const char *message) {
    struct values values = {.u32 = 5, .u64 = 6, .choice = 7, .flag = true};
    struct arena arena = {.head = NULL};
    struct error error = {.message = ""};
    assert_int_equal(option_parse(row, in, &values, &arena, &error), -EINVAL);
    assert_string_equal(error.message, message);
    assert_string_equal(error.param, row->name);
    assert_int_equal(values.u32, 5);
    assert_int_equal(values.u64, 6);
    assert_int_equal(values.choice, 7);
    assert_true(values.flag);
    arena_fini(&arena);
}

static void test_value_bool(void **state) {
    check(&flag, "true", "true");
    check(&flag, "false", "false");
    check_refused(&flag, "yes", "expected true or false, found \"yes\"");
    check_refused(&flag, "", "expected true or false, found \"\"");
}

static void test_value_number_has_its_range(void **state) {
    check(&count, "2", "2");
    check(&count, "100", "100");
    check(&count, "007", "7");
    check(&big, "18446744073709551615", "18446744073709551615");
    const char *const bad[] = {"1",  "101", "-5",  "+5",  " 5",  "5 ",
                               "5x", "",    "5.0", "1e1", "0x5", "18446744073709551616"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char message[128];
        (void)snprintf(message, sizeof message, "expected a number from 2 to 100, found \"%s\"",
                       bad[i]); /* short */
        check_refused(&count, bad[i], message);
    }
}

static void test_value_u32_does_not_wrap(void **state) {
    check(&automatic, "4294967295", "4294967295");
    check_refused(&automatic, "4294967296", "expected a number, or auto, found \"4294967296\"");
}

static void test_value_zero_word_stands_for_zero(void **state) {
    check(&automatic, "auto", "auto");
    check(&automatic, "0", "auto");
    check_refused(&count, "auto", "expected a number from 2 to 100, found \"auto\"");
}

static void test_value_bytes_know_both_kinds_of_units(void **state) {
    check(&size, "0", "0B");
    check(&size, "1000", "1000B");
    check(&size, "1024", "1KiB");
    check(&size, "16MiB", "16MiB");
    check(&size, "16mib", "16MiB");
    check(&size, "1.5GiB", "1536MiB");
    check(&size, "2GB", "1953125KiB");
    check(&size, "0.5KiB", "512B");
    check(&size, "1TiB", "1TiB");
    const char *const bad[] = {"",     "MiB", "1 MiB", "1Mi",   "1.MiB",       ".5MiB",  "-1MiB",
                               "1XiB", "1M",  "1e3",   "1,5GB", "99999999TiB", "1.5.5GB"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char message[128];
        (void)snprintf(message, sizeof message, "expected a size like 512MiB or 2GB, found \"%s\"",
                       bad[i]); /* short */
        check_refused(&size, bad[i], message);
    }
}

static void test_value_duration_is_in_seconds_without_a_unit(void **state) {
    check(&wait, "30", "30s");
    check(&wait, "30s", "30s");
    check(&wait, "500ms", "500ms");
    check(&wait, "1000us", "1ms");
    check(&wait, "2m", "2m");
    check(&wait, "120", "2m");
    check(&wait, "1h", "1h");
    check(&wait, "0.25s", "250ms");
    check(&wait, "90s", "90s");
    const char *message = "expected a duration like 30s or 500ms from 1ms to 1h, found \"2h\"";
    check_refused(&wait, "2h", message);
    check_refused(&wait, "999us",
                  "expected a duration like 30s or 500ms from 1ms to 1h, found \"999us\"");
}

static void test_value_choice_lists_the_words(void **state) {
    check(&colour, "green", "green");
    check_refused(&colour, "Green", "expected one of red, green, found \"Green\"");
    check_refused(&colour, "", "expected one of red, green, found \"\"");
}

static void test_value_texts_are_copied(void **state) {
    struct values values = {.text = NULL};
    struct arena arena = {.head = NULL};
    struct error error = {.message = ""};
    char source[] = "abc";
    assert_int_equal(option_parse(&text, source, &values, &arena, &error), 0);
    source[0] = 'x';
    assert_string_equal(values.text, "abc");
    arena_fini(&arena);
    check_refused(&text, "", "expected a text that is not empty, found \"\"");
}

static void test_value_list_grows_up_to_its_ceiling(void **state) {
    check(&list, "a", "a");
    check(&list, "a,b c,d", "a,b c,d");

    struct values values = {.text = NULL};
    struct arena arena = {.head = NULL};
    struct error error = {.message = ""};
    assert_int_equal(option_parse(&list, "1,2,3,4,5,6,7,8", &values, &arena, &error), 0);
    assert_int_equal(option_parse(&list, "9,10,11,12,13,14,15,16", &values, &arena, &error), 0);
    assert_int_equal(values.list.n, 16);
    assert_string_equal(values.list.items[15], "16");
    assert_int_equal(option_parse(&list, "17", &values, &arena, &error), -EINVAL);
    assert_string_equal(error.message,
                        "expected up to 16 texts with commas between them, found \"17\"");
    arena_fini(&arena);
    check_refused(&list, "a,,b",
                  "expected up to 16 texts with commas between them, found \"a,,b\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_value_bool),
        cmocka_unit_test(test_value_number_has_its_range),
        cmocka_unit_test(test_value_u32_does_not_wrap),
        cmocka_unit_test(test_value_zero_word_stands_for_zero),
        cmocka_unit_test(test_value_bytes_know_both_kinds_of_units),
        cmocka_unit_test(test_value_duration_is_in_seconds_without_a_unit),
        cmocka_unit_test(test_value_choice_lists_the_words),
        cmocka_unit_test(test_value_texts_are_copied),
        cmocka_unit_test(test_value_list_grows_up_to_its_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
