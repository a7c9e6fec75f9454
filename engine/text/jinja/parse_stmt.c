/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements: text, {{ }}, and the tags. A body ends at one of the names that its tag asks for
 * (endif, else ...); the parser then stands on that name.
 */
#include <string.h>

#include "parser.h"

static struct stmt *parse_statement(struct parser *p);

static struct stmt *new_stmt(struct parser *p, enum stmt_kind kind, uint32_t line) {
    struct stmt *st = parser_alloc(p, 1, sizeof *st);
    if (st) {
        st->kind = kind;
        st->line = line;
    }
    return st;
}

static void add_stmt(struct parser *p, struct body *body, struct stmt *st) {
    if (!st)
        return;
    struct stmt **items = parser_grow(p, body->items, body->n, sizeof *items);
    if (!items)
        return;
    body->items = items;
    items[body->n++] = st;
}

static void add_output(struct parser *p, struct exprs *output, struct expr *e) {
    struct expr **items = parser_grow(p, output->items, output->n, sizeof *items);
    if (!items)
        return;
    output->items = items;
    items[output->n++] = e;
}

static struct stmt *parse_text(struct parser *p) {
    struct stmt *st = new_stmt(p, ST_TEXT, p->token.line);
    if (st) {
        st->text = str_lend(p->arena, p->token.bytes, p->token.len, /* user= */ false);
        if (!st->text)
            lexer_fail_memory(&p->lexer);
    }
    parser_next(p);
    return st;
}

static struct stmt *parse_output(struct parser *p) {
    struct stmt *st = new_stmt(p, ST_OUTPUT, p->token.line);
    parser_expect(p, T_VARIABLE_BEGIN);
    struct expr *e = parse_tuple(p, /* with_condition= */ true, NULL);
    if (st)
        add_output(p, &st->output, e);
    parser_expect(p, T_VARIABLE_END);
    return st;
}

/* ends: names separated by spaces. */
static bool at_end_name(const struct parser *p, const char *ends) {
    while (*ends) {
        const size_t n = strcspn(ends, " ");
        if (p->token.kind == T_NAME && p->token.len == n && memcmp(p->token.bytes, ends, n) == 0)
            return true;
        ends += n;
        ends += *ends == ' ';
    }
    return false;
}

/* Statements up to a tag that begins with one of ends, or to the end of the template if NULL. */
static void parse_until(struct parser *p, const char *ends, struct body *body) {
    while (p->token.kind != T_EOF) {
        if (p->token.kind == T_DATA) {
            add_stmt(p, body, parse_text(p));
        } else if (p->token.kind == T_VARIABLE_BEGIN) {
            add_stmt(p, body, parse_output(p));
        } else {
            parser_expect(p, T_BLOCK_BEGIN);
            if (ends && at_end_name(p, ends))
                return;
            add_stmt(p, body, parse_statement(p));
            parser_expect(p, T_BLOCK_END);
        }
    }
}

/* %} body {% end: the parser stands on the end's name afterwards. tag and line: for messages. */
static void parse_body(struct parser *p, const char *tag, uint32_t line, const char *ends,
                       struct body *body) {
    (void)parser_accept(p, T_COLON); /* allowed, as in Python */
    parser_expect(p, T_BLOCK_END);
    parse_until(p, ends, body);
    if (p->token.kind == T_EOF)
        lexer_fail(&p->lexer, p->token.line,
                   "the template ends, but the '%s' of line %u is not closed", tag, line);
}

/* A body in a scope of its own: an unknown filter in it is an error even if the tag is in an if. */
static void parse_inner_body(struct parser *p, const char *tag, uint32_t line, const char *ends,
                             struct body *body) {
    const bool soft = p->soft;
    p->soft = false;
    parse_body(p, tag, line, ends, body);
    p->soft = soft;
}

static bool is_constant_name(const struct token *t) {
    static const char *const names[] = {"true", "True", "false", "False", "none", "None"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (t->len == strlen(names[i]) && memcmp(t->bytes, names[i], t->len) == 0)
            return true;
    }
    return false;
}

static const struct str *parse_assignable_name(struct parser *p) {
    if (p->token.kind == T_NAME && is_constant_name(&p->token)) {
        parser_fail_unexpected(p, "a name that can be assigned to");
        return NULL;
    }
    return parser_expect_identifier(p);
}

static struct target *parse_target_list(struct parser *p, bool attributes, const char *end_name);

/* name, name.attribute, or (a, b) */
static struct target *parse_target(struct parser *p, bool attributes) {
    if (!parser_enter(p))
        return NULL;

    struct target *t = NULL;
    const uint32_t line = p->token.line;
    if (parser_accept(p, T_LPAREN)) {
        t = parse_target_list(p, attributes, NULL);
        parser_expect(p, T_RPAREN);
    } else {
        t = parser_alloc(p, 1, sizeof *t);
        const struct str *name = parse_assignable_name(p);
        if (name && p->fors > 0 && str_is(name, "loop"))
            lexer_fail(&p->lexer, line, "the special name loop cannot be assigned in a for loop");
        if (t) {
            t->line = line;
            t->name = name;
        }
        if (t && attributes && parser_accept(p, T_DOT)) {
            t->kind = TARGET_ATTRIBUTE;
            t->attribute = parser_expect_identifier(p);
        }
    }
    parser_leave(p);
    return t;
}

static struct target *parse_target_list(struct parser *p, bool attributes, const char *end_name) {
    struct target *first = parse_target(p, attributes);
    if (p->token.kind != T_COMMA)
        return first;

    struct target *tuple = parser_alloc(p, 1, sizeof *tuple);
    if (!tuple)
        return NULL;
    tuple->kind = TARGET_TUPLE;
    tuple->line = p->token.line;
    for (struct target *item = first; item; item = parse_target(p, attributes)) {
        struct target **items = parser_grow(p, tuple->items, tuple->n_items, sizeof *items);
        if (!items)
            return NULL;
        tuple->items = items;
        items[tuple->n_items++] = item;
        if (!parser_accept(p, T_COMMA) || p->token.kind == T_RPAREN || p->token.kind == T_ASSIGN ||
            (end_name && parser_at_name(p, end_name)))
            break;
    }
    return tuple;
}

static void parse_if_branch(struct parser *p, struct stmt *st, uint32_t line) {
    struct branch *branches =
        parser_grow(p, st->conditional.branches, st->conditional.n_branches, sizeof *branches);
    if (!branches)
        return;
    st->conditional.branches = branches;
    struct branch *branch = &branches[st->conditional.n_branches++];
    branch->test = parse_tuple(p, /* with_condition= */ false, NULL);
    parse_body(p, "if", line, "elif else endif", &branch->body);
}

static struct stmt *parse_if(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_IF, line);
    const bool soft = p->soft;
    p->soft = true;
    if (st) {
        do
            parse_if_branch(p, st, line);
        while (parser_accept_name(p, "elif"));
        if (parser_accept_name(p, "else"))
            parse_body(p, "if", line, "endif", &st->conditional.otherwise);
    }
    p->soft = soft;
    parser_expect_name(p, "endif");
    return st;
}

static struct stmt *parse_for(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_FOR, line);
    if (!st)
        return NULL;
    struct for_def *loop = &st->loop;
    p->fors++;
    loop->target = parse_target_list(p, /* attributes= */ false, "in");
    parser_expect_name(p, "in");
    loop->iterable = parse_tuple(p, /* with_condition= */ false, "recursive");
    if (parser_accept_name(p, "if")) {
        const bool soft = p->soft;
        p->soft = false;
        loop->test = parse_expression(p);
        p->soft = soft;
    }
    loop->recursive = parser_accept_name(p, "recursive");

    p->loops++;
    parse_inner_body(p, "for", line, "else endfor", &loop->body);
    p->loops--;
    if (parser_accept_name(p, "else"))
        parse_inner_body(p, "for", line, "endfor", &loop->otherwise);
    p->fors--;
    parser_expect_name(p, "endfor");
    return st;
}

static struct stmt *parse_set(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_SET, line);
    if (!st)
        return NULL;
    st->set.target = parse_target_list(p, /* attributes= */ true, NULL);
    if (parser_accept(p, T_ASSIGN)) {
        st->set.value = parse_tuple(p, /* with_condition= */ true, NULL);
        return st;
    }
    st->kind = ST_SET_BLOCK;
    if (parser_accept(p, T_PIPE))
        st->set.filter = parse_filters(p);
    parse_inner_body(p, "set", line, "endset", &st->set.body);
    parser_expect_name(p, "endset");
    return st;
}

/* (a, b=1): the parameters of a macro or call block */
static void parse_signature(struct parser *p, struct macro_def *def) {
    parser_expect(p, T_LPAREN);
    while (p->token.kind != T_RPAREN && p->token.kind != T_EOF) {
        const struct str **params = parser_grow(p, def->params, def->n_params, sizeof *params);
        if (!params)
            return;
        def->params = params;
        params[def->n_params++] = parse_assignable_name(p);
        if (parser_accept(p, T_ASSIGN)) {
            struct expr **defaults =
                parser_grow(p, def->defaults, def->n_defaults, sizeof *defaults);
            if (!defaults)
                return;
            def->defaults = defaults;
            defaults[def->n_defaults++] = parse_expression(p);
        } else if (def->n_defaults > 0) {
            lexer_fail(&p->lexer, p->token.line,
                       "a parameter without a default follows one with a default");
        }
        if (!parser_accept(p, T_COMMA))
            break;
    }
    parser_expect(p, T_RPAREN);
}

/* The body of a macro or call block; finds out what it asks for. */
static void parse_macro_body(struct parser *p, const char *tag, const char *end,
                             struct macro_def *def) {
    const struct macro_uses outer = p->uses;
    const uint32_t loops = p->loops;
    p->uses = (struct macro_uses){.caller = false};
    p->loops = 0;
    parse_inner_body(p, tag, def->line, end, &def->body);
    def->uses_caller = p->uses.caller;
    def->uses_kwargs = p->uses.kwargs;
    def->uses_varargs = p->uses.varargs;
    p->loops = loops;
    p->uses.caller |= outer.caller;
    p->uses.kwargs |= outer.kwargs;
    p->uses.varargs |= outer.varargs;
    parser_expect_name(p, end);
}

static struct stmt *parse_macro(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_MACRO, line);
    if (!st)
        return NULL;
    st->macro.line = line;
    st->macro.name = parse_assignable_name(p);
    parse_signature(p, &st->macro);
    parse_macro_body(p, "macro", "endmacro", &st->macro);
    return st;
}

static struct stmt *parse_call(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_CALL_BLOCK, line);
    if (!st)
        return NULL;
    st->call.caller.line = line;
    if (p->token.kind == T_LPAREN)
        parse_signature(p, &st->call.caller);
    st->call.call = parse_expression(p);
    const struct expr *e = st->call.call;
    if (e &&
        (e->kind != E_POSTFIX || e->postfix.suffixes[e->postfix.n_suffixes - 1].kind != S_CALL))
        lexer_fail(&p->lexer, line, "call needs a call of a macro");
    parse_macro_body(p, "call", "endcall", &st->call.caller);
    return st;
}

static struct stmt *parse_filter_block(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_FILTER_BLOCK, line);
    if (!st)
        return NULL;
    const bool soft = p->soft;
    p->soft = false;
    st->filter.filter = parse_filters(p);
    p->soft = soft;
    parse_inner_body(p, "filter", line, "endfilter", &st->filter.body);
    parser_expect_name(p, "endfilter");
    return st;
}

static void parse_with_assignment(struct parser *p, struct stmt *st) {
    struct target **targets = parser_grow(p, st->with.targets, st->with.n, sizeof *targets);
    struct expr **values = parser_grow(p, st->with.values, st->with.n, sizeof *values);
    if (!targets || !values)
        return;
    st->with.targets = targets;
    st->with.values = values;
    targets[st->with.n] = parse_target(p, /* attributes= */ false);
    parser_expect(p, T_ASSIGN);
    values[st->with.n] = parse_expression(p);
    st->with.n++;
}

static struct stmt *parse_with(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_WITH, line);
    while (st && p->token.kind != T_BLOCK_END && p->token.kind != T_EOF) {
        parse_with_assignment(p, st);
        if (!parser_accept(p, T_COMMA))
            break;
    }
    if (!st)
        return NULL;
    parse_inner_body(p, "with", line, "endwith", &st->with.body);
    parser_expect_name(p, "endwith");
    return st;
}

static struct stmt *parse_generation(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_SCOPE, line);
    if (!st)
        return NULL;
    const uint32_t loops = p->loops;
    p->loops = 0;
    parse_inner_body(p, "generation", line, "endgeneration", &st->block);
    p->loops = loops;
    parser_expect_name(p, "endgeneration");
    return st;
}

static struct stmt *parse_block(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_BLOCK, line);
    if (!st)
        return NULL;
    const struct str *name = parser_expect_identifier(p);
    if (parser_accept_name(p, "scoped"))
        st->kind = ST_SCOPE;
    const uint32_t loops = p->loops;
    p->loops = 0;
    parse_inner_body(p, "block", line, "endblock", &st->block);
    p->loops = loops;
    parser_expect_name(p, "endblock");
    if (name && p->token.kind == T_NAME && p->token.len == name->len &&
        memcmp(p->token.bytes, name->bytes, name->len) == 0)
        parser_next(p);
    return st;
}

static struct stmt *parse_print(struct parser *p, uint32_t line) {
    struct stmt *st = new_stmt(p, ST_OUTPUT, line);
    while (st && p->token.kind != T_BLOCK_END && p->token.kind != T_EOF) {
        add_output(p, &st->output, parse_expression(p));
        if (!parser_accept(p, T_COMMA))
            break;
    }
    return st;
}

static struct stmt *parse_jump(struct parser *p, uint32_t line, enum stmt_kind kind) {
    if (p->loops == 0)
        lexer_fail(&p->lexer, line, "'%s' outside of a for loop",
                   kind == ST_BREAK ? "break" : "continue");
    return new_stmt(p, kind, line);
}

static struct stmt *parse_break(struct parser *p, uint32_t line) {
    return parse_jump(p, line, ST_BREAK);
}

static struct stmt *parse_continue(struct parser *p, uint32_t line) {
    return parse_jump(p, line, ST_CONTINUE);
}

/* Tags that need other templates, or autoescaping; a chat template stands alone. */
static bool is_refused(const struct token *t) {
    static const char *const names[] = {"include", "import", "from", "extends", "autoescape"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (t->len == strlen(names[i]) && memcmp(t->bytes, names[i], t->len) == 0)
            return true;
    }
    return false;
}

static struct stmt *parse_tag(struct parser *p) {
    static const struct {
        const char *name;
        struct stmt *(*parse)(struct parser *p, uint32_t line);
    } tags[] = {
        {"if", parse_if},       {"for", parse_for},
        {"set", parse_set},     {"macro", parse_macro},
        {"call", parse_call},   {"filter", parse_filter_block},
        {"with", parse_with},   {"generation", parse_generation},
        {"block", parse_block}, {"print", parse_print},
        {"break", parse_break}, {"continue", parse_continue},
    };
    const struct token tag = p->token;
    if (tag.kind != T_NAME) {
        parser_fail_unexpected(p, "the name of a tag");
        return NULL;
    }
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        if (parser_accept_name(p, tags[i].name))
            return tags[i].parse(p, tag.line);
    }
    const int len = (int)(tag.len < 64 ? tag.len : 64);
    if (is_refused(&tag))
        lexer_fail(&p->lexer, tag.line, "the tag '%.*s' is not served in chat templates", len,
                   tag.bytes);
    else
        lexer_fail(&p->lexer, tag.line, "unknown or misplaced tag '%.*s'", len, tag.bytes);
    p->token.kind = T_EOF;
    return NULL;
}

static struct stmt *parse_statement(struct parser *p) {
    if (!parser_enter(p))
        return NULL;

    struct stmt *st = parse_tag(p);
    parser_leave(p);
    return st;
}

void parse_template(struct parser *p, struct body *ret_body) {
    parser_next(p);
    parse_until(p, NULL, ret_body);
    if (p->unknown)
        lexer_fail(&p->lexer, p->unknown->line, "there is no %s named '%.*s'",
                   p->unknown->kind == S_FILTER ? "filter" : "test", (int)p->unknown->name->len,
                   p->unknown->name->bytes);
}
