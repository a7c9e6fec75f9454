/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sse - the framing of server-sent events, and what OpenAI's clients can bear of it.
 *
 * An event is one line of JSON after "data: ". Never an id: or retry: line: after one of those an
 * empty line is an event to openai-python, and it fails on the empty data. A comment is ":" alone.
 */
#ifndef KVASIR_SERVER_SSE_H
#define KVASIR_SERVER_SSE_H

#include "kvasir/buf.h"

static inline void sse_begin(struct buf *out) {
    buf_append(out, "data: ", 6);
}

/* The JSON in between must have no newline: buf_append_json_string writes none. */
static inline void sse_end(struct buf *out) {
    buf_append(out, "\n\n", 2);
}

static inline void sse_done(struct buf *out) {
    buf_append_str(out, "data: [DONE]\n\n");
}

static inline void sse_comment(struct buf *out) {
    buf_append(out, ":\n\n", 3);
}

#endif
