/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

enum {
    FIRST_CAP = 64,
    FIRST_RUNS = 4,
    MAX_LEN = 1 << 30,
    GROW_IN_PLACE_FROM = 256,
    LONG_NEEDLE = 16
};

/* Bytes that are not continuation bytes; exact because every str is valid UTF-8. */
size_t str_count_chars(const char *bytes, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return n;
}

const struct str *str_lend(struct arena *arena, const char *bytes, size_t len, bool user) {
    if (len > MAX_LEN)
        return NULL;

    struct str *s = arena_alloc(arena, sizeof *s);
    if (!s)
        return NULL;

    *s = (struct str){
        .bytes = bytes,
        .len = (uint32_t)len,
        .n_chars = (uint32_t)str_count_chars(bytes, len),
        .user = user,
    };
    return s;
}

static const struct str *copy_repaired(struct arena *arena, const char *bytes, size_t len,
                                       bool user) {
    struct strb b = {.arena = arena};
    size_t i = 0;
    while (i < len) {
        const size_t n = utf8_sequence(bytes + i, len - i);
        if (n > 0)
            strb_append(&b, bytes + i, n, user);
        else
            strb_append(&b, "\xef\xbf\xbd", 3, user);
        i += n > 0 ? n : 1;
    }
    return strb_take(&b);
}

const struct str *str_copy(struct arena *arena, const char *bytes, size_t len, bool user) {
    if (!utf8_valid(bytes, len))
        return copy_repaired(arena, bytes, len, user);

    const char *copy = arena_dup(arena, bytes, len);
    return copy ? str_lend(arena, copy, len, user) : NULL;
}

bool str_is_ascii(const struct str *s) {
    return s->n_chars == s->len;
}

/* Index of the run that holds byte. */
static uint32_t run_at(const struct str *s, size_t byte) {
    uint32_t low = 0;
    uint32_t high = s->n_runs - 1;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (s->runs[middle].end > byte)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

bool str_user_at(const struct str *s, size_t byte) {
    if (byte >= s->len)
        return false;
    return s->runs ? s->runs[run_at(s, byte)].user : s->user;
}

bool str_has_user(const struct str *s) {
    if (!s->runs)
        return s->user && s->len > 0;
    return s->n_runs > 1 || s->runs[0].user;
}

const struct str *str_part(struct arena *arena, const struct str *s, size_t from, size_t to) {
    if (from == 0 && to == s->len)
        return s;

    struct str *part = arena_alloc(arena, sizeof *part);
    if (!part)
        return NULL;

    *part = (struct str){
        .bytes = s->bytes + from,
        .len = (uint32_t)(to - from),
        .n_chars =
            (uint32_t)(str_is_ascii(s) ? to - from : str_count_chars(s->bytes + from, to - from)),
        .user = s->user,
        .markup = s->markup,
    };
    if (!s->runs || from == to)
        return part;

    const uint32_t first = run_at(s, from);
    const uint32_t last = run_at(s, to - 1);
    if (first == last) {
        part->user = s->runs[first].user;
        return part;
    }
    struct run *runs = arena_alloc(arena, (last - first + 1) * sizeof *runs);
    if (!runs)
        return NULL;
    for (uint32_t i = first; i <= last; i++)
        runs[i - first] =
            (struct run){.end = s->runs[i].end - (uint32_t)from, .user = s->runs[i].user};
    part->runs = runs;
    part->n_runs = last - first + 1;
    return part;
}

const struct str *str_as_markup(struct arena *arena, const struct str *s, bool markup) {
    if (s->markup == markup)
        return s;

    struct str *copy = arena_alloc(arena, sizeof *copy);
    if (!copy)
        return NULL;

    *copy = *s;
    copy->markup = markup;
    copy->tail = NULL;
    return copy;
}

bool str_equal(const struct str *a, const struct str *b) {
    return a == b || (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}

bool str_is(const struct str *s, const char *text) {
    return strlen(text) == s->len && memcmp(s->bytes, text, s->len) == 0;
}

/* The order of UTF-8 bytes is the order of code points. */
int str_compare(const struct str *a, const struct str *b) {
    const size_t len = a->len < b->len ? a->len : b->len;
    const int order = memcmp(a->bytes, b->bytes, len);
    if (order != 0)
        return order < 0 ? -1 : 1;
    return a->len == b->len ? 0 : a->len < b->len ? -1 : 1;
}

size_t str_offset(const struct str *s, size_t index) {
    if (str_is_ascii(s))
        return index;
    if (index >= s->n_chars)
        return s->len;

    size_t byte = 0;
    for (size_t seen = 0; byte < s->len; byte++) {
        if (((unsigned char)s->bytes[byte] & 0xc0) == 0x80)
            continue;
        if (seen++ == index)
            break;
    }
    return byte;
}

size_t str_char(const struct str *s, size_t byte, uint32_t *ret_codepoint) {
    const size_t n = utf8_decode(s->bytes + byte, s->len - byte, ret_codepoint);
    return n > 0 ? n : 1;
}

/* --- Searching: plain for short needles, two-way for long ones ------------------------------- */

/* Bytes read forwards or backwards, so that one search finds the first and the last place. */
struct span {
    const char *bytes;
    ptrdiff_t len;
    bool backwards;
};

static unsigned char span_at(const struct span *s, ptrdiff_t i) {
    return (unsigned char)s->bytes[s->backwards ? s->len - 1 - i : i];
}

/*
 * The start (less one) of the maximal suffix of x under one order of bytes or its reverse, and its
 * period. (Crochemore and Perrin, Two-way string-matching, 1991.)
 */
static ptrdiff_t maximal_suffix(const struct span *x, bool reversed, ptrdiff_t *ret_period) {
    ptrdiff_t start = -1;
    ptrdiff_t j = 0;
    ptrdiff_t k = 1;
    ptrdiff_t period = 1;
    while (j + k < x->len) {
        const unsigned char a = span_at(x, j + k);
        const unsigned char b = span_at(x, start + k);
        if (a == b) {
            j += k == period ? period : 0;
            k = k == period ? 1 : k + 1;
        } else if (reversed ? a > b : a < b) {
            j += k;
            k = 1;
            period = j - start;
        } else {
            start = j++;
            k = period = 1;
        }
    }
    *ret_period = period;
    return start;
}

static bool repeats(const struct span *x, ptrdiff_t n, ptrdiff_t period) {
    for (ptrdiff_t i = 0; i < n; i++) {
        if (i + period >= x->len || span_at(x, i) != span_at(x, i + period))
            return false;
    }
    return true;
}

/* Where x begins in y, or -1. Linear in both, whatever they hold, without memory. */
static ptrdiff_t two_way(const struct span *y, const struct span *x) {
    ptrdiff_t period;
    ptrdiff_t reversed_period;
    ptrdiff_t split = maximal_suffix(x, false, &period);
    const ptrdiff_t reversed_split = maximal_suffix(x, true, &reversed_period);
    if (reversed_split >= split) {
        split = reversed_split;
        period = reversed_period;
    }
    const bool periodic = repeats(x, split + 1, period);
    if (!periodic)
        period = (split + 1 > x->len - split - 1 ? split + 1 : x->len - split - 1) + 1;

    ptrdiff_t known = -1; /* bytes of x up to here are known to match (periodic needles) */
    for (ptrdiff_t j = 0; j <= y->len - x->len;) {
        ptrdiff_t i = (split > known ? split : known) + 1;
        while (i < x->len && span_at(x, i) == span_at(y, i + j))
            i++;
        if (i < x->len) {
            j += i - split;
            known = -1;
            continue;
        }
        i = split;
        while (i > known && span_at(x, i) == span_at(y, i + j))
            i--;
        if (i <= known)
            return j;
        j += period;
        known = periodic ? x->len - period - 1 : -1;
    }
    return -1;
}

/* A needle that may make plain search quadratic. */
static bool is_long(const struct str *needle) {
    return needle->len > LONG_NEEDLE;
}

static size_t find_long(const struct str *s, size_t from, size_t to, const struct str *needle,
                        bool backwards) {
    const struct span y = {s->bytes + from, (ptrdiff_t)(to - from), backwards};
    const struct span x = {needle->bytes, needle->len, backwards};
    const ptrdiff_t at = two_way(&y, &x);
    if (at < 0)
        return SIZE_MAX;
    return backwards ? to - (size_t)at - needle->len : from + (size_t)at;
}

size_t str_find(const struct str *s, size_t from, size_t to, const struct str *needle) {
    if (from > to || needle->len > to - from)
        return SIZE_MAX;
    if (needle->len == 0)
        return from;
    if (is_long(needle))
        return find_long(s, from, to, needle, /* backwards= */ false);

    const char *end = s->bytes + to - needle->len + 1;
    const char *at = s->bytes + from;
    while (at < end) {
        at = memchr(at, needle->bytes[0], (size_t)(end - at));
        if (!at)
            break;
        if (memcmp(at, needle->bytes, needle->len) == 0)
            return (size_t)(at - s->bytes);
        at++;
    }
    return SIZE_MAX;
}

size_t str_rfind(const struct str *s, size_t from, size_t to, const struct str *needle) {
    if (from > to || needle->len > to - from)
        return SIZE_MAX;
    if (is_long(needle))
        return find_long(s, from, to, needle, /* backwards= */ true);

    for (size_t at = to - needle->len + 1; at-- > from;) {
        if (memcmp(s->bytes + at, needle->bytes, needle->len) == 0)
            return at;
    }
    return SIZE_MAX;
}

/* --- Building -------------------------------------------------------------------------------- */

static bool fail(struct strb *b, size_t wanted) {
    if (!b->failed)
        b->wanted = wanted;
    b->failed = true;
    return false;
}

/* Room for len more bytes; false once failed. */
static bool reserve(struct strb *b, size_t len) {
    if (b->failed || len > MAX_LEN - b->len)
        return fail(b, SIZE_MAX);
    if (b->len + len <= b->cap)
        return true;

    size_t cap = b->cap ? b->cap * 2 : FIRST_CAP;
    if (cap < b->len + len)
        cap = b->len + len;
    char *bytes = arena_alloc(b->arena, cap);
    if (!bytes)
        return fail(b, cap);
    if (b->len)
        memcpy(bytes, b->bytes, b->len);
    b->bytes = bytes;
    b->cap = cap;
    return true;
}

/* Says that the bytes up to len, from the last run's end on, are of this origin. */
static void mark(struct strb *b, bool user) {
    if (b->n_runs && b->runs[b->n_runs - 1].user == user) {
        b->runs[b->n_runs - 1].end = (uint32_t)b->len;
        return;
    }
    if (b->n_runs == b->cap_runs) {
        const uint32_t cap = b->cap_runs ? b->cap_runs * 2 : FIRST_RUNS;
        struct run *runs = arena_alloc(b->arena, cap * sizeof *runs);
        if (!runs) {
            (void)fail(b, cap * sizeof *runs); /* sticky */
            return;
        }
        if (b->n_runs)
            memcpy(runs, b->runs, b->n_runs * sizeof *runs);
        b->runs = runs;
        b->cap_runs = cap;
    }
    b->runs[b->n_runs++] = (struct run){.end = (uint32_t)b->len, .user = user};
}

static void append_counted(struct strb *b, const char *bytes, size_t len, size_t n_chars,
                           bool user) {
    if (len == 0 || !reserve(b, len))
        return;
    memcpy(b->bytes + b->len, bytes, len);
    b->len += len;
    b->n_chars += n_chars;
    mark(b, user);
}

void strb_append(struct strb *b, const char *bytes, size_t len, bool user) {
    append_counted(b, bytes, len, str_count_chars(bytes, len), user);
}

void strb_append_text(struct strb *b, const char *text) {
    strb_append(b, text, strlen(text), /* user= */ false);
}

void strb_append_char(struct strb *b, uint32_t codepoint, bool user) {
    char bytes[4];
    append_counted(b, bytes, utf8_encode(codepoint, bytes), 1, user);
}

void strb_append_part(struct strb *b, const struct str *s, size_t from, size_t to) {
    if (!s->runs) {
        const bool whole = from == 0 && to == s->len;
        const size_t len = to - from;
        append_counted(b, s->bytes + from, len,
                       whole ? s->n_chars : str_count_chars(s->bytes + from, len), s->user);
        return;
    }
    for (uint32_t i = from < to ? run_at(s, from) : s->n_runs; i < s->n_runs && from < to; i++) {
        const size_t end = s->runs[i].end < to ? s->runs[i].end : to;
        strb_append(b, s->bytes + from, end - from, s->runs[i].user);
        from = end;
    }
}

void strb_append_str(struct strb *b, const struct str *s) {
    strb_append_part(b, s, 0, s->len);
}

void strb_repeat(struct strb *b, const char *bytes, size_t len, size_t times, bool user) {
    size_t total;
    if (!size_mul(len, times, &total))
        total = SIZE_MAX;
    if (total == 0 || !reserve(b, total))
        return;
    for (size_t i = 0; i < times; i++)
        memcpy(b->bytes + b->len + i * len, bytes, len);
    b->len += total;
    b->n_chars += str_count_chars(bytes, len) * times;
    mark(b, user);
}

const struct str *strb_take(struct strb *b) {
    if (b->failed)
        return NULL;

    struct str *s = arena_alloc(b->arena, sizeof *s);
    if (!s)
        return NULL;

    *s = (struct str){
        .bytes = b->bytes ? b->bytes : "",
        .len = (uint32_t)b->len,
        .n_chars = (uint32_t)b->n_chars,
        .user = b->n_runs == 1 && b->runs[0].user,
    };
    if (b->n_runs > 1) {
        s->runs = b->runs;
        s->n_runs = b->n_runs;
    }
    return s;
}

const struct str *str_concat(struct arena *arena, const struct str *a, const struct str *b) {
    const size_t total = (size_t)a->len + b->len;
    struct strb *tail = a->tail;

    if (b->len == 0 || a->len == 0)
        return b->len == 0 ? a : b;
    if (tail && tail->len != a->len)
        tail = NULL; /* another string was already appended behind a */
    if (!tail && total < GROW_IN_PLACE_FROM) {
        struct strb small = {.arena = arena};
        if (reserve(&small, total)) {
            strb_append_str(&small, a);
            strb_append_str(&small, b);
        }
        return strb_take(&small);
    }
    if (!tail) {
        tail = arena_alloc(arena, sizeof *tail);
        if (!tail)
            return NULL;
        *tail = (struct strb){.arena = arena};
        if (reserve(tail, total + total / 2))
            strb_append_str(tail, a);
    }
    strb_append_str(tail, b);

    struct str *s = (struct str *)strb_take(tail);
    if (s)
        s->tail = tail;
    return s;
}
