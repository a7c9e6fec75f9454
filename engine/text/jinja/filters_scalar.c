/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on single values: numbers, defaults, attributes. */
#include "filters.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "number.h"
#include "ops.h"
#include "text.h"

BUILTIN(filter_default) {
    const bool replace_false = arg_truth(args, 1, false);
    if (self.kind != V_UNDEFINED && !(replace_false && !value_truth(self)))
        return self;
    return args->pos[0].kind == V_MISSING ? interp_text(in, "") : args->pos[0];
}

/* An attribute proper: for a dict its methods and not its keys. */
BUILTIN(filter_attr) {
    const struct str *name = arg_str(in, args, 0, NULL);
    if (!in->failed && self.kind == V_DICT && !method_find(self, name->bytes, name->len))
        return (struct value){
            .kind = V_UNDEFINED, .form = UNDEFINED_ATTRIBUTE, .owner = V_DICT, .name = name};
    return op_get_attribute(in, self, name);
}

BUILTIN(filter_abs) {
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

/*
 * The characters of a number: without blanks around it and _ between digits, all digits ASCII.
 * Returns how many, 0 if it cannot be a number.
 */
static size_t copy_number(struct interp *in, const struct str *s, char out[NUMBER_MAX_TEXT]) {
    const struct str *bare = text_strip(in, s, NULL, /* left= */ true, /* right= */ true).str;
    size_t n = 0;
    bool after_digit = false;
    for (size_t i = 0; i < bare->len;) {
        uint32_t cp;
        i += str_char(bare, i, &cp);
        const int digit = unicode_decimal_value(cp);
        if (cp == '_' && after_digit && i < bare->len) {
            after_digit = false; /* and another one is not a number */
            continue;
        }
        if (n == NUMBER_MAX_TEXT || cp == '_' || (cp >= 0x80 && digit < 0))
            return 0;
        out[n++] = digit >= 0 ? (char)('0' + digit) : (char)cp;
        after_digit = digit >= 0 || (cp | 0x20) - 'a' < 26;
    }
    return n;
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

BUILTIN(filter_int) {
    const struct value otherwise = args->pos[0].kind == V_MISSING ? value_int(0) : args->pos[0];
    char text[NUMBER_MAX_TEXT];
    size_t n;
    int64_t integer = 0;
    double real = 0;
    struct value result = otherwise;
    if (self.kind == V_UNDEFINED) {
        op_fail_undefined(in, self);
    } else if (value_is_integral(self)) {
        result = value_int(value_as_int(self));
    } else if (self.kind == V_FLOAT) {
        result = truncated(in, self.real);
    } else if (self.kind == V_STR && (n = copy_number(in, self.str, text)) > 0) {
        if (number_parse_int(text, n, arg_int(in, args, 1, 10), &integer))
            result = value_int(integer);
        else if (number_parse_float(text, n, &real) && isfinite(real))
            result = truncated(in, real);
    }
    result.user |= self.kind == V_STR ? str_has_user(self.str) : self.user;
    return result;
}

BUILTIN(filter_float) {
    struct value result = args->pos[0].kind == V_MISSING ? value_float(0) : args->pos[0];
    char text[NUMBER_MAX_TEXT];
    size_t n;
    double real = 0;
    if (self.kind == V_UNDEFINED)
        op_fail_undefined(in, self);
    else if (value_is_number(self))
        result = value_float(value_as_float(self));
    else if (self.kind == V_STR && (n = copy_number(in, self.str, text)) > 0 &&
             number_parse_float(text, n, &real))
        result = value_float(real);
    result.user |= self.kind == V_STR ? str_has_user(self.str) : self.user;
    return result;
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

BUILTIN(filter_round) {
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
        result = value_float(number_round(self.real, precision));
    } else {
        const double unit = pow(10, (double)precision);
        const double scaled = value_as_float(self) * unit;
        result = value_float((str_is(method, "ceil") ? ceil(scaled) : floor(scaled)) / unit);
    }
    result.user = self.user;
    return result;
}

BUILTIN(filter_filesizeformat) {
    static const char *const prefixes[2][8] = {
        {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
        {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"},
    };
    const struct value no_number = value_none();
    const struct value number = filter_float(in, self, &(struct args){.pos = &no_number});
    if (number.kind == V_NONE)
        interp_fail(in, "filesizeformat needs a number, not '%s'", value_type_name(self));
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
