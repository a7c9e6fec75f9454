/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_alphabet - how byte-level vocabularies spell bytes as printable characters.
 *
 * 0x21-0x7e, 0xa1-0xac and 0xae-0xff stand for themselves (as code points); the other 68 bytes
 * are U+0100 to U+0143 in ascending order: a space is U+0120, a newline U+010A.
 */
#ifndef KVASIR_TEXT_TOKEN_ALPHABET_H
#define KVASIR_TEXT_TOKEN_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>

#include "unicode.h"

/* The byte that a code point spells; -1 if it is not of the alphabet. */
static inline int token_alphabet_byte(uint32_t cp) {
    if ((cp >= 0x21 && cp <= 0x7e) || (cp >= 0xa1 && cp <= 0xff && cp != 0xad))
        return (int)cp;
    if (cp < 0x100 || cp > 0x143)
        return -1;
    const int n = (int)cp - 0x100;
    if (n <= 0x20)
        return n;
    return n == 67 ? 0xad : n - 0x21 + 0x7f;
}

/*
 * Writes the bytes that the text spells to ret_bytes (room for len) and returns true, or returns
 * false if some character is not of the alphabet.
 */
static inline bool token_alphabet_decode(const char *text, size_t len, char *ret_bytes,
                                         size_t *ret_len) {
    const unsigned char *s = (const unsigned char *)text;
    const unsigned char *end = s + len;
    size_t n_bytes = 0;

    while (s < end) {
        size_t n;
        const int byte = token_alphabet_byte(unicode_decode(s, end, &n));
        if (byte < 0)
            return false;
        ret_bytes[n_bytes++] = (char)byte;
        s += n;
    }
    *ret_len = n_bytes;
    return true;
}

#endif
