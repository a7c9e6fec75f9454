/* SPDX-License-Identifier: Apache-2.0 */
/* buf: growth, ceiling, the sticky failure, JSON strings. */
#include "support.h"

#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/mem.h"

static void test_buf_append_grows_and_terminates(void **state) {
    struct buf buf;
    buf_init(&buf, /* max_len= */ 0);
    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%03d", i);
    assert_false(buf_failed(&buf));
    assert_int_equal(buf.len, 3000);
    assert_memory_equal(buf.data, "000001002", 9);
    assert_memory_equal(buf.data + 2997, "999", 4); /* with the NUL */
    buf_fini(&buf);
}

static void test_buf_ceiling_fails_and_sticks(void **state) {
    struct buf buf;
    buf_init(&buf, /* max_len= */ 5);
    buf_append_str(&buf, "12345");
    assert_false(buf_failed(&buf));
    buf_append_char(&buf, '6');
    assert_true(buf_failed(&buf));
    assert_string_equal(buf.data, "12345");

    buf_append_str(&buf, "");
    assert_true(buf_failed(&buf));
    size_t len;
    assert_null(buf_take(&buf, &len));

    buf_clear(&buf);
    buf_append_str(&buf, "abc");
    assert_false(buf_failed(&buf));
    assert_string_equal(buf.data, "abc");
    buf_fini(&buf);
}

static bool always_fail(void *ctx, size_t size) {
    return true;
}

static void test_buf_without_memory_fails(void **state) {
    struct buf buf = {.data = NULL};
    mem_set_fault_hook(always_fail, NULL);
    buf_append_str(&buf, "x");
    buf_printf(&buf, "%d", 1);
    mem_set_fault_hook(NULL, NULL);
    assert_true(buf_failed(&buf));
    assert_int_equal(buf.len, 0);
    buf_fini(&buf);
}

static bool count_calls(void *ctx, size_t size) {
    unsigned *n_calls = ctx;
    (*n_calls)++;
    return false;
}

/* It once grew to exactly what was needed, so a megabyte in single bytes took a million copies. */
static void test_buf_single_bytes_grow_it_logarithmically(void **state) {
    struct buf buf = {.data = NULL};
    unsigned n_calls = 0;
    mem_set_fault_hook(count_calls, &n_calls);
    for (int i = 0; i < 1 << 20; i++)
        buf_append_char(&buf, 'x');
    mem_set_fault_hook(NULL, NULL);
    assert_int_equal(buf.len, 1 << 20);
    assert_true(n_calls <= 16);
    buf_fini(&buf);
}

static void test_buf_reserve_huge_fails(void **state) {
    struct buf buf = {.data = NULL};
    buf_append_str(&buf, "x");
    assert_null(buf_reserve(&buf, SIZE_MAX));
    assert_true(buf_failed(&buf));
    buf_clear(&buf);
    mem_set_fault_hook(always_fail, NULL); /* a sanitizer aborts at such a size instead */
    char *at = buf_reserve(&buf, SIZE_MAX - 1);
    mem_set_fault_hook(NULL, NULL);
    assert_null(at);
    assert_true(buf_failed(&buf));
    buf_fini(&buf);
}

static void test_buf_take_hands_over_the_bytes(void **state) {
    struct buf buf = {.data = NULL};
    buf_append_str(&buf, "abc");
    size_t len;
    char *bytes = buf_take(&buf, &len);
    assert_int_equal(len, 3);
    assert_string_equal(bytes, "abc");
    assert_int_equal(buf.len, 0);
    assert_null(buf.data);
    mem_free(bytes);
}

static void check_json(const char *bytes, size_t len, const char *expected) {
    struct buf buf = {.data = NULL};
    buf_append_json_string(&buf, bytes, len);
    assert_string_equal(buf.data, expected);
    buf_fini(&buf);
}

static void test_buf_json_string_escapes_what_json_needs(void **state) {
    check_json("", 0, "\"\"");
    check_json("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    check_json("\n\r\t\x01\x1f", 5, "\"\\n\\r\\t\\u0001\\u001f\"");
    check_json("a\0b", 3, "\"a\\u0000b\"");
    check_json("\x7f", 1, "\"\\u007f\"");
    check_json("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80", 9,
               "\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"");
}

static void test_buf_json_string_replaces_invalid_utf8(void **state) {
    check_json("a\xff"
               "b",
               3,
               "\"a\xef\xbf\xbd"
               "b\"");
    check_json("\xc3", 1, "\"\xef\xbf\xbd\"");                                 /* cut off */
    check_json("\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong */
    check_json("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_append_grows_and_terminates),
        cmocka_unit_test(test_buf_ceiling_fails_and_sticks),
        cmocka_unit_test(test_buf_without_memory_fails),
        cmocka_unit_test(test_buf_single_bytes_grow_it_logarithmically),
        cmocka_unit_test(test_buf_reserve_huge_fails),
        cmocka_unit_test(test_buf_take_hands_over_the_bytes),
        cmocka_unit_test(test_buf_json_string_escapes_what_json_needs),
        cmocka_unit_test(test_buf_json_string_replaces_invalid_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
