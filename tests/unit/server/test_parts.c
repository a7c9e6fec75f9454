/* SPDX-License-Identifier: Apache-2.0 */
/* The small parts: seq_map, router, histogram, log lines; and memory that fails. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvasir/mem.h"

#include "access_log.h"
#include "exchange.h"
#include "http_request.h"
#include "http_response.h"
#include "metrics.h"
#include "router.h"
#include "seq_map.h"
#include "support.h"

static void test_seq_map_finds_what_was_added(void **state) {
    (void)state;
    static struct seq_map map;
    static struct seq_entry entries[5000];
    seq_map_init(&map);
    for (uint32_t i = 0; i < 5000; i++)
        seq_map_add(&map, &entries[i], ((uint64_t)i << 32) | 7);
    assert_int_equal(map.n, 5000);
    for (uint32_t i = 0; i < 5000; i += 2)
        seq_map_remove(&map, &entries[i]);
    seq_map_remove(&map, &entries[0]); /* again: nothing */
    assert_int_equal(map.n, 2500);
    for (uint32_t i = 0; i < 5000; i++)
        assert_ptr_equal(seq_map_find(&map, ((uint64_t)i << 32) | 7), i % 2 ? &entries[i] : NULL);
}

static void test_router_knows_each_route_once(void **state) {
    (void)state;
    for (uint32_t i = 0; router_at(i); i++) {
        const struct route *route = router_at(i);
        char path[64];
        const size_t len = strlen(route->path);
        memcpy(path, route->path, len);
        path[len] = 'x';
        const bool prefix = route->path[len - 1] == '/';
        int status;
        const char *allow;
        const struct span span = {path, len + prefix};
        assert_ptr_equal(router_find(route->method, span, &status, &allow), route);
        assert_int_equal(router_index(route), i);
        assert_true(router_rest(route, span).len == prefix);
        assert_null(router_find(METHOD_OTHER, span, &status, &allow));
        assert_int_equal(status, 405);
        assert_non_null(allow);
    }
}

static void test_histogram_bounds_are_inclusive(void **state) {
    (void)state;
    static const double bounds[] = {1, 2.5, 10};
    struct histogram h = {.bounds = bounds, .n_bounds = 3};
    const double values[] = {0, 1, 1.0001, 2.5, 10, 10.5, 1e9};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        histogram_observe(&h, values[i]);
    assert_int_equal(h.counts[0], 2);
    assert_int_equal(h.counts[1], 2);
    assert_int_equal(h.counts[2], 1);
    assert_int_equal(h.counts[3], 2);
}

static void test_error_body_has_openais_shape(void **state) {
    (void)state;
    struct buf body = {0};
    http_error_write_body(&body, "say \"x\"\n", "t", "", NULL);
    assert_string_equal(body.data, "{\"error\":{\"message\":\"say "
                                   "\\\"x\\\"\\n\",\"type\":\"t\",\"param\":null,\"code\":null}}");
    buf_fini(&body);
}

/* A pipe that nobody reads: lines are dropped and counted, and nothing waits. */
static void test_log_never_blocks(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct log log = {.fd = fds[1], .level = SERVER_LOG_INFO};
    for (int i = 0; i < 10000; i++)
        log_message(&log, SERVER_LOG_INFO, "a line of some length to fill the pipe with");
    assert_true(log.n_dropped > 0);
    log_message(&log, SERVER_LOG_DEBUG, "not important enough");
    (void)close(fds[0]); /* only for this test */
    (void)close(fds[1]); /* only for this test */
}

static void test_log_cannot_be_forged(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    for (int json = 0; json < 2; json++) {
        struct log log = {.fd = fds[1], .level = SERVER_LOG_INFO, .json = json == 1};
        const struct access_record record = {
            .peer = "p",
            .request_id = "id",
            .method = span_of("GET"),
            .path = span_of("/\n2026 forged \x1b[31m \xff"),
            .status = 404,
        };
        access_log_write(&log, &record);
        char line[4096];
        const ssize_t n = read(fds[0], line, sizeof line - 1);
        assert_true(n > 0);
        line[n] = '\0';
        assert_ptr_equal(strchr(line, '\n'), line + n - 1);
        assert_null(strchr(line, '\x1b'));
        assert_non_null(strstr(line, "\\n2026 forged \\u001b[31m"));
    }
    (void)close(fds[0]); /* only for this test */
    (void)close(fds[1]); /* only for this test */
}

struct fault {
    unsigned n, at;
};

static bool should_fail(void *ctx, size_t size) {
    (void)size;
    struct fault *fault = ctx;
    return fault->n++ == fault->at;
}

/* Reading a request with each allocation failing in turn: 503 or no reader, never half a request. */
static void test_reader_without_memory(void **state) {
    (void)state;
    static const char text[] =
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    const struct http_limits limits = http_limits_defaults();
    bool succeeded = false;
    for (unsigned at = 0; !succeeded; at++) {
        struct fault fault = {.at = at};
        mem_set_fault_hook(should_fail, &fault);
        struct http_reader *reader = http_reader_create(&limits, NULL);
        enum http_progress progress = HTTP_MORE;
        size_t pos = 0;
        while (reader && pos < sizeof text - 1 && progress != HTTP_REFUSED) {
            size_t n;
            progress = http_reader_feed(reader, text + pos, sizeof text - 1 - pos, &n);
            pos += n;
        }
        mem_set_fault_hook(NULL, NULL);
        succeeded = fault.n <= at;
        if (succeeded) {
            assert_int_equal(progress, HTTP_DONE);
            assert_true(span_is(http_reader_request(reader)->body, "abcdef"));
        } else if (reader) {
            assert_int_equal(progress, HTTP_REFUSED);
            assert_int_equal(http_reader_refusal(reader).status, 503);
        }
        http_reader_destroy(reader);
    }
}

/* What does not fit or would break the head is refused, not fatal, and leaves nothing behind. */
static void test_header_values_are_checked(void **state) {
    (void)state;
    struct exchange x = {.server = NULL};
    char long_value[300];
    memset(long_value, 'v', sizeof long_value);
    long_value[256] = '\0';
    assert_int_equal(exchange_header(&x, "a", "%s", long_value), -EMSGSIZE);
    assert_int_equal(exchange_header(&x, "a", "%s", "x\r\nset-cookie: y"), -EINVAL);
    assert_int_equal(exchange_header(&x, "a", "%s", "\x7f"), -EINVAL);
    assert_int_equal(x.headers.len, 0);
    long_value[255] = '\0';
    assert_int_equal(exchange_header(&x, "a", "%s", long_value), 0);
    assert_int_equal(x.headers.len, 255 + 5);
    buf_fini(&x.headers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seq_map_finds_what_was_added),
        cmocka_unit_test(test_router_knows_each_route_once),
        cmocka_unit_test(test_histogram_bounds_are_inclusive),
        cmocka_unit_test(test_error_body_has_openais_shape),
        cmocka_unit_test(test_log_never_blocks),
        cmocka_unit_test(test_header_values_are_checked),
        cmocka_unit_test(test_log_cannot_be_forged),
        cmocka_unit_test(test_reader_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
