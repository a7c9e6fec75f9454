/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprint: repr() with the keys of dicts sorted, broken into lines where it is wider than 80
 * columns, as Python's pprint does it.
 */
#include <string.h>

#include "filters.h"
#include "iter.h"
#include "text.h"

enum { WIDTH = 80 };

struct printer {
    struct interp *in;
    struct strb out;
};

/* Where a value stands: its column, and what must still fit behind it. */
struct room {
    size_t indent;
    size_t allowance;
    bool top;
};

static void print(struct printer *p, struct value v, struct room room);

/* A copy with the keys of all dicts sorted (where they have an order), so that repr() sorts. */
static struct value sorted_copy(struct interp *in, struct value v) {
    if (!interp_enter(in))
        return v;
    if (v.kind == V_DICT) {
        struct seq *keys = iter_collect(in, v);
        bool same_kind = true;
        for (size_t i = 1; i < keys->n; i++)
            same_kind = same_kind && keys->items[i].kind == keys->items[0].kind;
        if (same_kind && keys->n > 0 &&
            (keys->items[0].kind == V_STR || keys->items[0].kind == V_INT))
            seq_sort(in, keys->items, keys->n, /* reverse= */ false);
        struct dict *copy = interp_dict(in);
        copy->user = v.dict->user;
        for (size_t i = 0; i < keys->n && !in->failed; i++)
            interp_set(in, copy, keys->items[i],
                       sorted_copy(in, dict_get(v.dict, keys->items[i])->value));
        v = value_dict(copy);
    } else if (v.kind == V_LIST || v.kind == V_TUPLE) {
        struct seq *copy = interp_seq(in, v.seq->n);
        copy->user = v.seq->user;
        for (size_t i = 0; i < v.seq->n && !in->failed; i++)
            interp_add(in, copy, sorted_copy(in, v.seq->items[i]));
        v = value_seq(v.kind, copy);
    }
    interp_leave(in);
    return v;
}

static const struct str *repr(struct printer *p, struct value v) {
    struct strb b = interp_builder(p->in);
    text_append_repr(p->in, &b, v);
    return interp_take(p->in, &b).str;
}

static void new_line(struct printer *p, size_t indent, bool user) {
    strb_append(&p->out, "\n", 1, user);
    strb_repeat(&p->out, " ", 1, indent, user);
}

static void print_seq(struct printer *p, struct value v, struct room room) {
    const struct seq *seq = v.seq;
    const char *close = v.kind == V_LIST ? "]" : seq->n == 1 ? ",)" : ")";
    strb_append(&p->out, v.kind == V_LIST ? "[" : "(", 1, seq->user);
    for (size_t i = 0; i < seq->n && !p->in->failed; i++) {
        const bool last = i + 1 == seq->n;
        print(p, seq->items[i],
              (struct room){.indent = room.indent + 1,
                            .allowance = last ? room.allowance + strlen(close) : 1});
        if (!last) {
            strb_append(&p->out, ",", 1, seq->user);
            new_line(p, room.indent + 1, seq->user);
        }
    }
    strb_append(&p->out, close, strlen(close), seq->user);
}

static void print_dict(struct printer *p, const struct dict *dict, struct room room) {
    strb_append(&p->out, "{", 1, dict->user);
    for (size_t i = 0; i < dict->n && !p->in->failed; i++) {
        const bool last = i + 1 == dict->n;
        const struct str *key = repr(p, dict->entries[i].key);
        strb_append_str(&p->out, key);
        strb_append(&p->out, ": ", 2, dict->user);
        print(p, dict->entries[i].value,
              (struct room){.indent = room.indent + 1 + key->n_chars + 2,
                            .allowance = last ? room.allowance + 1 : 1});
        if (!last) {
            strb_append(&p->out, ",", 1, dict->user);
            new_line(p, room.indent + 1, dict->user);
        }
    }
    strb_append(&p->out, "}", 1, dict->user);
}

/* The end of a word and the blanks behind it. */
static size_t word_end(const struct str *s, size_t at) {
    uint32_t cp;
    bool blank = false;
    while (at < s->len) {
        const size_t n = str_char(s, at, &cp);
        if (blank && !unicode_is_space(cp))
            break;
        blank = unicode_is_space(cp);
        at += n;
    }
    return at;
}

/* One line of a string into pieces whose repr fits; each piece is added to chunks. */
static void split_line(struct printer *p, const struct str *line, size_t width, size_t last_width,
                       struct seq *chunks) {
    size_t from = 0;
    for (size_t at = 0; at < line->len && !p->in->failed;) {
        const size_t end = word_end(line, at);
        const size_t room = end == line->len ? last_width : width;
        const struct value candidate = interp_part(p->in, line, from, end);
        if (repr(p, candidate)->n_chars > room) {
            if (at > from)
                interp_add(p->in, chunks, interp_part(p->in, line, from, at));
            from = at;
        }
        at = end;
    }
    if (from < line->len)
        interp_add(p->in, chunks, interp_part(p->in, line, from, line->len));
}

static size_t minus(size_t a, size_t b) {
    return a > b ? a - b : 0;
}

/* A long string as several literals below each other. */
static void print_str(struct printer *p, struct value v, struct room room) {
    struct interp *in = p->in;
    const struct value keep = value_bool(true);
    const struct value lines = builtin_call(in, method_find(v, "splitlines", 10), v,
                                            &(struct args){.pos = &keep, .n_pos = 1});
    struct seq *chunks = interp_seq(in, 0);
    const size_t indent = room.indent + (room.top ? 1 : 0);
    const size_t width = minus(WIDTH, indent);
    const size_t last_width = minus(width, room.allowance + (room.top ? 1 : 0));
    for (size_t i = 0; !in->failed && i < lines.seq->n; i++) {
        const struct value line = lines.seq->items[i];
        const size_t line_width = i + 1 == lines.seq->n ? last_width : width;
        if (repr(p, line)->n_chars <= line_width)
            interp_add(in, chunks, line);
        else
            split_line(p, line.str, width, line_width, chunks);
    }
    const bool parenthesised = room.top && chunks->n > 1;
    const bool user = str_has_user(v.str);
    if (parenthesised)
        strb_append(&p->out, "(", 1, user);
    for (size_t i = 0; i < chunks->n && !in->failed; i++) {
        if (i > 0)
            new_line(p, indent, user);
        strb_append_str(&p->out, repr(p, chunks->items[i]));
    }
    if (parenthesised)
        strb_append(&p->out, ")", 1, user);
}

static void print(struct printer *p, struct value v, struct room room) {
    if (!interp_enter(p->in))
        return;
    const struct str *text = repr(p, v);
    const bool fits = text->n_chars <= minus(WIDTH, room.indent + room.allowance);
    if (!fits && v.kind == V_DICT && v.dict->n > 0)
        print_dict(p, v.dict, room);
    else if (!fits && (v.kind == V_LIST || v.kind == V_TUPLE) && v.seq->n > 0)
        print_seq(p, v, room);
    else if (!fits && v.kind == V_STR && v.str->len > 0)
        print_str(p, v, room);
    else
        strb_append_str(&p->out, text);
    interp_leave(p->in);
}

BUILTIN(filter_pprint) {
    struct printer p = {.in = in, .out = interp_builder(in)};
    print(&p, sorted_copy(in, self), (struct room){.top = true});
    return interp_take(in, &p.out);
}
