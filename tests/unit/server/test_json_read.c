/* SPDX-License-Identifier: Apache-2.0 */
/* json_read: what is refused before it costs anything, and that running out of memory is clean. */
#include <errno.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/mem.h"

#include "json_read.h"
#include "support.h"

static int setup(void **state) {
    (void)state;
    json_read_init();
    return 0;
}

/* The code, and the message in *ret_error. */
static int read_text(const char *text, size_t len, struct error *ret_error) {
    json_t *root = NULL;
    *ret_error = (struct error){.message = ""};
    const int r = json_read(text, len, &root, ret_error);
    if (r == 0) {
        assert_true(json_is_object(root));
        json_decref(root);
    } else
        assert_true(ret_error->message[0] != '\0');
    return r;
}

static int read_str(const char *text) {
    struct error error;
    return read_text(text, strlen(text), &error);
}

static void test_accepts_objects(void **state) {
    (void)state;
    assert_int_equal(read_str("{}"), 0);
    assert_int_equal(read_str(" {\"a\":[1,-2.5e3,true,null,\"x\\u00e9\"]}\n"), 0);
}

static void test_refuses_what_is_not_json(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "\"text\"",
        "1",
        "{",
        "{\"a\":}",
        "{'a':1}",
        "{\"a\":1,}",
        "{} x",
        "{\"a\":NaN}",
        "{\"a\":1e400}",
        "{\"a\":99999999999999999999}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
        "{\"a\":1} // comment",
        "\xef\xbb\xbf{}",
        "{\"a\":1,\"a\":2}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (read_str(texts[i]) != -EINVAL)
            fail_msg("accepted: %s", texts[i]);
    }
}

/* By doubling, for the large ones. */
static void append_times(struct buf *buf, const char *text, size_t n) {
    const size_t total = n * strlen(text);
    char *at = buf_reserve(buf, total);
    assert_non_null(at);
    size_t len = total > 0 ? strlen(text) : 0;
    memcpy(at, text, len);
    while (len < total) {
        const size_t step = len < total - len ? len : total - len;
        memcpy(at + len, at, step);
        len += step;
    }
    buf_commit(buf, total);
}

static void test_depth_is_limited(void **state) {
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        struct buf buf = {0};
        struct error error;
        const size_t n = JSON_READ_MAX_DEPTH - 1 + over; /* and the object around it */
        buf_append_str(&buf, "{\"a\":");
        append_times(&buf, "[", n);
        append_times(&buf, "]", n);
        buf_append_str(&buf, "}");
        assert_int_equal(read_text(buf.data, buf.len, &error), over ? -EINVAL : 0);
        buf_fini(&buf);
    }
}

static void test_numbers_are_limited(void **state) {
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        struct buf buf = {0};
        struct error error;
        buf_append_str(&buf, "{\"a\":0.");
        append_times(&buf, "1", JSON_READ_MAX_NUMBER - 2 + over);
        buf_append_str(&buf, "}");
        assert_int_equal(read_text(buf.data, buf.len, &error), over ? -EINVAL : 0);
        buf_fini(&buf);
    }
}

/* Brackets and quotes inside strings are text. */
static void test_strings_do_not_count(void **state) {
    (void)state;
    struct buf buf = {0};
    struct error error;
    buf_append_str(&buf, "{\"a\":\"");
    append_times(&buf, "[{\\\"111111111\\\\", 10000);
    buf_append_str(&buf, "\"}");
    assert_int_equal(read_text(buf.data, buf.len, &error), 0);
    buf_fini(&buf);
}

/*
 * Empty objects are trees of 77 times their text: more than the 24 that a body may take. Scalars
 * are some 20 times theirs, so that only the ceiling on all bodies stops them. Each as small as
 * still reaches its limit; making and freeing the trees is what takes the time.
 */
static void test_bombs_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *item;
        size_t n_bytes;
    } bombs[] = {{"{},", 200000}, {"[],", 200000}, {"\"\",", 5000000}, {"0,", 4500000}};
    for (size_t i = 0; i < 4; i++) {
        struct buf buf = {0};
        struct error error;
        buf_append_str(&buf, "{\"a\":[");
        append_times(&buf, bombs[i].item, bombs[i].n_bytes / strlen(bombs[i].item));
        buf_append_str(&buf, "0]}");
        assert_int_equal(read_text(buf.data, buf.len, &error), -EINVAL);
        assert_non_null(strstr(error.message, "too many values"));
        buf_fini(&buf);
    }
}

/* What honest clients send must pass: long texts, and prompts of token ids. */
static void test_large_bodies_pass(void **state) {
    (void)state;
    struct buf buf = {0};
    struct error error;
    buf_append_str(&buf, "{\"prompt\":[");
    for (int i = 0; i < 131072; i++)
        buf_printf(&buf, i ? ",%d" : "%d", i % 10);
    buf_append_str(&buf, "]}");
    assert_int_equal(read_text(buf.data, buf.len, &error), 0);
    buf_fini(&buf);

    buf_append_str(&buf, "{\"prompt\":\"");
    append_times(&buf, "lorem ipsum ", 1000000);
    buf_append_str(&buf, "\"}");
    assert_int_equal(read_text(buf.data, buf.len, &error), 0);
    buf_fini(&buf);
}

/* Fails the allocation with this number, once. */
struct fault {
    unsigned n;
    unsigned at;
};

static bool should_fail(void *ctx, size_t size) {
    (void)size;
    struct fault *fault = ctx;
    return fault->n++ == fault->at;
}

static void test_every_failed_allocation_is_clean(void **state) {
    (void)state;
    static const char text[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":"
        "\"hi\"}]}],\"temperature\":0.5,\"stop\":[\"a\",\"b\"],\"logit_bias\":{\"1\":2}}";
    unsigned n_refused = 0;
    for (unsigned at = 0;; at++) {
        struct fault fault = {.at = at};
        struct error error;
        mem_set_fault_hook(should_fail, &fault);
        const int r = read_text(text, sizeof text - 1, &error);
        mem_set_fault_hook(NULL, NULL);
        if (fault.n <= at) { /* it made fewer allocations: none failed */
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        n_refused++;
    }
    assert_true(n_refused > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_objects),
        cmocka_unit_test(test_refuses_what_is_not_json),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_numbers_are_limited),
        cmocka_unit_test(test_strings_do_not_count),
        cmocka_unit_test(test_bombs_are_refused),
        cmocka_unit_test(test_large_bodies_pass),
        cmocka_unit_test(test_every_failed_allocation_is_clean),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
