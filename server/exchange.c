/* SPDX-License-Identifier: Apache-2.0 */
#include "exchange.h"

#include <errno.h>
#include <stdio.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"

#include "conn.h"
#include "http_response.h"
#include "server_state.h"

/* What one request may take besides its body: parsed values, prompts, answers in the making. */
enum { MAX_ARENA_BYTES = 128 << 20 };

/* A smaller body leaves in one write with its head. */
enum { MAX_COPIED_BYTES = 64 << 10 };

/* ---- life ---- */

/* Client ids are echoed and logged, so they may only contain what cannot do harm there. */
static bool is_safe_id(struct span id) {
    if (id.len == 0 || id.len > EXCHANGE_MAX_ID)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        const char c = id.bytes[i];
        const bool safe = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!safe)
            return false;
    }
    return true;
}

static void set_request_id(struct exchange *x) {
    const struct span id = http_request_header(x->request, "x-request-id");
    if (is_safe_id(id)) {
        memcpy(x->request_id, id.bytes, id.len); /* zeroed behind it */
        return;
    }
    unsigned char random[16] = {0};
    /* Without entropy the ids repeat; they are names in logs, nothing depends on them. */
    (void)uv_random(NULL, NULL, random, sizeof random, 0, NULL);
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(x->request_id + 2 * i, 3, "%02x", random[i]); /* exactly fits */
}

struct exchange *exchange_create(struct conn *conn, struct http_reader *reader) {
    struct exchange *x = mem_alloc_zero(1, sizeof *x);
    if (!x)
        return NULL;

    x->server = conn_server(conn);
    x->conn = conn;
    x->reader = reader;
    x->request = http_reader_request(reader);
    x->arrival_us = clock_now_us();
    x->n_refs = 1;
    arena_init(&x->arena, MAX_ARENA_BYTES);
    set_request_id(x);
    x->access = (struct access_record){
        .request_id = x->request_id,
        .method = x->request->method_name,
        .path = x->request->path.bytes ? x->request->path : x->request->target,
    };
    return x;
}

void exchange_ref(struct exchange *x) {
    x->n_refs++;
}

void exchange_unref(struct exchange *x) {
    INVARIANT(x->n_refs > 0);
    if (--x->n_refs > 0)
        return;
    http_reader_destroy(x->reader);
    buf_fini(&x->headers);
    arena_fini(&x->arena);
    mem_free(x);
}

/* The response is complete, or nobody is there to read it: one line in the log, one count. */
static void finish(struct exchange *x, const char *peer) {
    struct server *server = x->server;
    INVARIANT(!x->done);
    x->done = true;
    x->access.peer = peer;
    x->access.total_us = clock_now_us() - x->arrival_us;
    metrics_count_request(&server->metrics, router_index(x->route), x->request->method,
                          x->access.status, x->access.total_us);
    const enum server_log_level level =
        x->route && x->route->is_probe ? SERVER_LOG_DEBUG : SERVER_LOG_INFO;
    if (server->options.access_log && server->options.log_level >= level)
        access_log_write(&server->log, &x->access);
}

static void finish_and_release(struct exchange *x) {
    struct conn *conn = x->conn;
    if (!x->done)
        finish(x, conn ? conn_peer(conn) : "?");
    x->conn = NULL;
    const bool close = x->close;
    exchange_unref(x);
    if (conn)
        conn_exchange_done(conn, close);
}

bool exchange_is_gone(const struct exchange *x) {
    return x->conn == NULL;
}

void exchange_client_gone(struct exchange *x) {
    const char *peer = conn_peer(x->conn);
    x->conn = NULL;
    if (x->done)
        return;
    x->access.status = 499;
    x->server->metrics.client_disconnects++;
    if (x->on_gone)
        x->on_gone(x);
    finish(x, peer);
    exchange_unref(x); /* a job on the pool may still hold it */
}

void exchange_drop_body(struct exchange *x) {
    http_reader_drop_body(x->reader);
}

void exchange_abort(struct exchange *x) {
    if (x->conn)
        conn_close(x->conn);
}

/* ---- responses ---- */

int exchange_header(struct exchange *x, const char *name, const char *fmt, ...) {
    char value[256];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof value)
        return -EMSGSIZE;
    for (const char *c = value; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == '\x7f')
            return -EINVAL; /* a line end would begin another header */
    }
    buf_printf(&x->headers, "%s: %s\r\n", name, value);
    return buf_failed(&x->headers) ? -ENOMEM : 0;
}

static void write_head(struct exchange *x, struct http_response_head *head, struct buf *out) {
    if (!x->request->keep_alive || x->server->draining)
        x->close = true;
    head->close = x->close;
    head->request_id = x->request_id;
    head->extra = x->headers.data;
    x->access.status = head->status;
    http_response_write_head(out, head);
}

static void send_bytes(struct exchange *x, struct buf *out) {
    x->access.bytes_out += out->len;
    if (!x->conn)
        return;
    if (buf_failed(out))
        conn_close(x->conn); /* tells x that its client is gone */
    else
        conn_write(x->conn, out);
}

/* The body: body.len bytes of it, or all of large, which is not copied. */
static void reply(struct exchange *x, int status, const char *content_type, struct span body,
                  struct buf *large) {
    struct buf out = {0};
    struct http_response_head head = {
        .status = status,
        .content_type = content_type,
        .content_length = large ? large->len : body.len,
    };
    write_head(x, &head, &out);
    if (!large && x->request->method != METHOD_HEAD)
        buf_append(&out, body.bytes, body.len);

    x->on_gone = NULL; /* from here on the handler has nothing to stop */
    exchange_ref(x);
    send_bytes(x, &out);
    buf_fini(&out);
    if (large && x->request->method != METHOD_HEAD)
        send_bytes(x, large);
    if (!x->done)
        finish_and_release(x);
    exchange_unref(x);
}

void exchange_reply(struct exchange *x, int status, const char *content_type, struct span body) {
    reply(x, status, content_type, body, /* large= */ NULL);
}

void exchange_reply_json(struct exchange *x, struct buf *body) {
    if (buf_failed(body)) {
        exchange_error(x, 503, "overloaded", NULL, "There is not enough memory for the response.");
        return;
    }
    if (!budget_has_room(&x->server->budget, body->len)) {
        x->server->budget.n_refused++;
        exchange_reject(x, -ENOMEM,
                        &(struct error){.message = "The server has no room for the response at "
                                                   "the moment."});
        return;
    }
    reply(x, 200, "application/json", (struct span){body->data, body->len},
          body->len > MAX_COPIED_BYTES ? body : NULL);
}

static void reply_error(struct exchange *x, int status, const char *code, const char *param,
                        const char *message) {
    struct buf body = {0};
    http_error_write_body(&body, message, http_error_type(status), param, code);
    exchange_reply(x, status, "application/json", (struct span){body.data, body.len});
    buf_fini(&body);
}

void exchange_error(struct exchange *x, int status, const char *code, const char *param,
                    const char *fmt, ...) {
    char message[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args); /* a cut message is fine */
    va_end(args);
    reply_error(x, status, code, param, message);
}

static const struct {
    int code;
    int status;
    const char *name;
} rejections[] = {
    {-EINVAL, 400, NULL},
    {-E2BIG, 400, "context_length_exceeded"},
    {-ENOSPC, 400, "kv_capacity_exceeded"},
    {-ENOTSUP, 400, "unsupported_parameter"},
    {-ENOENT, 404, "model_not_found"},
    {-EAGAIN, 429, "rate_limit_exceeded"},
    {-ESHUTDOWN, 503, "shutting_down"},
    {-ENOMEM, 503, "overloaded"},
    {-EIO, 500, "engine_error"},
};

const char *exchange_error_code(int code) {
    for (size_t i = 0; i < sizeof rejections / sizeof rejections[0]; i++) {
        if (rejections[i].code == code)
            return rejections[i].name;
    }
    return "internal_error";
}

int exchange_error_status(int code) {
    for (size_t i = 0; i < sizeof rejections / sizeof rejections[0]; i++) {
        if (rejections[i].code == code)
            return rejections[i].status;
    }
    return 500;
}

static void add_retry_after(struct exchange *x) {
    const uint32_t ms = server_retry_after_ms(x->server);
    /* Numbers and constants: they fit. Without memory the reply goes without them. */
    (void)exchange_header(x, "retry-after", "%u", (ms + 999) / 1000);
    (void)exchange_header(x, "retry-after-ms", "%u", ms);
    (void)exchange_header(x, "x-should-retry", "true");
}

void exchange_reject(struct exchange *x, int code, const struct error *error) {
    const int status = exchange_error_status(code);
    const char *message = error->message;
    if (!message[0])
        message = code == -ENOMEM ? "There is not enough memory for this request now."
                                  : "The request could not be served.";
    if (status == 429 || status == 503)
        add_retry_after(x);
    reply_error(x, status, exchange_error_code(code), error->param, message);
}

/* ---- streams ---- */

void exchange_will_stream(struct exchange *x) {
    x->will_stream = true;
    if (x->conn && conn_is_half_closed(x->conn))
        conn_close(x->conn);
}

bool exchange_is_http_1_0(const struct exchange *x) {
    return x->request->http_1_0;
}

bool exchange_outlives_eof(const struct exchange *x) {
    return !x->will_stream && !x->streaming;
}

void exchange_stream_begin(struct exchange *x) {
    INVARIANT(!x->streaming);
    x->streaming = true;
    x->chunked = !x->request->http_1_0;
    if (!x->chunked)
        x->close = true;
    (void)exchange_header(x, "cache-control", "no-cache"); /* constants, as above */
    (void)exchange_header(x, "x-accel-buffering", "no");

    struct buf out = {0};
    struct http_response_head head = {
        .status = 200,
        .content_type = "text/event-stream; charset=utf-8",
        .chunked = x->chunked,
        .until_close = !x->chunked,
    };
    write_head(x, &head, &out);
    /* Kept, so that the head leaves in one write with the first event. */
    buf_clear(&x->headers);
    buf_append(&x->headers, out.data, out.len);
    if (buf_failed(&out))
        x->headers.failed = true;
    buf_fini(&out);
}

void exchange_stream_send(struct exchange *x, struct buf *bytes) {
    INVARIANT(x->streaming);
    struct buf out = x->headers; /* the head, the first time */
    x->headers = (struct buf){0};
    if (buf_failed(bytes))
        out.failed = true;
    else if (bytes->len > 0 && x->chunked)
        http_response_write_chunk(&out, bytes->data, bytes->len);
    else if (bytes->len > 0)
        buf_append(&out, bytes->data, bytes->len);
    buf_clear(bytes);
    send_bytes(x, &out);
    buf_fini(&out);
}

void exchange_stream_end(struct exchange *x) {
    x->on_gone = NULL;
    exchange_ref(x);
    if (x->chunked && x->conn) {
        struct buf out = {0};
        http_response_write_last_chunk(&out);
        send_bytes(x, &out);
        buf_fini(&out);
    }
    if (!x->done)
        finish_and_release(x);
    exchange_unref(x);
}

struct conn_backlog exchange_backlog(const struct exchange *x) {
    return x->conn ? conn_backlog(x->conn) : (struct conn_backlog){0};
}

/* ---- checks and dispatch ---- */

/*
 * A page in a browser can make its own host name point to 127.0.0.1 and then talk to a daemon
 * there (DNS rebinding); the Host header gives it away.
 */
static bool host_is_allowed(const struct server *server, const struct http_request *request) {
    if (!server->loopback)
        return true;
    struct span host = http_request_header(request, "host");
    if (!host.bytes)
        return true; /* HTTP/1.0 without Host: not a browser */

    const char *colon = memchr(host.bytes, ':', host.len);
    if (host.len > 0 && host.bytes[0] == '[') {
        const char *end = memchr(host.bytes, ']', host.len);
        if (!end)
            return false;
        host.len = (size_t)(end + 1 - host.bytes);
    } else if (colon)
        host.len = (size_t)(colon - host.bytes);

    if (span_is_nocase(host, "localhost") || span_is(host, "127.0.0.1") || span_is(host, "[::1]") ||
        span_is_nocase(host, server->options.host))
        return true;
    for (uint32_t i = 0; i < server->options.n_allowed_hosts; i++) {
        if (span_is_nocase(host, server->options.allowed_hosts[i]))
            return true;
    }
    return false;
}

/* What stands between a request and its handler, from the head alone. */
struct verdict {
    const struct route *route; /* also set when the request is refused because of its state */
    int status;                /* 0: let it pass */
    const char *code;
    const char *message;
    const char *allow; /* with 405 */
    bool retry;
};

static struct verdict judge(const struct server *server, const struct http_request *request) {
    struct verdict v = {0};
    if (!host_is_allowed(server, request)) {
        v.status = 403;
        v.code = "host_not_allowed";
        v.message = "This Host header is not allowed on a loopback address; start kvasir with "
                    "--allowed-hosts to allow it.";
        return v;
    }
    v.route = router_find(request->method, request->path, &v.status, &v.allow);
    if (!v.route) {
        v.message = v.status == 405 ? "This path does not take that method."
                                    : "There is nothing at this path.";
        v.code = v.status == 405 ? "method_not_allowed" : "not_found";
        return v;
    }
    v.status = 0;
    if (v.route->needs_model && server->draining) {
        v.status = 503;
        v.code = "shutting_down";
        v.message = "The server is shutting down.";
        v.retry = true;
    } else if (v.route->needs_model && !server->service) {
        v.status = 503;
        v.code = "loading";
        v.message = "The model is loading.";
        v.retry = true;
    } else if (v.route->method == METHOD_POST) {
        struct span type = http_request_header(request, "content-type");
        const char *semicolon = type.bytes ? memchr(type.bytes, ';', type.len) : NULL;
        if (semicolon)
            type.len = (size_t)(semicolon - type.bytes);
        if (type.bytes && !span_is_nocase(span_trim(type), "application/json")) {
            v.status = 415;
            v.code = "unsupported_media_type";
            v.message = "The Content-Type must be application/json; with curl add "
                        "-H 'Content-Type: application/json'.";
        }
    }
    return v;
}

bool exchange_would_refuse(const struct server *server, const struct http_request *request) {
    return judge(server, request).status != 0;
}

void exchange_run(struct exchange *x, struct http_refusal refusal) {
    x->access.peer = conn_peer(x->conn);
    if (refusal.status) {
        x->close = true; /* where the next request begins is not known */
        if (refusal.status == 503)
            add_retry_after(x);
        reply_error(x, refusal.status,
                    refusal.status == 413   ? "request_too_large"
                    : refusal.status == 503 ? "overloaded"
                                            : NULL,
                    NULL, refusal.reason);
        return;
    }
    const struct verdict v = judge(x->server, x->request);
    x->route = v.route;
    if (v.status) {
        if (x->request->has_body && !x->request->body.bytes)
            x->close = true; /* the body was not read */
        if (v.allow)
            (void)exchange_header(x, "allow", "%s", v.allow); /* of the table: it fits */
        if (v.retry)
            add_retry_after(x);
        reply_error(x, v.status, v.code, NULL, v.message);
        return;
    }
    v.route->handle(x);
}
