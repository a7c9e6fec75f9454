/* SPDX-License-Identifier: Apache-2.0 */
#include "kvasir/buf.h"

#include <stdio.h>
#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

enum { FIRST_CAP = 128 };

void buf_init(struct buf *buf, size_t max_len) {
    *buf = (struct buf){.max_len = max_len};
}

void buf_fini(struct buf *buf) {
    mem_free(buf->data);
    *buf = (struct buf){.max_len = buf->max_len};
}

void buf_clear(struct buf *buf) {
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

bool buf_failed(const struct buf *buf) {
    return buf->failed;
}

/* The next capacity above need: doubled, so that appending bytes one by one stays linear. */
static size_t grown_cap(size_t cap, size_t need) {
    if (cap == 0)
        cap = FIRST_CAP;
    while (cap <= need)
        cap = cap > SIZE_MAX / 2 ? SIZE_MAX : cap * 2;
    return cap;
}

char *buf_reserve(struct buf *buf, size_t len) {
    size_t need;
    if (buf->failed || !size_add(buf->len, len, &need) || need == SIZE_MAX ||
        (buf->max_len && need > buf->max_len)) {
        buf->failed = true;
        return NULL;
    }
    if (need >= buf->cap) {
        const size_t cap = grown_cap(buf->cap, need);
        char *data = mem_realloc(buf->data, cap);
        if (!data) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->cap = cap;
    }
    return buf->data + buf->len;
}

void buf_commit(struct buf *buf, size_t len) {
    INVARIANT(buf->len + len < buf->cap);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_append(struct buf *buf, const void *bytes, size_t len) {
    char *at = buf_reserve(buf, len);
    if (!at)
        return;
    if (len)
        memcpy(at, bytes, len);
    buf_commit(buf, len);
}

void buf_append_str(struct buf *buf, const char *str) {
    buf_append(buf, str, strlen(str));
}

void buf_append_char(struct buf *buf, char c) {
    buf_append(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);

    char *at = len < 0 ? NULL : buf_reserve(buf, (size_t)len);
    if (!at) {
        buf->failed = true;
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf(at, (size_t)len + 1, fmt, args); /* cap > len: measured above */
    va_end(args);
    buf_commit(buf, (size_t)len);
}

static void append_escaped(struct buf *buf, unsigned char c) {
    switch (c) {
    case '"':
        buf_append(buf, "\\\"", 2);
        return;
    case '\\':
        buf_append(buf, "\\\\", 2);
        return;
    case '\n':
        buf_append(buf, "\\n", 2);
        return;
    case '\r':
        buf_append(buf, "\\r", 2);
        return;
    case '\t':
        buf_append(buf, "\\t", 2);
        return;
    default:
        buf_printf(buf, "\\u%04x", (unsigned)c);
    }
}

void buf_append_json_string(struct buf *buf, const char *bytes, size_t len) {
    buf_append_char(buf, '"');
    size_t start = 0; /* of the run that needs no change */
    size_t i = 0;
    while (i < len) {
        const unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            i++;
            continue;
        }
        const size_t n = c < 0x80 ? 0 : utf8_sequence(bytes + i, len - i);
        if (n > 0) {
            i += n;
            continue;
        }
        buf_append(buf, bytes + start, i - start);
        if (c < 0x80)
            append_escaped(buf, c);
        else
            buf_append(buf, "\xef\xbf\xbd", 3);
        start = ++i;
    }
    buf_append(buf, bytes + start, len - start);
    buf_append_char(buf, '"');
}

char *buf_take(struct buf *buf, size_t *ret_len) {
    if (buf->failed || !buf->data)
        return NULL;

    char *data = buf->data;
    *ret_len = buf->len;
    *buf = (struct buf){.max_len = buf->max_len};
    return data;
}
