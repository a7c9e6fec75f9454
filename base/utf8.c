/* SPDX-License-Identifier: Apache-2.0 */
#include "kvasir/utf8.h"

static unsigned char byte_at(const char *bytes, size_t i) {
    return (unsigned char)bytes[i];
}

/* Bytes that a lead byte announces; 0 for a byte that cannot lead. */
static size_t announced(unsigned char lead) {
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2)
        return 0;
    if (lead < 0xe0)
        return 2;
    if (lead < 0xf0)
        return 3;
    return lead < 0xf5 ? 4 : 0;
}

/* The second byte carries the rules against overlongs, surrogates and beyond U+10FFFF. */
static bool second_ok(unsigned char lead, unsigned char second) {
    const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

/* How many of the first n bytes fit the sequence that bytes[0] announces. */
static size_t fitting(const char *bytes, size_t n) {
    size_t i = 1;
    if (n > 1 && !second_ok(byte_at(bytes, 0), byte_at(bytes, 1)))
        return 1;
    while (i < n && (byte_at(bytes, i) & 0xc0) == 0x80)
        i++;
    return i;
}

size_t utf8_sequence(const char *bytes, size_t len) {
    const size_t n = len ? announced(byte_at(bytes, 0)) : 0;
    return n > 0 && n <= len && fitting(bytes, n) == n ? n : 0;
}

bool utf8_is_incomplete(const char *bytes, size_t len) {
    const size_t n = len ? announced(byte_at(bytes, 0)) : 0;
    return n > len && fitting(bytes, len) == len;
}

size_t utf8_decode(const char *bytes, size_t len, uint32_t *ret_codepoint) {
    const size_t n = utf8_sequence(bytes, len);
    if (n == 0) {
        *ret_codepoint = 0xfffd;
        return 0;
    }
    uint32_t cp = n == 1 ? byte_at(bytes, 0) : byte_at(bytes, 0) & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++)
        cp = cp << 6 | (byte_at(bytes, i) & 0x3f);
    *ret_codepoint = cp;
    return n;
}

size_t utf8_encode(uint32_t cp, char ret_bytes[4]) {
    if (cp < 0x80) {
        ret_bytes[0] = (char)cp;
        return 1;
    }
    const size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        ret_bytes[i] = (char)(0x80 | (cp & 0x3f));
        cp >>= 6;
    }
    ret_bytes[0] = (char)((0xf00u >> n & 0xffu) | cp);
    return n;
}

bool utf8_valid(const char *bytes, size_t len) {
    size_t i = 0;
    while (i < len) {
        const size_t n = utf8_sequence(bytes + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}
