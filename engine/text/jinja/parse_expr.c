/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions: precedence from loosest to tightest is: inline if; or; and; not; comparison; + -;
 * ~; * / // %; **; unary minus; then . [] () of what is left, and last | and is, which apply to
 * the whole operand: -1|abs is (-1)|abs.
 */
#include <string.h>

#include "parser.h"

static struct expr *new_expr(struct parser *p, enum expr_kind kind, uint32_t line) {
    struct expr *e = parser_alloc(p, 1, sizeof *e);
    if (e) {
        e->kind = kind;
        e->line = line;
    }
    return e;
}

static void add_expr(struct parser *p, struct exprs *list, struct expr *e) {
    struct expr **items = parser_grow(p, list->items, list->n, sizeof *items);
    if (!items)
        return;
    list->items = items;
    list->items[list->n++] = e;
}

static struct expr *new_const(struct parser *p, struct value v, uint32_t line) {
    struct expr *e = new_expr(p, E_CONST, line);
    if (e)
        e->constant = v;
    return e;
}

static struct expr *parse_level(struct parser *p, int level);

/* --- Binary operators, as levels from loose to tight -------------------------------------- */

struct level_op {
    enum token_kind token;
    enum binary_op op;
};

struct level {
    enum expr_kind kind;
    struct level_op ops[6];
    size_t n_ops;
};

enum { LEVEL_COMPARE, LEVEL_SUM, LEVEL_CONCAT, LEVEL_PRODUCT, LEVEL_POWER, N_LEVELS };

static const struct level levels[N_LEVELS] = {
    [LEVEL_COMPARE] =
        {E_COMPARE,
         {{T_EQ, OP_EQ}, {T_NE, OP_NE}, {T_LT, OP_LT}, {T_LE, OP_LE}, {T_GT, OP_GT}, {T_GE, OP_GE}},
         6},
    [LEVEL_SUM] = {E_ARITHMETIC, {{T_ADD, OP_ADD}, {T_SUB, OP_SUB}}, 2},
    [LEVEL_CONCAT] = {E_CONCAT, {{T_TILDE, OP_ADD}}, 1},
    [LEVEL_PRODUCT] =
        {E_ARITHMETIC,
         {{T_MUL, OP_MUL}, {T_DIV, OP_DIV}, {T_FLOORDIV, OP_FLOORDIV}, {T_MOD, OP_MOD}},
         4},
    [LEVEL_POWER] = {E_ARITHMETIC, {{T_POW, OP_POW}}, 1},
};

/* Reads an operator of this level if one stands here. */
static bool accept_operator(struct parser *p, int level, enum binary_op *ret_op) {
    const struct level *l = &levels[level];
    for (size_t i = 0; i < l->n_ops; i++) {
        if (parser_accept(p, l->ops[i].token)) {
            *ret_op = l->ops[i].op;
            return true;
        }
    }
    if (level != LEVEL_COMPARE)
        return false;
    if (parser_accept_name(p, "in")) {
        *ret_op = OP_IN;
        return true;
    }
    const struct token *ahead = parser_at_name(p, "not") ? parser_look(p) : NULL;
    if (!ahead || ahead->kind != T_NAME || ahead->len != 2 || memcmp(ahead->bytes, "in", 2) != 0)
        return false;
    parser_next(p);
    parser_next(p);
    *ret_op = OP_NOT_IN;
    return true;
}

static struct expr *parse_unary(struct parser *p, bool with_filters);

static struct expr *parse_concat_rest(struct parser *p, struct expr *first) {
    struct expr *e = new_expr(p, E_CONCAT, p->token.line);
    if (!e)
        return NULL;
    add_expr(p, &e->list, first);
    do
        add_expr(p, &e->list, parse_level(p, LEVEL_CONCAT + 1));
    while (parser_accept(p, T_TILDE));
    return e;
}

/* operand (operator operand)* of one level; operands are of the next tighter level. */
static struct expr *parse_level(struct parser *p, int level) {
    if (level == N_LEVELS)
        return parse_unary(p, /* with_filters= */ true);

    const uint32_t line = p->token.line;
    struct expr *first = parse_level(p, level + 1);
    enum binary_op op;
    if (!accept_operator(p, level, &op))
        return first;
    if (levels[level].kind == E_CONCAT)
        return parse_concat_rest(p, first);

    struct expr *e = new_expr(p, levels[level].kind, line);
    if (!e)
        return NULL;
    e->chain.first = first;
    do {
        struct operand *rest =
            parser_grow(p, e->chain.rest, e->chain.n_rest, sizeof *e->chain.rest);
        if (!rest)
            return NULL;
        e->chain.rest = rest;
        rest[e->chain.n_rest] = (struct operand){.op = op, .expr = parse_level(p, level + 1)};
        e->chain.n_rest++;
    } while (accept_operator(p, level, &op));
    return e;
}

static struct expr *parse_not(struct parser *p) {
    const uint32_t line = p->token.line;
    if (!parser_accept_name(p, "not"))
        return parse_level(p, LEVEL_COMPARE);
    if (!parser_enter(p))
        return NULL;

    struct expr *e = new_expr(p, E_NOT, line);
    struct expr *operand = parse_not(p);
    if (e)
        e->operand = operand;
    parser_leave(p);
    return e;
}

/* a and b and c, or the same with or, whose operands are and-chains. */
static struct expr *parse_logic(struct parser *p, enum expr_kind kind) {
    const char *name = kind == E_OR ? "or" : "and";
    const uint32_t line = p->token.line;
    struct expr *first = kind == E_OR ? parse_logic(p, E_AND) : parse_not(p);
    if (!parser_at_name(p, name))
        return first;

    struct expr *e = new_expr(p, kind, line);
    if (!e)
        return NULL;
    add_expr(p, &e->list, first);
    while (parser_accept_name(p, name))
        add_expr(p, &e->list, kind == E_OR ? parse_logic(p, E_AND) : parse_not(p));
    return e;
}

struct expr *parse_without_condition(struct parser *p) {
    if (!parser_enter(p))
        return NULL;

    struct expr *e = parse_logic(p, E_OR);
    parser_leave(p);
    return e;
}

struct expr *parse_expression(struct parser *p) {
    if (!parser_enter(p))
        return NULL;

    const uint32_t line = p->token.line;
    const struct suffix *unknown = p->unknown;
    struct expr *result = parse_logic(p, E_OR);
    while (parser_accept_name(p, "if")) {
        const bool soft = p->soft;
        p->soft = true;
        p->unknown = unknown; /* what was unknown in the first part is now within an if */
        struct expr *e = new_expr(p, E_CONDITIONAL, line);
        struct expr *test = parse_logic(p, E_OR);
        struct expr *otherwise = parser_accept_name(p, "else") ? parse_expression(p) : NULL;
        p->soft = soft;
        if (!e)
            break;
        e->conditional.test = test;
        e->conditional.then = result;
        e->conditional.otherwise = otherwise;
        result = e;
    }
    parser_leave(p);
    return result;
}

/* --- Operands ------------------------------------------------------------------------------ */

static struct expr *parse_strings(struct parser *p) {
    const uint32_t line = p->token.line;
    struct strb b = {.arena = p->arena};
    while (p->token.kind == T_STRING) {
        strb_append(&b, p->token.bytes, p->token.len, /* user= */ false);
        parser_next(p);
    }
    const struct str *s = strb_take(&b);
    if (!s) {
        lexer_fail_memory(&p->lexer);
        return NULL;
    }
    return new_const(p, value_str(s), line);
}

static struct expr *parse_list(struct parser *p) {
    struct expr *e = new_expr(p, E_LIST, p->token.line);
    parser_expect(p, T_LBRACKET);
    while (e && p->token.kind != T_RBRACKET && p->token.kind != T_EOF) {
        add_expr(p, &e->list, parse_expression(p));
        if (!parser_accept(p, T_COMMA))
            break;
    }
    parser_expect(p, T_RBRACKET);
    return e;
}

static struct expr *parse_dict(struct parser *p) {
    struct expr *e = new_expr(p, E_DICT, p->token.line);
    parser_expect(p, T_LBRACE);
    while (e && p->token.kind != T_RBRACE && p->token.kind != T_EOF) {
        add_expr(p, &e->dict.keys, parse_expression(p));
        parser_expect(p, T_COLON);
        add_expr(p, &e->dict.values, parse_expression(p));
        if (!parser_accept(p, T_COMMA))
            break;
    }
    parser_expect(p, T_RBRACE);
    return e;
}

static bool name_is(const struct token *token, const char *name) {
    return token->len == strlen(name) && memcmp(token->bytes, name, token->len) == 0;
}

static struct expr *parse_name(struct parser *p) {
    const struct token token = p->token;
    parser_next(p);
    if (name_is(&token, "true") || name_is(&token, "True"))
        return new_const(p, value_bool(true), token.line);
    if (name_is(&token, "false") || name_is(&token, "False"))
        return new_const(p, value_bool(false), token.line);
    if (name_is(&token, "none") || name_is(&token, "None"))
        return new_const(p, value_none(), token.line);

    p->uses.caller |= name_is(&token, "caller");
    p->uses.kwargs |= name_is(&token, "kwargs");
    p->uses.varargs |= name_is(&token, "varargs");
    struct expr *e = new_expr(p, E_NAME, token.line);
    if (e)
        e->name = parser_intern(p, token.bytes, token.len);
    return e;
}

struct expr *parse_primary(struct parser *p) {
    const struct token token = p->token;
    struct expr *e = NULL;
    switch (token.kind) {
    case T_NAME:
        return parse_name(p);
    case T_STRING:
        return parse_strings(p);
    case T_INT:
        parser_next(p);
        return new_const(p, value_int(token.integer), token.line);
    case T_FLOAT:
        parser_next(p);
        return new_const(p, value_float(token.real), token.line);
    case T_LPAREN:
        parser_next(p);
        e = p->token.kind == T_RPAREN ? new_expr(p, E_TUPLE, token.line)
                                      : parse_tuple(p, /* with_condition= */ true, NULL);
        parser_expect(p, T_RPAREN);
        return e;
    case T_LBRACKET:
        return parse_list(p);
    case T_LBRACE:
        return parse_dict(p);
    default:
        parser_fail_unexpected(p, "an expression");
        return NULL;
    }
}

static bool at_tuple_end(const struct parser *p, const char *end_name) {
    const enum token_kind kind = p->token.kind;
    return kind == T_VARIABLE_END || kind == T_BLOCK_END || kind == T_RPAREN || kind == T_EOF ||
           (end_name && parser_at_name(p, end_name));
}

struct expr *parse_tuple(struct parser *p, bool with_condition, const char *end_name) {
    const uint32_t line = p->token.line;
    struct expr *first = with_condition ? parse_expression(p) : parse_without_condition(p);
    if (p->token.kind != T_COMMA)
        return first;

    struct expr *e = new_expr(p, E_TUPLE, line);
    if (!e)
        return NULL;
    add_expr(p, &e->list, first);
    while (parser_accept(p, T_COMMA) && !at_tuple_end(p, end_name))
        add_expr(p, &e->list, with_condition ? parse_expression(p) : parse_without_condition(p));
    return e;
}

/* --- Suffixes: . [] () | is ---------------------------------------------------------------- */

static void add_keyword(struct parser *p, struct call_args *args) {
    const struct str **names =
        parser_grow(p, args->kw_names, args->kw_values.n, sizeof *args->kw_names);
    if (!names)
        return;
    args->kw_names = names;
    names[args->kw_values.n] = parser_intern(p, p->token.bytes, p->token.len);
    parser_next(p);
    parser_next(p);
    add_expr(p, &args->kw_values, parse_expression(p));
}

static void parse_argument(struct parser *p, struct call_args *args) {
    const uint32_t line = p->token.line;
    const bool keyword = p->token.kind == T_NAME && parser_look(p)->kind == T_ASSIGN;
    bool in_order = !args->star_star;
    if (parser_accept(p, T_MUL)) {
        in_order = in_order && !args->star;
        args->star = parse_expression(p);
    } else if (parser_accept(p, T_POW)) {
        args->star_star = parse_expression(p);
    } else if (keyword) {
        add_keyword(p, args);
    } else {
        in_order = in_order && !args->star && args->kw_values.n == 0;
        add_expr(p, &args->pos, parse_expression(p));
    }
    if (!in_order)
        lexer_fail(&p->lexer, line, "the arguments of a call are in a wrong order");
}

static struct call_args *parse_call_args(struct parser *p) {
    struct call_args *args = parser_alloc(p, 1, sizeof *args);
    parser_expect(p, T_LPAREN);
    while (args && p->token.kind != T_RPAREN && p->token.kind != T_EOF) {
        parse_argument(p, args);
        if (!parser_accept(p, T_COMMA))
            break;
    }
    parser_expect(p, T_RPAREN);
    return args;
}

/* [a], [a:b], [a:b:c], [a, b] */
static void parse_subscript(struct parser *p, struct suffix *s) {
    parser_expect(p, T_LBRACKET);
    s->kind = S_ITEM;
    if (p->token.kind != T_COLON)
        s->index = parse_tuple(p, /* with_condition= */ true, NULL);
    if (parser_accept(p, T_COLON)) {
        s->kind = S_SLICE;
        if (p->token.kind != T_COLON && p->token.kind != T_RBRACKET)
            s->stop = parse_expression(p);
        if (parser_accept(p, T_COLON) && p->token.kind != T_RBRACKET)
            s->step = parse_expression(p);
    }
    parser_expect(p, T_RBRACKET);
}

static void parse_attribute(struct parser *p, struct suffix *s) {
    parser_expect(p, T_DOT);
    if (p->token.kind == T_INT) {
        s->kind = S_ITEM;
        s->index = parse_primary(p);
        return;
    }
    s->kind = S_ATTRIBUTE;
    s->name = parser_expect_identifier(p);
}

/* name or dotted.name */
static const struct str *parse_function_name(struct parser *p) {
    const struct str *name = parser_expect_identifier(p);
    while (name && parser_accept(p, T_DOT)) {
        const struct str *part = parser_expect_identifier(p);
        struct strb b = {.arena = p->arena};
        strb_append_str(&b, name);
        strb_append_text(&b, ".");
        if (part)
            strb_append_str(&b, part);
        name = strb_take(&b);
        if (!name)
            lexer_fail_memory(&p->lexer);
    }
    return name;
}

/* Remembers a filter or test that does not exist and is not inside of an if. */
static void note_unknown(struct parser *p, const struct suffix *s) {
    if (s->builtin || p->soft || p->unknown)
        return;
    struct suffix *kept = parser_alloc(p, 1, sizeof *kept);
    if (kept)
        *kept = *s;
    p->unknown = kept;
}

static void parse_filter(struct parser *p, struct suffix *s) {
    s->kind = S_FILTER;
    s->name = parse_function_name(p);
    if (!s->name)
        return;
    s->builtin = filter_find(s->name->bytes, s->name->len);
    if (p->token.kind == T_LPAREN)
        s->args = parse_call_args(p);
}

static bool starts_test_argument(const struct parser *p) {
    switch (p->token.kind) {
    case T_NAME:
        return !parser_at_name(p, "else") && !parser_at_name(p, "or") && !parser_at_name(p, "and");
    case T_STRING:
    case T_INT:
    case T_FLOAT:
    case T_LBRACKET:
    case T_LBRACE:
        return true;
    default:
        return false;
    }
}

static struct expr *parse_operand(struct parser *p, struct expr *base, bool with_filters);

/* is [not] name, name(args) or name argument */
static void parse_test(struct parser *p, struct suffix *s) {
    s->kind = S_TEST;
    s->negated = parser_accept_name(p, "not");
    s->name = parse_function_name(p);
    if (!s->name)
        return;
    s->builtin = test_find(s->name->bytes, s->name->len);
    if (p->token.kind == T_LPAREN) {
        s->args = parse_call_args(p);
        return;
    }
    if (!starts_test_argument(p))
        return;
    if (parser_at_name(p, "is")) {
        lexer_fail(&p->lexer, p->token.line, "tests cannot be chained with is");
        return;
    }
    s->args = parser_alloc(p, 1, sizeof *s->args);
    struct expr *argument = parse_operand(p, parse_primary(p), /* with_filters= */ false);
    if (s->args)
        add_expr(p, &s->args->pos, argument);
}

/* One suffix into s; false when none stands here. filtered: a | or is was read before. */
static bool parse_suffix(struct parser *p, bool with_filters, bool filtered, struct suffix *s) {
    *s = (struct suffix){.line = p->token.line};
    if (p->token.kind == T_DOT && !filtered) {
        parse_attribute(p, s);
    } else if (p->token.kind == T_LBRACKET && !filtered) {
        parse_subscript(p, s);
    } else if (p->token.kind == T_LPAREN) {
        s->kind = S_CALL;
        s->args = parse_call_args(p);
    } else if (with_filters && parser_accept(p, T_PIPE)) {
        parse_filter(p, s);
    } else if (with_filters && parser_accept_name(p, "is")) {
        parse_test(p, s);
    } else {
        return false;
    }
    return !parser_failed(p);
}

static bool add_suffix(struct parser *p, struct expr *e, const struct suffix *s) {
    struct suffix *suffixes =
        parser_grow(p, e->postfix.suffixes, e->postfix.n_suffixes, sizeof *suffixes);
    if (!suffixes)
        return false;
    e->postfix.suffixes = suffixes;
    suffixes[e->postfix.n_suffixes++] = *s;
    if (s->kind == S_FILTER || s->kind == S_TEST)
        note_unknown(p, s);
    return true;
}

static struct expr *parse_operand(struct parser *p, struct expr *base, bool with_filters) {
    struct expr *e = NULL;
    struct suffix s;
    bool filtered = false;
    while (parse_suffix(p, with_filters, filtered, &s)) {
        filtered = filtered || s.kind == S_FILTER || s.kind == S_TEST;
        if (!e) {
            e = new_expr(p, E_POSTFIX, base ? base->line : s.line);
            if (!e)
                return NULL;
            e->postfix.base = base;
        }
        if (!add_suffix(p, e, &s))
            return NULL;
    }
    return e ? e : base;
}

static struct expr *parse_unary(struct parser *p, bool with_filters) {
    const uint32_t line = p->token.line;
    const bool negative = p->token.kind == T_SUB;
    if (!negative && p->token.kind != T_ADD)
        return parse_operand(p, parse_primary(p), with_filters);
    if (!parser_enter(p))
        return NULL;

    parser_next(p);
    struct expr *e = new_expr(p, negative ? E_NEGATIVE : E_POSITIVE, line);
    struct expr *operand = parse_unary(p, /* with_filters= */ false);
    if (e)
        e->operand = operand;
    parser_leave(p);
    return e ? parse_operand(p, e, with_filters) : NULL;
}

struct expr *parse_filters(struct parser *p) {
    struct expr *e = new_expr(p, E_POSTFIX, p->token.line);
    if (!e)
        return NULL;
    do {
        struct suffix s = {.line = p->token.line};
        parse_filter(p, &s);
        if (parser_failed(p) || !add_suffix(p, e, &s))
            return NULL;
    } while (parser_accept(p, T_PIPE));
    return e;
}
