/* SPDX-License-Identifier: Apache-2.0 */
#include "str.h"

#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

enum { FIRST_CAP = 64, FIRST_RUNS = 4, MAX_LEN = 1 << 30, GROW_IN_PLACE_FROM = 256 };

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

size_t str_find(const struct str *s, size_t from, size_t to, const struct str *needle) {
    if (from > to || needle->len > to - from)
        return SIZE_MAX;
    if (needle->len == 0)
        return from;

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

    for (size_t at = to - needle->len + 1; at-- > from;) {
        if (memcmp(s->bytes + at, needle->bytes, needle->len) == 0)
            return at;
    }
    return SIZE_MAX;
}

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
