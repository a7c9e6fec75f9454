/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte table: what is a request, what is refused, and that the network's way of cutting the
 * bytes changes neither. Rows of the first part are refused by a strict llhttp (most are let
 * through by a loose one), rows of the second by our own layer.
 */
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/mem.h"

#include "http_request.h"
#include "support.h"

struct row {
    const char *name;
    const char *bytes;
    size_t len;
    uint32_t n_messages; /* complete ones before the end or the refusal */
    int status;          /* of the refusal; 0: none */
};

#define BYTES(text) text, sizeof(text) - 1
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define NEXT "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

static const struct row rows[] = {
    /* ---- what is a request ---- */
    {"get", BYTES(GET "\r\n"), 1, 0},
    {"two pipelined", BYTES(GET "\r\n" NEXT), 2, 0},
    {"body", BYTES(POST "Content-Length: 3\r\n\r\nabc" NEXT), 2, 0},
    {"empty body", BYTES(POST "Content-Length: 0\r\n\r\n" NEXT), 2, 0},
    {"no body", BYTES(POST "\r\n" NEXT), 2, 0},
    {"chunked", BYTES(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" NEXT), 2, 0},
    {"chunked, other case", BYTES(POST "Transfer-Encoding: ChunKed\r\n\r\n0\r\n\r\n" NEXT), 2, 0},
    {"chunk extension", BYTES(POST "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n"),
     1, 0},
    {"trailer", BYTES(POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n" NEXT), 2, 0},
    {"empty line before", BYTES("\r\n" GET "\r\n"), 1, 0},
    {"HTTP/1.0 without Host", BYTES("GET / HTTP/1.0\r\n\r\n"), 1, 0},
    {"upgrade to h2c is ignored",
     BYTES(POST
           "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
           "Content-Length: 2\r\n\r\n{}" NEXT),
     2, 0},
    {"upgrade without a body", BYTES(GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" NEXT), 2, 0},
    {"half a head", BYTES(GET), 0, 0},
    {"half a body", BYTES(POST "Content-Length: 30\r\n\r\nabc"), 0, 0},

    /* ---- smuggling and framing: a strict llhttp refuses these ---- */
    {"CR in a value hides a Content-Length (CVE-2023-30589)",
     BYTES(POST "X:\rContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b\r\n\r\n"), 0, 400},
    {"chunk data not followed by CRLF",
     BYTES(POST "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n"), 0, 400},
    {"TAB in the target", BYTES("GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"headers end in CR LF CR X (CVE-2025-23167)",
     BYTES(POST "Transfer-Encoding: chunked\r\n\rXGET / HTTP/1.1\r\n\r\n"), 0, 400},
    {"LF line ends", BYTES("GET / HTTP/1.1\nHost: a\n\n"), 0, 400},
    {"one LF line end", BYTES("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"), 0, 400},
    {"CL and TE", BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 0,
     400},
    {"TE and CL", BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), 0,
     400},
    {"two CL", BYTES(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 0, 400},
    {"two equal CL", BYTES(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 0, 400},
    {"TE: chunked, identity", BYTES(POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
     0, 400},
    {"TE: xchunked", BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 0, 501},
    {"two TE",
     BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 0,
     400},
    {"CL: +5", BYTES(POST "Content-Length: +5\r\n\r\nabcde"), 0, 400},
    {"CL: -5", BYTES(POST "Content-Length: -5\r\n\r\nabcde"), 0, 400},
    {"CL: 5 5", BYTES(POST "Content-Length: 5 5\r\n\r\nabcde"), 0, 400},
    {"CL: 0x5", BYTES(POST "Content-Length: 0x5\r\n\r\nabcde"), 0, 400},
    {"CL overflow", BYTES(POST "Content-Length: 18446744073709551616\r\n\r\n"), 0, 400},
    {"space before the colon", BYTES(POST "Content-Length : 5\r\n\r\nabcde"), 0, 400},
    {"chunk size 0x5", BYTES(POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n"), 0,
     400},
    {"chunk size with a space",
     BYTES(POST "Transfer-Encoding: chunked\r\n\r\n5 \r\nabcde\r\n0\r\n\r\n"), 0, 400},
    {"chunk size overflow",
     BYTES(POST "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\na\r\n0\r\n\r\n"), 0, 400},
    {"NUL in a value", BYTES(GET "X: a\0b\r\n\r\n"), 0, 400},
    {"HTTP/1.2", BYTES("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 0, 505},
    {"HTTP/2.0", BYTES("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 0, 505},
    {"CR in a value", BYTES(GET "X: a\rb\r\n\r\n"), 0, 400},
    {"no colon", BYTES(GET "Xab\r\n\r\n"), 0, 400},
    {"unknown method", BYTES("FOO / HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"bad chunk terminator", BYTES(POST "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"), 0,
     400},

    /* ---- what a strict llhttp accepts and we do not ---- */
    {"HTTP/0.9", BYTES("GET /\r\n\r\n"), 0, 400},
    {"empty header name", BYTES(GET ": b\r\n\r\n"), 0, 400},
    {"no Host", BYTES("GET / HTTP/1.1\r\n\r\n"), 0, 400},
    {"two Hosts", BYTES("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 0, 400},
    {"two Hosts on 1.0", BYTES("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 0, 400},
    {"TE on HTTP/1.0", BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 0,
     400},
    {"two spaces before the target", BYTES("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"two spaces before the version", BYTES("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"space behind the version", BYTES("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 0, 400},
    {"continued header", BYTES(GET "X: a\r\n b\r\n\r\n"), 0, 400},
    {"continued with a tab", BYTES(GET "X: a\r\n\tb\r\n\r\n"), 0, 400},
    {"space before the first header", BYTES("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 0, 400},
    {"TE: gzip, chunked", BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 0, 501},
    {"TE: gzip", BYTES(POST "Transfer-Encoding: gzip\r\n\r\n"), 0, 501},
    {"absolute form", BYTES("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"asterisk", BYTES("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"CONNECT", BYTES("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"HTTP/2 preface", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0, 505},
    {"HTTP/2 preface after a request",
     BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 1, 505},
    {"TLS hello", BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 0, 400},
    {"lower-case method", BYTES("get / HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"three empty lines", BYTES("\r\n\r\n\r\n" GET "\r\n"), 0, 400},
    {"other expectation", BYTES(POST "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na"), 0, 417},
    {"high byte in the target", BYTES("GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"), 0, 400},
    {"refused after a good one", BYTES(GET "\r\nGET /\r\n\r\n"), 1, 400},
};

static struct http_limits small_limits(void) {
    return (struct http_limits){
        .max_request_line = 64,
        .max_head = 128,
        .max_headers = 8,
        .max_body = 64,
    };
}

struct outcome {
    uint32_t n_messages;
    int status;
};

/* Feeds bytes in pieces that end at the given cuts (ascending, the last one is len). */
static struct outcome read_all(const struct http_limits *limits, const char *bytes,
                               const size_t *cuts, size_t n_cuts) {
    struct outcome outcome = {0};
    struct http_reader *reader = NULL;
    size_t pos = 0;
    for (size_t i = 0; i < n_cuts && !outcome.status; i++) {
        while (pos < cuts[i] && !outcome.status) {
            if (!reader)
                reader = http_reader_create(limits, NULL);
            assert_non_null(reader);
            size_t n;
            const enum http_progress progress =
                http_reader_feed(reader, bytes + pos, cuts[i] - pos, &n);
            assert_true(n <= cuts[i] - pos);
            pos += n;
            if (progress == HTTP_REFUSED) {
                outcome.status = http_reader_refusal(reader).status;
                assert_non_null(http_reader_refusal(reader).reason);
            }
            if (progress == HTTP_DONE)
                outcome.n_messages++;
            if (progress == HTTP_DONE || progress == HTTP_REFUSED) {
                http_reader_destroy(reader);
                reader = NULL;
            }
        }
    }
    http_reader_destroy(reader);
    return outcome;
}

static void check_row(const struct row *row, const size_t *cuts, size_t n_cuts, const char *how) {
    const struct http_limits limits = http_limits_defaults();
    const struct outcome outcome = read_all(&limits, row->bytes, cuts, n_cuts);
    if (outcome.n_messages != row->n_messages || outcome.status != row->status)
        fail_msg("%s (%s): %u messages and status %d, expected %u and %d", row->name, how,
                 outcome.n_messages, outcome.status, row->n_messages, row->status);
}

static void test_table_whole(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&rows[i], &rows[i].len, 1, "whole");
}

static void test_table_byte_by_byte(void **state) {
    (void)state;
    size_t cuts[1024];
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
        cuts[i] = i + 1;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&rows[i], cuts, rows[i].len, "byte by byte");
}

static void test_table_every_split(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t at = 1; at < rows[i].len; at++)
            check_row(&rows[i], (size_t[]){at, rows[i].len}, 2, "split");
    }
}

/* The build itself: with the loose macro these two would be accepted. */
static int ignore_cb(llhttp_t *parser) {
    (void)parser;
    return 0;
}

static void test_llhttp_is_strict(void **state) {
    (void)state;
    static const char *const inputs[] = {
        POST "X:\rContent-Length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
        POST "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdeXX0\r\n\r\n",
    };
    const llhttp_settings_t settings = {.on_message_complete = ignore_cb};
    for (size_t i = 0; i < 2; i++) {
        llhttp_t parser;
        llhttp_init(&parser, HTTP_REQUEST, &settings);
        assert_int_equal(llhttp_execute(&parser, inputs[i], strlen(inputs[i])), HPE_STRICT);
    }
}

static int status_of(const struct http_limits *limits, const struct buf *bytes) {
    assert_false(buf_failed(bytes));
    const size_t cut = bytes->len;
    return read_all(limits, bytes->data, &cut, 1).status;
}

static void append_times(struct buf *buf, char c, size_t n) {
    for (size_t i = 0; i < n; i++)
        buf_append_char(buf, c);
}

static void test_request_line_limit(void **state) {
    (void)state;
    const struct http_limits limits = small_limits();
    for (int over = 0; over < 2; over++) {
        struct buf buf = {0};
        buf_append_str(&buf, "GET /");
        append_times(&buf, 'a', limits.max_request_line - strlen("GET / HTTP/1.1") + (size_t)over);
        buf_append_str(&buf, " HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(status_of(&limits, &buf), over ? 414 : 0);
        buf_fini(&buf);
    }
}

static void test_head_limit(void **state) {
    (void)state;
    const struct http_limits limits = small_limits();
    for (int over = 0; over < 2; over++) {
        struct buf buf = {0};
        buf_append_str(&buf, GET "X: ");
        append_times(&buf, 'a', limits.max_head - strlen("Host: a") - strlen("X: ") + (size_t)over);
        buf_append_str(&buf, "\r\n\r\n");
        assert_int_equal(status_of(&limits, &buf), over ? 431 : 0);
        buf_fini(&buf);
    }
}

static void test_header_count_limit(void **state) {
    (void)state;
    const struct http_limits limits = small_limits();
    for (uint32_t over = 0; over < 2; over++) {
        struct buf buf = {0};
        buf_append_str(&buf, GET);
        for (uint32_t i = 1; i < limits.max_headers + over; i++)
            buf_append_str(&buf, "X: y\r\n");
        buf_append_str(&buf, "\r\n");
        assert_int_equal(status_of(&limits, &buf), over ? 431 : 0);
        buf_fini(&buf);
    }
}

static void test_body_limit_by_length(void **state) {
    (void)state;
    const struct http_limits limits = small_limits();
    for (size_t over = 0; over < 2; over++) {
        struct buf buf = {0};
        buf_printf(&buf, POST "Content-Length: %zu\r\n\r\n", limits.max_body + over);
        /* Refused from the head alone; the body is not waited for. */
        assert_int_equal(status_of(&limits, &buf), over ? 413 : 0);
        buf_fini(&buf);
    }
}

static void test_body_limit_by_chunks(void **state) {
    (void)state;
    const struct http_limits limits = small_limits();
    for (size_t over = 0; over < 2; over++) {
        struct buf buf = {0};
        buf_append_str(&buf, POST "Transfer-Encoding: chunked\r\n\r\n");
        for (size_t i = 0; i < limits.max_body + over; i++)
            buf_append_str(&buf, "1\r\na\r\n");
        buf_append_str(&buf, "0\r\n\r\n");
        assert_int_equal(status_of(&limits, &buf), over ? 413 : 0);
        buf_fini(&buf);
    }
}

static void test_chunk_extension_limit(void **state) {
    (void)state;
    const struct http_limits limits = http_limits_defaults();
    for (size_t over = 0; over < 2; over++) {
        struct buf buf = {0};
        buf_append_str(&buf, POST "Transfer-Encoding: chunked\r\n\r\n1;a=");
        append_times(&buf, 'b', HTTP_MAX_EXTENSION_BYTES - 1 + over);
        buf_append_str(&buf, "\r\nx\r\n0\r\n\r\n");
        assert_int_equal(status_of(&limits, &buf), over ? 400 : 0);
        buf_fini(&buf);
    }
}

static void test_trailer_limit(void **state) {
    (void)state;
    const struct http_limits limits = http_limits_defaults();
    struct buf buf = {0};
    buf_append_str(&buf, POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ");
    append_times(&buf, 'b', 1 << 20);
    buf_append_str(&buf, "\r\n\r\n");
    assert_int_equal(status_of(&limits, &buf), 431);
    buf_fini(&buf);
}

static void test_many_small_chunks_are_refused(void **state) {
    (void)state;
    const struct http_limits limits = http_limits_defaults();
    struct buf buf = {0};
    buf_append_str(&buf, POST "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; i < 500000; i++)
        buf_append_str(&buf, "1\r\na\r\n");
    assert_int_equal(status_of(&limits, &buf), 400);
    buf_fini(&buf);
}

/* ---- what a request says ---- */

static struct http_reader *read_one(const char *bytes) {
    const struct http_limits limits = http_limits_defaults();
    struct http_reader *reader = http_reader_create(&limits, NULL);
    assert_non_null(reader);
    size_t len = strlen(bytes);
    for (;;) {
        size_t n;
        const enum http_progress progress = http_reader_feed(reader, bytes, len, &n);
        bytes += n;
        len -= n;
        if (progress == HTTP_DONE)
            return reader;
        assert_int_equal(progress, HTTP_HEAD_DONE);
    }
}

static void test_fields_of_a_request(void **state) {
    (void)state;
    struct http_reader *reader =
        read_one("POST /v1/x?a=b HTTP/1.1\r\nHost: h\r\nX-A:  one  \r\nx-a: two\r\nEmpty:\r\n"
                 "Expect: 100-Continue\r\nContent-Length: 4\r\n\r\nbody");
    const struct http_request *request = http_reader_request(reader);
    assert_int_equal(request->method, METHOD_POST);
    assert_true(span_is(request->path, "/v1/x"));
    assert_true(span_is(request->target, "/v1/x?a=b"));
    assert_true(span_is(http_request_header(request, "x-A"), "one"));
    assert_true(span_is(http_request_header(request, "empty"), ""));
    assert_non_null(http_request_header(request, "empty").bytes);
    assert_null(http_request_header(request, "absent").bytes);
    assert_true(span_is(request->body, "body"));
    assert_true(request->keep_alive);
    assert_true(request->expects_continue);
    assert_int_equal(request->content_length, 4);
    http_reader_destroy(reader);
}

static void test_keep_alive_by_version_and_header(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        bool keep_alive;
    } cases[] = {
        {GET "\r\n", true},
        {GET "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_reader *reader = read_one(cases[i].bytes);
        assert_int_equal(http_reader_request(reader)->keep_alive, cases[i].keep_alive);
        http_reader_destroy(reader);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_whole),
        cmocka_unit_test(test_table_byte_by_byte),
        cmocka_unit_test(test_table_every_split),
        cmocka_unit_test(test_llhttp_is_strict),
        cmocka_unit_test(test_request_line_limit),
        cmocka_unit_test(test_head_limit),
        cmocka_unit_test(test_header_count_limit),
        cmocka_unit_test(test_body_limit_by_length),
        cmocka_unit_test(test_body_limit_by_chunks),
        cmocka_unit_test(test_chunk_extension_limit),
        cmocka_unit_test(test_trailer_limit),
        cmocka_unit_test(test_many_small_chunks_are_refused),
        cmocka_unit_test(test_fields_of_a_request),
        cmocka_unit_test(test_keep_alive_by_version_and_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
