/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8 - the shape of UTF-8 sequences (RFC 3629: no surrogates, no overlongs, up to U+10FFFF).
 */
#ifndef KVASIR_UTF8_H
#define KVASIR_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length (1..4) of the valid sequence at bytes[0]; 0 if invalid or cut off by len. */
size_t utf8_sequence(const char *bytes, size_t len);

/* True if bytes[0..len) could become valid with more bytes behind it (a cut-off sequence). */
bool utf8_is_incomplete(const char *bytes, size_t len);

/* Decodes the valid sequence at bytes; returns its length, 0 (and U+FFFD) if there is none. */
size_t utf8_decode(const char *bytes, size_t len, uint32_t *ret_codepoint);

/* Writes 1..4 bytes (no NUL) and returns how many; cp must be a valid scalar value. */
size_t utf8_encode(uint32_t cp, char ret_bytes[4]);

bool utf8_valid(const char *bytes, size_t len);

#endif
