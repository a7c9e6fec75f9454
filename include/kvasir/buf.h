/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf - a growing run of bytes with a ceiling and a sticky failure.
 *
 * Appending never returns an error: after the first failure (memory or ceiling) everything is
 * ignored, and buf_failed() is asked once at the end. The content is NUL-terminated whenever
 * data is not NULL (the NUL does not count). Not thread-safe.
 */
#ifndef KVASIR_BUF_H
#define KVASIR_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"

struct buf {
    char *data; /* len bytes and a NUL; NULL while empty */
    size_t len;
    /* private */
    size_t cap;
    size_t max_len; /* 0: no ceiling */
    bool failed;
};

void buf_init(struct buf *buf, size_t max_len);
void buf_fini(struct buf *buf);
void buf_clear(struct buf *buf); /* keeps the memory, clears the failure */

bool buf_failed(const struct buf *buf);

void buf_append(struct buf *buf, const void *bytes, size_t len);
void buf_append_str(struct buf *buf, const char *str);
void buf_append_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *fmt, ...) KV_PRINTF(2, 3);

/* Appends a JSON string literal with quotes; invalid UTF-8 becomes U+FFFD. */
void buf_append_json_string(struct buf *buf, const char *bytes, size_t len);

/* Room for at least len more bytes: pointer to write at, or NULL (then failed). See buf_commit. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_commit(struct buf *buf, size_t len); /* len <= what was reserved */

/* Takes the bytes out (the caller frees with mem_free); the buf is empty. NULL if failed/empty. */
char *buf_take(struct buf *buf, size_t *ret_len);

#endif
