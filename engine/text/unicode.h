/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicode - what kind of character stands at a place in a text.
 *
 * The tables are made at build time from utf8proc by unicode_gen.c: two stages of 256 code points,
 * one byte each. Bytes that are not UTF-8 count as single unassigned characters, so that every
 * text can be walked to its end and comes back byte by byte.
 */
#ifndef KVASIR_TEXT_UNICODE_H
#define KVASIR_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* General categories, numbered as utf8proc numbers them. */
enum unicode_category {
    UNICODE_CN,
    UNICODE_LU,
    UNICODE_LL,
    UNICODE_LT,
    UNICODE_LM,
    UNICODE_LO,
    UNICODE_MN,
    UNICODE_MC,
    UNICODE_ME,
    UNICODE_ND,
    UNICODE_NL,
    UNICODE_NO,
    UNICODE_PC,
    UNICODE_PD,
    UNICODE_PS,
    UNICODE_PE,
    UNICODE_PI,
    UNICODE_PF,
    UNICODE_PO,
    UNICODE_SM,
    UNICODE_SC,
    UNICODE_SK,
    UNICODE_SO,
    UNICODE_ZS,
    UNICODE_ZL,
    UNICODE_ZP,
    UNICODE_CC,
    UNICODE_CF,
    UNICODE_CS,
    UNICODE_CO,
    UNICODE_CC_SPACE, /* tab, newlines and U+0085: of category Cc, but white space */
};

/* Sets of categories: bit c is category c. */
#define UNICODE_BIT(category) (1u << (category))
#define UNICODE_RANGE(first, last) ((2u << (last)) - (1u << (first)))

enum unicode_set {
    UNICODE_L = UNICODE_RANGE(UNICODE_LU, UNICODE_LO),
    UNICODE_M = UNICODE_RANGE(UNICODE_MN, UNICODE_ME),
    UNICODE_N = UNICODE_RANGE(UNICODE_ND, UNICODE_NO),
    UNICODE_P = UNICODE_RANGE(UNICODE_PC, UNICODE_PO),
    UNICODE_S = UNICODE_RANGE(UNICODE_SM, UNICODE_SO),
    /* White_Space, the \s of every pattern */
    UNICODE_SPACE = UNICODE_RANGE(UNICODE_ZS, UNICODE_ZP) | UNICODE_BIT(UNICODE_CC_SPACE),
};

/* Generated. A value is a category in its low five bits, and UNICODE_NFC_UNSTABLE. */
extern const uint16_t unicode_blocks[0x1100];
extern const uint8_t unicode_classes[];

enum {
    UNICODE_CATEGORY_MASK = 31,
    /* NFC may change this character or its neighbour before it */
    UNICODE_NFC_UNSTABLE = 32,
};

static inline uint8_t unicode_class(uint32_t cp) {
    return unicode_classes[(size_t)unicode_blocks[cp >> 8] << 8 | (cp & 0xff)];
}

static inline uint32_t unicode_bit(uint32_t cp) {
    return 1u << (unicode_class(cp) & UNICODE_CATEGORY_MASK);
}

enum { UNICODE_INVALID = 0x110000 }; /* stands for a byte that is no UTF-8 */

static inline int unicode_continues(unsigned char byte) {
    return (byte & 0xc0) == 0x80;
}

/* The code point at s < end and its length; UNICODE_INVALID and 1 where there is none. */
static inline uint32_t unicode_decode(const unsigned char *s, const unsigned char *end,
                                      size_t *ret_len) {
    const size_t left = (size_t)(end - s);

    *ret_len = 1;
    if (s[0] < 0x80)
        return s[0];
    if (s[0] < 0xe0) {
        if (s[0] < 0xc2 || left < 2 || !unicode_continues(s[1]))
            return UNICODE_INVALID;
        *ret_len = 2;
        return (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
    }
    if (s[0] < 0xf0) {
        if (left < 3 || !unicode_continues(s[1]) || !unicode_continues(s[2]))
            return UNICODE_INVALID;
        const uint32_t cp = (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
        if (cp < 0x800 || (cp >= 0xd800 && cp < 0xe000))
            return UNICODE_INVALID;
        *ret_len = 3;
        return cp;
    }
    if (s[0] > 0xf4 || left < 4 || !unicode_continues(s[1]) || !unicode_continues(s[2]) ||
        !unicode_continues(s[3]))
        return UNICODE_INVALID;
    const uint32_t cp =
        (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
    if (cp < 0x10000 || cp > 0x10ffff)
        return UNICODE_INVALID;
    *ret_len = 4;
    return cp;
}

/* The set bit of the character at s < end, and its length. */
static inline uint32_t unicode_bit_at(const unsigned char *s, const unsigned char *end,
                                      size_t *ret_len) {
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a place in a text is never NULL */
    if (s[0] < 0x80) {
        *ret_len = 1;
        return 1u << (unicode_classes[s[0]] & UNICODE_CATEGORY_MASK); /* block 0 is first */
    }
    const uint32_t cp = unicode_decode(s, end, ret_len);
    return cp == UNICODE_INVALID ? UNICODE_BIT(UNICODE_CN) : unicode_bit(cp);
}

#endif
