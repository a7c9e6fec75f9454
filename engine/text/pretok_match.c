/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pretok_match - the patterns of the GPT line of tokenizers, written out by hand.
 *
 * Each takes the alternatives of its regular expression in order, with the same greed and the
 * same backtracking, in one pass over the bytes; the pattern stands above its function. Tested
 * against the reference on shared/tokenizers and against PCRE2 on random text.
 */
#include <string.h>

#include "pretok.h"
#include "pretok_patterns.h"
#include "unicode.h"

/* A place in the text: the character there (set bit; 0 at the end) and where the next begins. */
struct place {
    const unsigned char *at;
    const unsigned char *end; /* of the text */
    uint32_t bit;
    size_t len;
};

static inline struct place place_at(const unsigned char *at, const unsigned char *end) {
    struct place p = {.at = at, .end = end, .bit = 0, .len = 0};
    if (at < end)
        p.bit = unicode_bit_at(at, end, &p.len);
    return p;
}

static inline struct place next_place(struct place p) {
    return place_at(p.at + p.len, p.end);
}

/* Steps over characters of the set. */
static inline struct place skip_set(struct place p, uint32_t set) {
    while (p.bit & set)
        p = next_place(p);
    return p;
}

static inline bool is_newline(struct place p) {
    return p.at < p.end && (*p.at == '\r' || *p.at == '\n');
}

/* Steps over [\r\n]*, or [\r\n/]* for the newer patterns. */
static inline const unsigned char *skip_newlines(struct place p, bool slashes) {
    const unsigned char *at = p.at;
    while (at < p.end && (*at == '\r' || *at == '\n' || (slashes && *at == '/')))
        at++;
    return at;
}

/*
 * (?i:'s|'t|'re|'ve|'m|'ll|'d) at an apostrophe: bytes matched, 0 if none. U+017F, the long s,
 * folds to s. (Without fold: the lower-case letters only.)
 */
static size_t contraction(const unsigned char *at, const unsigned char *end, bool fold) {
    const size_t left = (size_t)(end - at);
    if (left < 2 || at[0] != '\'')
        return 0;
    if (fold && left >= 3 && at[1] == 0xc5 && at[2] == 0xbf)
        return 3;
    const unsigned char mask = fold ? 0xdf : 0xff; /* upper case, for ASCII letters */
    const unsigned char base = fold ? 0 : 0x20;
    const unsigned char a = at[1] & mask;
    if (a == ('S' | base) || a == ('T' | base) || a == ('M' | base) || a == ('D' | base))
        return 2;
    if (left < 3)
        return 0;
    const unsigned char b = at[2] & mask;
    const bool e = b == ('E' | base) && (a == ('R' | base) || a == ('V' | base));
    const bool ll = a == ('L' | base) && b == ('L' | base);
    return e || ll ? 3 : 0;
}

/*
 * \s*[\r\n]+|\s+(?!\S)|\s+ at white space: through the run's last newline; without one, the run,
 * short of its last character if something follows.
 */
static const unsigned char *match_space(struct place p, bool newlines_first) {
    const unsigned char *newline_end = NULL;
    const unsigned char *last = p.at;
    const unsigned char *start = p.at;

    while (p.bit & UNICODE_SPACE) {
        if (is_newline(p))
            newline_end = p.at + 1;
        last = p.at;
        p = next_place(p);
    }
    if (newlines_first && newline_end)
        return newline_end;
    return p.at == p.end || last == start ? p.at : last;
}

/* Up to max characters of \p{N}. */
static inline const unsigned char *match_digits(struct place p, uint32_t max) {
    for (uint32_t n = 0; n < max && (p.bit & UNICODE_N); n++)
        p = next_place(p);
    return p.at;
}

/* ` ?[^set]+[\r\n]*` (set holds \s); NULL if it does not match. */
static inline const unsigned char *match_other(struct place p, uint32_t set, bool slashes) {
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a place in a text is never NULL */
    if (*p.at == ' ')
        p = next_place(p);
    if (p.bit == 0 || (p.bit & set))
        return NULL;
    p = skip_set(p, ~set);
    return skip_newlines(p, slashes);
}

/*
 * cl100k (LLaMA 3, GLM-4: 3 digits; Qwen2, Qwen3: 1; Qwen3.5: letters and marks)
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *   | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 */
static inline const unsigned char *match_cl100k(const unsigned char *at, const unsigned char *end,
                                                uint32_t max_digits, uint32_t letters) {
    const struct place p = place_at(at, end);

    if (p.bit & letters)
        return skip_set(p, letters).at;
    if (*at == '\'') {
        const size_t n = contraction(at, end, /* fold= */ true);
        if (n > 0)
            return at + n;
    }
    if (p.bit & UNICODE_N)
        return match_digits(p, max_digits);
    if (!is_newline(p)) {
        const struct place next = next_place(p);
        if (next.bit & letters)
            return skip_set(next, letters).at;
    }
    const unsigned char *other = match_other(p, UNICODE_SPACE | UNICODE_N | letters, false);
    return other ? other : match_space(p, /* newlines_first= */ true);
}

/*
 * GPT-2
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 */
static const unsigned char *match_gpt2(const unsigned char *at, const unsigned char *end) {
    const size_t n = contraction(at, end, /* fold= */ false);
    if (n > 0)
        return at + n;

    const struct place p = place_at(at, end);
    const struct place q = *at == ' ' ? next_place(p) : p;
    if (q.bit & UNICODE_L)
        return skip_set(q, UNICODE_L).at;
    if (q.bit & UNICODE_N)
        return skip_set(q, UNICODE_N).at;
    if (q.bit && !(q.bit & UNICODE_SPACE))
        return skip_set(q, ~(uint32_t)(UNICODE_SPACE | UNICODE_L | UNICODE_N)).at;
    return match_space(p, /* newlines_first= */ false);
}

enum {
    UPPER = UNICODE_BIT(UNICODE_LU) | UNICODE_BIT(UNICODE_LT) | UNICODE_BIT(UNICODE_LM) |
            UNICODE_BIT(UNICODE_LO) | UNICODE_M,
    LOWER = UNICODE_BIT(UNICODE_LL) | UNICODE_BIT(UNICODE_LM) | UNICODE_BIT(UNICODE_LO) | UNICODE_M,
};

/*
 * UPPER*LOWER+ from p; NULL if it does not match. When no LOWER follows the run of UPPER, the run
 * gives back characters until one of them is LOWER too: that one then ends the match.
 */
static const unsigned char *match_camel(struct place p) {
    const unsigned char *both_end = NULL; /* behind the last character of the run in both sets */
    while (p.bit & UPPER) {
        if (p.bit & LOWER)
            both_end = p.at + p.len;
        p = next_place(p);
    }
    return p.bit & LOWER ? skip_set(p, LOWER).at : both_end;
}

/* UPPER+LOWER* from p; NULL if it does not match. */
static const unsigned char *match_capital(struct place p) {
    return p.bit & UPPER ? skip_set(skip_set(p, UPPER), LOWER).at : NULL;
}

/*
 * o200k (GPT-4o, gpt-oss, Llama 4) and Tekken (no contractions, one digit), with
 * U = \p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M} and W = \p{Ll}\p{Lm}\p{Lo}\p{M}
 *   [^\r\n\p{L}\p{N}]?[U]*[W]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *   |[^\r\n\p{L}\p{N}]?[U]+[W]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *   |\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
 */
static inline const unsigned char *match_o200k(const unsigned char *at, const unsigned char *end,
                                               uint32_t max_digits, bool contractions) {
    const struct place p = place_at(at, end);
    const bool may_lead = !(p.bit & (UNICODE_L | UNICODE_N)) && !is_newline(p);
    const struct place led = may_lead ? next_place(p) : p;

    const unsigned char *word = match_camel(led);
    if (!word && may_lead)
        word = match_camel(p);
    if (!word)
        word = match_capital(led);
    if (!word && may_lead)
        word = match_capital(p);
    if (word)
        return word + (contractions ? contraction(word, end, /* fold= */ true) : 0);

    if (p.bit & UNICODE_N)
        return match_digits(p, max_digits);
    const unsigned char *other =
        match_other(p, UNICODE_SPACE | UNICODE_L | UNICODE_N, /* slashes= */ true);
    return other ? other : match_space(p, /* newlines_first= */ true);
}

static inline bool is_ascii_letter(unsigned char c) {
    return (unsigned char)((c | 0x20) - 'a') < 26;
}

/*
 * DeepSeek-V3, third step; digits, controls and unassigned characters may be left unmatched (NULL)
 *   [!-/:-~ without letters][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
 *   | ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 */
static const unsigned char *match_deepseek3(const unsigned char *at, const unsigned char *end) {
    const uint32_t letters = UNICODE_L | UNICODE_M;
    const uint32_t marks = UNICODE_P | UNICODE_S;
    const struct place p = place_at(at, end);

    if (p.bit & UNICODE_L)
        return skip_set(p, letters).at;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a place in a text is never NULL */
    if (*at < 0x80 && (p.bit & marks) && at + 1 < end && is_ascii_letter(at[1])) {
        at += 2;
        while (at < end && is_ascii_letter(*at))
            at++;
        return at;
    }
    if (!(p.bit & marks) && !is_newline(p)) {
        const struct place next = next_place(p);
        if (next.bit & letters)
            return skip_set(next, letters).at;
        if (p.bit & UNICODE_M)
            return next.at;
    }
    const struct place q = *at == ' ' ? next_place(p) : p;
    if (q.bit & marks)
        return skip_newlines(skip_set(q, marks), false);
    return p.bit & UNICODE_SPACE ? match_space(p, /* newlines_first= */ true) : NULL;
}

/* --- as matchers --- */

/* Patterns that match at every place. */
#define ALWAYS_MATCHES(name, call)                                                                 \
    static int name(const struct matcher *matcher, const unsigned char *text, size_t len,          \
                    size_t from, struct span *ret_match) {                                         \
        (void)matcher; /* needs nothing */                                                         \
        const unsigned char *at = text + from;                                                     \
        const unsigned char *end = text + len;                                                     \
        *ret_match = (struct span){.start = from, .end = (size_t)(call - text)};                   \
        return 1;                                                                                  \
    }

ALWAYS_MATCHES(find_gpt2, match_gpt2(at, end))
ALWAYS_MATCHES(find_llama3, match_cl100k(at, end, 3, UNICODE_L))
ALWAYS_MATCHES(find_qwen2, match_cl100k(at, end, 1, UNICODE_L))
ALWAYS_MATCHES(find_qwen35, match_cl100k(at, end, 1, UNICODE_L | UNICODE_M))
ALWAYS_MATCHES(find_gpt4o, match_o200k(at, end, 3, true))
ALWAYS_MATCHES(find_tekken, match_o200k(at, end, 1, false))

static int find_deepseek3(const struct matcher *matcher, const unsigned char *text, size_t len,
                          size_t from, struct span *ret_match) {
    (void)matcher; /* needs nothing */
    const unsigned char *end = text + len;
    size_t n;

    for (const unsigned char *at = text + from; at < end; at += n) {
        const unsigned char *match = match_deepseek3(at, end);
        if (match) {
            *ret_match = (struct span){.start = (size_t)(at - text), .end = (size_t)(match - text)};
            return 1;
        }
        (void)unicode_bit_at(at, end, &n); /* only the length matters */
    }
    return 0;
}

const char pretok_gpt2_pattern[] = PATTERN_GPT2;

static const struct {
    const char *family;
    const char *pattern;
    matcher_find_fn find;
} known[] = {
    {"gpt2", PATTERN_GPT2, find_gpt2},
    {"llama3", PATTERN_LLAMA3, find_llama3},
    {"qwen2", PATTERN_QWEN2, find_qwen2},
    {"qwen3.5", PATTERN_QWEN35, find_qwen35},
    {"gpt-4o", PATTERN_GPT4O, find_gpt4o},
    {"tekken", PATTERN_TEKKEN, find_tekken},
    {"deepseek-v3", PATTERN_DEEPSEEK3("\\r\\n"), find_deepseek3},
    {"deepseek-v3", PATTERN_DEEPSEEK3("\r\n"), find_deepseek3},
};

int pretok_match_init(struct matcher *ret_matcher, const char *pattern, size_t len,
                      const char **ret_family) {
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strlen(known[i].pattern) == len && memcmp(known[i].pattern, pattern, len) == 0) {
            *ret_matcher = (struct matcher){.find = known[i].find};
            *ret_family = known[i].family;
            return 1;
        }
    }
    return 0;
}
