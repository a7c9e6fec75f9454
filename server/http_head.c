/* SPDX-License-Identifier: Apache-2.0 */
#include "http_head.h"

/* Robust clients of old sent an empty line after a POST body; RFC 9112 §2.2 says to skip it. */
enum { MAX_BLANK_LINES = 2 };

struct http_limits http_limits_defaults(void) {
    return (struct http_limits){
        .max_request_line = 8 << 10,
        .max_head = 32 << 10,
        .max_headers = 100,
        .max_body = 16 << 20,
    };
}

static const struct http_refusal *refuse(int status, const char *reason,
                                         struct http_refusal *refusal) {
    *refusal = (struct http_refusal){.status = status, .reason = reason};
    return refusal;
}

/* A byte of the request line; NULL if it may stand there. */
static const struct http_refusal *check_request_line(struct http_head_scan *scan,
                                                     const struct http_limits *limits,
                                                     unsigned char c, struct http_refusal *out) {
    if (scan->n_line >= limits->max_request_line)
        return refuse(414, "The request line is too long.", out);
    if (scan->n_line == 0 && !(c >= 'A' && c <= 'Z'))
        return refuse(400, "This is not an HTTP request (a TLS client on a plain port?).", out);
    if (c == ' ') {
        if (++scan->n_spaces > 2)
            return refuse(400, "The request line must be: method, space, target, space, version.",
                          out);
        return NULL;
    }
    if (c <= 0x20 || c >= 0x7f)
        return refuse(400, "The request line contains a character that is not allowed there.", out);
    return NULL;
}

/* A byte of a header line; NULL if it may stand there. */
static const struct http_refusal *check_header_line(struct http_head_scan *scan,
                                                    const struct http_limits *limits,
                                                    unsigned char c, struct http_refusal *out) {
    if (scan->n_head >= limits->max_head)
        return refuse(431, "The request headers are too large.", out);
    if (scan->n_line == 0 && (c == ' ' || c == '\t'))
        return refuse(400, "A header line must not be continued on the next line.", out);
    if (scan->n_line == 0 && c == ':')
        return refuse(400, "A header has no name.", out);
    if ((c < 0x20 && c != '\t') || c == 0x7f)
        return refuse(400, "A header contains a control character.", out);
    return NULL;
}

/* A line ended. True if it was the empty line behind the headers. */
static bool end_line(struct http_head_scan *scan) {
    const bool blank = scan->n_line == 0;
    scan->n_line = 0;
    scan->saw_cr = false;
    if (blank && scan->n_lines == 0) {
        scan->n_blank++;
        return false;
    }
    scan->n_lines++;
    return blank;
}

static const struct http_refusal *check_line_end(const struct http_head_scan *scan,
                                                 const struct http_limits *limits,
                                                 struct http_refusal *out) {
    if (scan->n_lines == 0 && scan->n_line == 0 && scan->n_blank >= MAX_BLANK_LINES)
        return refuse(400, "There are empty lines where a request should begin.", out);
    if (scan->n_lines == 0 && scan->n_line > 0 && scan->n_spaces != 2)
        return refuse(400, "The request line must be: method, space, target, space, version.", out);
    /* Lines completed are the request line and n_lines - 1 fields; this one would be one more. */
    if (scan->n_lines > limits->max_headers && scan->n_line > 0)
        return refuse(431, "The request has too many header fields.", out);
    return NULL;
}

enum http_scan http_head_scan(struct http_head_scan *scan, const struct http_limits *limits,
                              const char *bytes, size_t len, size_t *ret_n,
                              struct http_refusal *ret_refusal) {
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)bytes[i];
        const struct http_refusal *bad = NULL;
        *ret_n = i + 1;

        if (scan->saw_cr && c != '\n')
            bad = refuse(400, "A line must end in CR LF, not in CR alone.", ret_refusal);
        else if (!scan->saw_cr && c == '\n')
            bad = refuse(400, "A line must end in CR LF, not in LF alone.", ret_refusal);
        else if (c == '\n') {
            if (end_line(scan))
                return HTTP_SCAN_DONE;
            continue;
        } else if (c == '\r') {
            bad = check_line_end(scan, limits, ret_refusal);
            scan->saw_cr = true;
            if (bad)
                return HTTP_SCAN_REFUSED;
            continue;
        } else if (scan->n_lines == 0)
            bad = check_request_line(scan, limits, c, ret_refusal);
        else
            bad = check_header_line(scan, limits, c, ret_refusal);

        if (bad)
            return HTTP_SCAN_REFUSED;
        scan->n_line++;
        if (scan->n_lines > 0)
            scan->n_head++;
    }
    *ret_n = len;
    return HTTP_SCAN_MORE;
}
