/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicode - Python's view of characters: what is space, letter, digit; full case mapping.
 *
 * Categories and simple mappings come from utf8proc; the mappings to more than one character and
 * the context of the Greek final sigma, which Python applies and utf8proc does not, are here.
 */
#ifndef KVASIR_JINJA_UNICODE_H
#define KVASIR_JINJA_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

#include "str.h"

bool unicode_is_space(uint32_t cp);    /* str.isspace, and what strip() takes */
bool unicode_is_line_end(uint32_t cp); /* where splitlines splits */
bool unicode_is_alpha(uint32_t cp);
bool unicode_is_decimal(uint32_t cp); /* Nd */
bool unicode_is_digit(uint32_t cp);   /* and superscripts and the like */
bool unicode_is_numeric(uint32_t cp);
bool unicode_is_alnum(uint32_t cp);
bool unicode_is_word(uint32_t cp); /* \w */
bool unicode_is_printable(uint32_t cp);
bool unicode_is_upper(uint32_t cp);
bool unicode_is_lower(uint32_t cp);
bool unicode_is_title(uint32_t cp);
int unicode_decimal_value(uint32_t cp); /* 0..9, or -1 */

enum case_map { CASE_UPPER, CASE_LOWER, CASE_TITLE, CASE_FOLD };

/* Appends the mapping of the code point of s at byte; keeps its origin. */
void unicode_append_mapped(struct strb *b, const struct str *s, size_t byte, enum case_map map);

#endif
