/* SPDX-License-Identifier: Apache-2.0 */
#include "number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool number_parse_float(const char *text, size_t len, double *ret) {
    char copy[NUMBER_MAX_TEXT];
    if (len == 0 || len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    /* strtod also reads blanks in front, hexadecimal and nan(...). */
    if (strpbrk(copy, "xXpP( \t\n\v\f\r") || strlen(copy) != len)
        return false;
    char *end;
    *ret = strtod(copy, &end);
    return *end == '\0';
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'z' ? lower - 'a' + 10 : 99;
}

/* The base that 0x, 0o or 0b announces; 0 if none does. */
static int64_t announced_base(const char *text, size_t len) {
    if (len < 2 || text[0] != '0')
        return 0;
    const char mark = (char)(text[1] | 0x20);
    return mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
}

bool number_parse_int(const char *text, size_t len, int64_t base, int64_t *ret) {
    const bool negative = len > 0 && text[0] == '-';
    if (len > 0 && (text[0] == '-' || text[0] == '+')) {
        text++;
        len--;
    }
    const int64_t announced = announced_base(text, len);
    if (announced && (base == announced || base == 0)) {
        base = announced;
        text += 2;
        len -= 2;
    }
    if (base == 0)
        base = 10;
    if (len == 0 || base < 2 || base > 36)
        return false;

    int64_t magnitude = 0;
    for (size_t i = 0; i < len; i++) {
        const int digit = digit_value(text[i]);
        if (digit >= base || magnitude > (INT64_MAX - digit) / base)
            return false;
        magnitude = magnitude * base + digit;
    }
    *ret = negative ? -magnitude : magnitude;
    return true;
}

size_t number_format_float(double real, char ret[32]) {
    if (!isfinite(real)) {
        const char *name = isnan(real) ? "nan" : real < 0 ? "-inf" : "inf";
        return (size_t)snprintf(ret, 32, "%s", name);
    }
    char digits[40];
    for (int precision = 0; precision < 17; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*e", precision, real); /* fits */
        if (strtod(digits, NULL) == real)
            break;
    }
    /* digits is [-]d[.ddd]e[+-]dd: Python writes exponents below -4 and from 16 on. */
    const char *mantissa = digits[0] == '-' ? digits + 1 : digits;
    char *mark = strchr(digits, 'e');
    int64_t exponent = 0;
    (void)number_parse_int(mark + 1, strlen(mark + 1), 10, &exponent); /* printf wrote it */
    const int64_t n_digits = mantissa[1] == '.' ? mark - mantissa - 1 : 1;
    if (exponent < -4 || exponent >= 16) {
        *mark = '\0';
        return (size_t)snprintf(ret, 32, "%s%se%c%02d", signbit(real) ? "-" : "", mantissa,
                                exponent < 0 ? '-' : '+', abs((int)exponent));
    }
    const int decimals = (int)(n_digits - 1 - exponent);
    return (size_t)snprintf(ret, 32, "%.*f", decimals < 1 ? 1 : decimals, real);
}

double number_round(double real, int64_t decimals) {
    char text[2 * NUMBER_MAX_TEXT];
    if (!isfinite(real) || decimals > NUMBER_MAX_TEXT)
        return real;
    if (decimals < 0) {
        const double unit = pow(10, (double)-decimals);
        return isfinite(unit) ? nearbyint(real / unit) * unit : 0;
    }
    (void)snprintf(text, sizeof text, "%.*f", (int)decimals, real); /* fits: 310 + 400 */
    return strtod(text, NULL);
}
