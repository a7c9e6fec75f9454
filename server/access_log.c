/* SPDX-License-Identifier: Apache-2.0 */
#include "access_log.h"

#include <string.h>

enum { MAX_CLIENT_STRING = 256 };

/* A client's bytes as a JSON string, in both formats: quotes and control characters cannot forge
 * a line. */
static void append_client(struct buf *line, struct span text) {
    buf_append_json_string(line, text.bytes,
                           text.len < MAX_CLIENT_STRING ? text.len : MAX_CLIENT_STRING);
}

static bool is_plain(struct span text) {
    if (text.len == 0 || text.len > MAX_CLIENT_STRING)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.bytes[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == ',')
            return false;
    }
    return true;
}

/* For people: quoted only where it could be misread. */
static void append_readable(struct buf *line, struct span text) {
    if (is_plain(text))
        buf_append(line, text.bytes, text.len);
    else
        append_client(line, text);
}

static void append_ms(struct buf *line, const char *format, uint64_t us) {
    buf_printf(line, format, (double)us / 1000.0);
}

static void write_json(struct buf *line, const struct access_record *r) {
    buf_append_str(line, "{\"ts\":\"");
    log_append_time(line);
    buf_append_str(line, "\",\"level\":\"info\",\"event\":\"request\",\"request_id\":");
    append_client(line, span_of(r->request_id));
    buf_printf(line, ",\"peer\":\"%s\",\"method\":", r->peer);
    append_client(line, r->method);
    buf_append_str(line, ",\"path\":");
    append_client(line, r->path);
    buf_printf(line, ",\"status\":%d,\"bytes\":%llu", r->status, (unsigned long long)r->bytes_out);
    append_ms(line, ",\"e2e_ms\":%.3f", r->total_us);
    if (r->response_id)
        buf_printf(line, ",\"id\":\"%s\"", r->response_id);
    if (r->generated) {
        buf_append_str(line, ",\"model\":");
        append_client(line, span_of(r->model));
        buf_printf(line,
                   ",\"stream\":%s,\"sequences\":%u,\"prompt_tokens\":%llu,"
                   "\"cached_tokens\":%llu,\"completion_tokens\":%llu",
                   r->stream ? "true" : "false", r->n_sequences,
                   (unsigned long long)r->prompt_tokens, (unsigned long long)r->cached_tokens,
                   (unsigned long long)r->completion_tokens);
        append_ms(line, ",\"queue_ms\":%.3f", r->queue_us);
        append_ms(line, r->ttft_us ? ",\"ttft_ms\":%.3f" : ",\"ttft_ms\":null", r->ttft_us);
        append_ms(line, r->tpot_us ? ",\"tpot_ms\":%.3f" : ",\"tpot_ms\":null", r->tpot_us);
        buf_printf(line, ",\"finish\":\"%s\"", r->finish ? r->finish : "none");
    }
    if (r->phase)
        buf_printf(line, ",\"phase\":\"%s\"", r->phase);
    buf_append_char(line, '}');
}

static void write_text(struct buf *line, const struct access_record *r) {
    log_append_time(line);
    buf_printf(line, " %s ", r->peer);
    append_readable(line, r->method);
    buf_append_char(line, ' ');
    append_readable(line, r->path);
    buf_printf(line, " %d %llu bytes", r->status, (unsigned long long)r->bytes_out);
    append_ms(line, ", %.1f ms", r->total_us);
    buf_append_str(line, ", request ");
    append_readable(line, span_of(r->request_id));
    if (r->response_id)
        buf_printf(line, ", id %s", r->response_id);
    if (r->generated) {
        buf_append_str(line, ", model ");
        append_readable(line, span_of(r->model));
        buf_printf(line, ", %s, %u seq, %llu prompt (%llu cached) + %llu tokens",
                   r->stream ? "stream" : "whole", r->n_sequences,
                   (unsigned long long)r->prompt_tokens, (unsigned long long)r->cached_tokens,
                   (unsigned long long)r->completion_tokens);
        append_ms(line, ", queue %.1f ms", r->queue_us);
        if (r->ttft_us)
            append_ms(line, ", ttft %.1f ms", r->ttft_us);
        if (r->tpot_us)
            append_ms(line, ", tpot %.2f ms", r->tpot_us);
        buf_printf(line, ", %s", r->finish ? r->finish : "none");
    }
    if (r->phase)
        buf_printf(line, ", %s", r->phase);
}

void access_log_write(struct log *log, const struct access_record *record) {
    struct buf line = {0};
    buf_init(&line, LOG_MAX_LINE - 1);
    if (log->json)
        write_json(&line, record);
    else
        write_text(&line, record);
    log_line(log, &line);
    buf_fini(&line);
}
