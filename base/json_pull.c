/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json_pull - see the header. One cursor over the text; the state is the position, the depth and
 * whether the container at each depth already had a member.
 */
#include "kvasir/json_pull.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/utf8.h"

enum { MAX_NUMBER_LEN = 64 };

void json_pull_init(struct json_pull *p, const char *text, size_t len) {
    *p = (struct json_pull){.text = text, .len = len};
}

void json_fail(struct json_pull *p, const char *reason) {
    if (p->reason)
        return;
    p->reason = reason;
    p->error_pos = p->pos;
}

int json_pull_status(const struct json_pull *p, const char *what, struct error *reterr) {
    if (!p->reason)
        return 0;
    return error_set(reterr, -EINVAL, "%s: %s at byte %zu", what, p->reason, p->error_pos);
}

static void skip_space(struct json_pull *p) {
    while (p->pos < p->len) {
        const char c = p->text[p->pos];
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
            return;
        p->pos++;
    }
}

/* The next byte that is not white space, '\0' at the end or after an error. */
static char next_byte(struct json_pull *p) {
    if (p->reason)
        return '\0';
    skip_space(p);
    return p->pos < p->len ? p->text[p->pos] : '\0';
}

int json_pull_end(struct json_pull *p, const char *what, struct error *reterr) {
    if (next_byte(p) != '\0' || (!p->reason && p->pos < p->len))
        json_fail(p, "something follows the value");
    return json_pull_status(p, what, reterr);
}

static bool starts_number(char c) {
    return c == '-' || (c >= '0' && c <= '9') || c == 'N' || c == 'I';
}

enum json_kind json_peek(struct json_pull *p) {
    const char c = next_byte(p);
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return starts_number(c) ? JSON_NUMBER : JSON_INVALID;
    }
}

struct json_str json_take_string(struct json_pull *p) {
    const struct json_str none = {.bytes = "", .len = 0};
    if (next_byte(p) != '"') {
        json_fail(p, "expected a string");
        return none;
    }
    const size_t start = ++p->pos;
    bool escaped = false;
    while (p->pos < p->len) {
        const unsigned char c = (unsigned char)p->text[p->pos];
        if (c == '"')
            break;
        if (c < 0x20) {
            json_fail(p, "control character in a string");
            return none;
        }
        if (c == '\\') {
            escaped = true;
            p->pos++;
            if (p->pos < p->len && !memchr("\"\\/bfnrtu", p->text[p->pos], 9)) {
                json_fail(p, "unknown escape in a string");
                return none;
            }
        }
        p->pos++;
    }
    if (p->pos >= p->len) {
        p->pos = p->len;
        json_fail(p, "string without an end");
        return none;
    }
    const struct json_str str = {
        .bytes = p->text + start,
        .len = p->pos - start,
        .escaped = escaped,
    };
    p->pos++;
    return str;
}

/* Takes exactly this word. */
static void take_word(struct json_pull *p, const char *word, const char *reason) {
    const size_t n = strlen(word);
    (void)next_byte(p); /* skips white space */
    if (p->reason)
        return;
    if (p->len - p->pos < n || memcmp(p->text + p->pos, word, n) != 0) {
        json_fail(p, reason);
        return;
    }
    p->pos += n;
}

bool json_take_bool(struct json_pull *p) {
    const bool value = json_peek(p) == JSON_TRUE;
    take_word(p, value ? "true" : "false", "expected true or false");
    return value && !p->reason;
}

void json_take_null(struct json_pull *p) {
    take_word(p, "null", "expected null");
}

static size_t digits(const char *s, size_t i, size_t n) {
    while (i < n && s[i] >= '0' && s[i] <= '9')
        i++;
    return i;
}

/* Length of the RFC 8259 number at s, 0 if there is none; *ret_integral: no fraction or exponent. */
static size_t number_len(const char *s, size_t n, bool *ret_integral) {
    size_t i = n > 0 && s[0] == '-' ? 1 : 0;
    const size_t int_start = i;

    i = digits(s, i, n);
    if (i == int_start || (s[int_start] == '0' && i > int_start + 1))
        return 0;
    *ret_integral = true;
    if (i < n && s[i] == '.') {
        const size_t start = ++i;
        i = digits(s, i, n);
        if (i == start)
            return 0;
        *ret_integral = false;
    }
    if (i < n && (s[i] == 'e' || s[i] == 'E')) {
        i++;
        if (i < n && (s[i] == '+' || s[i] == '-'))
            i++;
        const size_t start = i;
        i = digits(s, i, n);
        if (i == start)
            return 0;
        *ret_integral = false;
    }
    return i;
}

/* Copies the number at the cursor into word (NUL-terminated) and steps over it. */
static bool take_number(struct json_pull *p, char word[MAX_NUMBER_LEN + 1], bool *ret_integral) {
    (void)next_byte(p); /* skips white space */
    if (p->reason)
        return false;

    const size_t len = number_len(p->text + p->pos, p->len - p->pos, ret_integral);
    if (len == 0 || len > MAX_NUMBER_LEN) {
        json_fail(p, len ? "number with too many digits" : "expected a number");
        return false;
    }
    memcpy(word, p->text + p->pos, len);
    word[len] = '\0';
    p->pos += len;
    return true;
}

double json_take_double(struct json_pull *p) {
    const char c = next_byte(p);
    const bool negative = c == '-' && p->pos + 1 < p->len && p->text[p->pos + 1] == 'I';
    if (c == 'N') {
        take_word(p, "NaN", "expected a number");
        return (double)NAN;
    }
    if (c == 'I' || negative) {
        take_word(p, negative ? "-Infinity" : "Infinity", "expected a number");
        return negative ? -HUGE_VAL : HUGE_VAL;
    }

    char word[MAX_NUMBER_LEN + 1];
    bool integral;
    return take_number(p, word, &integral) ? strtod(word, NULL) : 0;
}

/* The integer at the cursor: sign and magnitude. Accepts 1.0 and 1e3 where they are integral. */
static uint64_t take_magnitude(struct json_pull *p, bool *ret_negative) {
    char word[MAX_NUMBER_LEN + 1];
    bool integral;
    *ret_negative = false;
    if (!take_number(p, word, &integral))
        return 0;

    *ret_negative = word[0] == '-';
    if (!integral) {
        const double value = fabs(strtod(word, NULL));
        if (value != floor(value) || value > 9007199254740992.0) {
            json_fail(p, "expected an integer");
            return 0;
        }
        return (uint64_t)value;
    }
    uint64_t value = 0;
    for (const char *s = word + (*ret_negative ? 1 : 0); *s; s++) {
        const uint64_t digit = (uint64_t)(*s - '0');
        if (value > (UINT64_MAX - digit) / 10) {
            json_fail(p, "integer out of range");
            return 0;
        }
        value = value * 10 + digit;
    }
    return value;
}

int64_t json_take_int(struct json_pull *p) {
    bool negative;
    const uint64_t value = take_magnitude(p, &negative);
    if (value > (uint64_t)INT64_MAX) {
        json_fail(p, "integer out of range");
        return 0;
    }
    return negative ? -(int64_t)value : (int64_t)value;
}

uint64_t json_take_uint(struct json_pull *p) {
    bool negative;
    const uint64_t value = take_magnitude(p, &negative);
    if (negative && value > 0) {
        json_fail(p, "expected a number that is not negative");
        return 0;
    }
    return value;
}

static void enter(struct json_pull *p, char opener, char closer, const char *reason) {
    if (next_byte(p) != opener) {
        json_fail(p, reason);
        return;
    }
    if (p->depth == JSON_MAX_DEPTH) {
        json_fail(p, "nested too deeply");
        return;
    }
    p->pos++;
    p->depth++;
    p->need_comma[p->depth] = false;
    p->closer[p->depth] = closer;
}

/* True if another member follows in the innermost container; leaves it otherwise. */
static bool next_member(struct json_pull *p, char closer) {
    const char c = next_byte(p);
    if (p->reason)
        return false;
    if (p->depth == 0 || p->closer[p->depth] != closer) {
        json_fail(p, "value ended in the wrong place");
        return false;
    }
    if (c == closer) {
        p->pos++;
        p->depth--;
        return false;
    }
    if (p->need_comma[p->depth]) {
        if (c != ',') {
            json_fail(p, "expected a comma or the end of the container");
            return false;
        }
        p->pos++;
        if (next_byte(p) == closer) {
            json_fail(p, "comma before the end of the container");
            return false;
        }
    }
    p->need_comma[p->depth] = true;
    return true;
}

void json_enter_object(struct json_pull *p) {
    enter(p, '{', '}', "expected an object");
}

bool json_next_key(struct json_pull *p, struct json_str *ret_key) {
    if (!next_member(p, '}'))
        return false;
    *ret_key = json_take_string(p);
    if (next_byte(p) != ':')
        json_fail(p, "expected a colon after the key");
    else
        p->pos++;
    return !p->reason;
}

void json_enter_array(struct json_pull *p) {
    enter(p, '[', ']', "expected an array");
}

bool json_next_item(struct json_pull *p) {
    return next_member(p, ']');
}

/* Steps over a scalar value. */
static void skip_scalar(struct json_pull *p) {
    switch (json_peek(p)) {
    case JSON_STRING:
        (void)json_take_string(p); /* only stepped over */
        return;
    case JSON_NUMBER:
        (void)json_take_double(p); /* only stepped over */
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        (void)json_take_bool(p); /* only stepped over */
        return;
    case JSON_NULL:
        json_take_null(p);
        return;
    default:
        json_fail(p, "expected a value");
    }
}

/* Opens a container or steps over a scalar. */
static void skip_one(struct json_pull *p) {
    const enum json_kind kind = json_peek(p);
    if (kind == JSON_OBJECT)
        json_enter_object(p);
    else if (kind == JSON_ARRAY)
        json_enter_array(p);
    else
        skip_scalar(p);
}

struct json_str json_skip(struct json_pull *p) {
    (void)next_byte(p); /* skips white space */
    const size_t start = p->pos;
    const uint32_t depth = p->depth;

    skip_one(p);
    while (!p->reason && p->depth > depth) {
        struct json_str key;
        const bool more = p->closer[p->depth] == '}' ? json_next_key(p, &key) : json_next_item(p);
        if (more)
            skip_one(p);
    }
    if (p->reason)
        return (struct json_str){.bytes = "", .len = 0};
    return (struct json_str){.bytes = p->text + start, .len = p->pos - start};
}

bool json_is(struct json_str str, const char *literal) {
    const size_t n = strlen(literal);
    if (!str.escaped)
        return str.len == n && memcmp(str.bytes, literal, n) == 0;

    struct buf plain;
    buf_init(&plain, 0);
    json_unescape(str, &plain);
    const bool equal = !buf_failed(&plain) && plain.len == n && memcmp(plain.data, literal, n) == 0;
    buf_fini(&plain);
    return equal;
}

/* The value of four hex digits, -1 if they are not. */
static int32_t hex4(const char *s, size_t n) {
    if (n < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        const char c = s[i];
        const int32_t digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Appends the character of \uXXXX (with its low half where it is a pair); returns bytes used. */
static size_t unescape_u(const char *s, size_t n, struct buf *out) {
    char utf8[4];
    const int32_t high = hex4(s + 2, n - 2);
    if (high < 0) {
        buf_append(out, "\xef\xbf\xbd", 3);
        return 2;
    }
    if (high < 0xd800 || high > 0xdfff) {
        buf_append(out, utf8, utf8_encode((uint32_t)high, utf8));
        return 6;
    }
    const bool has_low = high < 0xdc00 && n >= 12 && s[6] == '\\' && s[7] == 'u';
    const int32_t low = has_low ? hex4(s + 8, n - 8) : -1;
    if (low < 0xdc00 || low > 0xdfff) {
        buf_append(out, "\xef\xbf\xbd", 3); /* a lone surrogate is not a character */
        return 6;
    }
    const uint32_t cp = 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    buf_append(out, utf8, utf8_encode(cp, utf8));
    return 12;
}

/* Appends one escape sequence at s (s[0] is the backslash); returns bytes used. */
static size_t unescape_one(const char *s, size_t n, struct buf *out) {
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";

    if (n >= 2 && s[1] == 'u')
        return unescape_u(s, n, out);
    const char *found = n >= 2 ? memchr(from, s[1], sizeof from - 1) : NULL;
    if (found)
        buf_append_char(out, to[found - from]);
    else
        buf_append(out, "\xef\xbf\xbd", 3);
    return n >= 2 ? 2 : 1;
}

void json_unescape(struct json_str str, struct buf *out) {
    size_t i = 0;
    while (i < str.len) {
        const char *slash = memchr(str.bytes + i, '\\', str.len - i);
        const size_t run = slash ? (size_t)(slash - str.bytes) - i : str.len - i;

        buf_append(out, str.bytes + i, run);
        i += run;
        if (i < str.len)
            i += unescape_one(str.bytes + i, str.len - i, out);
    }
}
