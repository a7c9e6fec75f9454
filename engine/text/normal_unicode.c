/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normal_unicode - the four Unicode normalisation forms, linear in the worst case.
 *
 * Nearly all text is in NFC already, so the first question is whether anything is to be done; a
 * table answers it a character at a time (UNICODE_NFC_UNSTABLE). What is to be done happens in
 * segments around the characters concerned. utf8proc decomposes and composes; the reordering of
 * combining marks is done here, because utf8proc swaps neighbours, which is quadratic in the
 * length of a run of marks, and a client chooses that length.
 */
#include <errno.h>
#include <string.h>

#include <utf8proc.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

#include "normal.h"
#include "unicode.h"

enum {
    MAX_DECOMPOSED = 32, /* code points that one may become; the longest is 18 */
    SHORT_RUN = 24,      /* marks that are sorted by insertion */
};

static bool is_composing(enum normal_kind form) {
    return form == NORMAL_NFC || form == NORMAL_NFKC;
}

/* True if a segment may begin here: the form changes neither this character nor those before. */
static bool is_stable_char(enum normal_kind form, uint32_t cp) {
    if (cp < 0x80 || cp == UNICODE_INVALID)
        return true;
    return form == NORMAL_NFC && !(unicode_class(cp) & UNICODE_NFC_UNSTABLE);
}

/* Bytes before the first character that is not stable; *ret_last is where the last one begins. */
static size_t stable_prefix(enum normal_kind form, const char *text, size_t len, size_t *ret_last) {
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;

    *ret_last = 0;
    while (i < len) {
        if (s[i] < 0x80) {
            *ret_last = i++;
            continue;
        }
        size_t n;
        if (!is_stable_char(form, unicode_decode(s + i, s + len, &n)))
            break;
        *ret_last = i;
        i += n;
    }
    return i;
}

bool normal_is_stable(enum normal_kind form, const char *text, size_t len) {
    size_t last;
    return stable_prefix(form, text, len, &last) == len;
}

static unsigned combining_class(utf8proc_int32_t cp) {
    return (unsigned)utf8proc_get_property(cp)->combining_class & 0xff;
}

/* A stable sort of n marks by combining class, by counting; tmp has room for n. */
static void sort_long_run(utf8proc_int32_t *marks, size_t n, utf8proc_int32_t *tmp) {
    size_t first[257] = {0};
    for (size_t i = 0; i < n; i++)
        first[combining_class(marks[i]) + 1]++;
    for (size_t c = 1; c < 257; c++)
        first[c] += first[c - 1];
    for (size_t i = 0; i < n; i++)
        tmp[first[combining_class(marks[i])]++] = marks[i];
    memcpy(marks, tmp, n * sizeof *marks);
}

static void sort_short_run(utf8proc_int32_t *marks, size_t n) {
    for (size_t i = 1; i < n; i++) {
        const utf8proc_int32_t mark = marks[i];
        size_t j = i;
        for (; j > 0 && combining_class(marks[j - 1]) > combining_class(mark); j--)
            marks[j] = marks[j - 1];
        marks[j] = mark;
    }
}

/* Puts each run of combining marks into canonical order. */
static void reorder(utf8proc_int32_t *cps, size_t n, utf8proc_int32_t *tmp) {
    size_t i = 0;
    while (i < n) {
        size_t end = i;
        while (end < n && combining_class(cps[end]) != 0)
            end++;
        if (end - i > SHORT_RUN)
            sort_long_run(cps + i, end - i, tmp);
        else if (end > i)
            sort_short_run(cps + i, end - i);
        i = end > i ? end : i + 1;
    }
}

/* Decomposes the segment into out, an array of code points. */
static void decompose(enum normal_kind form, const unsigned char *text, size_t len,
                      struct buf *out) {
    const bool compatible = form == NORMAL_NFKC || form == NORMAL_NFKD;
    const utf8proc_option_t options =
        compatible ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE;
    size_t n;

    for (size_t i = 0; i < len; i += n) {
        utf8proc_int32_t cps[MAX_DECOMPOSED];
        int boundclass = 0;
        const uint32_t cp = unicode_decode(text + i, text + len, &n);
        const utf8proc_ssize_t n_cps = utf8proc_decompose_char(
            (utf8proc_int32_t)cp, cps, MAX_DECOMPOSED, options, &boundclass);
        INVARIANT(n_cps > 0 && n_cps <= MAX_DECOMPOSED);
        buf_append(out, cps, (size_t)n_cps * sizeof cps[0]);
    }
}

/* Appends the normal form of a segment without invalid bytes. */
static int append_segment(enum normal_kind form, const char *text, size_t len, struct buf *cps,
                          struct buf *out) {
    buf_clear(cps);
    decompose(form, (const unsigned char *)text, len, cps);
    size_t n = cps->len / sizeof(utf8proc_int32_t);
    utf8proc_int32_t *tmp = (utf8proc_int32_t *)(void *)buf_reserve(cps, cps->len);
    if (!tmp)
        return -ENOMEM;
    utf8proc_int32_t *array = (utf8proc_int32_t *)(void *)cps->data;

    reorder(array, n, tmp);
    if (is_composing(form)) {
        const utf8proc_ssize_t n_composed = utf8proc_normalize_utf32(
            array, (utf8proc_ssize_t)n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        INVARIANT(n_composed >= 0 && (size_t)n_composed <= n);
        n = (size_t)n_composed;
    }
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        buf_append(out, bytes, utf8_encode((uint32_t)array[i], bytes));
    }
    return buf_failed(out) ? -ENOMEM : 0;
}

/* Where the segment ends that begins with characters that are not stable. */
static size_t unstable_end(enum normal_kind form, const char *text, size_t len, size_t i) {
    const unsigned char *s = (const unsigned char *)text;
    while (i < len) {
        size_t n;
        if (is_stable_char(form, unicode_decode(s + i, s + len, &n)))
            break;
        i += n;
    }
    return i;
}

int normal_unicode(enum normal_kind form, const char *text, size_t len, struct buf *out) {
    struct buf cps = {.data = NULL};
    int r = 0;

    while (len > 0 && r == 0) {
        /* The character before an unstable one may be joined with it, if there is one. */
        size_t last;
        const size_t unstable = stable_prefix(form, text, len, &last);
        const bool joins =
            unstable < len && unstable > 0 && utf8_sequence(text + last, unstable - last) > 0;
        const size_t start = joins ? last : unstable;
        const size_t end = unstable_end(form, text, len, unstable);

        buf_append(out, text, start);
        if (end > start)
            r = append_segment(form, text + start, end - start, &cps, out);
        text += end;
        len -= end;
    }
    buf_fini(&cps);
    return r == 0 && buf_failed(out) ? -ENOMEM : r;
}
