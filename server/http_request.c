/* SPDX-License-Identifier: Apache-2.0 */
#include "http_request.h"

#include <string.h>

#include "kvasir/mem.h"

#include "budget.h"

/*
 * Chunks are counted because each costs a parser round trip: a body of one-byte chunks is an
 * attack, not a client.
 */
enum { MAX_CHUNKS = 64 << 10, FREE_CHUNK_BYTES = 1 << 20, MIN_MEAN_CHUNK = 16 };

struct http_reader {
    struct http_limits limits;
    struct http_request request;
    struct http_refusal refusal;
    struct http_head_scan scan;
    enum { READING_HEAD, READING_BODY, READ_DONE, READ_REFUSED } state;

    llhttp_t parser;
    struct buf head;
    struct buf body;
    struct budget *budget; /* NULL: none */
    size_t n_charged;      /* taken from it for the body */
    size_t n_extension_bytes;
    size_t n_trailer_bytes;
    uint32_t n_chunks;
    bool head_complete; /* llhttp's on_headers_complete was called */
    bool complete;      /* llhttp's on_message_complete was called */
};

static int refuse(struct http_reader *reader, int status, const char *reason) {
    if (!reader->refusal.status)
        reader->refusal = (struct http_refusal){.status = status, .reason = reason};
    reader->state = READ_REFUSED;
    return HPE_USER;
}

static struct http_reader *reader_of(llhttp_t *parser) {
    return parser->data;
}

static uint32_t count_headers(const struct http_request *request, const char *name) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < request->n_headers; i++)
        n += span_is_nocase(request->headers[i].name, name);
    return n;
}

/* The rules that a strict llhttp does not have (reliability: what strict mode still accepts). */
static bool check_framing(struct http_reader *reader) {
    const struct http_request *request = &reader->request;
    const unsigned major = reader->parser.http_major;
    const unsigned minor = reader->parser.http_minor;
    if (major != 1 || minor > 1) {
        (void)refuse(reader, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.");
        return false;
    }

    const uint32_t n_hosts = count_headers(request, "host");
    if (n_hosts > 1 || (n_hosts == 0 && minor == 1)) {
        (void)refuse(reader, 400, "A request must have exactly one Host header.");
        return false;
    }

    const uint32_t n_codings = count_headers(request, "transfer-encoding");
    if (n_codings > 0 && minor == 0) {
        (void)refuse(reader, 400, "HTTP/1.0 has no Transfer-Encoding.");
        return false;
    }
    if (n_codings > 1 ||
        (n_codings == 1 &&
         !span_is_nocase(http_request_header(request, "transfer-encoding"), "chunked"))) {
        (void)refuse(reader, 501, "The only Transfer-Encoding that is understood is chunked.");
        return false;
    }
    if (count_headers(request, "content-length") > 1) {
        (void)refuse(reader, 400, "A request must not have two Content-Length headers.");
        return false;
    }
    return true;
}

/* llhttp's callbacks. The head is one piece of memory, so a span never comes in two parts. */

static int on_url(llhttp_t *parser, const char *at, size_t len) {
    reader_of(parser)->request.target = (struct span){at, len};
    return 0;
}

static int on_method(llhttp_t *parser, const char *at, size_t len) {
    reader_of(parser)->request.method_name = (struct span){at, len};
    return 0;
}

static int count_trailer(struct http_reader *reader, size_t len) {
    reader->n_trailer_bytes += len;
    if (reader->n_trailer_bytes > HTTP_MAX_TRAILER_BYTES)
        return refuse(reader, 431, "The trailers are too large.");
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len) {
    struct http_reader *reader = reader_of(parser);
    struct http_request *request = &reader->request;
    if (reader->head_complete)
        return count_trailer(reader, len);
    if (request->n_headers == HTTP_MAX_HEADERS)
        return refuse(reader, 431, "The request has too many header fields.");

    request->headers[request->n_headers++].name = (struct span){at, len};
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len) {
    struct http_reader *reader = reader_of(parser);
    if (reader->head_complete)
        return count_trailer(reader, len);
    if (reader->request.n_headers > 0 && len > 0)
        reader->request.headers[reader->request.n_headers - 1].value =
            span_trim((struct span){at, len});
    return 0;
}

/* The bytes between names and values; counted apart, because a span comes in as many parts as the
 * network makes of it and the limit must not depend on that. */
static int on_header_field_complete(llhttp_t *parser) {
    struct http_reader *reader = reader_of(parser);
    return reader->head_complete ? count_trailer(reader, strlen(": \r\n")) : 0;
}

static int on_headers_complete(llhttp_t *parser) {
    struct http_reader *reader = reader_of(parser);
    reader->head_complete = true;
    reader->request.keep_alive = llhttp_should_keep_alive(parser) != 0;
    /*
     * JDK clients offer "Upgrade: h2c" on every cleartext request. Refusing the offer is done by
     * ignoring it; with the flag left set, llhttp would take the body for the new protocol.
     */
    parser->upgrade = 0;
    return check_framing(reader) ? 0 : -1;
}

static int on_chunk_header(llhttp_t *parser) {
    struct http_reader *reader = reader_of(parser);
    reader->n_chunks++;
    const size_t mean = reader->body.len / reader->n_chunks;
    if (reader->n_chunks > MAX_CHUNKS ||
        (reader->body.len > FREE_CHUNK_BYTES && mean < MIN_MEAN_CHUNK))
        return refuse(reader, 400, "The body comes in too many small chunks.");
    if (parser->content_length > reader->limits.max_body - reader->body.len)
        return refuse(reader, 413, "The request body is too large.");
    return 0;
}

static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len) {
    (void)at; /* the content has no meaning here */
    struct http_reader *reader = reader_of(parser);
    reader->n_extension_bytes += len;
    if (reader->n_extension_bytes > HTTP_MAX_EXTENSION_BYTES)
        return refuse(reader, 400, "The chunk extensions are too large.");
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
    struct http_reader *reader = reader_of(parser);
    if (len > reader->limits.max_body - reader->body.len)
        return refuse(reader, 413, "The request body is too large.");
    if (reader->budget && !budget_take(reader->budget, len))
        return refuse(reader, 503, "The server holds too many request bodies at the moment.");

    reader->n_charged += len;
    buf_append(&reader->body, at, len);
    if (buf_failed(&reader->body))
        return refuse(reader, 503, "There is not enough memory for the request body.");
    return 0;
}

static int on_message_complete(llhttp_t *parser) {
    reader_of(parser)->complete = true;
    return HPE_PAUSED; /* what follows is the next request, not ours to read */
}

static const llhttp_settings_t parser_settings = {
    .on_url = on_url,
    .on_method = on_method,
    .on_header_field = on_header_field,
    .on_header_field_complete = on_header_field_complete,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct http_reader *http_reader_create(const struct http_limits *limits, struct budget *budget) {
    struct http_reader *reader = mem_alloc_zero(1, sizeof *reader);
    if (!reader)
        return NULL;

    reader->budget = budget;
    reader->limits = *limits;
    if (reader->limits.max_headers > HTTP_MAX_HEADERS)
        reader->limits.max_headers = HTTP_MAX_HEADERS;
    buf_init(&reader->head, limits->max_request_line + limits->max_head + 4096);
    buf_init(&reader->body, limits->max_body);
    llhttp_init(&reader->parser, HTTP_REQUEST, &parser_settings);
    reader->parser.data = reader;
    return reader;
}

void http_reader_destroy(struct http_reader *reader) {
    if (!reader)
        return;
    http_reader_drop_body(reader);
    buf_fini(&reader->head);
    mem_free(reader);
}

void http_reader_drop_body(struct http_reader *reader) {
    buf_fini(&reader->body);
    reader->request.body.bytes = NULL;
    if (reader->budget)
        budget_give(reader->budget, reader->n_charged);
    reader->n_charged = 0;
}

/* The status that llhttp's own refusal deserves; the reasons are its words, not the client's. */
static void refuse_as_llhttp(struct http_reader *reader, llhttp_errno_t code) {
    switch (code) {
    case HPE_INVALID_VERSION:
        (void)refuse(reader, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here.");
        return;
    case HPE_INVALID_METHOD:
        (void)refuse(reader, 400, "The request method is not a known one.");
        return;
    case HPE_INVALID_URL:
        (void)refuse(reader, 400, "The request target is malformed.");
        return;
    case HPE_INVALID_HEADER_TOKEN:
        (void)refuse(reader, 400, "A header is malformed.");
        return;
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_CONTENT_LENGTH:
        (void)refuse(reader, 400, "The Content-Length is malformed or contradicts another header.");
        return;
    case HPE_INVALID_TRANSFER_ENCODING:
        (void)refuse(reader, 400, "The Transfer-Encoding is malformed or not allowed here.");
        return;
    case HPE_INVALID_CHUNK_SIZE:
    case HPE_STRICT:
        (void)refuse(reader, 400, "The framing of the request is malformed.");
        return;
    default:
        (void)refuse(reader, 400, "The request is malformed.");
    }
}

/* Runs llhttp over bytes; *ret_n is what it used. False if refused. */
static bool parse(struct http_reader *reader, const char *bytes, size_t len, size_t *ret_n) {
    const llhttp_errno_t code = llhttp_execute(&reader->parser, bytes, len);
    *ret_n = len;
    if (code == HPE_OK)
        return true;

    const char *stopped = llhttp_get_error_pos(&reader->parser);
    if (stopped >= bytes && stopped <= bytes + len)
        *ret_n = (size_t)(stopped - bytes);
    if (code == HPE_PAUSED && reader->complete)
        return true;
    refuse_as_llhttp(reader, code);
    return false;
}

static enum http_method method_of(struct span name) {
    if (span_is(name, "GET"))
        return METHOD_GET;
    if (span_is(name, "POST"))
        return METHOD_POST;
    if (span_is(name, "HEAD"))
        return METHOD_HEAD;
    if (span_is(name, "OPTIONS"))
        return METHOD_OPTIONS;
    return METHOD_OTHER;
}

/* Only the origin form is served: it is the one form in which everyone reads the same path. */
static bool set_path(struct http_reader *reader) {
    struct http_request *request = &reader->request;
    if (request->target.len == 0 || request->target.bytes[0] != '/') {
        (void)refuse(reader, 400, "The request target must begin with a slash.");
        return false;
    }
    request->path = request->target;
    const char *query = memchr(request->target.bytes, '?', request->target.len);
    if (query)
        request->path.len = (size_t)(query - request->target.bytes);
    return true;
}

static bool check_expect(struct http_reader *reader) {
    struct http_request *request = &reader->request;
    const struct span expect = http_request_header(request, "expect");
    if (!expect.bytes)
        return true;
    if (!span_is_nocase(expect, "100-continue")) {
        (void)refuse(reader, 417, "The only expectation that is understood is 100-continue.");
        return false;
    }
    request->expects_continue = !request->http_1_0 && request->has_body;
    return true;
}

/* The versions of llhttp differ in what they say to it, so it is not asked. */
static bool is_http2_preface(const struct buf *head) {
    static const char preface[] = "PRI * HTTP/2.0\r\n";
    return head->len >= sizeof preface - 1 && memcmp(head->data, preface, sizeof preface - 1) == 0;
}

static bool read_head(struct http_reader *reader) {
    struct http_request *request = &reader->request;
    size_t n;
    if (is_http2_preface(&reader->head)) {
        (void)refuse(reader, 505, "HTTP/2 is not spoken here.");
        return false;
    }
    if (!parse(reader, reader->head.data, reader->head.len, &n))
        return false;
    if (!reader->head_complete) { /* the scan and llhttp disagree about where the head ends */
        (void)refuse(reader, 400, "The request head is malformed.");
        return false;
    }
    if (!set_path(reader))
        return false;

    const bool chunked = (reader->parser.flags & F_CHUNKED) != 0;
    request->method = method_of(request->method_name);
    request->http_1_0 = reader->parser.http_minor == 0;
    request->content_length = chunked || reader->complete ? 0 : reader->parser.content_length;
    request->has_body = chunked || request->content_length > 0;
    if (request->content_length > reader->limits.max_body) {
        (void)refuse(reader, 413, "The request body is too large.");
        return false;
    }
    return check_expect(reader);
}

static enum http_progress feed_head(struct http_reader *reader, const char *bytes, size_t len,
                                    size_t *ret_n) {
    const enum http_scan scan =
        http_head_scan(&reader->scan, &reader->limits, bytes, len, ret_n, &reader->refusal);
    buf_append(&reader->head, bytes, *ret_n);
    if (scan == HTTP_SCAN_REFUSED) {
        reader->state = READ_REFUSED;
        return HTTP_REFUSED;
    }
    if (buf_failed(&reader->head)) {
        (void)refuse(reader, 503, "There is not enough memory for the request head.");
        return HTTP_REFUSED;
    }
    if (scan == HTTP_SCAN_MORE)
        return HTTP_MORE;
    if (!read_head(reader))
        return HTTP_REFUSED;

    reader->state = reader->complete ? READ_DONE : READING_BODY;
    return reader->complete ? HTTP_DONE : HTTP_HEAD_DONE;
}

static enum http_progress feed_body(struct http_reader *reader, const char *bytes, size_t len,
                                    size_t *ret_n) {
    if (!parse(reader, bytes, len, ret_n))
        return HTTP_REFUSED;
    if (!reader->complete)
        return HTTP_MORE;

    reader->request.body = (struct span){reader->body.data, reader->body.len};
    reader->state = READ_DONE;
    return HTTP_DONE;
}

enum http_progress http_reader_feed(struct http_reader *reader, const char *bytes, size_t len,
                                    size_t *ret_n) {
    *ret_n = 0;
    switch (reader->state) {
    case READING_HEAD:
        return feed_head(reader, bytes, len, ret_n);
    case READING_BODY:
        return feed_body(reader, bytes, len, ret_n);
    case READ_DONE:
        return HTTP_DONE;
    default:
        return HTTP_REFUSED;
    }
}

const struct http_request *http_reader_request(const struct http_reader *reader) {
    return &reader->request;
}

struct http_refusal http_reader_refusal(const struct http_reader *reader) {
    return reader->refusal;
}

bool http_reader_in_body(const struct http_reader *reader) {
    return reader->state == READING_BODY;
}

size_t http_reader_body_len(const struct http_reader *reader) {
    return reader->body.len;
}

struct span http_request_header(const struct http_request *request, const char *name) {
    for (uint32_t i = 0; i < request->n_headers; i++) {
        if (!span_is_nocase(request->headers[i].name, name))
            continue;
        const struct span value = request->headers[i].value;
        return value.bytes ? value : span_of("");
    }
    return (struct span){0};
}
