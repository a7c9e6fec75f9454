/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Methods of strings. Indexes count code points; parts keep the origin of their bytes; the parts
 * of markup are markup.
 */
#include <string.h>

#include "iter.h"
#include "methods.h"
#include "ops.h"
#include "text.h"

static struct value take_like(struct interp *in, struct strb *b, struct value self) {
    const struct value result = interp_take(in, b);
    return interp_str(in, str_as_markup(&in->arena, result.str, self.str->markup));
}

/* --- Case -------------------------------------------------------------------------------------- */

static BUILTIN(str_upper) {
    return text_map_case(in, self.str, CASE_UPPER);
}

static BUILTIN(str_lower) {
    return text_map_case(in, self.str, CASE_LOWER);
}

static BUILTIN(str_casefold) {
    return text_map_case(in, self.str, CASE_FOLD);
}

static BUILTIN(str_capitalize) {
    return builtin_call(in, filter_find("capitalize", 10), self, &(struct args){.n_pos = 0});
}

/* Python's title: a word begins behind anything that has no case. */
static BUILTIN(str_title) {
    struct strb b = interp_builder(in);
    bool begins = true;
    for (size_t i = 0; i < self.str->len && !b.failed;) {
        uint32_t cp;
        const size_t n = str_char(self.str, i, &cp);
        unicode_append_mapped(&b, self.str, i, begins ? CASE_TITLE : CASE_LOWER);
        begins = !(unicode_is_upper(cp) || unicode_is_lower(cp) || unicode_is_title(cp));
        i += n;
    }
    return take_like(in, &b, self);
}

static BUILTIN(str_swapcase) {
    struct strb b = interp_builder(in);
    for (size_t i = 0; i < self.str->len && !b.failed;) {
        uint32_t cp;
        const size_t n = str_char(self.str, i, &cp);
        if (unicode_is_upper(cp))
            unicode_append_mapped(&b, self.str, i, CASE_LOWER);
        else if (unicode_is_lower(cp))
            unicode_append_mapped(&b, self.str, i, CASE_UPPER);
        else
            strb_append_part(&b, self.str, i, i + n);
        i += n;
    }
    return take_like(in, &b, self);
}

/* --- Stripping and cutting --------------------------------------------------------------------- */

static struct value strip(struct interp *in, struct value self, const struct args *args, bool left,
                          bool right) {
    const struct str *chars = arg_given(args, 0) ? arg_str(in, args, 0, NULL) : NULL;
    return text_strip(in, self.str, chars, left, right);
}

static BUILTIN(str_strip) {
    return strip(in, self, args, true, true);
}

static BUILTIN(str_lstrip) {
    return strip(in, self, args, true, false);
}

static BUILTIN(str_rstrip) {
    return strip(in, self, args, false, true);
}

static bool begins_with(const struct str *s, size_t from, size_t to, const struct str *prefix) {
    return from <= to && prefix->len <= to - from &&
           memcmp(s->bytes + from, prefix->bytes, prefix->len) == 0;
}

static bool ends_with(const struct str *s, size_t from, size_t to, const struct str *suffix) {
    return from <= to && suffix->len <= to - from &&
           memcmp(s->bytes + to - suffix->len, suffix->bytes, suffix->len) == 0;
}

static BUILTIN(str_removeprefix) {
    const struct str *prefix = arg_str(in, args, 0, NULL);
    const bool has = begins_with(self.str, 0, self.str->len, prefix);
    return interp_part(in, self.str, has ? prefix->len : 0, self.str->len);
}

static BUILTIN(str_removesuffix) {
    const struct str *suffix = arg_str(in, args, 0, NULL);
    const bool has = ends_with(self.str, 0, self.str->len, suffix);
    return interp_part(in, self.str, 0, self.str->len - (has ? suffix->len : 0));
}

/* The bytes between the code points start and end that stand at i and i+1 of the arguments. */
static void byte_range(struct interp *in, const struct str *s, const struct args *args, size_t i,
                       size_t *ret_from, size_t *ret_to) {
    const int64_t n = s->n_chars;
    int64_t start = arg_given(args, i) ? arg_int(in, args, i, 0) : 0;
    int64_t end = arg_given(args, i + 1) ? arg_int(in, args, i + 1, n) : n;
    start = start < -n ? 0 : start < 0 ? start + n : start;
    end = end < -n ? 0 : end < 0 ? end + n : end > n ? n : end;
    *ret_from = start > n ? SIZE_MAX : str_offset(s, (size_t)start);
    *ret_to = str_offset(s, (size_t)end);
}

/* startswith and endswith: one string, or any of a tuple. */
static struct value has_affix(struct interp *in, struct value self, const struct args *args,
                              bool (*matches)(const struct str *, size_t, size_t,
                                              const struct str *)) {
    const struct value wanted = args->pos[0];
    size_t from;
    size_t to;
    byte_range(in, self.str, args, 1, &from, &to);
    if (wanted.kind == V_STR)
        return value_bool(matches(self.str, from, to, wanted.str));
    if (wanted.kind == V_UNDEFINED)
        op_fail_undefined(in, wanted);
    else if (wanted.kind != V_TUPLE)
        interp_fail(in, "startswith and endswith need a str or a tuple of str, not %s",
                    value_type_name(wanted));
    for (size_t i = 0; !in->failed && i < wanted.seq->n; i++) {
        const struct value item = wanted.seq->items[i];
        if (item.kind == V_STR && interp_charge_bytes(in, item.str->len) &&
            matches(self.str, from, to, item.str))
            return value_bool(true);
    }
    return value_bool(false);
}

static BUILTIN(str_startswith) {
    return has_affix(in, self, args, begins_with);
}

static BUILTIN(str_endswith) {
    return has_affix(in, self, args, ends_with);
}

/* --- Searching --------------------------------------------------------------------------------- */

static int64_t find(struct interp *in, struct value self, const struct args *args, bool last) {
    const struct str *needle = arg_str(in, args, 0, NULL);
    size_t from;
    size_t to;
    byte_range(in, self.str, args, 1, &from, &to);
    if (in->failed || from > to || !interp_charge_bytes(in, self.str->len))
        return -1;
    const size_t at =
        last ? str_rfind(self.str, from, to, needle) : str_find(self.str, from, to, needle);
    return at == SIZE_MAX ? -1 : (int64_t)str_count_chars(self.str->bytes, at);
}

static BUILTIN(str_find_method) {
    return value_int(find(in, self, args, false));
}

static BUILTIN(str_rfind_method) {
    return value_int(find(in, self, args, true));
}

static struct value found(struct interp *in, int64_t at) {
    if (at < 0)
        interp_fail(in, "substring not found");
    return value_int(at);
}

static BUILTIN(str_index) {
    return found(in, find(in, self, args, false));
}

static BUILTIN(str_rindex) {
    return found(in, find(in, self, args, true));
}

static BUILTIN(str_count) {
    const struct str *needle = arg_str(in, args, 0, NULL);
    size_t from;
    size_t to;
    int64_t n = 0;
    byte_range(in, self.str, args, 1, &from, &to);
    if (needle->len == 0)
        return value_int(
            from > to ? 0 : (int64_t)str_count_chars(self.str->bytes + from, to - from) + 1);
    while (from <= to && interp_charge(in, 1)) {
        const size_t at = str_find(self.str, from, to, needle);
        if (at == SIZE_MAX)
            break;
        n++;
        from = at + needle->len;
    }
    (void)interp_charge_bytes(in, self.str->len); /* failure is sticky */
    return value_int(n);
}

/* new before every code point and at the end: what replacing "" does. */
static struct value replace_empty(struct interp *in, struct value self, const struct str *new,
                                  int64_t count) {
    struct strb b = interp_builder(in);
    size_t at = 0;
    for (; (count < 0 || count-- > 0) && interp_charge(in, 1);) {
        uint32_t cp;
        strb_append_str(&b, new);
        if (at == self.str->len)
            return take_like(in, &b, self);
        const size_t n = str_char(self.str, at, &cp);
        strb_append_part(&b, self.str, at, at + n);
        at += n;
    }
    strb_append_part(&b, self.str, at, self.str->len);
    return take_like(in, &b, self);
}

static BUILTIN(str_replace) {
    const struct str *s = self.str;
    const struct str *old = arg_str(in, args, 0, NULL);
    const struct str *new = arg_str(in, args, 1, NULL);
    int64_t count = arg_int(in, args, 2, -1);
    if (s->markup)
        new = text_escape(in, new).str;
    if (in->failed)
        return self;
    if (old->len == 0)
        return replace_empty(in, self, new, count);

    struct strb b = interp_builder(in);
    size_t from = 0;
    while ((count < 0 || count-- > 0) && interp_charge(in, 1)) {
        const size_t at = str_find(s, from, s->len, old);
        if (at == SIZE_MAX)
            break;
        strb_append_part(&b, s, from, at);
        strb_append_str(&b, new);
        from = at + old->len;
    }
    if (from == 0)
        return self;
    strb_append_part(&b, s, from, s->len);
    return take_like(in, &b, self);
}

/* --- Splitting --------------------------------------------------------------------------------- */

static void add_part(struct interp *in, struct seq *list, const struct str *s, size_t from,
                     size_t to) {
    interp_add(in, list, interp_part(in, s, from, to));
}

static size_t space_end(const struct str *s, size_t at, bool space) {
    uint32_t cp;
    while (at < s->len) {
        const size_t n = str_char(s, at, &cp);
        if (unicode_is_space(cp) != space)
            break;
        at += n;
    }
    return at;
}

/* The same towards the start: where the run of space (or of no space) that ends at at begins. */
static size_t space_start(const struct str *s, size_t at, bool space) {
    while (at > 0) {
        uint32_t cp;
        size_t before = at - 1;
        while (before > 0 && ((unsigned char)s->bytes[before] & 0xc0) == 0x80)
            before--;
        (void)str_char(s, before, &cp); /* its length is at - before */
        if (unicode_is_space(cp) != space)
            break;
        at = before;
    }
    return at;
}

static void split_space(struct interp *in, const struct str *s, int64_t max, struct seq *list) {
    size_t at = space_end(s, 0, true);
    while (at < s->len && interp_charge(in, 1)) {
        if (max == 0) {
            add_part(in, list, s, at, s->len);
            return;
        }
        max -= max > 0;
        const size_t end = space_end(s, at, false);
        add_part(in, list, s, at, end);
        at = space_end(s, end, true);
    }
}

static void rsplit_space(struct interp *in, const struct str *s, int64_t max, struct seq *list) {
    size_t end = space_start(s, s->len, true);
    while (end > 0 && interp_charge(in, 1)) {
        if (max == 0) {
            add_part(in, list, s, 0, end);
            return;
        }
        max -= max > 0;
        const size_t at = space_start(s, end, false);
        add_part(in, list, s, at, end);
        end = space_start(s, at, true);
    }
}

static void split_at(struct interp *in, const struct str *s, const struct str *separator,
                     int64_t max, struct seq *list) {
    size_t from = 0;
    while (max != 0 && interp_charge(in, 1)) {
        const size_t at = str_find(s, from, s->len, separator);
        if (at == SIZE_MAX)
            break;
        max -= max > 0;
        add_part(in, list, s, from, at);
        from = at + separator->len;
    }
    add_part(in, list, s, from, s->len);
}

static void rsplit_at(struct interp *in, const struct str *s, const struct str *separator,
                      int64_t max, struct seq *list) {
    size_t to = s->len;
    while (max != 0 && interp_charge(in, 1)) {
        const size_t at = str_rfind(s, 0, to, separator);
        if (at == SIZE_MAX)
            break;
        max -= max > 0;
        add_part(in, list, s, at + separator->len, to);
        to = at;
    }
    add_part(in, list, s, 0, to);
}

static struct value split(struct interp *in, struct value self, const struct args *args,
                          bool from_right) {
    struct seq *list = interp_seq(in, 0);
    const int64_t max = arg_int(in, args, 1, -1);
    const struct str *separator = arg_given(args, 0) ? arg_str(in, args, 0, NULL) : NULL;
    if (separator && separator->len == 0)
        interp_fail(in, "empty separator");
    if (in->failed || !interp_charge_bytes(in, self.str->len))
        return value_seq(V_LIST, list);
    if (from_right && separator)
        rsplit_at(in, self.str, separator, max, list);
    else if (from_right)
        rsplit_space(in, self.str, max, list);
    else if (separator)
        split_at(in, self.str, separator, max, list);
    else
        split_space(in, self.str, max, list);

    for (size_t i = 0; from_right && i < list->n / 2; i++) {
        const struct value swapped = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swapped;
    }
    return value_seq(V_LIST, list);
}

static BUILTIN(str_split) {
    return split(in, self, args, false);
}

static BUILTIN(str_rsplit) {
    return split(in, self, args, true);
}

static BUILTIN(str_splitlines) {
    const struct str *s = self.str;
    const bool keep = arg_truth(args, 0, false);
    struct seq *list = interp_seq(in, 0);
    size_t from = 0;
    for (size_t i = 0; i < s->len && !in->failed;) {
        uint32_t cp;
        const size_t n = str_char(s, i, &cp);
        size_t end = i + n;
        if (unicode_is_line_end(cp)) {
            end += cp == '\r' && end < s->len && s->bytes[end] == '\n';
            add_part(in, list, s, from, keep ? end : i);
            from = end;
        }
        i = end;
    }
    if (from < s->len)
        add_part(in, list, s, from, s->len);
    (void)interp_charge_bytes(in, s->len); /* failure is sticky */
    return value_seq(V_LIST, list);
}

static struct value partition(struct interp *in, struct value self, const struct args *args,
                              bool last) {
    const struct str *s = self.str;
    const struct str *separator = arg_str(in, args, 0, NULL);
    if (separator->len == 0)
        interp_fail(in, "empty separator");
    if (in->failed || !interp_charge_bytes(in, s->len))
        return value_none();
    const size_t at = last ? str_rfind(s, 0, s->len, separator) : str_find(s, 0, s->len, separator);
    struct seq *parts = interp_seq(in, 3);
    if (at != SIZE_MAX) {
        add_part(in, parts, s, 0, at);
        add_part(in, parts, s, at, at + separator->len); /* of s, whose origin it has */
        add_part(in, parts, s, at + separator->len, s->len);
    } else {
        for (int i = 0; i < 3; i++)
            add_part(in, parts, s, 0, i == (last ? 2 : 0) ? s->len : 0);
    }
    return value_seq(V_TUPLE, parts);
}

static BUILTIN(str_partition) {
    return partition(in, self, args, false);
}

static BUILTIN(str_rpartition) {
    return partition(in, self, args, true);
}

/* --- Joining and filling ----------------------------------------------------------------------- */

static BUILTIN(str_join) {
    struct strb b = interp_builder(in);
    struct iter it = iter_init(in, args->pos[0]);
    struct value item;
    for (size_t i = 0; iter_next(in, &it, &item); i++) {
        if (item.kind != V_STR) {
            interp_fail(in, "sequence item %zu: expected str instance, %s found", i,
                        value_type_name(item));
            break;
        }
        if (i > 0)
            strb_append_str(&b, self.str);
        strb_append_str(&b, self.str->markup ? text_escape(in, item.str).str : item.str);
    }
    return take_like(in, &b, self);
}

static struct value justify(struct interp *in, struct value self, const struct args *args,
                            int left_share) {
    const int64_t width = arg_int(in, args, 0, 0);
    const struct str *fill = arg_str(in, args, 1, " ");
    if (fill->n_chars != 1)
        interp_fail(in, "The fill character must be exactly one character long");
    if (in->failed || width <= self.str->n_chars)
        return self;

    const size_t room = (size_t)width - self.str->n_chars;
    /* Python's center puts the odd blank left when the width is odd, else right. */
    const size_t left = left_share == 0   ? 0
                        : left_share == 2 ? room
                                          : room / 2 + (room & (size_t)width & 1);
    struct strb b = interp_builder(in);
    strb_repeat(&b, fill->bytes, fill->len, left, str_has_user(fill));
    strb_append_str(&b, self.str);
    strb_repeat(&b, fill->bytes, fill->len, room - left, str_has_user(fill));
    return take_like(in, &b, self);
}

static BUILTIN(str_ljust) {
    return justify(in, self, args, 0);
}

static BUILTIN(str_center) {
    return justify(in, self, args, 1);
}

static BUILTIN(str_rjust) {
    return justify(in, self, args, 2);
}

static BUILTIN(str_zfill) {
    const int64_t width = arg_int(in, args, 0, 0);
    const struct str *s = self.str;
    if (width <= s->n_chars)
        return self;
    const size_t sign = s->len > 0 && (s->bytes[0] == '-' || s->bytes[0] == '+') ? 1 : 0;
    struct strb b = interp_builder(in);
    strb_append_part(&b, s, 0, sign);
    strb_repeat(&b, "0", 1, (size_t)width - s->n_chars, /* user= */ false);
    strb_append_part(&b, s, sign, s->len);
    return take_like(in, &b, self);
}

static BUILTIN(str_expandtabs) {
    const int64_t size = arg_int(in, args, 0, 8);
    struct strb b = interp_builder(in);
    int64_t column = 0;
    for (size_t i = 0; i < self.str->len && !b.failed;) {
        uint32_t cp;
        const size_t n = str_char(self.str, i, &cp);
        if (cp == '\t') {
            const int64_t blanks = size > 0 ? size - column % size : 0;
            strb_repeat(&b, " ", 1, (size_t)blanks, str_user_at(self.str, i));
            column += blanks;
        } else {
            strb_append_part(&b, self.str, i, i + n);
            column = cp == '\n' || cp == '\r' ? 0 : column + 1;
        }
        i += n;
    }
    return take_like(in, &b, self);
}

static BUILTIN(str_format) {
    return format_braces(in, self.str, args, (struct value){.kind = V_MISSING});
}

static BUILTIN(str_format_map) {
    return format_braces(in, self.str, &(struct args){.n_pos = 0}, args->pos[0]);
}

/* --- Asking ------------------------------------------------------------------------------------ */

/* At least one character, and every one as asked. */
static struct value all(struct interp *in, struct value self, bool (*is)(uint32_t)) {
    for (size_t i = 0; i < self.str->len;) {
        uint32_t cp;
        i += str_char(self.str, i, &cp);
        if (!is(cp))
            return value_bool(false);
    }
    (void)interp_charge_bytes(in, self.str->len); /* failure is sticky */
    return value_bool(self.str->len > 0);
}

static BUILTIN(str_isalpha) {
    return all(in, self, unicode_is_alpha);
}

static BUILTIN(str_isalnum) {
    return all(in, self, unicode_is_alnum);
}

static BUILTIN(str_isdecimal) {
    return all(in, self, unicode_is_decimal);
}

static BUILTIN(str_isdigit) {
    return all(in, self, unicode_is_digit);
}

static BUILTIN(str_isnumeric) {
    return all(in, self, unicode_is_numeric);
}

static BUILTIN(str_isspace) {
    return all(in, self, unicode_is_space);
}

static BUILTIN(str_isprintable) {
    return value_bool(self.str->len == 0 || all(in, self, unicode_is_printable).boolean);
}

static BUILTIN(str_isascii) {
    return value_bool(str_is_ascii(self.str));
}

static BUILTIN(str_isidentifier) {
    const bool words = all(in, self, unicode_is_word).boolean;
    return value_bool(words && !(self.str->bytes[0] >= '0' && self.str->bytes[0] <= '9'));
}

static BUILTIN(str_isupper) {
    return builtin_call(in, test_find("upper", 5), self, &(struct args){.n_pos = 0});
}

static BUILTIN(str_islower) {
    return builtin_call(in, test_find("lower", 5), self, &(struct args){.n_pos = 0});
}

static BUILTIN(str_istitle) {
    bool cased = false; /* whether the character before has case */
    bool any = false;
    for (size_t i = 0; i < self.str->len;) {
        uint32_t cp;
        i += str_char(self.str, i, &cp);
        const bool upper = unicode_is_upper(cp) || unicode_is_title(cp);
        const bool lower = unicode_is_lower(cp);
        if ((upper && cased) || (lower && !cased))
            return value_bool(false);
        cased = upper || lower;
        any = any || cased;
    }
    return value_bool(any);
}

static const struct builtin str_methods[] = {
    {"capitalize", "", str_capitalize},
    {"casefold", "", str_casefold},
    {"center", "width fillchar?", str_center},
    {"count", "sub start? end?", str_count},
    {"endswith", "suffix start? end?", str_endswith},
    {"expandtabs", "tabsize?", str_expandtabs},
    {"find", "sub start? end?", str_find_method},
    {"format", NULL, str_format},
    {"format_map", "mapping", str_format_map},
    {"index", "sub start? end?", str_index},
    {"isalnum", "", str_isalnum},
    {"isalpha", "", str_isalpha},
    {"isascii", "", str_isascii},
    {"isdecimal", "", str_isdecimal},
    {"isdigit", "", str_isdigit},
    {"isidentifier", "", str_isidentifier},
    {"islower", "", str_islower},
    {"isnumeric", "", str_isnumeric},
    {"isprintable", "", str_isprintable},
    {"isspace", "", str_isspace},
    {"istitle", "", str_istitle},
    {"isupper", "", str_isupper},
    {"join", "iterable", str_join},
    {"ljust", "width fillchar?", str_ljust},
    {"lower", "", str_lower},
    {"lstrip", "chars?", str_lstrip},
    {"partition", "sep", str_partition},
    {"removeprefix", "prefix", str_removeprefix},
    {"removesuffix", "suffix", str_removesuffix},
    {"replace", "old new count?", str_replace},
    {"rfind", "sub start? end?", str_rfind_method},
    {"rindex", "sub start? end?", str_rindex},
    {"rjust", "width fillchar?", str_rjust},
    {"rpartition", "sep", str_rpartition},
    {"rsplit", "sep? maxsplit?", str_rsplit},
    {"rstrip", "chars?", str_rstrip},
    {"split", "sep? maxsplit?", str_split},
    {"splitlines", "keepends?", str_splitlines},
    {"startswith", "prefix start? end?", str_startswith},
    {"strip", "chars?", str_strip},
    {"swapcase", "", str_swapcase},
    {"title", "", str_title},
    {"upper", "", str_upper},
    {"zfill", "width", str_zfill},
};

const struct builtin *str_method_find(const char *name, size_t len) {
    return builtin_find(str_methods, sizeof str_methods / sizeof str_methods[0], name, len);
}
