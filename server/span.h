/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span - bytes that live somewhere else: parts of a request head, names in tables.
 */
#ifndef KVASIR_SERVER_SPAN_H
#define KVASIR_SERVER_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Lent. A zeroed struct is the empty span. */
struct span {
    const char *bytes;
    size_t len;
};

static inline struct span span_of(const char *str) {
    return (struct span){.bytes = str, .len = strlen(str)};
}

static inline bool span_is(struct span span, const char *str) {
    const size_t len = strlen(str);
    return span.len == len && (len == 0 || memcmp(span.bytes, str, len) == 0);
}

static inline char ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* ASCII case does not matter (header names, tokens such as "chunked"). */
static inline bool span_is_nocase(struct span span, const char *str) {
    for (size_t i = 0; i < span.len; i++) {
        if (str[i] == '\0' || ascii_lower(span.bytes[i]) != ascii_lower(str[i]))
            return false;
    }
    return str[span.len] == '\0';
}

static inline struct span span_trim(struct span span) {
    while (span.len > 0 && (span.bytes[0] == ' ' || span.bytes[0] == '\t')) {
        span.bytes++;
        span.len--;
    }
    while (span.len > 0 && (span.bytes[span.len - 1] == ' ' || span.bytes[span.len - 1] == '\t'))
        span.len--;
    return span;
}

#endif
