/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: a stream of requests read whole and read in pieces must give the same requests, and be
 * refused or not. The first byte of the input chooses the pieces.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http_request.h"
#include "router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a reader of the stream came to believe. */
struct belief {
    uint32_t n_requests;
    int status;    /* of the refusal; 0: none */
    uint64_t hash; /* of all methods, paths and bodies (FNV-1a) */
};

static void mix(struct belief *belief, struct span span) {
    for (size_t i = 0; i < span.len; i++)
        belief->hash = (belief->hash ^ (unsigned char)span.bytes[i]) * 0x100000001b3u;
    belief->hash = (belief->hash ^ span.len) * 0x100000001b3u;
}

static void believe(struct belief *belief, const struct http_request *request) {
    int status;
    const char *allow;
    const struct route *route = router_find(request->method, request->path, &status, &allow);
    if (!route && status != 404 && status != 405)
        abort();
    if (request->path.len == 0 || request->path.bytes[0] != '/')
        abort(); /* nothing else may reach a handler */
    belief->n_requests++;
    mix(belief, request->method_name);
    mix(belief, request->target);
    mix(belief, request->body);
}

static struct belief read_stream(const uint8_t *data, size_t size, size_t piece) {
    const struct http_limits limits = {
        .max_request_line = 256,
        .max_head = 512,
        .max_headers = 12,
        .max_body = 4096,
    };
    struct belief belief = {.hash = 0xcbf29ce484222325u};
    struct http_reader *reader = NULL;
    for (size_t pos = 0; pos < size && !belief.status;) {
        const size_t end = size - pos < piece ? size : pos + piece;
        while (pos < end && !belief.status) {
            if (!reader)
                reader = http_reader_create(&limits, NULL);
            if (!reader)
                abort();
            size_t n;
            const enum http_progress progress =
                http_reader_feed(reader, (const char *)data + pos, end - pos, &n);
            if (n > end - pos || (n == 0 && progress == HTTP_MORE))
                abort();
            pos += n;
            if (progress == HTTP_DONE)
                believe(&belief, http_reader_request(reader));
            if (progress == HTTP_REFUSED)
                belief.status = http_reader_refusal(reader).status;
            if (progress == HTTP_DONE || progress == HTTP_REFUSED) {
                http_reader_destroy(reader);
                reader = NULL;
            }
        }
    }
    http_reader_destroy(reader);
    return belief;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    const size_t piece = 1 + data[0] % 64;
    const struct belief whole = read_stream(data + 1, size - 1, size);
    const struct belief pieces = read_stream(data + 1, size - 1, piece);
    /* Not which refusal: of two faults in one chunked body, llhttp may report either first. */
    if (whole.n_requests != pieces.n_requests || !whole.status != !pieces.status ||
        whole.hash != pieces.hash)
        abort();
    return 0;
}
