/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_pull - a reader of JSON text that allocates nothing and keeps no tree.
 *
 * For files that are large (tokenizer.json, safetensors headers): the caller walks the text and
 * takes what it wants. Strict RFC 8259, except that NaN, Infinity and -Infinity are numbers (model
 * configurations have them). Errors are sticky: after the first, every call returns the zero
 * value and ends every loop; ask json_pull_status() once at the end. Depth is limited to 64.
 *
 *   json_enter_object(p);
 *   while (json_next_key(p, &key))
 *       if (json_is(key, "vocab")) ... else json_skip(p);
 */
#ifndef KVASIR_JSON_PULL_H
#define KVASIR_JSON_PULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"

enum json_kind {
    JSON_INVALID, /* nothing left, or an error */
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

/* Bytes between the quotes, as written (escapes not resolved); lent from the text. */
struct json_str {
    const char *bytes;
    size_t len;
    bool escaped; /* contains a backslash: use json_unescape */
};

enum { JSON_MAX_DEPTH = 64 };

struct json_pull {
    /* private */
    const char *text;
    size_t len;
    size_t pos;
    uint32_t depth;
    bool need_comma[JSON_MAX_DEPTH + 1];
    char closer[JSON_MAX_DEPTH + 1];
    const char *reason; /* NULL: no error */
    size_t error_pos;
};

/* text is lent until the last call. */
void json_pull_init(struct json_pull *p, const char *text, size_t len);

/* 0, or -EINVAL with "<what>: <reason> at byte N". */
int json_pull_status(const struct json_pull *p, const char *what, struct error *reterr);

/* 0 if nothing but white space is left after the value; an error otherwise. */
int json_pull_end(struct json_pull *p, const char *what, struct error *reterr);

/* What the next value is (peeks). */
enum json_kind json_peek(struct json_pull *p);

/* Each takes one value of its kind; another kind is an error. */
struct json_str json_take_string(struct json_pull *p);
double json_take_double(struct json_pull *p);
int64_t json_take_int(struct json_pull *p);   /* an integral number within int64 */
uint64_t json_take_uint(struct json_pull *p); /* integral and >= 0 */
bool json_take_bool(struct json_pull *p);
void json_take_null(struct json_pull *p);

/* Takes any one value and ignores it. Returns its text (whole value, lent). */
struct json_str json_skip(struct json_pull *p);

/* Enter, then loop; the loop's end has left the container. Object keys are then followed by
 * exactly one take or enter. */
void json_enter_object(struct json_pull *p);
bool json_next_key(struct json_pull *p, struct json_str *ret_key);
void json_enter_array(struct json_pull *p);
bool json_next_item(struct json_pull *p);

/* Makes the error sticky with a reason of the caller's (a static string). */
void json_fail(struct json_pull *p, const char *reason);

/* True if the string, unescaped, equals the C string. (Compares raw bytes; keys with escapes are
 * compared after unescaping.) */
bool json_is(struct json_str str, const char *literal);

/* Appends the unescaped bytes (UTF-8; lone surrogates become U+FFFD) to out. */
void json_unescape(struct json_str str, struct buf *out);

#endif
