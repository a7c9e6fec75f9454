/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "exec.h"
#include "iter.h"
#include "number.h"

static void append_number(struct strb *b, struct value v) {
    char text[32];
    size_t n;
    if (v.kind == V_FLOAT)
        n = number_format_float(v.real, text);
    else
        n = (size_t)snprintf(text, sizeof text, "%" PRId64, v.integer);
    strb_append(b, text, n, v.user);
}

static void append_hex(struct strb *b, uint32_t cp, bool user) {
    char text[16];
    const char *format = cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x";
    const int n = snprintf(text, sizeof text, format, cp);
    strb_append(b, text, (size_t)n, user);
}

static void append_quoted(struct strb *b, const struct str *s) {
    const bool has_single = memchr(s->bytes, '\'', s->len) != NULL;
    const bool has_double = memchr(s->bytes, '"', s->len) != NULL;
    const char quote = has_single && !has_double ? '"' : '\'';
    const bool quote_user = str_has_user(s);

    strb_append(b, &quote, 1, quote_user);
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        const size_t n = str_char(s, i, &cp);
        const bool user = str_user_at(s, i);
        const char *named = cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : cp == '\t' ? "\\t" : NULL;
        if (named) {
            strb_append(b, named, 2, user);
        } else if (cp == '\\' || cp == (uint32_t)quote) {
            const char escaped[2] = {'\\', (char)cp};
            strb_append(b, escaped, 2, user);
        } else if (!unicode_is_printable(cp)) {
            append_hex(b, cp, user);
        } else {
            strb_append_part(b, s, i, i + n);
        }
        i += n;
    }
    strb_append(b, &quote, 1, quote_user);
}

static void append_items(struct interp *in, struct strb *b, const struct seq *seq, const char *open,
                         const char *close) {
    strb_append(b, open, strlen(open), seq->user);
    for (size_t i = 0; i < seq->n && !in->failed; i++) {
        if (i > 0)
            strb_append(b, ", ", 2, seq->user);
        text_append_repr(in, b, seq->items[i]);
    }
    strb_append(b, close, strlen(close), seq->user);
}

static void append_dict(struct interp *in, struct strb *b, const struct dict *dict) {
    strb_append(b, "{", 1, dict->user);
    for (size_t i = 0; i < dict->n && !in->failed; i++) {
        if (i > 0)
            strb_append(b, ", ", 2, dict->user);
        text_append_repr(in, b, dict->entries[i].key);
        strb_append(b, ": ", 2, dict->user);
        text_append_repr(in, b, dict->entries[i].value);
    }
    strb_append(b, "}", 1, dict->user);
}

static void append_range(struct strb *b, const struct range *range) {
    char text[96];
    const int n = range->step == 1
                      ? snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", range->start,
                                 range->stop)
                      : snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")",
                                 range->start, range->stop, range->step);
    strb_append(b, text, (size_t)n, /* user= */ false);
}

static void append_container(struct interp *in, struct strb *b, struct value v) {
    switch (v.kind) {
    case V_LIST:
        append_items(in, b, v.seq, "[", "]");
        return;
    case V_TUPLE:
        append_items(in, b, v.seq, "(", v.seq->n == 1 ? ",)" : ")");
        return;
    case V_KEYS:
        append_items(in, b, v.seq, "dict_keys([", "])");
        return;
    case V_VALUES:
        append_items(in, b, v.seq, "dict_values([", "])");
        return;
    case V_ITEMS:
        append_items(in, b, v.seq, "dict_items([", "])");
        return;
    case V_NAMESPACE:
        strb_append_text(b, "<Namespace ");
        append_dict(in, b, v.dict);
        strb_append_text(b, ">");
        return;
    default:
        append_dict(in, b, v.dict);
    }
}

void text_append_repr(struct interp *in, struct strb *b, struct value v) {
    if (!interp_enter(in))
        return;
    switch (v.kind) {
    case V_STR:
        if (v.str->markup)
            strb_append_text(b, "Markup(");
        append_quoted(b, v.str);
        if (v.str->markup)
            strb_append_text(b, ")");
        break;
    case V_UNDEFINED:
        strb_append_text(b, "Undefined");
        break;
    case V_LIST:
    case V_TUPLE:
    case V_KEYS:
    case V_VALUES:
    case V_ITEMS:
    case V_DICT:
    case V_NAMESPACE:
        append_container(in, b, v);
        break;
    default:
        text_append(in, b, v);
    }
    interp_leave(in);
}

void text_append(struct interp *in, struct strb *b, struct value v) {
    if (in->failed)
        return;
    switch (v.kind) {
    case V_MISSING:
    case V_UNDEFINED:
        return;
    case V_NONE:
        strb_append(b, "None", 4, v.user);
        return;
    case V_BOOL:
        strb_append(b, v.boolean ? "True" : "False", v.boolean ? 4 : 5, v.user);
        return;
    case V_INT:
    case V_FLOAT:
        append_number(b, v);
        return;
    case V_STR:
        strb_append_str(b, v.str);
        return;
    case V_RANGE:
        append_range(b, v.range);
        return;
    case V_MACRO:
        strb_append_text(b, "<Macro '");
        strb_append_str(b, macro_name(v.macro));
        strb_append_text(b, "'>");
        return;
    case V_GENERATOR:
    case V_FUNCTION:
    case V_METHOD:
    case V_LOOP:
    case V_CYCLER:
    case V_JOINER:
        interp_fail(in, "a '%s' object has no text%s", value_type_name(v),
                    v.kind == V_GENERATOR ? " (use |list or |join)" : "");
        return;
    default:
        text_append_repr(in, b, v);
    }
}

struct value text_of(struct interp *in, struct value v) {
    if (v.kind == V_STR)
        return v;
    struct strb b = interp_builder(in);
    text_append(in, &b, v);
    return interp_take(in, &b);
}

struct value text_escape(struct interp *in, const struct str *s) {
    if (s->markup)
        return value_str(s);
    struct strb b = interp_builder(in);
    for (size_t i = 0; i < s->len; i++) {
        const char c = s->bytes[i];
        const char *entity = c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '\'' ? "&#39;"
                             : c == '"'  ? "&#34;"
                                         : NULL;
        if (entity)
            strb_append(&b, entity, strlen(entity), str_user_at(s, i));
        else
            strb_append_part(&b, s, i, i + 1);
    }
    const struct value escaped = interp_take(in, &b);
    return interp_str(in, str_as_markup(&in->arena, escaped.str, true));
}

struct value text_map_case(struct interp *in, const struct str *s, enum case_map map) {
    struct strb b = interp_builder(in);
    for (size_t i = 0; i < s->len && !b.failed;) {
        uint32_t cp;
        unicode_append_mapped(&b, s, i, map);
        i += str_char(s, i, &cp);
    }
    const struct value mapped = interp_take(in, &b);
    return interp_str(in, str_as_markup(&in->arena, mapped.str, s->markup));
}

static bool is_stripped(const struct str *chars, const struct str *s, size_t at, size_t n,
                        uint32_t cp) {
    if (!chars)
        return unicode_is_space(cp);
    const struct str one = {.bytes = s->bytes + at, .len = (uint32_t)n};
    return str_find(chars, 0, chars->len, &one) != SIZE_MAX;
}

struct value text_strip(struct interp *in, const struct str *s, const struct str *chars, bool left,
                        bool right) {
    size_t from = 0;
    size_t to = s->len;
    uint32_t cp;
    const uint64_t cost = 1 + (chars ? chars->len / 64 : 0);
    while (left && from < to && interp_charge(in, cost)) {
        const size_t n = str_char(s, from, &cp);
        if (!is_stripped(chars, s, from, n, cp))
            break;
        from += n;
    }
    while (right && from < to && interp_charge(in, cost)) {
        size_t last = to - 1;
        while (last > from && ((unsigned char)s->bytes[last] & 0xc0) == 0x80)
            last--;
        (void)str_char(s, last, &cp); /* its length is to - last */
        if (!is_stripped(chars, s, last, to - last, cp))
            break;
        to = last;
    }
    return interp_part(in, s, from, to);
}
