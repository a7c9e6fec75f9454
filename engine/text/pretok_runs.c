/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pretok_runs - patterns that are one run of a class of characters, such as \p{N}{1,3},
 * [\r\n], \s?\p{L}+ or [一-龥ぁ-ん]+, and \s+$.
 *
 * DeepSeek's pre-tokenizers are lists of them. The pattern is read into a table; everything that
 * this little grammar does not know is left to PCRE2:
 *
 *   pattern  := "\s+$" | "\s?"? class count?
 *   class    := property | "[" (property | char "-" char | char)+ "]"
 *   property := "\p{" name "}" | "\s"        count := "+" | "{1," digit "}"
 */
#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"

#include "pretok.h"
#include "unicode.h"

enum { MAX_RANGES = 256 };

struct range {
    uint32_t first;
    uint32_t last;
};

struct run_pattern {
    bool lead_space; /* \s? before the run */
    bool to_end;     /* only a run that reaches the end of a line matches */
    uint32_t max;    /* characters in the run; 0: any number */
    uint32_t set;    /* categories in the class */
    uint64_t ascii[2];
    uint32_t n_ranges;
    struct range ranges[MAX_RANGES];
};

/* --- matching --- */

static bool in_ranges(const struct run_pattern *run, uint32_t cp) {
    for (uint32_t i = 0; i < run->n_ranges; i++)
        if (cp >= run->ranges[i].first && cp <= run->ranges[i].last)
            return true;
    return false;
}

/* The length of the character at text[pos] if it is in the class; 0 if not, or at the end. */
static size_t member_len(const struct run_pattern *run, const unsigned char *text, size_t len,
                         size_t pos) {
    if (pos == len)
        return 0;
    if (text[pos] < 0x80)
        return run->ascii[text[pos] / 64] >> (text[pos] % 64) & 1;
    size_t n;
    const uint32_t cp = unicode_decode(text + pos, text + len, &n);
    if (cp == UNICODE_INVALID)
        return 0;
    return (unicode_bit(cp) & run->set) || in_ranges(run, cp) ? n : 0;
}

/* The end of the run that begins at pos; pos itself if there is none. */
static size_t run_end(const struct run_pattern *run, const unsigned char *text, size_t len,
                      size_t pos) {
    for (uint32_t n_chars = 0; run->max == 0 || n_chars < run->max; n_chars++) {
        const size_t n = member_len(run, text, len, pos);
        if (n == 0)
            break;
        pos += n;
    }
    return pos;
}

/* \s+$, where $ is the end of a line: the run gives back what follows its last newline. */
static size_t line_end(const unsigned char *text, size_t len, size_t pos, size_t end) {
    if (end == len)
        return end;
    while (end > pos && text[end] != '\n')
        end--;
    return end;
}

static int find_run(const struct matcher *matcher, const unsigned char *text, size_t len,
                    size_t from, struct span *ret_match) {
    const struct run_pattern *run = matcher->arg;
    size_t n;

    for (size_t pos = from; pos < len; pos += n) {
        const uint32_t bit = unicode_bit_at(text + pos, text + len, &n);
        size_t end = pos;
        if (run->lead_space && (bit & UNICODE_SPACE)) {
            end = run_end(run, text, len, pos + n);
            if (end == pos + n)
                end = pos; /* a space without a run is no match */
        }
        if (end == pos)
            end = run_end(run, text, len, pos);
        if (run->to_end && end > pos) {
            n = end - pos; /* if this run does not match, none of its tails does */
            end = line_end(text, len, pos, end);
        }
        if (end > pos) {
            *ret_match = (struct span){.start = pos, .end = end};
            return 1;
        }
    }
    return 0;
}

/* --- reading the pattern --- */

struct pattern_reader {
    const char *at;
    const char *end;
    bool failed; /* not of this grammar */
};

static bool take(struct pattern_reader *p, const char *literal) {
    const size_t n = strlen(literal);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, literal, n) != 0)
        return false;
    p->at += n;
    return true;
}

/* The categories that a property's name stands for; 0 if it is none of these. */
static uint32_t property_set(const char *name, size_t len) {
    static const struct {
        char name[3];
        uint32_t set;
    } sets[] = {
        {"L", UNICODE_L},
        {"M", UNICODE_M},
        {"N", UNICODE_N},
        {"P", UNICODE_P},
        {"S", UNICODE_S},
        {"Lu", UNICODE_BIT(UNICODE_LU)},
        {"Ll", UNICODE_BIT(UNICODE_LL)},
        {"Nd", UNICODE_BIT(UNICODE_ND)},
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (strlen(sets[i].name) == len && memcmp(sets[i].name, name, len) == 0)
            return sets[i].set;
    return 0;
}

static bool take_property(struct pattern_reader *p, struct run_pattern *run) {
    if (take(p, "\\s")) {
        run->set |= UNICODE_SPACE;
        return true;
    }
    if (!take(p, "\\p{"))
        return false;
    const char *close = memchr(p->at, '}', (size_t)(p->end - p->at));
    const uint32_t set = close ? property_set(p->at, (size_t)(close - p->at)) : 0;
    if (set == 0) {
        p->failed = true;
        return false;
    }
    run->set |= set;
    p->at = close + 1;
    return true;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* \uXXXX or \x{X...}, behind the letter. */
static uint32_t take_hex(struct pattern_reader *p, size_t n_digits) {
    uint32_t cp = 0;
    size_t n = 0;
    while (n < n_digits && p->at < p->end && hex_value(*p->at) >= 0) {
        cp = cp << 4 | (uint32_t)hex_value(*p->at++);
        n++;
    }
    const bool whole = n_digits == 4 ? n == 4 : n > 0 && take(p, "}");
    p->failed = p->failed || !whole || cp > 0x10ffff;
    return cp;
}

/* One character of a class, plain or escaped. */
static uint32_t take_char(struct pattern_reader *p) {
    static const char escapes[] = "rnt[]\\-/.^$";
    static const char values[] = "\r\n\t[]\\-/.^$";

    if (take(p, "\\u"))
        return take_hex(p, 4);
    if (take(p, "\\x{"))
        return take_hex(p, 6);
    if (take(p, "\\")) {
        const char *escape = p->at < p->end ? memchr(escapes, *p->at, sizeof escapes - 1) : NULL;
        if (escape) {
            p->at++;
            return (unsigned char)values[escape - escapes];
        }
        p->failed = true;
        return 0;
    }
    if (p->at == p->end || *p->at == '[') { /* nested classes are Oniguruma's own */
        p->failed = true;
        return 0;
    }
    size_t n;
    const uint32_t cp =
        unicode_decode((const unsigned char *)p->at, (const unsigned char *)p->end, &n);
    p->failed = p->failed || cp == UNICODE_INVALID;
    p->at += n;
    return cp;
}

static void take_range(struct pattern_reader *p, struct run_pattern *run) {
    struct range range = {.first = take_char(p)};
    range.last = range.first;
    if (p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']') {
        p->at++;
        range.last = take_char(p);
    }
    if (run->n_ranges == MAX_RANGES || range.last < range.first)
        p->failed = true;
    if (!p->failed)
        run->ranges[run->n_ranges++] = range;
}

static void take_class(struct pattern_reader *p, struct run_pattern *run) {
    if (take_property(p, run) || p->failed)
        return;
    if (!take(p, "[") || (p->at < p->end && (*p->at == '^' || *p->at == ']'))) {
        p->failed = true;
        return;
    }
    while (!p->failed && !take(p, "]"))
        if (!take_property(p, run) && !p->failed)
            take_range(p, run);
}

static void take_count(struct pattern_reader *p, struct run_pattern *run) {
    run->max = 1;
    if (take(p, "+")) {
        run->max = 0;
    } else if (take(p, "{1,") && p->end - p->at >= 2 && *p->at >= '1' && *p->at <= '9') {
        run->max = (uint32_t)(*p->at++ - '0');
        if (!take(p, "}"))
            p->failed = true;
    }
    if (p->at != p->end)
        p->failed = true;
}

static void fill_ascii(struct run_pattern *run) {
    for (uint32_t c = 0; c < 128; c++)
        if ((unicode_bit(c) & run->set) || in_ranges(run, c))
            run->ascii[c / 64] |= (uint64_t)1 << (c % 64);
}

int pretok_run_init(struct matcher *ret_matcher, const char *pattern, size_t len) {
    struct run_pattern *run = mem_alloc_zero(1, sizeof *run);
    if (!run)
        return -ENOMEM;

    struct pattern_reader p = {.at = pattern, .end = pattern + len};
    if (len == 4 && take(&p, "\\s+$")) {
        run->set = UNICODE_SPACE;
        run->to_end = true;
    } else {
        run->lead_space = take(&p, "\\s?");
        take_class(&p, run);
        take_count(&p, run);
    }
    if (p.failed) {
        mem_free(run);
        return 0;
    }
    fill_ascii(run);
    *ret_matcher = (struct matcher){.find = find_run, .arg = run, .release = mem_free};
    return 1;
}
