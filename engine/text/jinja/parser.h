/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parser - what the expression half and the statement half of the parser share.
 *
 * Recursive descent over the lexer's tokens with one token of look-ahead. Failure is the lexer's
 * sticky one: after it only T_EOF comes, so every loop ends, and the tree is thrown away. Every
 * recursion passes parser_enter, which limits the nesting of the tree.
 */
#ifndef KVASIR_JINJA_PARSER_H
#define KVASIR_JINJA_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ast.h"
#include "lexer.h"

enum { MAX_NESTING = 100 };

/* What a macro's body asks for beyond its parameters; decides what callers may pass. */
struct macro_uses {
    bool caller;
    bool kwargs;
    bool varargs;
};

struct parser {
    struct lexer lexer;
    struct arena *arena;
    struct token token;
    struct token ahead; /* valid if has_ahead */
    bool has_ahead;
    struct dict *names; /* interned */
    uint32_t depth;
    uint32_t loops; /* open for loops within the innermost macro: where break is allowed */
    uint32_t fors;  /* all open for loops */
    struct macro_uses uses;
    /*
     * A filter or test that does not exist is an error of the template, except inside if and
     * inline if ("soft"), where it is one only when it is reached: templates ask "is filter".
     */
    bool soft;
    const struct suffix *unknown; /* the first such one outside of if; NULL: none */
};

void parser_next(struct parser *p);
const struct token *parser_look(struct parser *p); /* the token behind the current one */
bool parser_at_name(const struct parser *p, const char *name);
bool parser_accept(struct parser *p, enum token_kind kind);
bool parser_accept_name(struct parser *p, const char *name);
void parser_expect(struct parser *p, enum token_kind kind);
void parser_expect_name(struct parser *p, const char *name);
const struct str *parser_expect_identifier(struct parser *p);
void parser_fail_unexpected(struct parser *p, const char *expected);

/* True if there is room for one more level; then leave it again. */
bool parser_enter(struct parser *p);
static inline void parser_leave(struct parser *p) {
    p->depth--;
}

static inline bool parser_failed(const struct parser *p) {
    return p->lexer.failed;
}

/* Zeroed; NULL and failed when memory is exhausted. */
void *parser_alloc(struct parser *p, size_t count, size_t size);

/*
 * Room for one more item behind the n of an array: the array itself or a larger copy. NULL and
 * failed when memory is exhausted.
 */
void *parser_grow(struct parser *p, void *items, size_t n, size_t size);

const struct str *parser_intern(struct parser *p, const char *bytes, size_t len);

/* Expressions. Each returns NULL after a failure only. */
struct expr *parse_expression(struct parser *p);
struct expr *parse_without_condition(struct parser *p); /* no inline if on the outside */
struct expr *parse_primary(struct parser *p);

/* a, b, c: a tuple if there is a comma. end_name: a name that ends it too, or NULL. */
struct expr *parse_tuple(struct parser *p, bool with_condition, const char *end_name);

/* name(args)|name ... as an E_POSTFIX without a base. The first | was read already. */
struct expr *parse_filters(struct parser *p);

/* Statements. */
void parse_template(struct parser *p, struct body *ret_body);

#endif
