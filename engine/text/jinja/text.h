/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text - from values to strings: str(), repr(), JSON, formatting, escaping; and JSON to values.
 *
 * What is written for a value keeps its origin: a string's bytes their own; a number, None and a
 * boolean their value's; brackets, commas and quotes that of the container or string they belong
 * to. So everything that the text of a client's data brings is of user origin, down to the commas.
 */
#ifndef KVASIR_JINJA_TEXT_H
#define KVASIR_JINJA_TEXT_H

#include <string.h>

#include "interp.h"
#include "unicode.h"

/* Whether c is one of the characters of set; never for NUL, which strchr would find. */
static inline bool text_is_one_of(char c, const char *set) {
    return c != '\0' && strchr(set, c) != NULL;
}

/* What {{ v }} prints; fails for values that have no stable text (generators, functions). */
void text_append(struct interp *in, struct strb *b, struct value v);
void text_append_repr(struct interp *in, struct strb *b, struct value v);
struct value text_of(struct interp *in, struct value v); /* str(v): always a string */

struct json_style {
    bool ensure_ascii;
    bool sort_keys;
    const struct str *indent; /* NULL: all on one line */
    const struct str *item_separator;
    const struct str *key_separator;
};
void text_append_json(struct interp *in, struct strb *b, struct value v,
                      const struct json_style *style);
struct value text_parse_json(struct interp *in, const struct str *s);

struct value format_percent(struct interp *in, const struct str *format, struct value values);
struct value format_braces(struct interp *in, const struct str *format, const struct args *args,
                           struct value mapping);

/* & < > ' " as HTML entities; the result is markup. Markup stays as it is. */
struct value text_escape(struct interp *in, const struct str *s);

struct value text_map_case(struct interp *in, const struct str *s, enum case_map map);
struct value text_strip(struct interp *in, const struct str *s, const struct str *chars, bool left,
                        bool right); /* chars NULL: whitespace */

#endif
