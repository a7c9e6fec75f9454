/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wordwrap: paragraphs into lines of a width, as Python's textwrap does it. A line of text is cut
 * into chunks (blanks, words, parts of hyphenated words, dashes), which are then put on lines.
 */
#include <string.h>

#include "filters.h"
#include "text.h"

struct chunk {
    size_t from; /* characters of the paragraph */
    size_t to;
};

struct wrapper {
    struct interp *in;
    const struct str *text; /* one paragraph */
    const uint32_t *cps;    /* its characters, n of them */
    const uint32_t *bytes;  /* where each begins, and the end behind the last */
    size_t n;
    struct chunk *chunks;
    size_t n_chunks;
    size_t width;
    bool break_words;
    bool break_hyphens;
    const struct str *newline;
    struct strb *out;
    bool has_line; /* of this paragraph */
};

static bool is_blank(uint32_t cp) {
    return cp < 0x80 && text_is_one_of((char)cp, "\t\n\v\f\r ");
}

static bool is_letter(const struct wrapper *w, size_t i) {
    return i < w->n && unicode_is_word(w->cps[i]) && !unicode_is_decimal(w->cps[i]);
}

static bool is_word_mark(uint32_t cp) {
    return unicode_is_word(cp) || (cp < 0x80 && text_is_one_of((char)cp, "!\"'&.,?"));
}

static bool is_hyphen(const struct wrapper *w, size_t i) {
    return i < w->n && w->cps[i] == '-';
}

/* The end of a dash (two hyphens or more between words) at i, or 0. */
static size_t dash_end(const struct wrapper *w, size_t i) {
    size_t end = i;
    if (i == 0 || !is_word_mark(w->cps[i - 1])) /* asked first: a run of hyphens is walked once */
        return 0;
    while (is_hyphen(w, end))
        end++;
    return end - i >= 2 && end < w->n && unicode_is_word(w->cps[end]) ? end : 0;
}

/* Whether the hyphen at i joins parts of a word: aa-bb, or a-a-bb. */
static bool is_inner_hyphen(const struct wrapper *w, size_t i) {
    const bool two = i >= 2 && is_letter(w, i - 1) && is_letter(w, i - 2);
    const bool spelled =
        i >= 3 && is_letter(w, i - 1) && is_hyphen(w, i - 2) && is_letter(w, i - 3);
    const size_t second = is_hyphen(w, i + 2) ? i + 3 : i + 2;
    return (two || spelled) && is_letter(w, i + 1) && is_letter(w, second);
}

static size_t chunk_end(const struct wrapper *w, size_t i) {
    const bool blank = is_blank(w->cps[i]);
    size_t end = i;
    if (!blank && w->break_hyphens && dash_end(w, i) > 0)
        return dash_end(w, i);
    for (end++; end < w->n && is_blank(w->cps[end]) == blank; end++) {
        if (blank || !w->break_hyphens)
            continue;
        if (is_hyphen(w, end) && is_inner_hyphen(w, end))
            return end + 1;
        if (dash_end(w, end) > 0)
            return end;
    }
    return end;
}

static bool chunk_is_blank(const struct wrapper *w, const struct chunk *chunk) {
    return is_blank(w->cps[chunk->from]);
}

static void append_chunk(const struct wrapper *w, size_t from, size_t to) {
    strb_append_part(w->out, w->text, w->bytes[from], w->bytes[to]);
}

/* How much of a chunk that is longer than a line goes onto one with so much room. */
static size_t long_part(const struct wrapper *w, const struct chunk *chunk, size_t room) {
    if (w->break_hyphens && chunk->to - chunk->from > room) {
        size_t hyphen = room;
        while (hyphen > 0 && w->cps[chunk->from + hyphen - 1] != '-')
            hyphen--;
        for (size_t i = 0; hyphen > 1 && i + 1 < hyphen; i++) {
            if (w->cps[chunk->from + i] != '-')
                return hyphen;
        }
    }
    return room;
}

/* Puts chunks from *at on one line; a chunk that is cut keeps its rest. */
static void wrap_line(struct wrapper *w, size_t *at) {
    size_t used = 0;
    const size_t first = *at;
    size_t next = first;
    while (next < w->n_chunks && used + w->chunks[next].to - w->chunks[next].from <= w->width) {
        used += w->chunks[next].to - w->chunks[next].from;
        next++;
    }
    size_t cut = 0; /* characters of the chunk at next that are taken too */
    const bool too_long =
        next < w->n_chunks && w->chunks[next].to - w->chunks[next].from > w->width;
    if (too_long && w->break_words)
        cut = long_part(w, &w->chunks[next], w->width - used);
    else if (too_long && next == first)
        next++;
    size_t last =
        next; /* a blank at the end of a line is dropped; before a cut it is not the end */
    if (!(too_long && w->break_words) && last > first && chunk_is_blank(w, &w->chunks[last - 1]))
        last--;
    const bool cut_is_blank = cut > 0 && chunk_is_blank(w, &w->chunks[next]);
    if (last > first || (cut > 0 && !cut_is_blank)) {
        if (w->has_line)
            strb_append_str(w->out, w->newline);
        w->has_line = true;
    }
    if (last > first)
        append_chunk(w, w->chunks[first].from, w->chunks[last - 1].to);
    if (cut > 0 && !cut_is_blank)
        append_chunk(w, w->chunks[next].from, w->chunks[next].from + cut);
    if (cut > 0)
        w->chunks[next].from += cut;
    *at = next;
}

static void wrap_paragraph(struct wrapper *w, const struct str *text) {
    struct interp *in = w->in;
    const size_t n = text->n_chars;
    uint32_t *cps = interp_alloc(in, n + 1, sizeof *cps);
    uint32_t *bytes = interp_alloc(in, n + 1, sizeof *bytes);
    w->chunks = interp_alloc(in, n + 1, sizeof *w->chunks);
    if (in->failed || !cps || !bytes || !w->chunks || !interp_charge(in, n))
        return;

    size_t byte = 0;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint32_t)byte;
        byte += str_char(text, byte, &cps[i]);
    }
    bytes[n] = (uint32_t)byte;
    w->text = text;
    w->cps = cps;
    w->bytes = bytes;
    w->n = n;
    w->n_chunks = 0;
    w->has_line = false;
    for (size_t i = 0; i < n; i = w->chunks[w->n_chunks++].to)
        w->chunks[w->n_chunks] = (struct chunk){.from = i, .to = chunk_end(w, i)};

    for (size_t at = 0; at < w->n_chunks && interp_charge(in, 1);) {
        if (w->has_line && chunk_is_blank(w, &w->chunks[at]))
            at++;
        if (at < w->n_chunks)
            wrap_line(w, &at);
    }
}

BUILTIN(filter_wordwrap) {
    const int64_t width = arg_int(in, args, 0, 79);
    if (self.kind != V_STR)
        interp_fail(in, "wordwrap needs a str, not '%s'", value_type_name(self));
    else if (width <= 0)
        interp_fail(in, "invalid width %lld (must be > 0)", (long long)width);
    if (in->failed)
        return value_none();

    struct strb out = interp_builder(in);
    struct wrapper w = {
        .in = in,
        .width = (size_t)width,
        .break_words = arg_truth(args, 1, true),
        .break_hyphens = arg_truth(args, 3, true),
        .newline = arg_given(args, 2) ? arg_str(in, args, 2, NULL) : interp_text(in, "\n").str,
        .out = &out,
    };
    const struct value paragraphs =
        builtin_call(in, method_find(self, "splitlines", 10), self, &(struct args){.n_pos = 0});
    for (size_t i = 0; !in->failed && i < paragraphs.seq->n; i++) {
        if (i > 0)
            strb_append_str(&out, w.newline);
        wrap_paragraph(&w, paragraphs.seq->items[i].str);
    }
    return interp_take(in, &out);
}
