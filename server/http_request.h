/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_request - one request read from a byte stream: head, body, framing, limits.
 *
 * The reader collects the head (http_head), lets a strict llhttp read it, adds the rules that
 * llhttp lacks, and then feeds llhttp the body. It never reads past its own message, so that the
 * rest of the bytes is the next request's. No sockets, no clock; loop thread.
 */
#ifndef KVASIR_SERVER_HTTP_REQUEST_H
#define KVASIR_SERVER_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/buf.h"

#include "http_head.h"
#include "llhttp_strict.h"
#include "span.h"

struct budget;

enum http_method { METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_OPTIONS };

struct http_header {
    struct span name;
    struct span value; /* without surrounding white space */
};

enum { HTTP_MAX_HEADERS = 128, HTTP_MAX_TRAILER_BYTES = 4096, HTTP_MAX_EXTENSION_BYTES = 256 };

/* What a request says. The spans point into the reader's head. */
struct http_request {
    enum http_method method;
    struct span method_name;
    struct span target; /* as written */
    struct span path;   /* before '?' */
    bool http_1_0;
    bool keep_alive;       /* the client allows another request on this connection */
    bool expects_continue; /* waits for 100 before it sends the body */
    bool has_body;
    uint64_t content_length; /* 0 when chunked */
    struct http_header headers[HTTP_MAX_HEADERS];
    uint32_t n_headers;
    struct span body;
};

enum http_progress {
    HTTP_MORE,      /* wants more bytes */
    HTTP_HEAD_DONE, /* the head is complete and accepted; reported once, before the body */
    HTTP_DONE,      /* the request is complete */
    HTTP_REFUSED,   /* http_reader_refusal says why; nothing after it can be trusted */
};

/* Heap object of a few KiB: made with the first byte of a request, gone with its exchange. */
struct http_reader;

/* The body's bytes are taken from the budget (NULL: none) until it is dropped or destroyed. */
struct http_reader *http_reader_create(const struct http_limits *limits, struct budget *budget);
void http_reader_destroy(struct http_reader *reader);

/* Reads from bytes; *ret_n were used. Call again with the rest after HEAD_DONE. */
enum http_progress http_reader_feed(struct http_reader *reader, const char *bytes, size_t len,
                                    size_t *ret_n);

const struct http_request *http_reader_request(const struct http_reader *reader);
struct http_refusal http_reader_refusal(const struct http_reader *reader);
bool http_reader_in_body(const struct http_reader *reader);
size_t http_reader_body_len(const struct http_reader *reader); /* so far */

/* Frees the body of a complete request, which has said all; its length stays known. */
void http_reader_drop_body(struct http_reader *reader);

/* The value of the first header of that name; an empty span with NULL bytes if there is none. */
struct span http_request_header(const struct http_request *request, const char *name);

#endif
