/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lexer - template source into tokens, with Jinja's whitespace control.
 *
 * The environment is fixed: {{ }}, {% %}, {# #}, trim_blocks, lstrip_blocks, one final newline
 * dropped. Comments and raw blocks never leave the lexer. Tokens are made on demand; their text
 * points into the normalised source, which lives in the arena. Failure is sticky: after it only
 * T_EOF comes.
 */
#ifndef KVASIR_JINJA_LEXER_H
#define KVASIR_JINJA_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"
#include "kvasir/error.h"

#include "str.h"

/* kind, as messages name it; the operators' names are their spelling */
#define TOKEN_KINDS(X)                                                                             \
    X(T_EOF, "end of template")                                                                    \
    X(T_DATA, "template text")                                                                     \
    X(T_VARIABLE_BEGIN, "{{")                                                                      \
    X(T_VARIABLE_END, "}}")                                                                        \
    X(T_BLOCK_BEGIN, "{%")                                                                         \
    X(T_BLOCK_END, "%}")                                                                           \
    X(T_NAME, "name")                                                                              \
    X(T_STRING, "string")                                                                          \
    X(T_INT, "integer")                                                                            \
    X(T_FLOAT, "float")                                                                            \
    X(T_POW, "**")                                                                                 \
    X(T_FLOORDIV, "//")                                                                            \
    X(T_EQ, "==")                                                                                  \
    X(T_NE, "!=")                                                                                  \
    X(T_GE, ">=")                                                                                  \
    X(T_LE, "<=")                                                                                  \
    X(T_ADD, "+")                                                                                  \
    X(T_SUB, "-")                                                                                  \
    X(T_DIV, "/")                                                                                  \
    X(T_MUL, "*")                                                                                  \
    X(T_MOD, "%")                                                                                  \
    X(T_TILDE, "~")                                                                                \
    X(T_LBRACKET, "[")                                                                             \
    X(T_RBRACKET, "]")                                                                             \
    X(T_LPAREN, "(")                                                                               \
    X(T_RPAREN, ")")                                                                               \
    X(T_LBRACE, "{")                                                                               \
    X(T_RBRACE, "}")                                                                               \
    X(T_GT, ">")                                                                                   \
    X(T_LT, "<")                                                                                   \
    X(T_ASSIGN, "=")                                                                               \
    X(T_DOT, ".")                                                                                  \
    X(T_COLON, ":")                                                                                \
    X(T_PIPE, "|")                                                                                 \
    X(T_COMMA, ",")                                                                                \
    X(T_SEMICOLON, ";")

#define AS_ENUM(kind, name) kind,
enum token_kind { TOKEN_KINDS(AS_ENUM) };
#undef AS_ENUM

struct token {
    enum token_kind kind;
    uint32_t line;
    const char *bytes; /* T_DATA, T_NAME: as in the source; T_STRING: unescaped */
    size_t len;
    int64_t integer; /* T_INT */
    double real;     /* T_FLOAT */
};

enum { MAX_BRACKETS = 128 };

struct lexer {
    struct arena *arena;
    const char *name; /* of the template */
    const char *source;
    size_t len;
    size_t pos;
    uint32_t line;
    enum token_kind inside;      /* T_BLOCK_BEGIN or T_VARIABLE_BEGIN; T_DATA: outside of tags */
    enum token_kind pending;     /* the tag to open after the text before it; T_EOF: none */
    char brackets[MAX_BRACKETS]; /* the closers that are awaited */
    size_t n_brackets;
    bool failed;
    int code;
    struct error error;
};

/* Copies source into arena, with newlines normalised. -EINVAL: not UTF-8, too large. -ENOMEM. */
int lexer_init(struct lexer *lx, struct arena *arena, const char *source, size_t len,
               const char *name) KV_MUST_CHECK;

void lexer_next(struct lexer *lx, struct token *ret_token);

/* Sticky; the place is added to the message. */
void lexer_fail(struct lexer *lx, uint32_t line, const char *fmt, ...) KV_PRINTF(3, 4);
void lexer_fail_memory(struct lexer *lx);

const char *token_kind_name(enum token_kind kind);

#endif
