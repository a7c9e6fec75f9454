/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Python's two ways to format: '%5.2f' % values, and '{:>5}'.format(values). Both end in the same
 * few steps: make the digits, put the sign, fill to the width.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "iter.h"
#include "number.h"
#include "ops.h"
#include "text.h"

enum { MAX_WIDTH = 1 << 20, MAX_PRECISION = 100 };

/* What a format asks for one value, in the terms of both languages. */
struct spec {
    char align; /* '<' '>' '^' '=', or 0: the type's own */
    char sign;  /* '+' ' ' or 0 */
    char group; /* ',' '_' or 0 */
    char type;  /* 0: none given */
    bool alternate;
    uint32_t fill; /* code point */
    int64_t width;
    int64_t precision; /* -1: none */
};

/* A number's text before padding. */
struct digits {
    char sign[2]; /* "", "-", "+" or " " */
    const char *prefix;
    char text[512];
};

static void fill(struct strb *b, uint32_t cp, int64_t n) {
    for (int64_t i = 0; i < n && !b->failed; i++)
        strb_append_char(b, cp, /* user= */ false);
}

static void append_padded_str(struct strb *b, const struct str *s, const struct spec *spec) {
    const int64_t room = spec->width > s->n_chars ? spec->width - s->n_chars : 0;
    const int64_t left = spec->align == '>' ? room : spec->align == '^' ? room / 2 : 0;
    fill(b, spec->fill, left);
    strb_append_str(b, s);
    fill(b, spec->fill, room - left);
}

static void append_digits(struct strb *b, const struct digits *d, const struct spec *spec,
                          bool user) {
    const size_t n = strlen(d->sign) + strlen(d->prefix) + strlen(d->text);
    const int64_t room = spec->width > (int64_t)n ? spec->width - (int64_t)n : 0;
    const char align = spec->align ? spec->align : '>';
    const int64_t left = align == '>' ? room : align == '^' ? room / 2 : 0;
    fill(b, spec->fill, left);
    strb_append(b, d->sign, strlen(d->sign), user);
    strb_append(b, d->prefix, strlen(d->prefix), user);
    if (align == '=')
        fill(b, spec->fill, room);
    strb_append(b, d->text, strlen(d->text), user);
    if (align != '=')
        fill(b, spec->fill, room - left);
}

static void set_sign(struct digits *d, bool negative, const struct spec *spec) {
    d->sign[0] = negative ? '-' : spec->sign;
    d->sign[1] = '\0';
}

/* Behind the digits; there is always room for the little that is added. */
static void add_text(struct digits *d, const char *text) {
    const size_t n = strlen(d->text);
    (void)snprintf(d->text + n, sizeof d->text - n, "%s", text); /* fits */
}

static size_t put_base(char *out, uint64_t magnitude, unsigned base, bool upper) {
    char reversed[65];
    size_t n = 0;
    do {
        reversed[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[magnitude % base];
        magnitude /= base;
    } while (magnitude);
    for (size_t i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
    return n;
}

/* Puts separators into the leading digits of text. */
static void group_digits(char *text, size_t cap, char separator, size_t every) {
    size_t n = strspn(text, "0123456789abcdefABCDEF");
    while (n > every) {
        n -= every;
        const size_t len = strlen(text);
        if (len + 2 > cap)
            return;
        memmove(text + n + 1, text + n, len - n + 1);
        text[n] = separator;
    }
}

static void append_int(struct strb *b, int64_t v, const struct spec *spec, bool user) {
    const char type = spec->type ? spec->type : 'd';
    const unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : type == 'b' ? 2 : 10;
    struct digits d = {.prefix = ""};
    const uint64_t magnitude = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    const size_t n = put_base(d.text, magnitude, base, type == 'X');
    if (spec->precision > (int64_t)n) { /* '%05.3d': at least so many digits */
        const size_t zeros = (size_t)(spec->precision < 100 ? spec->precision : 100) - n;
        memmove(d.text + zeros, d.text, n + 1);
        memset(d.text, '0', zeros);
    }
    if (spec->alternate && base != 10)
        d.prefix = base == 2 ? "0b" : base == 8 ? "0o" : type == 'X' ? "0X" : "0x";
    if (spec->group)
        group_digits(d.text, sizeof d.text, spec->group, base == 10 ? 3 : 4);
    set_sign(&d, v < 0, spec);
    append_digits(b, &d, spec, user);
}

static void append_float(struct interp *in, struct strb *b, double v, const struct spec *spec,
                         bool user) {
    struct digits d = {.prefix = ""};
    const bool percent = spec->type == '%';
    char type = percent ? 'f' : spec->type == 'n' ? 'g' : spec->type ? spec->type : 'g';
    const int precision = (int)(spec->precision < 0               ? 6
                                : spec->precision > MAX_PRECISION ? MAX_PRECISION
                                                                  : spec->precision);
    double magnitude = fabs(percent ? v * 100 : v);
    if (spec->precision > MAX_PRECISION)
        interp_fail(in, "a precision of more than %d digits is not served", MAX_PRECISION);
    if (!isfinite(v)) {
        const bool upper = type == 'E' || type == 'F' || type == 'G';
        (void)snprintf(d.text, sizeof d.text, "%s",
                       isnan(v) ? (upper ? "NAN" : "nan")
                       : upper  ? "INF"
                                : "inf");
    } else if (!spec->type && spec->precision < 0) {
        (void)number_format_float(magnitude, d.text);
    } else {
        const char format[] = {'%',
                               spec->alternate ? '#' : '.',
                               spec->alternate ? '.' : '*',
                               spec->alternate ? '*' : type,
                               spec->alternate ? type : '\0',
                               '\0'};
        (void)snprintf(d.text, sizeof d.text, format, precision, magnitude); /* fits */
        if (!spec->type && !strpbrk(d.text, ".e"))
            add_text(&d, ".0");
    }
    if (percent)
        add_text(&d, "%");
    if (spec->group)
        group_digits(d.text, sizeof d.text, spec->group, 3);
    set_sign(&d, signbit(v) && !isnan(v), spec);
    append_digits(b, &d, spec, user);
}

static void append_char(struct interp *in, struct strb *b, struct value v,
                        const struct spec *spec) {
    struct strb one = interp_builder(in);
    if (v.kind == V_STR && v.str->n_chars == 1)
        strb_append_str(&one, v.str);
    else if (value_is_integral(v) && value_as_int(v) >= 0 && value_as_int(v) <= 0x10ffff &&
             (value_as_int(v) & ~0x7ff) != 0xd800)
        strb_append_char(&one, (uint32_t)value_as_int(v), v.user);
    else
        interp_fail(in, "%%c requires an int that is a character, or a str of one");
    append_padded_str(b, interp_take(in, &one).str, spec);
}

/* repr(v), with \x escapes for everything that is not ASCII if ascii. */
static struct value repr_of(struct interp *in, struct value v, bool ascii) {
    struct strb b = interp_builder(in);
    text_append_repr(in, &b, v);
    const struct value text = interp_take(in, &b);
    if (!ascii || str_is_ascii(text.str))
        return text;
    struct strb escaped = interp_builder(in);
    for (size_t i = 0; i < text.str->len;) {
        uint32_t cp;
        const size_t n = str_char(text.str, i, &cp);
        char hex[16];
        const char *format = cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x";
        if (cp < 0x80)
            strb_append_part(&escaped, text.str, i, i + n);
        else
            strb_append(&escaped, hex, (size_t)snprintf(hex, sizeof hex, format, cp),
                        str_user_at(text.str, i));
        i += n;
    }
    return interp_take(in, &escaped);
}

static void append_text(struct interp *in, struct strb *b, const struct str *s,
                        const struct spec *spec) {
    if (spec->precision >= 0 && spec->precision < s->n_chars)
        s = interp_part(in, s, 0, str_offset(s, (size_t)spec->precision)).str;
    append_padded_str(b, s, spec);
}

/* --- % ------------------------------------------------------------------------------------------ */

struct percent {
    struct interp *in;
    const struct str *format;
    size_t at;
    struct value values;
    size_t next; /* positional */
};

static char percent_look(const struct percent *p) {
    return p->at < p->format->len ? p->format->bytes[p->at] : '\0';
}

static struct value percent_next(struct percent *p) {
    if (p->values.kind == V_TUPLE) {
        if (p->next < p->values.seq->n)
            return p->values.seq->items[p->next++];
    } else if (p->next++ == 0) {
        return p->values;
    }
    interp_fail(p->in, "not enough arguments for format string");
    return value_none();
}

/* (key) */
static struct value percent_key(struct percent *p) {
    const size_t start = p->at + 1;
    int depth = 1;
    for (p->at++; p->at < p->format->len && depth > 0; p->at++)
        depth += (percent_look(p) == '(') - (percent_look(p) == ')');
    if (depth > 0)
        interp_fail(p->in, "incomplete format key");
    if (p->values.kind != V_DICT)
        interp_fail(p->in, "format requires a mapping");
    if (p->in->failed)
        return value_none();
    const struct entry *entry =
        dict_get_text(p->values.dict, p->format->bytes + start, p->at - 1 - start);
    if (!entry) {
        interp_fail(p->in, "the format string asks for a key that is not there");
        return value_none();
    }
    return entry->value;
}

static int64_t percent_number(struct percent *p) {
    int64_t n = 0;
    if (percent_look(p) == '*') {
        p->at++;
        const struct value v = percent_next(p);
        if (!value_is_integral(v))
            interp_fail(p->in, "* wants int");
        n = p->in->failed ? 0 : value_as_int(v);
    }
    for (; percent_look(p) >= '0' && percent_look(p) <= '9'; p->at++)
        n = n < MAX_WIDTH ? n * 10 + (percent_look(p) - '0') : n;
    if (n > MAX_WIDTH || n < -MAX_WIDTH)
        interp_fail(p->in, "a width of %lld is too large", (long long)n);
    return n;
}

static void percent_flags(struct percent *p, struct spec *spec) {
    bool zero = false;
    spec->fill = ' ';
    for (; text_is_one_of(percent_look(p), "#0- +"); p->at++) {
        const char c = percent_look(p);
        if (c == '#')
            spec->alternate = true;
        else if (c == '-')
            spec->align = '<';
        else if (c == '0')
            zero = true;
        else if (c == '+' || spec->sign == 0)
            spec->sign = c;
    }
    if (zero && spec->align == 0) {
        spec->align = '=';
        spec->fill = '0';
    }
}

static void percent_append_number(struct percent *p, struct strb *b, struct value v,
                                  struct spec *spec, char type) {
    spec->type = type == 'i' || type == 'u' ? 'd' : type;
    if (v.kind == V_UNDEFINED)
        op_fail_undefined(p->in, v);
    if (!value_is_number(v)) {
        interp_fail(p->in, "%%%c format: a real number is required, not %s", type,
                    value_type_name(v));
        return;
    }
    if (text_is_one_of(type, "eEfFgG")) {
        append_float(p->in, b, value_as_float(v), spec, v.user);
        return;
    }
    if (v.kind == V_FLOAT && !(spec->type == 'd' && fabs(v.real) < 9.2e18)) {
        interp_fail(p->in, "%%%c format: an integer is required, not float", type);
        return;
    }
    append_int(b, v.kind == V_FLOAT ? (int64_t)v.real : value_as_int(v), spec, v.user);
}

static void percent_conversion(struct percent *p, struct strb *b) {
    struct spec spec = {.precision = -1};
    struct value keyed = {.kind = V_MISSING};
    if (percent_look(p) == '(')
        keyed = percent_key(p);
    percent_flags(p, &spec);
    spec.width = percent_number(p);
    if (spec.width < 0) {
        spec.align = '<';
        spec.width = -spec.width;
    }
    if (percent_look(p) == '.') {
        p->at++;
        spec.precision = percent_number(p);
    }
    while (text_is_one_of(percent_look(p), "hlL"))
        p->at++;
    const char type = percent_look(p);
    p->at++;
    if (type == '%') {
        strb_append_text(b, "%");
        return;
    }
    if (!text_is_one_of(type, "diuoxXeEfFgGcrsa")) {
        interp_fail(p->in, "unsupported format character '%c'", type ? type : ' ');
        return;
    }
    const struct value v = keyed.kind != V_MISSING ? keyed : percent_next(p);
    if (p->in->failed)
        return;
    const bool numeric = !text_is_one_of(type, "crsa");
    if (!numeric) {
        spec.align = spec.align == '<' ? '<' : '>';
        spec.fill = ' ';
    }
    if (numeric) {
        percent_append_number(p, b, v, &spec, type);
    } else if (type == 'c') {
        append_char(p->in, b, v, &spec);
    } else {
        const struct value text = type == 's' ? text_of(p->in, v) : repr_of(p->in, v, type == 'a');
        append_text(p->in, b, p->format->markup ? text_escape(p->in, text.str).str : text.str,
                    &spec);
    }
}

struct value format_percent(struct interp *in, const struct str *format, struct value values) {
    struct percent p = {.in = in, .format = format, .values = values};
    struct strb b = interp_builder(in);
    while (p.at < format->len && interp_charge(in, 1)) {
        const char *mark = memchr(format->bytes + p.at, '%', format->len - p.at);
        const size_t to = mark ? (size_t)(mark - format->bytes) : format->len;
        strb_append_part(&b, format, p.at, to);
        p.at = to + 1;
        if (mark)
            percent_conversion(&p, &b);
    }
    /* What can be asked by key may hold more than the format asks for. */
    const bool keyed = values.kind == V_DICT || values.kind == V_LIST || values.kind == V_RANGE ||
                       values.kind == V_UNDEFINED;
    const size_t n_values = values.kind == V_TUPLE ? values.seq->n : keyed ? 0 : 1;
    if (p.next < n_values)
        interp_fail(in, "not all arguments converted during string formatting");
    const struct value result = interp_take(in, &b);
    return interp_str(in, str_as_markup(&in->arena, result.str, format->markup));
}

/* --- {} ----------------------------------------------------------------------------------------- */

struct braces {
    struct interp *in;
    const struct args *args;
    struct value mapping; /* of format_map, or V_MISSING */
    size_t next;          /* {} in order */
    bool escapes;         /* the format is markup */
};

static char spec_char(const struct str *s, size_t at) {
    return at < s->len ? s->bytes[at] : '\0';
}

static int64_t spec_number(const struct str *s, size_t *at) {
    int64_t n = 0;
    for (; spec_char(s, *at) >= '0' && spec_char(s, *at) <= '9'; ++*at)
        n = n < MAX_WIDTH ? n * 10 + (spec_char(s, *at) - '0') : n;
    return n;
}

/* [fill]align at the start of a spec; returns the position behind it. */
static size_t parse_alignment(const struct str *s, struct spec *spec) {
    uint32_t cp = 0;
    const size_t first = s->len ? str_char(s, 0, &cp) : 0;
    if (first && first < s->len && text_is_one_of(s->bytes[first], "<>=^")) {
        spec->fill = cp;
        spec->align = s->bytes[first];
        return first + 1;
    }
    if (s->len && text_is_one_of(s->bytes[0], "<>=^")) {
        spec->align = s->bytes[0];
        return 1;
    }
    return 0;
}

/* [[fill]align][sign][#][0][width][grouping][.precision][type] */
static struct spec parse_spec(struct interp *in, const struct str *s) {
    struct spec spec = {.fill = ' ', .precision = -1};
    size_t at = parse_alignment(s, &spec);
    const char sign = spec_char(s, at);
    if (sign == '+' || sign == '-' || sign == ' ') {
        spec.sign = sign == '-' ? '\0' : sign;
        at++;
    }
    if (spec_char(s, at) == '#') {
        spec.alternate = true;
        at++;
    }
    if (spec_char(s, at) == '0' && !spec.align) {
        spec.fill = '0';
        spec.align = '=';
    }
    spec.width = spec_number(s, &at);
    if (spec_char(s, at) == ',' || spec_char(s, at) == '_')
        spec.group = s->bytes[at++];
    if (spec_char(s, at) == '.') {
        at++;
        spec.precision = spec_number(s, &at);
    }
    if (at < s->len)
        spec.type = s->bytes[at++];
    if (at != s->len || spec.width > MAX_WIDTH)
        interp_fail(in, "invalid format specifier '%.*s'", (int)(s->len < 64 ? s->len : 64),
                    s->bytes);
    return spec;
}

static void append_formatted(struct braces *f, struct strb *b, struct value v,
                             const struct str *spec_text) {
    struct interp *in = f->in;
    if (spec_text->len == 0 || v.kind == V_STR) {
        const struct spec spec = parse_spec(in, spec_text);
        const struct value text = text_of(in, v);
        if (spec.type && spec.type != 's')
            interp_fail(in, "unknown format code '%c' for object of type 'str'", spec.type);
        append_text(in, b, f->escapes ? text_escape(in, text.str).str : text.str, &spec);
        return;
    }
    if (!value_is_number(v)) {
        interp_fail(in, "unsupported format string passed to %s.__format__", value_type_name(v));
        return;
    }
    const struct spec spec = parse_spec(in, spec_text);
    if (value_is_integral(v) && spec.type == 'c')
        append_char(in, b, v, &spec);
    else if (text_is_one_of(spec.type, "eEfFgG%") ||
             (v.kind == V_FLOAT && (!spec.type || spec.type == 'n')))
        append_float(in, b, value_as_float(v), &spec, v.user);
    else if (v.kind != V_FLOAT && (!spec.type || text_is_one_of(spec.type, "bdoxXn")))
        append_int(b, value_as_int(v), &spec, v.user);
    else
        interp_fail(in, "unknown format code '%c' for object of type '%s'", spec.type,
                    value_type_name(v));
}

static struct value first_of_field(struct braces *f, const struct str *name) {
    int64_t index = 0;
    bool number = name->len > 0 && name->len < 10;
    for (size_t i = 0; i < name->len; i++) {
        number = number && name->bytes[i] >= '0' && name->bytes[i] <= '9';
        index = number ? index * 10 + (name->bytes[i] - '0') : 0;
    }
    if (name->len == 0)
        index = (int64_t)f->next++;
    if (name->len == 0 || number) {
        if (f->mapping.kind == V_MISSING && (size_t)index < f->args->n_pos)
            return f->args->pos[index];
        interp_fail(f->in, "replacement index %lld out of range for positional args tuple",
                    (long long)index);
        return value_none();
    }
    if (f->mapping.kind == V_DICT) {
        const struct entry *entry = dict_get(f->mapping.dict, value_str(name));
        if (entry)
            return entry->value;
    }
    for (size_t i = 0; f->mapping.kind == V_MISSING && i < f->args->n_kw; i++) {
        if (str_equal(f->args->kw[i].name, name))
            return f->args->kw[i].value;
    }
    interp_fail(f->in, "format() is not given '%.*s'", (int)(name->len < 64 ? name->len : 64),
                name->bytes);
    return value_none();
}

/* name(.attribute | [item])* */
static struct value field_value(struct braces *f, const struct str *field) {
    size_t at = 0;
    while (at < field->len && field->bytes[at] != '.' && field->bytes[at] != '[')
        at++;
    struct value v = first_of_field(f, interp_part(f->in, field, 0, at).str);
    while (at < field->len && !f->in->failed) {
        const bool item = field->bytes[at] == '[';
        size_t end = at + 1;
        while (end < field->len && (item ? field->bytes[end] != ']'
                                         : field->bytes[end] != '.' && field->bytes[end] != '['))
            end++;
        const struct str *name = interp_part(f->in, field, at + 1, end).str;
        if (item) {
            const struct seq *path = path_parse(f->in, value_str(name));
            v = path_lookup(f->in, path, v, value_none());
        } else {
            v = op_get_attribute(f->in, v, name);
        }
        at = item && end < field->len ? end + 1 : end;
    }
    return v;
}

static void append_braces(struct braces *f, struct strb *b, const struct str *format, int depth);

/* What stands between the braces: field[!conversion][:spec]; the spec may hold fields itself. */
static void append_field(struct braces *f, struct strb *b, const struct str *inner, int depth) {
    struct interp *in = f->in;
    size_t end = 0;
    while (end < inner->len && inner->bytes[end] != '!' && inner->bytes[end] != ':') {
        if (inner->bytes[end] == '[') {
            while (end < inner->len && inner->bytes[end] != ']')
                end++;
        }
        end += end < inner->len;
    }
    struct value v = field_value(f, interp_part(in, inner, 0, end).str);
    if (end < inner->len && inner->bytes[end] == '!') {
        const char conversion = end + 1 < inner->len ? inner->bytes[end + 1] : '\0';
        if (conversion == 'r' || conversion == 'a')
            v = repr_of(in, v, conversion == 'a');
        else if (conversion == 's')
            v = text_of(in, v);
        else
            interp_fail(in, "unknown conversion specifier in a format string");
        end += 2;
    }
    if (end < inner->len && inner->bytes[end] != ':')
        interp_fail(in, "expected ':' after conversion specifier");
    if (in->failed)
        return;
    struct strb spec = interp_builder(in);
    if (end < inner->len)
        append_braces(f, &spec, interp_part(in, inner, end + 1, inner->len).str, depth + 1);
    append_formatted(f, b, v, interp_take(in, &spec).str);
}

/* Recursion: a spec inside of a field, and no deeper. */
static void append_braces(struct braces *f, struct strb *b, const struct str *format, int depth) {
    if (depth > 1) {
        interp_fail(f->in, "format fields are nested too deeply");
        return;
    }
    for (size_t at = 0; at < format->len && interp_charge(f->in, 1);) {
        const char c = format->bytes[at];
        if (c != '{' && c != '}') {
            size_t end = at;
            while (end < format->len && format->bytes[end] != '{' && format->bytes[end] != '}')
                end++;
            strb_append_part(b, format, at, end);
            at = end;
            continue;
        }
        if (at + 1 < format->len && format->bytes[at + 1] == c) {
            strb_append_part(b, format, at, at + 1);
            at += 2;
            continue;
        }
        int open = 1;
        size_t end = at + 1;
        for (; c == '{' && end < format->len && open > 0; end++)
            open += (format->bytes[end] == '{') - (format->bytes[end] == '}');
        if (c == '}' || open > 0) {
            interp_fail(f->in, "single '%c' encountered in format string", c);
            return;
        }
        append_field(f, b, interp_part(f->in, format, at + 1, end - 1).str, depth);
        at = end;
    }
}

struct value format_braces(struct interp *in, const struct str *format, const struct args *args,
                           struct value mapping) {
    struct braces f = {.in = in, .args = args, .mapping = mapping, .escapes = format->markup};
    struct strb b = interp_builder(in);
    append_braces(&f, &b, format, 0);
    const struct value result = interp_take(in, &b);
    return interp_str(in, str_as_markup(&in->arena, result.str, format->markup));
}
