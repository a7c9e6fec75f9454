/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_head - finds the end of a request head byte by byte, within limits, and refuses what a
 * strict llhttp would still let through.
 *
 * The head is collected whole before llhttp sees it, so that its parts are one piece of memory
 * and no limit depends on how the network cut the bytes. Rules of its own: every line ends in
 * CRLF; exactly one space between method, target and version; no continuation lines; no nameless
 * headers; no control characters. Pure; no memory of its own.
 */
#ifndef KVASIR_SERVER_HTTP_HEAD_H
#define KVASIR_SERVER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_limits {
    size_t max_request_line; /* bytes without CRLF; beyond: 414 */
    size_t max_head;         /* bytes of all header lines; beyond: 431 */
    uint32_t max_headers;    /* fields; beyond: 431 */
    size_t max_body;         /* bytes; beyond: 413 */
};

struct http_limits http_limits_defaults(void);

/* Why a request is refused: a status and one sentence (static). */
struct http_refusal {
    int status;
    const char *reason;
};

struct http_head_scan {
    /* private */
    size_t n_line;  /* bytes of this line so far, CR included */
    size_t n_lines; /* lines completed, the request line included */
    size_t n_head;  /* bytes of header lines so far */
    uint32_t n_spaces;
    bool saw_cr;
    uint32_t n_blank; /* empty lines before the request line */
};

enum http_scan { HTTP_SCAN_MORE, HTTP_SCAN_DONE, HTTP_SCAN_REFUSED };

/*
 * Looks at bytes until the head ends. *ret_n is how many belong to the head (all of them with
 * MORE); with REFUSED *ret_refusal is set.
 */
enum http_scan http_head_scan(struct http_head_scan *scan, const struct http_limits *limits,
                              const char *bytes, size_t len, size_t *ret_n,
                              struct http_refusal *ret_refusal);

#endif
