/* SPDX-License-Identifier: Apache-2.0 */
/*
 * number - numbers from text and back, as Python reads and writes them. The one place of the
 * engine that calls strtod; the process never sets a locale.
 */
#ifndef KVASIR_JINJA_NUMBER_H
#define KVASIR_JINJA_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBER_MAX_TEXT = 400 }; /* longer texts are no numbers */

/* All of text as a decimal float, or inf, infinity, nan; false if it is none. */
bool number_parse_float(const char *text, size_t len, double *ret);

/*
 * All of text as an integer of base 2 to 36; 0 takes the base from 0x, 0o, 0b, which may also
 * stand before digits of their own base. false if it is none, or does not fit 64 bits.
 */
bool number_parse_int(const char *text, size_t len, int64_t base, int64_t *ret);

/* The shortest text that reads back as the same float: 0.1, 1.0, 1e+16. Returns its length. */
size_t number_format_float(double real, char ret[32]);

/* To so many decimals (which may be negative), ties to even of what the binary value is. */
double number_round(double real, int64_t decimals);

#endif
