/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exchange - one request and its one response.
 *
 * Made when a request is complete (or refused), gone when its response is said and no job of it
 * is on the pool any more. It owns the request's bytes and an arena; everything that is made for
 * this request lives there. The client may go away at any moment: then conn is NULL, what is
 * still sent goes nowhere, and on_gone was called.
 *
 * Life: create -> run (checks, handler) -> reply, or stream_begin .. stream_end -> log line.
 * Loop thread; a job on the pool may use the arena while the loop leaves it alone.
 */
#ifndef KVASIR_SERVER_EXCHANGE_H
#define KVASIR_SERVER_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/arena.h"
#include "kvasir/buf.h"
#include "kvasir/error.h"

#include "access_log.h"
#include "conn.h"
#include "http_request.h"
#include "router.h"

struct server;

enum { EXCHANGE_MAX_ID = 128 };

struct exchange {
    struct server *server;
    const struct http_request *request; /* lives in the reader */
    const struct route *route;          /* NULL: none matched */
    struct arena arena;
    uint64_t arrival_us;
    struct access_record access;

    /* The handler's: called once when the client is gone before the response was complete. */
    void (*on_gone)(struct exchange *x);
    void *state;

    /* private */
    struct conn *conn; /* NULL: the client is gone */
    struct http_reader *reader;
    char request_id[EXCHANGE_MAX_ID + 1];
    struct buf headers; /* extra ones, complete lines */
    uint32_t n_refs;
    bool close;       /* the connection ends with this response */
    bool will_stream; /* exchange_will_stream was called */
    bool streaming;   /* stream_begin was called */
    bool chunked;
    bool done;
};

/* Takes the reader. NULL: no memory (the reader is still the caller's). */
struct exchange *exchange_create(struct conn *conn, struct http_reader *reader);

/* Answers: with refusal.status if that is set, else through the route's handler. */
void exchange_run(struct exchange *x, struct http_refusal refusal);

/* True if the head alone decides that the request will be refused (so its body is not read). */
bool exchange_would_refuse(const struct server *server, const struct http_request *request);

void exchange_client_gone(struct exchange *x);
void exchange_drop_body(struct exchange *x); /* the request's body will not be looked at again */
void exchange_abort(struct exchange *x); /* closes the connection: the client is gone by decree */
bool exchange_is_gone(const struct exchange *x);

/* A job on the pool holds a reference. */
void exchange_ref(struct exchange *x);
void exchange_unref(struct exchange *x);

/* Adds a response header; before the reply or stream_begin. Nothing is added if the value is longer
 * than 255 bytes (-EMSGSIZE) or has control characters (-EINVAL). -ENOMEM. */
int exchange_header(struct exchange *x, const char *name, const char *fmt, ...) KV_PRINTF(3, 4);

/* The whole response; the exchange may be freed on return. */
void exchange_reply(struct exchange *x, int status, const char *content_type, struct span body);
/* 200 with the body, whose bytes may be taken out of the buf; 503 if it failed. */
void exchange_reply_json(struct exchange *x, struct buf *body);

/* An OpenAI error object. code and param may be NULL. The exchange may be freed on return. */
void exchange_error(struct exchange *x, int status, const char *code, const char *param,
                    const char *fmt, ...) KV_PRINTF(5, 6);

/*
 * The error object for what a function returned: -EINVAL 400, -E2BIG 400 context_length_exceeded,
 * -ENOSPC 400 kv_capacity_exceeded, -ENOTSUP 400 unsupported_parameter, -ENOENT 404
 * model_not_found, -EAGAIN 429 with Retry-After, -ESHUTDOWN and -ENOMEM 503, others 500.
 */
void exchange_reject(struct exchange *x, int code, const struct error *error);

/* The answer will be a stream: a client that has ended its side (now or later) is gone. */
void exchange_will_stream(struct exchange *x);
bool exchange_is_http_1_0(const struct exchange *x);
bool exchange_outlives_eof(const struct exchange *x); /* its client may end its side and wait */

/* A response in pieces: server-sent events. The bytes are taken out of the buf. */
void exchange_stream_begin(struct exchange *x);
void exchange_stream_send(struct exchange *x, struct buf *bytes);
void exchange_stream_end(struct exchange *x); /* the exchange may be freed on return */
struct conn_backlog exchange_backlog(const struct exchange *x); /* zero without a client */

/* What exchange_reject makes of a negative errno: the one table of what errors mean to a client. */
const char *exchange_error_code(int code); /* its id; NULL: none but the message */
int exchange_error_status(int code);

#endif
