/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kvasir/clock.h"

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_append_time(struct buf *line) {
    const int64_t ms = clock_wall_ms();
    const time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm))
        return;
    buf_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
               tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
}

/*
 * A pipe that polls writable has PIPE_BUF (4096) bytes free, so that a line of that size neither
 * blocks nor is torn. The descriptor is not made non-blocking: it is shared with other programs.
 */
void log_line(struct log *log, const struct buf *line) {
    char bytes[LOG_MAX_LINE];
    const size_t len = line->len < sizeof bytes ? line->len : sizeof bytes - 1;
    if (len > 0)
        memcpy(bytes, line->data, len);
    bytes[len] = '\n';

    struct pollfd pollfd = {.fd = log->fd, .events = POLLOUT};
    if (buf_failed(line) || poll(&pollfd, 1, /* timeout= */ 0) != 1 ||
        !(pollfd.revents & POLLOUT) || write(log->fd, bytes, len + 1) < 0)
        log->n_dropped++;
}

void log_message(struct log *log, enum server_log_level level, const char *fmt, ...) {
    if (level > log->level)
        return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args); /* a cut message is fine */
    va_end(args);

    struct buf line = {0};
    if (log->json) {
        buf_append_str(&line, "{\"ts\":\"");
        log_append_time(&line);
        buf_printf(&line, "\",\"level\":\"%s\",\"event\":\"log\",\"message\":", level_names[level]);
        buf_append_json_string(&line, text, strlen(text));
        buf_append_char(&line, '}');
    } else {
        log_append_time(&line);
        buf_printf(&line, " %s: %s", level_names[level], text);
    }
    log_line(log, &line);
    buf_fini(&line);
}
