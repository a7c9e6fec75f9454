/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - one line per event, text or JSON, to one descriptor; never blocks and never fails a
 * request: a line that cannot be written now is dropped and counted.
 *
 * Client strings are escaped by the writers of lines (buf_append_json_string); prompts are never
 * logged. Loop thread.
 */
#ifndef KVASIR_SERVER_LOG_H
#define KVASIR_SERVER_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"
#include "kvasir/server.h"

/* Plain value; fd is the caller's. */
struct log {
    int fd;
    enum server_log_level level; /* less important lines are not written */
    bool json;
    uint64_t n_dropped;
};

void log_message(struct log *log, enum server_log_level level, const char *fmt, ...)
    KV_PRINTF(3, 4);

/* Writes a finished line (a newline is added; cut at LOG_MAX_LINE). */
void log_line(struct log *log, const struct buf *line);

/* Appends the wall-clock time as 2026-01-31T12:00:00.123Z. */
void log_append_time(struct buf *line);

enum { LOG_MAX_LINE = 4096 };

#endif
