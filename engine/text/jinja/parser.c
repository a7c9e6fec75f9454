/* SPDX-License-Identifier: Apache-2.0 */
#include "parser.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_ITEMS = 4 };

void parser_next(struct parser *p) {
    if (p->has_ahead)
        p->token = p->ahead;
    else
        lexer_next(&p->lexer, &p->token);
    p->has_ahead = false;
    if (p->lexer.failed)
        p->token.kind = T_EOF;
}

const struct token *parser_look(struct parser *p) {
    if (!p->has_ahead)
        lexer_next(&p->lexer, &p->ahead);
    p->has_ahead = true;
    return &p->ahead;
}

bool parser_at_name(const struct parser *p, const char *name) {
    return p->token.kind == T_NAME && p->token.len == strlen(name) &&
           memcmp(p->token.bytes, name, p->token.len) == 0;
}

bool parser_accept(struct parser *p, enum token_kind kind) {
    if (p->token.kind != kind || p->lexer.failed)
        return false;
    parser_next(p);
    return true;
}

bool parser_accept_name(struct parser *p, const char *name) {
    if (!parser_at_name(p, name) || p->lexer.failed)
        return false;
    parser_next(p);
    return true;
}

void parser_fail_unexpected(struct parser *p, const char *expected) {
    const struct token *token = &p->token;
    if (token->kind == T_NAME)
        lexer_fail(&p->lexer, token->line, "expected %s, found '%.*s'", expected,
                   (int)(token->len < 64 ? token->len : 64), token->bytes);
    else
        lexer_fail(&p->lexer, token->line, "expected %s, found '%s'", expected,
                   token_kind_name(token->kind));
    p->token.kind = T_EOF;
}

void parser_expect(struct parser *p, enum token_kind kind) {
    if (parser_accept(p, kind))
        return;
    char expected[32];
    (void)snprintf(expected, sizeof expected, "'%s'", token_kind_name(kind)); /* fits */
    parser_fail_unexpected(p, expected);
}

void parser_expect_name(struct parser *p, const char *name) {
    if (!parser_accept_name(p, name))
        parser_fail_unexpected(p, name);
}

const struct str *parser_expect_identifier(struct parser *p) {
    if (p->token.kind != T_NAME) {
        parser_fail_unexpected(p, "a name");
        return NULL;
    }
    const struct str *name = parser_intern(p, p->token.bytes, p->token.len);
    parser_next(p);
    return name;
}

bool parser_enter(struct parser *p) {
    if (p->lexer.failed)
        return false;
    if (p->depth >= MAX_NESTING) {
        lexer_fail(&p->lexer, p->token.line, "nested more than %d deep", MAX_NESTING);
        p->token.kind = T_EOF;
        return false;
    }
    p->depth++;
    return true;
}

void *parser_alloc(struct parser *p, size_t count, size_t size) {
    void *ptr = arena_alloc_zero(p->arena, count, size);
    if (!ptr)
        lexer_fail_memory(&p->lexer);
    return ptr;
}

/* Capacities are 4, 8, 16 ...: n alone tells when an array is full. */
void *parser_grow(struct parser *p, void *items, size_t n, size_t size) {
    const bool full = n == 0 || (n >= FIRST_ITEMS && (n & (n - 1)) == 0);
    if (!full)
        return items;
    void *grown = parser_alloc(p, n ? n * 2 : FIRST_ITEMS, size);
    if (grown && n)
        memcpy(grown, items, n * size);
    return grown;
}

const struct str *parser_intern(struct parser *p, const char *bytes, size_t len) {
    const struct entry *known = dict_get_text(p->names, bytes, len);
    if (known)
        return known->key.str;

    const struct str *name = str_lend(p->arena, bytes, len, /* user= */ false);
    if (!name || !dict_set(p->arena, p->names, value_str(name), value_none())) {
        lexer_fail_memory(&p->lexer);
        return NULL;
    }
    return name;
}
