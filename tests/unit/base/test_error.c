/* SPDX-License-Identifier: Apache-2.0 */
/* error: messages, prefixes, and that nothing overflows. */
#include "support.h"

#include <errno.h>
#include <string.h>

#include "kvasir/error.h"

static void test_error_set_returns_the_code_and_clears_the_param(void **state) {
    struct error error = {.message = "old", .param = "old"};
    assert_int_equal(error_set(&error, -EINVAL, "expected %d", 7), -EINVAL);
    assert_string_equal(error.message, "expected 7");
    assert_string_equal(error.param, "");
}

static void test_error_set_param_names_the_field(void **state) {
    struct error error = {.message = ""};
    assert_int_equal(error_set_param(&error, -ENOENT, "model", "no such model"), -ENOENT);
    assert_string_equal(error.message, "no such model");
    assert_string_equal(error.param, "model");
}

static void test_error_without_struct_returns_the_code(void **state) {
    assert_int_equal(error_set(NULL, -ENOMEM, "x"), -ENOMEM);
    assert_int_equal(error_set_param(NULL, -ENOMEM, "p", "x"), -ENOMEM);
    assert_int_equal(error_prefix(NULL, -ENOMEM, "x"), -ENOMEM);
}

static void test_error_prefix_keeps_message_and_param(void **state) {
    struct error error = {.message = ""};
    (void)error_set_param(&error, -EINVAL, "rope", "expected a number");
    assert_int_equal(error_prefix(&error, -EINVAL, "%s/config.json", "dir"), -EINVAL);
    assert_string_equal(error.message, "dir/config.json: expected a number");
    assert_string_equal(error.param, "rope");
}

static void test_error_long_texts_are_cut(void **state) {
    char text[4096];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';

    struct error error = {.message = ""};
    (void)error_set_param(&error, -EINVAL, text, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    assert_int_equal(strlen(error.param), sizeof error.param - 1);
    (void)error_prefix(&error, -EINVAL, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_set_returns_the_code_and_clears_the_param),
        cmocka_unit_test(test_error_set_param_names_the_field),
        cmocka_unit_test(test_error_without_struct_returns_the_code),
        cmocka_unit_test(test_error_prefix_keeps_message_and_param),
        cmocka_unit_test(test_error_long_texts_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
