/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_response - the bytes of a response: status line, headers, chunks, error bodies.
 *
 * Only writes into a buf; knows no socket and keeps no state. Header values are the program's own
 * or checked by the caller (request ids); nothing of a client is written unchecked.
 */
#ifndef KVASIR_SERVER_HTTP_RESPONSE_H
#define KVASIR_SERVER_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "kvasir/buf.h"

struct http_response_head {
    int status;
    const char *content_type; /* NULL: no body (204) */
    bool chunked;             /* the body follows in chunks */
    bool until_close;         /* HTTP/1.0 stream: the body ends with the connection */
    size_t content_length;    /* neither of both */
    bool close;               /* this connection ends after the response */
    const char *request_id;   /* "" or NULL: none */
    const char *extra;        /* complete header lines, or NULL */
};

const char *http_status_phrase(int status);

void http_response_write_head(struct buf *out, const struct http_response_head *head);
void http_response_write_chunk(struct buf *out, const char *bytes, size_t len); /* len > 0 */
void http_response_write_last_chunk(struct buf *out);

/* The OpenAI error object. param and code may be NULL: null. */
void http_error_write_body(struct buf *out, const char *message, const char *type,
                           const char *param, const char *code);

/* The error type that goes with a status. */
const char *http_error_type(int status);

#endif
