/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on single values: numbers, defaults, attributes. */
#include "filters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"
#include "text.h"

enum { MAX_DIGITS = 400 };

struct value filter_default(struct interp *in, struct value self, const struct args *args) {
    const bool replace_false = arg_truth(args, 1, false);
    if (self.kind != V_UNDEFINED && !(replace_false && !value_truth(self)))
        return self;
    return args->pos[0].kind == V_MISSING ? interp_text(in, "") : args->pos[0];
}

/* An attribute proper: for a dict its methods and not its keys. */
struct value filter_attr(struct interp *in, struct value self, const struct args *args) {
    const struct str *name = arg_str(in, args, 0, NULL);
    if (!in->failed && self.kind == V_DICT && !method_find(self, name->bytes, name->len))
        return (struct value){
            .kind = V_UNDEFINED, .form = UNDEFINED_ATTRIBUTE, .owner = V_DICT, .name = name};
    return op_get_attribute(in, self, name);
}

struct value filter_abs(struct interp *in, struct value self, const struct args *args) {
    if (self.kind == V_UNDEFINED)
        op_fail_undefined(in, self);
    else if (!value_is_number(self))
        interp_fail(in, "bad operand type for abs(): '%s'", value_type_name(self));
    if (in->failed)
        return value_none();
    if (self.kind == V_FLOAT)
        return op_negate(in, self, signbit(self.real));
    return op_negate(in, self, value_as_int(self) < 0);
}

/* Copies the characters of a number without blanks around, _ between digits; ASCII digits. */
static bool copy_number(const struct str *s, char *out, size_t cap) {
    size_t n = 0;
    size_t from = 0;
    size_t to = s->len;
    uint32_t cp;
    for (; from < to; from += str_char(s, from, &cp)) {
        (void)str_char(s, from, &cp); /* its length is taken above */
        if (!unicode_is_space(cp))
            break;
    }
    while (to > from && unicode_is_space((unsigned char)s->bytes[to - 1]) &&
           (unsigned char)s->bytes[to - 1] < 0x80)
        to--;
    for (size_t i = from; i < to;) {
        i += str_char(s, i, &cp);
        const int digit = unicode_decimal_value(cp);
        if (n + 2 > cap || (cp >= 0x80 && digit < 0))
            return false;
        out[n++] = digit >= 0 ? (char)('0' + digit) : (char)cp;
    }
    out[n] = '\0';
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const bool between = i > 0 && i + 1 < n && out[i - 1] != '_' && out[i + 1] != '_';
        if (out[i] == '_' && !between)
            return false;
        if (out[i] != '_')
            out[kept++] = out[i];
    }
    out[kept] = '\0';
    return kept > 0;
}

/* int(text, base); false if it is not one, or does not fit. */
static bool parse_int(const char *text, int64_t base, int64_t *ret) {
    const bool negative = *text == '-';
    if (*text == '-' || *text == '+')
        text++;
    const char mark = text[0] == '0' ? (char)(text[1] | 0x20) : '\0';
    const int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked && (base == marked || base == 0)) {
        text += 2;
        base = marked;
    } else if (base == 0) {
        base = 10;
    }
    uint64_t magnitude = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        const char lower = (char)(*text | 0x20);
        const int digit = *text >= '0' && *text <= '9'   ? *text - '0'
                          : lower >= 'a' && lower <= 'z' ? lower - 'a' + 10
                                                         : 99;
        if (digit >= base || magnitude > (uint64_t)INT64_MAX / (uint64_t)base - 1)
            return false;
        magnitude = magnitude * (uint64_t)base + (uint64_t)digit;
    }
    *ret = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

/* float(text): what strtod reads, but no hexadecimal. */
static bool parse_float(const char *text, double *ret) {
    char *end;
    if (strpbrk(text, "xXpP(") != NULL)
        return false;
    *ret = strtod(text, &end); /* the locale is never set */
    return end != text && *end == '\0';
}

static struct value truncated(struct interp *in, double real) {
    if (!isfinite(real)) {
        interp_fail(in, "cannot convert float %s to integer", isnan(real) ? "NaN" : "infinity");
        return value_none();
    }
    if (fabs(real) >= 9.2e18) {
        interp_fail(in, "an integer does not fit 64 bits");
        return value_none();
    }
    return value_int((int64_t)real);
}

struct value filter_int(struct interp *in, struct value self, const struct args *args) {
    const struct value otherwise = args->pos[0].kind == V_MISSING ? value_int(0) : args->pos[0];
    char text[MAX_DIGITS];
    int64_t integer = 0;
    double real = 0;
    struct value result = otherwise;
    if (self.kind == V_UNDEFINED) {
        op_fail_undefined(in, self);
    } else if (value_is_integral(self)) {
        result = value_int(value_as_int(self));
    } else if (self.kind == V_FLOAT) {
        result = truncated(in, self.real);
    } else if (self.kind == V_STR && copy_number(self.str, text, sizeof text)) {
        if (parse_int(text, arg_int(in, args, 1, 10), &integer))
            result = value_int(integer);
        else if (parse_float(text, &real) && isfinite(real))
            result = truncated(in, real);
    }
    result.user |= self.kind == V_STR ? str_has_user(self.str) : self.user;
    return result;
}

struct value filter_float(struct interp *in, struct value self, const struct args *args) {
    struct value result = args->pos[0].kind == V_MISSING ? value_float(0) : args->pos[0];
    char text[MAX_DIGITS];
    double real = 0;
    if (self.kind == V_UNDEFINED)
        op_fail_undefined(in, self);
    else if (value_is_number(self))
        result = value_float(value_as_float(self));
    else if (self.kind == V_STR && copy_number(self.str, text, sizeof text) &&
             parse_float(text, &real))
        result = value_float(real);
    result.user |= self.kind == V_STR ? str_has_user(self.str) : self.user;
    return result;
}

/* To precision decimals, halves to even, exactly as the binary value is. */
static double round_decimal(double real, int64_t precision) {
    char text[MAX_DIGITS + 400];
    if (!isfinite(real) || precision > MAX_DIGITS - 40)
        return real;
    if (precision < 0) {
        const double unit = pow(10, (double)-precision);
        return isfinite(unit) ? nearbyint(real / unit) * unit : 0;
    }
    (void)snprintf(text, sizeof text, "%.*f", (int)precision, real); /* fits */
    return strtod(text, NULL);                                       /* the locale is never set */
}

static int64_t round_int(int64_t integer, int64_t precision) {
    int64_t unit = 1;
    for (; precision < 0 && unit <= INT64_MAX / 10; precision++)
        unit *= 10;
    if (precision < 0)
        return 0;
    const int64_t rest = integer % unit;
    const int64_t low = integer - rest - (rest < 0 ? unit : 0);
    const int64_t above = integer - low;
    const bool up = above > unit - above || (above == unit - above && (low / unit) % 2 != 0);
    return unit > 1 && up ? low + unit : unit > 1 ? low : integer;
}

struct value filter_round(struct interp *in, struct value self, const struct args *args) {
    const int64_t precision = arg_int(in, args, 0, 0);
    const struct str *method = arg_str(in, args, 1, "common");
    const bool common = str_is(method, "common");
    if (!common && !str_is(method, "ceil") && !str_is(method, "floor"))
        interp_fail(in, "round: the method must be common, ceil or floor");
    else if (self.kind == V_UNDEFINED)
        op_fail_undefined(in, self);
    else if (!value_is_number(self))
        interp_fail(in, "type %s doesn't define __round__ method", value_type_name(self));
    if (in->failed)
        return value_none();

    struct value result;
    if (common && self.kind != V_FLOAT) {
        result = value_int(round_int(value_as_int(self), precision));
    } else if (common) {
        result = value_float(round_decimal(self.real, precision));
    } else {
        const double unit = pow(10, (double)precision);
        const double scaled = value_as_float(self) * unit;
        result = value_float((str_is(method, "ceil") ? ceil(scaled) : floor(scaled)) / unit);
    }
    result.user = self.user;
    return result;
}

struct value filter_filesizeformat(struct interp *in, struct value self, const struct args *args) {
    static const char *const prefixes[2][8] = {
        {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
        {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"},
    };
    const struct value none_given = {.kind = V_MISSING};
    const struct value number = filter_float(in, self, &(struct args){.pos = &none_given});
    const bool binary = arg_truth(args, 0, false);
    const double base = binary ? 1024 : 1000;
    char text[64];
    if (in->failed)
        return value_none();
    double scaled = number.real;
    if (scaled == 1) {
        (void)snprintf(text, sizeof text, "1 Byte"); /* fits */
    } else if (scaled < base) {
        (void)snprintf(text, sizeof text, "%.0f Bytes", trunc(scaled)); /* fits */
    } else {
        size_t i = 0;
        for (scaled /= base; scaled >= base && i < 7; i++)
            scaled /= base;
        (void)snprintf(text, sizeof text, "%.1f %s", scaled, prefixes[binary][i]); /* fits */
    }
    return interp_text(in, text);
}
