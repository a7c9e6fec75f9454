/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON as Python's json.dumps writes it (the tojson of chat templates), and a reader of JSON for
 * the filter from_json, which some templates expect. Depth is limited by interp_enter.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/utf8.h"

#include "iter.h"
#include "number.h"
#include "ops.h"
#include "text.h"

static void append_unicode_escape(struct strb *b, uint32_t cp, bool user) {
    char text[16];
    int n;
    if (cp < 0x10000)
        n = snprintf(text, sizeof text, "\\u%04x", cp);
    else
        n = snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((cp - 0x10000) >> 10),
                     0xdc00 + ((cp - 0x10000) & 0x3ff));
    strb_append(b, text, (size_t)n, user);
}

static const char *short_escape(uint32_t cp) {
    switch (cp) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '\f':
        return "\\f";
    case '\b':
        return "\\b";
    default:
        return NULL;
    }
}

static void append_json_string(struct strb *b, const struct str *s, bool ensure_ascii) {
    const bool quotes_user = str_has_user(s);
    size_t plain = 0; /* start of what needs no escape */

    strb_append(b, "\"", 1, quotes_user);
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        const size_t n = str_char(s, i, &cp);
        const char *escape = short_escape(cp);
        if (escape || cp < 0x20 || (ensure_ascii && cp >= 0x7f)) {
            strb_append_part(b, s, plain, i);
            if (escape)
                strb_append(b, escape, 2, str_user_at(s, i));
            else
                append_unicode_escape(b, cp, str_user_at(s, i));
            plain = i + n;
        }
        i += n;
    }
    strb_append_part(b, s, plain, s->len);
    strb_append(b, "\"", 1, quotes_user);
}

/* What a container's items need to know to be written. */
struct writer {
    const struct json_style *style;
    uint32_t level;
};

static void append_json(struct interp *in, struct strb *b, struct value v, struct writer w);

static void new_line(struct strb *b, struct writer w, bool user) {
    if (!w.style->indent)
        return;
    strb_append(b, "\n", 1, user);
    for (uint32_t i = 0; i < w.level; i++)
        strb_append(b, w.style->indent->bytes, w.style->indent->len, user);
}

static void append_separator(struct strb *b, const struct str *separator, bool user) {
    strb_append(b, separator->bytes, separator->len, user);
}

static void append_array(struct interp *in, struct strb *b, const struct seq *seq,
                         struct writer w) {
    const struct writer inner = {.style = w.style, .level = w.level + 1};
    if (seq->n == 0) {
        strb_append(b, "[]", 2, seq->user);
        return;
    }
    strb_append(b, "[", 1, seq->user);
    for (size_t i = 0; i < seq->n && !in->failed; i++) {
        if (i > 0)
            append_separator(b, w.style->item_separator, seq->user);
        new_line(b, inner, seq->user);
        append_json(in, b, seq->items[i], inner);
    }
    new_line(b, w, seq->user);
    strb_append(b, "]", 1, seq->user);
}

/* Keys are strings in JSON; Python turns numbers, booleans and None into them. */
static void append_key(struct interp *in, struct strb *b, struct value key, struct writer w) {
    if (key.kind == V_STR) {
        append_json_string(b, key.str, w.style->ensure_ascii);
        return;
    }
    if (!value_is_number(key) && key.kind != V_NONE) {
        interp_fail(in, "keys must be str, int, float, bool or None, not %s", value_type_name(key));
        return;
    }
    strb_append(b, "\"", 1, key.user);
    append_json(in, b, key, w);
    strb_append(b, "\"", 1, key.user);
}

/* The entries in the order of their keys. */
static const struct dict *sorted(struct interp *in, const struct dict *dict) {
    struct seq *keys = iter_collect(in, value_dict((struct dict *)dict));
    seq_sort(in, keys->items, keys->n, /* reverse= */ false);
    struct dict *result = interp_dict(in);
    result->user = dict->user;
    for (size_t i = 0; i < keys->n && !in->failed; i++)
        interp_set(in, result, keys->items[i], dict_get(dict, keys->items[i])->value);
    return result;
}

static void append_object(struct interp *in, struct strb *b, const struct dict *dict,
                          struct writer w) {
    const struct writer inner = {.style = w.style, .level = w.level + 1};
    if (dict->n == 0) {
        strb_append(b, "{}", 2, dict->user);
        return;
    }
    if (w.style->sort_keys)
        dict = sorted(in, dict);
    strb_append(b, "{", 1, dict->user);
    for (size_t i = 0; i < dict->n && !in->failed; i++) {
        if (i > 0)
            append_separator(b, w.style->item_separator, dict->user);
        new_line(b, inner, dict->user);
        append_key(in, b, dict->entries[i].key, w);
        append_separator(b, w.style->key_separator, dict->user);
        append_json(in, b, dict->entries[i].value, inner);
    }
    new_line(b, w, dict->user);
    strb_append(b, "}", 1, dict->user);
}

static void append_scalar(struct interp *in, struct strb *b, struct value v) {
    if (v.kind == V_NONE)
        strb_append(b, "null", 4, v.user);
    else if (v.kind == V_BOOL)
        strb_append(b, v.boolean ? "true" : "false", v.boolean ? 4 : 5, v.user);
    else if (v.kind == V_FLOAT && isnan(v.real))
        strb_append(b, "NaN", 3, v.user);
    else if (v.kind == V_FLOAT && isinf(v.real))
        strb_append(b, v.real < 0 ? "-Infinity" : "Infinity", v.real < 0 ? 9 : 8, v.user);
    else
        text_append(in, b, v);
}

static void append_json(struct interp *in, struct strb *b, struct value v, struct writer w) {
    if (!interp_enter(in))
        return;
    switch (v.kind) {
    case V_NONE:
    case V_BOOL:
    case V_INT:
    case V_FLOAT:
        append_scalar(in, b, v);
        break;
    case V_STR:
        append_json_string(b, v.str, w.style->ensure_ascii);
        break;
    case V_LIST:
    case V_TUPLE:
        append_array(in, b, v.seq, w);
        break;
    case V_DICT:
        append_object(in, b, v.dict, w);
        break;
    default:
        interp_fail(in, "Object of type %s is not JSON serializable", value_type_name(v));
    }
    interp_leave(in);
}

void text_append_json(struct interp *in, struct strb *b, struct value v,
                      const struct json_style *style) {
    append_json(in, b, v, (struct writer){.style = style});
}

/* --- Reading ----------------------------------------------------------------------------------- */

struct reader {
    struct interp *in;
    const struct str *text;
    size_t at;
};

static struct value read_value(struct reader *r);

static char look(const struct reader *r) {
    return r->at < r->text->len ? r->text->bytes[r->at] : '\0';
}

static void skip_blank(struct reader *r) {
    while (look(r) == ' ' || look(r) == '\n' || look(r) == '\r' || look(r) == '\t')
        r->at++;
}

static struct value bad(struct reader *r) {
    interp_fail(r->in, "from_json: not JSON at byte %zu", r->at);
    return value_none();
}

static bool accept(struct reader *r, char c) {
    skip_blank(r);
    if (look(r) != c)
        return false;
    r->at++;
    return true;
}

static bool accept_word(struct reader *r, const char *word) {
    const size_t n = strlen(word);
    if (n > r->text->len - r->at || memcmp(r->text->bytes + r->at, word, n) != 0)
        return false;
    r->at += n;
    return true;
}

static int64_t read_hex4(struct reader *r) {
    int64_t value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        const char c = look(r);
        const int digit = c >= '0' && c <= '9'                     ? c - '0'
                          : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                                   : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* \uXXXX, and the second half of a surrogate pair; a lone surrogate becomes U+FFFD. */
static void read_unicode_escape(struct reader *r, struct strb *b, bool user) {
    int64_t cp = read_hex4(r);
    if (cp >= 0xd800 && cp < 0xdc00 && accept_word(r, "\\u")) {
        const int64_t low = read_hex4(r);
        cp = low >= 0xdc00 && low < 0xe000 ? 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00)
                                           : 0xfffd;
    }
    if (cp < 0)
        (void)bad(r); /* sticky */
    else
        strb_append_char(b, cp >= 0xd800 && cp < 0xe000 ? 0xfffd : (uint32_t)cp, user);
}

static struct value read_string(struct reader *r) {
    static const char escapes[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    struct strb b = interp_builder(r->in);
    size_t plain = r->at;
    while (!r->in->failed) {
        const char c = look(r);
        if ((unsigned char)c < 0x20)
            return bad(r);
        if (c != '"' && c != '\\') {
            r->at++;
            continue;
        }
        strb_append_part(&b, r->text, plain, r->at);
        r->at++;
        if (c == '"')
            break;
        const bool user = str_user_at(r->text, r->at - 1);
        const char *known = look(r) ? strchr(escapes, look(r)) : NULL;
        if (look(r) == 'u') {
            r->at++;
            read_unicode_escape(r, &b, user);
        } else if (known && (known - escapes) % 2 == 0) {
            strb_append(&b, known + 1, 1, user);
            r->at++;
        } else {
            return bad(r);
        }
        plain = r->at;
    }
    return interp_take(r->in, &b);
}

static struct value read_number(struct reader *r) {
    const size_t start = r->at;
    const bool user = str_user_at(r->text, start);
    while (look(r) && strchr("+-.0123456789eE", look(r)))
        r->at++;
    const char *digits = r->text->bytes + start;
    const size_t n = r->at - start;
    int64_t integer = 0;
    double real = 0;
    struct value v;
    if (number_parse_int(digits, n, 10, &integer))
        v = value_int(integer);
    else if (number_parse_float(digits, n, &real))
        v = value_float(real);
    else
        return bad(r);
    v.user = user;
    return v;
}

static struct value read_array(struct reader *r, bool user) {
    struct seq *seq = interp_seq(r->in, 0);
    seq->user = user;
    if (accept(r, ']'))
        return value_seq(V_LIST, seq);
    do
        interp_add(r->in, seq, read_value(r));
    while (accept(r, ',') && !r->in->failed);
    return accept(r, ']') ? value_seq(V_LIST, seq) : bad(r);
}

static struct value read_object(struct reader *r, bool user) {
    struct dict *dict = interp_dict(r->in);
    dict->user = user;
    if (accept(r, '}'))
        return value_dict(dict);
    do {
        if (!accept(r, '"'))
            return bad(r);
        const struct value key = read_string(r);
        if (!accept(r, ':'))
            return bad(r);
        interp_set(r->in, dict, key, read_value(r));
    } while (accept(r, ',') && !r->in->failed);
    return accept(r, '}') ? value_dict(dict) : bad(r);
}

static struct value read_value(struct reader *r) {
    if (!interp_enter(r->in))
        return value_none();
    skip_blank(r);
    const bool user = str_user_at(r->text, r->at);
    struct value v;
    if (accept(r, '{'))
        v = read_object(r, user);
    else if (accept(r, '['))
        v = read_array(r, user);
    else if (accept(r, '"'))
        v = read_string(r);
    else if (accept_word(r, "true"))
        v = (struct value){.kind = V_BOOL, .user = user, .boolean = true};
    else if (accept_word(r, "false"))
        v = (struct value){.kind = V_BOOL, .user = user, .boolean = false};
    else if (accept_word(r, "null"))
        v = (struct value){.kind = V_NONE, .user = user};
    else
        v = read_number(r);
    interp_leave(r->in);
    return v;
}

struct value text_parse_json(struct interp *in, const struct str *s) {
    struct reader r = {.in = in, .text = s};
    const struct value v = read_value(&r);
    skip_blank(&r);
    return r.at == s->len ? v : bad(&r);
}
