/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ast - a parsed template. Made by the parser, read by any number of renders, never changed.
 *
 * Chains (a + b - c, x.y[0]|f(1) is g) are flat arrays and not nested nodes, so the depth of the
 * tree is the nesting that an author wrote, which the parser limits; the evaluator's recursion
 * follows it. Names are interned: one name, one pointer.
 */
#ifndef KVASIR_JINJA_AST_H
#define KVASIR_JINJA_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interp.h"
#include "value.h"

enum expr_kind {
    E_CONST,
    E_NAME,
    E_LIST,
    E_TUPLE,
    E_DICT,
    E_AND,
    E_OR,
    E_NOT,
    E_NEGATIVE,
    E_POSITIVE,
    E_ARITHMETIC, /* first op expr op expr ...: operators of one precedence, from the left */
    E_COMPARE,    /* the same shape; a < b < c means a < b and b < c */
    E_CONCAT,
    E_CONDITIONAL,
    E_POSTFIX, /* base and what is done to it, from the left */
};

/* operator, its spelling in messages */
#define BINARY_OPS(X)                                                                              \
    X(OP_ADD, "+")                                                                                 \
    X(OP_SUB, "-")                                                                                 \
    X(OP_MUL, "*")                                                                                 \
    X(OP_DIV, "/")                                                                                 \
    X(OP_FLOORDIV, "//")                                                                           \
    X(OP_MOD, "%")                                                                                 \
    X(OP_POW, "** or pow()")                                                                       \
    X(OP_EQ, "==")                                                                                 \
    X(OP_NE, "!=")                                                                                 \
    X(OP_LT, "<")                                                                                  \
    X(OP_LE, "<=")                                                                                 \
    X(OP_GT, ">")                                                                                  \
    X(OP_GE, ">=")                                                                                 \
    X(OP_IN, "in")                                                                                 \
    X(OP_NOT_IN, "not in")

#define AS_ENUM(op, spelling) op,
enum binary_op { BINARY_OPS(AS_ENUM) };
#undef AS_ENUM

struct expr;

struct exprs {
    struct expr **items;
    size_t n;
};

struct operand {
    enum binary_op op;
    struct expr *expr;
};

struct call_args {
    struct exprs pos;
    struct exprs kw_values;
    const struct str **kw_names; /* as many as kw_values */
    struct expr *star;           /* *args, or NULL */
    struct expr *star_star;      /* **kwargs, or NULL */
};

enum suffix_kind { S_ATTRIBUTE, S_ITEM, S_SLICE, S_CALL, S_FILTER, S_TEST };

struct suffix {
    enum suffix_kind kind;
    uint32_t line;
    bool negated;                  /* S_TEST: is not */
    const struct str *name;        /* S_ATTRIBUTE, S_FILTER, S_TEST */
    const struct builtin *builtin; /* S_FILTER, S_TEST; NULL: unknown, an error when reached */
    struct expr *index;            /* S_ITEM; S_SLICE: start, or NULL */
    struct expr *stop;             /* S_SLICE, or NULL */
    struct expr *step;             /* S_SLICE, or NULL */
    struct call_args *args;        /* S_CALL, S_FILTER, S_TEST; NULL: none */
};

struct expr {
    enum expr_kind kind;
    uint32_t line;
    union {
        struct value constant;
        const struct str *name;
        struct exprs list; /* E_LIST, E_TUPLE, E_AND, E_OR, E_CONCAT */
        struct {
            struct exprs keys;
            struct exprs values;
        } dict;
        struct expr *operand; /* E_NOT, E_NEGATIVE, E_POSITIVE */
        struct {
            struct expr *first;
            struct operand *rest;
            size_t n_rest;
        } chain;
        struct {
            struct expr *test;
            struct expr *then;
            struct expr *otherwise; /* or NULL */
        } conditional;
        struct {
            struct expr *base; /* NULL: the captured text of a filter or set block */
            struct suffix *suffixes;
            size_t n_suffixes;
        } postfix;
    };
};

enum target_kind { TARGET_NAME, TARGET_ATTRIBUTE, TARGET_TUPLE };

/* What an assignment writes to. */
struct target {
    enum target_kind kind;
    uint32_t line;
    const struct str *name;
    const struct str *attribute; /* TARGET_ATTRIBUTE: name is the namespace */
    struct target **items;       /* TARGET_TUPLE */
    size_t n_items;
};

enum stmt_kind {
    ST_TEXT,
    ST_OUTPUT,
    ST_IF,
    ST_FOR,
    ST_SET,
    ST_SET_BLOCK,
    ST_MACRO,
    ST_CALL_BLOCK,
    ST_FILTER_BLOCK,
    ST_WITH,
    ST_SCOPE, /* generation: a body in a scope of its own */
    ST_BLOCK, /* block: the same, but it sees the top level's variables only */
    ST_BREAK,
    ST_CONTINUE,
};

struct stmt;

struct body {
    struct stmt **items;
    size_t n;
};

struct branch {
    struct expr *test;
    struct body body;
};

/* A macro, or the body of a call block (then without a name). */
struct macro_def {
    const struct str *name;
    const struct str **params;
    size_t n_params;
    struct expr **defaults; /* of the last n_defaults parameters */
    size_t n_defaults;
    bool uses_caller;
    bool uses_kwargs;
    bool uses_varargs;
    struct body body;
    uint32_t line;
};

struct for_def {
    struct target *target;
    struct expr *iterable;
    struct expr *test; /* or NULL */
    bool recursive;
    struct body body;
    struct body otherwise;
};

struct stmt {
    enum stmt_kind kind;
    uint32_t line;
    union {
        const struct str *text;
        struct exprs output;
        struct {
            struct branch *branches;
            size_t n_branches;
            struct body otherwise;
        } conditional;
        struct for_def loop;
        struct {
            struct target *target;
            struct expr *value;  /* ST_SET */
            struct expr *filter; /* ST_SET_BLOCK, or NULL */
            struct body body;    /* ST_SET_BLOCK */
        } set;
        struct macro_def macro;
        struct {
            struct macro_def caller;
            struct expr *call; /* E_POSTFIX whose last suffix is S_CALL */
        } call;
        struct {
            struct expr *filter;
            struct body body;
        } filter;
        struct {
            struct target **targets;
            struct expr **values;
            size_t n;
            struct body body;
        } with;
        struct body block; /* ST_SCOPE, ST_BLOCK */
    };
};

struct chat_template {
    struct arena arena;
    const char *name;
    struct body body;
    /* Interned names with a meaning of their own; NULL if the template does not mention them. */
    const struct str *loop_name;
    const struct str *caller_name;
    const struct str *kwargs_name;
    const struct str *varargs_name;
};

#endif
