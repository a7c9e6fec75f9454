/* SPDX-License-Identifier: Apache-2.0 */
#include "unicode.h"

#include <stddef.h>

#include <utf8proc.h>

#include "special_casing.h"

enum { SIGMA = 0x3a3, FINAL_SIGMA = 0x3c2, SMALL_SIGMA = 0x3c3, DOTTED_I = 0x130 };

struct range32 {
    uint32_t first;
    uint32_t last;
};

#define IN_TABLE(table, cp) in_table(table, sizeof(table) / sizeof(table)[0], cp)

static bool in_table(const struct range32 *table, size_t n, uint32_t cp) {
    for (size_t i = 0; i < n; i++) {
        if (cp >= table[i].first && cp <= table[i].last)
            return true;
    }
    return false;
}

static utf8proc_category_t category(uint32_t cp) {
    return utf8proc_category((utf8proc_int32_t)cp);
}

bool unicode_is_space(uint32_t cp) {
    if (cp < 0x80)
        return (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x20);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool unicode_is_line_end(uint32_t cp) {
    return (cp >= 0x0a && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
           cp == 0x2029;
}

bool unicode_is_alpha(uint32_t cp) {
    if (cp < 0x80)
        return (cp | 0x20) >= 'a' && (cp | 0x20) <= 'z';
    const utf8proc_category_t c = category(cp);
    return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool unicode_is_decimal(uint32_t cp) {
    if (cp < 0x80)
        return cp >= '0' && cp <= '9';
    return category(cp) == UTF8PROC_CATEGORY_ND;
}

bool unicode_is_digit(uint32_t cp) {
    static const struct range32 digits[] = {
        {0xb2, 0xb3},       {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},
        {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
        {0x2474, 0x247c},   {0x2488, 0x2490},   {0x24ea, 0x24ea},   {0x24f5, 0x24fd},
        {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},   {0x278a, 0x2792},
        {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a},
    };
    return unicode_is_decimal(cp) || (cp >= 0x80 && IN_TABLE(digits, cp));
}

bool unicode_is_numeric(uint32_t cp) {
    static const struct range32 ideographs[] = {
        {0x3007, 0x3007}, {0x4e00, 0x4e00}, {0x4e03, 0x4e03}, {0x4e07, 0x4e07}, {0x4e09, 0x4e09},
        {0x4e24, 0x4e24}, {0x4e8c, 0x4e8c}, {0x4e94, 0x4e94}, {0x4ebf, 0x4ebf}, {0x516b, 0x516b},
        {0x516d, 0x516d}, {0x5146, 0x5146}, {0x5341, 0x5341}, {0x5343, 0x5343}, {0x53c1, 0x53c4},
        {0x56db, 0x56db}, {0x58f1, 0x58f1}, {0x767e, 0x767e}, {0x842c, 0x842c}, {0x96f6, 0x96f6},
    };
    if (cp < 0x80)
        return cp >= '0' && cp <= '9';
    const utf8proc_category_t c = category(cp);
    return (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO) || IN_TABLE(ideographs, cp);
}

bool unicode_is_alnum(uint32_t cp) {
    return unicode_is_alpha(cp) || unicode_is_numeric(cp);
}

bool unicode_is_word(uint32_t cp) {
    return cp == '_' || unicode_is_alnum(cp);
}

bool unicode_is_printable(uint32_t cp) {
    if (cp < 0x80)
        return cp >= 0x20 && cp < 0x7f;
    const utf8proc_category_t c = category(cp);
    return c != UTF8PROC_CATEGORY_CN && c < UTF8PROC_CATEGORY_ZS;
}

bool unicode_is_upper(uint32_t cp) {
    static const struct range32 others[] = {{0x2160, 0x216f},
                                            {0x24b6, 0x24cf},
                                            {0x1f130, 0x1f149},
                                            {0x1f150, 0x1f169},
                                            {0x1f170, 0x1f189}};
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z';
    return category(cp) == UTF8PROC_CATEGORY_LU || IN_TABLE(others, cp);
}

bool unicode_is_lower(uint32_t cp) {
    static const struct range32 others[] = {{0xaa, 0xaa},     {0xba, 0xba},     {0x2b0, 0x2b8},
                                            {0x2c0, 0x2c1},   {0x2e0, 0x2e4},   {0x345, 0x345},
                                            {0x2170, 0x217f}, {0x24d0, 0x24e9}, {0x1d2c, 0x1d6a}};
    if (cp < 0x80)
        return cp >= 'a' && cp <= 'z';
    return category(cp) == UTF8PROC_CATEGORY_LL || IN_TABLE(others, cp);
}

bool unicode_is_title(uint32_t cp) {
    return cp >= 0x80 && category(cp) == UTF8PROC_CATEGORY_LT;
}

/* Decimal digits come in whole runs of ten, each beginning with its zero. */
int unicode_decimal_value(uint32_t cp) {
    if (!unicode_is_decimal(cp))
        return -1;
    if (cp < 0x80)
        return (int)(cp - '0');
    uint32_t n = 0;
    while (cp > 0x80 && unicode_is_decimal(cp - 1)) {
        cp--;
        n++;
    }
    return (int)(n % 10);
}

static bool is_cased(uint32_t cp) {
    return unicode_is_upper(cp) || unicode_is_lower(cp) || unicode_is_title(cp);
}

/* Characters that do not end a word for the final sigma: marks, apostrophes and the like. */
static bool is_case_ignorable(uint32_t cp) {
    if (cp < 0x80)
        return cp == '\'' || cp == '.' || cp == ':' || cp == '^' || cp == '`';
    const utf8proc_category_t c = category(cp);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_ME || c == UTF8PROC_CATEGORY_CF ||
           c == UTF8PROC_CATEGORY_LM || c == UTF8PROC_CATEGORY_SK || cp == 0x2019 || cp == 0xb7;
}

/* A capital sigma that ends a word: a cased letter before it, none behind it. */
static bool is_final_sigma(const struct str *s, size_t byte) {
    bool cased_before = false;
    for (size_t i = byte; i > 0;) {
        uint32_t cp;
        do
            i--;
        while (i > 0 && ((unsigned char)s->bytes[i] & 0xc0) == 0x80);
        (void)str_char(s, i, &cp); /* only the character matters */
        if (!is_case_ignorable(cp)) {
            cased_before = is_cased(cp);
            break;
        }
    }
    if (!cased_before)
        return false;
    uint32_t cp;
    for (size_t i = byte + str_char(s, byte, &cp); i < s->len;) {
        i += str_char(s, i, &cp);
        if (!is_case_ignorable(cp))
            return !is_cased(cp);
    }
    return true;
}

static const struct special_casing *special(uint32_t cp) {
    size_t low = 0;
    size_t high = sizeof special_casing / sizeof special_casing[0];
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (special_casing[middle].from == cp)
            return &special_casing[middle];
        if (special_casing[middle].from < cp)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void append_folded(struct strb *b, uint32_t cp, bool user) {
    utf8proc_int32_t folded[8];
    int last_boundclass = 0;
    const utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, folded, 8,
                                                       UTF8PROC_CASEFOLD, &last_boundclass);
    for (utf8proc_ssize_t i = 0; i < n && i < 8; i++)
        strb_append_char(b, (uint32_t)folded[i], user);
}

void unicode_append_mapped(struct strb *b, const struct str *s, size_t byte, enum case_map map) {
    const bool user = str_user_at(s, byte);
    uint32_t cp;
    (void)str_char(s, byte, &cp); /* only the character matters */

    if (cp < 0x80) {
        const bool up = map == CASE_UPPER || map == CASE_TITLE;
        if (up && cp >= 'a' && cp <= 'z')
            cp -= 'a' - 'A';
        else if (!up && cp >= 'A' && cp <= 'Z')
            cp += 'a' - 'A';
        strb_append_char(b, cp, user);
        return;
    }
    if (map == CASE_FOLD) {
        append_folded(b, cp, user);
        return;
    }
    if (map == CASE_LOWER) {
        if (cp == DOTTED_I) {
            strb_append_char(b, 'i', user);
            strb_append_char(b, 0x307, user);
        } else if (cp == SIGMA) {
            strb_append_char(b, is_final_sigma(s, byte) ? FINAL_SIGMA : SMALL_SIGMA, user);
        } else {
            strb_append_char(b, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp), user);
        }
        return;
    }
    const struct special_casing *row = special(cp);
    if (row) {
        const uint16_t *to = map == CASE_UPPER ? row->upper : row->title;
        for (int i = 0; i < 3 && to[i]; i++)
            strb_append_char(b, to[i], user);
        return;
    }
    const utf8proc_int32_t mapped = map == CASE_UPPER ? utf8proc_toupper((utf8proc_int32_t)cp)
                                                      : utf8proc_totitle((utf8proc_int32_t)cp);
    strb_append_char(b, (uint32_t)mapped, user);
}
