/* SPDX-License-Identifier: Apache-2.0 */
/*
 * str - text that knows where each of its bytes came from.
 *
 * A str is immutable valid UTF-8 in an arena. Its origin is one bit per byte ("user": it came in
 * through a variable), kept as runs; nearly every string has a single origin and then no runs at
 * all. A strb builds a str piece by piece and keeps the origins of the pieces. Invariant: the
 * last run of a str ends at or after its length (it may end later: see str_concat).
 */
#ifndef KVASIR_JINJA_STR_H
#define KVASIR_JINJA_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"

/* Bytes from the end of the run before it up to end have one origin. */
struct run {
    uint32_t end;
    uint32_t user; /* 0 or 1 */
};

struct strb;

struct str {
    const char *bytes; /* len bytes; not NUL-terminated */
    uint32_t len;
    uint32_t n_chars;       /* code points */
    const struct run *runs; /* NULL: all bytes are of the one origin below */
    uint32_t n_runs;
    bool user;
    bool markup;       /* the result of escape or safe: joining it escapes the other side */
    struct strb *tail; /* the builder that ends where this string ends, or NULL */
};

/* A builder. Starts zeroed but for arena; failed is sticky (memory, or 2 GiB). */
struct strb {
    struct arena *arena;
    char *bytes;
    size_t len;
    size_t cap;
    size_t n_chars;
    struct run *runs;
    uint32_t n_runs;
    uint32_t cap_runs;
    bool failed;
    size_t wanted; /* bytes that were not to be had; valid if failed */
};

/* All of these return NULL when memory is exhausted. Invalid UTF-8 becomes U+FFFD in str_copy. */
const struct str *str_copy(struct arena *arena, const char *bytes, size_t len, bool user);

/* Lends bytes, which must be valid UTF-8 and live as long as the arena. */
const struct str *str_lend(struct arena *arena, const char *bytes, size_t len, bool user);

/* Bytes [from, to), on code point boundaries; shares the bytes. */
const struct str *str_part(struct arena *arena, const struct str *s, size_t from, size_t to);

/*
 * a and then b. When a was itself the newest result of str_concat, b is appended in place behind
 * it (a stays what it was), so that a template that grows a text piece by piece costs linear and
 * not quadratic memory.
 */
const struct str *str_concat(struct arena *arena, const struct str *a, const struct str *b);

/* The same text marked (or not) as markup. */
const struct str *str_as_markup(struct arena *arena, const struct str *s, bool markup);

bool str_is_ascii(const struct str *s);
bool str_has_user(const struct str *s);             /* any byte */
bool str_user_at(const struct str *s, size_t byte); /* false behind the end */
bool str_equal(const struct str *a, const struct str *b);
bool str_is(const struct str *s, const char *text);
int str_compare(const struct str *a, const struct str *b); /* by code points */

/* Where code point number index begins; len when index is n_chars. */
size_t str_offset(const struct str *s, size_t index);

/* Length of the code point at byte, and its value. byte < len. */
size_t str_char(const struct str *s, size_t byte, uint32_t *ret_codepoint);

/*
 * First byte at or behind from (before to) where needle begins, or SIZE_MAX; last one for rfind.
 * Linear in the worst case.
 */
size_t str_find(const struct str *s, size_t from, size_t to, const struct str *needle);
size_t str_rfind(const struct str *s, size_t from, size_t to, const struct str *needle);

/* How many code points a run of valid UTF-8 holds. */
size_t str_count_chars(const char *bytes, size_t len);

void strb_append(struct strb *b, const char *bytes, size_t len, bool user);
void strb_append_text(struct strb *b, const char *text); /* NUL-terminated, from the template */
void strb_append_char(struct strb *b, uint32_t codepoint, bool user);
void strb_append_str(struct strb *b, const struct str *s);
void strb_append_part(struct strb *b, const struct str *s, size_t from, size_t to);
void strb_repeat(struct strb *b, const char *bytes, size_t len, size_t times, bool user);

/* What was built (shares the builder's memory; go on only with a new builder); NULL if failed. */
const struct str *strb_take(struct strb *b);

#endif
