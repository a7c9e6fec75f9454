/* SPDX-License-Identifier: Apache-2.0 */
/* Filters that make text from text or from values. */
#include "filters.h"

#include <stdio.h>
#include <string.h>

#include "iter.h"
#include "ops.h"
#include "text.h"

/* str(self): markup stays markup. */
static const struct str *as_text(struct interp *in, struct value self) {
    return text_of(in, self).str;
}

static struct value plain(struct interp *in, const struct str *s) {
    return interp_str(in, str_as_markup(&in->arena, s, false));
}

BUILTIN(filter_upper) {
    return text_map_case(in, as_text(in, self), CASE_UPPER);
}

BUILTIN(filter_lower) {
    return text_map_case(in, as_text(in, self), CASE_LOWER);
}

/* The first character in title case, the others in lower case. */
BUILTIN(filter_capitalize) {
    const struct str *s = as_text(in, self);
    struct strb b = interp_builder(in);
    for (size_t i = 0; i < s->len && !b.failed;) {
        uint32_t cp;
        unicode_append_mapped(&b, s, i, i == 0 ? CASE_TITLE : CASE_LOWER);
        i += str_char(s, i, &cp);
    }
    const struct value result = interp_take(in, &b);
    return interp_str(in, str_as_markup(&in->arena, result.str, s->markup));
}

/* Jinja's own title: a word begins behind white space and - ( { [ < */
BUILTIN(filter_title) {
    const struct str *s = as_text(in, self);
    struct strb b = interp_builder(in);
    bool begins = true;
    for (size_t i = 0; i < s->len && !b.failed;) {
        uint32_t cp;
        const size_t n = str_char(s, i, &cp);
        unicode_append_mapped(&b, s, i, begins ? CASE_UPPER : CASE_LOWER);
        begins = unicode_is_space(cp) || (cp < 0x80 && text_is_one_of((char)cp, "-({[<"));
        i += n;
    }
    const struct value result = interp_take(in, &b);
    return plain(in, result.str);
}

BUILTIN(filter_trim) {
    const struct str *chars = arg_given(args, 0) ? arg_str(in, args, 0, NULL) : NULL;
    return text_strip(in, as_text(in, self), chars, /* left= */ true, /* right= */ true);
}

BUILTIN(filter_string) {
    return text_of(in, self);
}

BUILTIN(filter_safe) {
    return interp_str(in, str_as_markup(&in->arena, as_text(in, self), true));
}

BUILTIN(filter_escape) {
    return text_escape(in, as_text(in, self));
}

BUILTIN(filter_forceescape) {
    return text_escape(in, plain(in, as_text(in, self)).str);
}

BUILTIN(filter_format) {
    if (args->n_pos > 0 && args->n_kw > 0)
        interp_fail(in, "format takes positional or keyword arguments, not both");
    if (args->n_kw > 0) {
        struct dict *dict = interp_dict(in);
        for (size_t i = 0; i < args->n_kw; i++)
            interp_set(in, dict, value_str(args->kw[i].name), args->kw[i].value);
        return format_percent(in, as_text(in, self), value_dict(dict));
    }
    struct seq *values = interp_seq(in, args->n_pos);
    for (size_t i = 0; i < args->n_pos; i++)
        interp_add(in, values, args->pos[i]);
    return format_percent(in, as_text(in, self), value_seq(V_TUPLE, values));
}

BUILTIN(filter_center) {
    const struct str *s = as_text(in, self);
    const struct value width = value_int(arg_int(in, args, 0, 80));
    const struct builtin *center = method_find(value_str(s), "center", 6);
    return builtin_call(in, center, value_str(s), &(struct args){.pos = &width, .n_pos = 1});
}

BUILTIN(filter_replace) {
    const struct value s = plain(in, as_text(in, self));
    const struct value passed[3] = {plain(in, as_text(in, args->pos[0])),
                                    plain(in, as_text(in, args->pos[1])),
                                    value_int(arg_given(args, 2) ? arg_int(in, args, 2, -1) : -1)};
    return builtin_call(in, method_find(s, "replace", 7), s,
                        &(struct args){.pos = passed, .n_pos = 3});
}

/* --- Lines ------------------------------------------------------------------------------------- */

static const struct seq *split_lines(struct interp *in, const struct str *s) {
    const struct value v = value_str(s);
    return builtin_call(in, method_find(v, "splitlines", 10), v, &(struct args){.n_pos = 0}).seq;
}

BUILTIN(filter_indent) {
    if (self.kind != V_STR) {
        interp_fail(in, "indent needs a str, not '%s'", value_type_name(self));
        return value_none();
    }
    const struct value width = args->pos[0];
    struct strb spaces = interp_builder(in);
    if (width.kind == V_STR)
        strb_append_str(&spaces, width.str);
    else
        strb_repeat(&spaces, " ", 1,
                    (size_t)(arg_int(in, args, 0, 4) > 0 ? arg_int(in, args, 0, 4) : 0),
                    /* user= */ false);
    const struct str *indention = interp_take(in, &spaces).str;
    const bool first = arg_truth(args, 1, false);
    const bool blank = arg_truth(args, 2, false);

    /* A newline is added so that a final one makes a last, empty line. */
    const struct value text = op_concat_str(in, self.str, interp_text(in, "\n").str);
    if (in->failed)
        return value_none();
    const struct seq *lines = split_lines(in, text.str);
    struct strb b = interp_builder(in);
    for (size_t i = 0; !in->failed && i < lines->n && interp_charge(in, 1); i++) {
        const struct str *line = lines->items[i].str;
        if (i > 0)
            strb_append_text(&b, "\n");
        if (i == 0 ? first : blank || line->len > 0)
            strb_append_str(&b, indention);
        strb_append_str(&b, line);
    }
    const struct value result = interp_take(in, &b);
    return interp_str(in, str_as_markup(&in->arena, result.str, self.str->markup));
}

BUILTIN(filter_truncate) {
    const int64_t length = arg_int(in, args, 0, 255);
    const struct str *end = arg_str(in, args, 2, "...");
    const int64_t leeway = arg_given(args, 3) ? arg_int(in, args, 3, 5) : 5;
    if (length < end->n_chars || leeway < 0)
        interp_fail(in, "truncate: a length of at least %u and no negative leeway is needed",
                    end->n_chars);
    if (op_length(in, self) <= length + leeway || in->failed)
        return self; /* whatever it is: only its length was asked for */
    if (self.kind != V_STR) {
        interp_fail(in, "truncate needs a str, not '%s'", value_type_name(self));
        return self;
    }

    size_t to = str_offset(self.str, (size_t)(length - end->n_chars));
    if (!arg_truth(args, 1, false)) {
        const struct str space = {.bytes = " ", .len = 1, .n_chars = 1};
        const size_t last = str_rfind(self.str, 0, to, &space);
        to = last == SIZE_MAX ? to : last;
    }
    return op_concat_str(in, interp_part(in, self.str, 0, to).str, end);
}

BUILTIN(filter_wordcount) {
    const struct str *s = as_text(in, self);
    int64_t n = 0;
    bool in_word = false;
    for (size_t i = 0; i < s->len;) {
        uint32_t cp;
        i += str_char(s, i, &cp);
        n += unicode_is_word(cp) && !in_word;
        in_word = unicode_is_word(cp);
    }
    (void)interp_charge_bytes(in, s->len); /* failure is sticky */
    return value_int(n);
}

/* --- HTML and URLs ----------------------------------------------------------------------------- */

/* Text without tags, with runs of white space as one space. Entities stay as they are. */
BUILTIN(filter_striptags) {
    const struct str *s = as_text(in, self);
    struct strb b = interp_builder(in);
    bool space = false;
    bool closable = true; /* a > may still come */
    for (size_t i = 0; i < s->len && interp_charge(in, 1);) {
        uint32_t cp;
        const size_t n = str_char(s, i, &cp);
        if (cp == '<' && closable) {
            const char *close = memchr(s->bytes + i, '>', s->len - i);
            closable = close != NULL;
            if (close) {
                i = (size_t)(close - s->bytes) + 1;
                continue;
            }
        }
        if (unicode_is_space(cp)) {
            space = b.len > 0;
        } else {
            if (space)
                strb_append_text(&b, " ");
            space = false;
            strb_append_part(&b, s, i, i + n);
        }
        i += n;
    }
    return interp_take(in, &b);
}

static void append_quoted_url(struct strb *b, const struct str *s, bool query) {
    for (size_t i = 0; i < s->len; i++) {
        const unsigned char c = (unsigned char)s->bytes[i];
        const bool user = str_user_at(s, i);
        const bool safe = (c | 0x20) >= 'a' && (c | 0x20) <= 'z' && c < 0x80;
        char hex[4];
        if (safe || (c >= '0' && c <= '9') || text_is_one_of((char)c, "_.-~") ||
            (c == '/' && !query)) {
            strb_append(b, (const char *)&c, 1, user);
        } else if (c == ' ' && query) {
            strb_append(b, "+", 1, user);
        } else {
            (void)snprintf(hex, sizeof hex, "%%%02X", c); /* fits */
            strb_append(b, hex, 3, user);
        }
    }
}

BUILTIN(filter_urlencode) {
    struct strb b = interp_builder(in);
    if (self.kind == V_STR || !iter_possible(self)) {
        append_quoted_url(&b, as_text(in, self), /* query= */ false);
        return interp_take(in, &b);
    }
    struct value pairs = self;
    if (self.kind == V_DICT)
        pairs = builtin_call(in, method_find(self, "items", 5), self, &(struct args){.n_pos = 0});
    struct iter it = iter_init(in, pairs);
    struct value pair;
    for (bool first = true; iter_next(in, &it, &pair); first = false) {
        const struct seq *parts = iter_collect(in, pair);
        if (parts->n != 2) {
            interp_fail(in, "urlencode needs a str, a dict or pairs");
            break;
        }
        if (!first)
            strb_append_text(&b, "&");
        append_quoted_url(&b, as_text(in, parts->items[0]), /* query= */ true);
        strb_append_text(&b, "=");
        append_quoted_url(&b, as_text(in, parts->items[1]), /* query= */ true);
    }
    return interp_take(in, &b);
}

BUILTIN(filter_xmlattr) {
    struct strb b = interp_builder(in);
    if (self.kind != V_DICT)
        interp_fail(in, "xmlattr needs a dict, not '%s'", value_type_name(self));
    for (size_t i = 0; !in->failed && i < self.dict->n; i++) {
        const struct entry *entry = &self.dict->entries[i];
        if (entry->value.kind == V_NONE || entry->value.kind == V_UNDEFINED)
            continue;
        const struct str *key = as_text(in, entry->key);
        for (size_t k = 0; k < key->len; k++) {
            if (text_is_one_of(key->bytes[k], " \t\n\r\f\v/>="))
                interp_fail(in, "invalid character in an attribute name");
        }
        if (b.len > 0 || arg_truth(args, 0, true))
            strb_append_text(&b, " ");
        strb_append_str(&b, text_escape(in, key).str);
        strb_append_text(&b, "=\"");
        strb_append_str(&b, text_escape(in, as_text(in, entry->value)).str);
        strb_append_text(&b, "\"");
    }
    return interp_take(in, &b);
}

/* --- JSON -------------------------------------------------------------------------------------- */

static void set_separators(struct interp *in, struct value pair, struct json_style *style) {
    if (!value_is_seq(pair) || pair.seq->n != 2 || pair.seq->items[0].kind != V_STR ||
        pair.seq->items[1].kind != V_STR) {
        interp_fail(in, "tojson: separators must be two strings");
        return;
    }
    style->item_separator = pair.seq->items[0].str;
    style->key_separator = pair.seq->items[1].str;
}

BUILTIN(filter_tojson) {
    const struct value indent = args->pos[1];
    struct json_style style = {
        .ensure_ascii = arg_truth(args, 0, false),
        .sort_keys = arg_truth(args, 3, false),
    };
    if (indent.kind == V_STR) {
        style.indent = indent.str;
    } else if (arg_given(args, 1)) {
        struct strb spaces = interp_builder(in);
        const int64_t n = arg_int(in, args, 1, 0);
        strb_repeat(&spaces, " ", 1, (size_t)(n > 0 ? n : 0), /* user= */ false);
        style.indent = interp_take(in, &spaces).str;
    }
    style.item_separator = interp_text(in, style.indent ? "," : ", ").str;
    style.key_separator = interp_text(in, ": ").str;
    if (arg_given(args, 2))
        set_separators(in, args->pos[2], &style);

    struct strb b = interp_builder(in);
    text_append_json(in, &b, self, &style);
    return interp_take(in, &b);
}

BUILTIN(filter_from_json) {
    if (self.kind == V_STR)
        return text_parse_json(in, self.str);
    interp_fail(in, "from_json needs a str, not '%s'", value_type_name(self));
    return value_none();
}
