/* SPDX-License-Identifier: Apache-2.0 */
#include "http_response.h"

#include <string.h>
#include <time.h>

static const struct {
    int status;
    const char *phrase;
    const char *error_type;
} statuses[] = {
    {100, "Continue", ""},
    {200, "OK", ""},
    {204, "No Content", ""},
    {400, "Bad Request", "invalid_request_error"},
    {401, "Unauthorized", "authentication_error"},
    {403, "Forbidden", "permission_error"},
    {404, "Not Found", "invalid_request_error"},
    {405, "Method Not Allowed", "invalid_request_error"},
    {408, "Request Timeout", "invalid_request_error"},
    {413, "Content Too Large", "invalid_request_error"},
    {414, "URI Too Long", "invalid_request_error"},
    {415, "Unsupported Media Type", "invalid_request_error"},
    {417, "Expectation Failed", "invalid_request_error"},
    {429, "Too Many Requests", "rate_limit_error"},
    {431, "Request Header Fields Too Large", "invalid_request_error"},
    {500, "Internal Server Error", "server_error"},
    {501, "Not Implemented", "invalid_request_error"},
    {503, "Service Unavailable", "server_error"},
    {505, "HTTP Version Not Supported", "invalid_request_error"},
};

const char *http_status_phrase(int status) {
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].status == status)
            return statuses[i].phrase;
    }
    return "Unknown";
}

const char *http_error_type(int status) {
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].status == status && statuses[i].error_type[0])
            return statuses[i].error_type;
    }
    return "server_error";
}

/* IMF-fixdate with names of its own: strftime's depend on the locale. */
static void write_date(struct buf *out) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const time_t now = time(NULL);
    struct tm tm;
    if (!gmtime_r(&now, &tm))
        return;
    buf_printf(out, "date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
               months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void http_response_write_head(struct buf *out, const struct http_response_head *head) {
    buf_printf(out, "HTTP/1.1 %d %s\r\n", head->status, http_status_phrase(head->status));
    write_date(out);
    if (head->content_type)
        buf_printf(out, "content-type: %s\r\n", head->content_type);
    if (head->chunked)
        buf_append_str(out, "transfer-encoding: chunked\r\n");
    else if (!head->until_close && head->content_type)
        buf_printf(out, "content-length: %zu\r\n", head->content_length);
    if (head->request_id && head->request_id[0])
        buf_printf(out, "x-request-id: %s\r\n", head->request_id);
    if (head->extra)
        buf_append_str(out, head->extra);
    if (head->close)
        buf_append_str(out, "connection: close\r\n");
    buf_append_str(out, "\r\n");
}

void http_response_write_chunk(struct buf *out, const char *bytes, size_t len) {
    buf_printf(out, "%zx\r\n", len);
    buf_append(out, bytes, len);
    buf_append_str(out, "\r\n");
}

void http_response_write_last_chunk(struct buf *out) {
    buf_append_str(out, "0\r\n\r\n");
}

static void write_string_or_null(struct buf *out, const char *str) {
    if (str && str[0])
        buf_append_json_string(out, str, strlen(str));
    else
        buf_append_str(out, "null");
}

void http_error_write_body(struct buf *out, const char *message, const char *type,
                           const char *param, const char *code) {
    buf_append_str(out, "{\"error\":{\"message\":");
    buf_append_json_string(out, message, strlen(message));
    buf_append_str(out, ",\"type\":");
    write_string_or_null(out, type);
    buf_append_str(out, ",\"param\":");
    write_string_or_null(out, param);
    buf_append_str(out, ",\"code\":");
    write_string_or_null(out, code);
    buf_append_str(out, "}}");
}
