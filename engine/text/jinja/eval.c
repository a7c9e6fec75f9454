/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluating expressions. Recursion follows the nesting of the tree, which is limited twice: by
 * the parser and, over calls, by interp_enter.
 */
#include <string.h>

#include "exec.h"
#include "ops.h"
#include "text.h"

static struct value eval_list(struct interp *in, const struct expr *e, enum value_kind kind) {
    struct seq *list = interp_seq(in, e->list.n);
    for (size_t i = 0; i < e->list.n && !in->failed; i++)
        interp_add(in, list, eval(in, e->list.items[i]));
    return value_seq(kind, list);
}

static struct value eval_dict(struct interp *in, const struct expr *e) {
    struct dict *dict = interp_dict(in);
    for (size_t i = 0; i < e->dict.keys.n && !in->failed; i++) {
        const struct value key = eval(in, e->dict.keys.items[i]);
        interp_set(in, dict, key, eval(in, e->dict.values.items[i]));
    }
    return value_dict(dict);
}

/* and, or: the operand that decided. */
static struct value eval_logic(struct interp *in, const struct expr *e) {
    struct value v = value_none();
    for (size_t i = 0; i < e->list.n && !in->failed; i++) {
        v = eval(in, e->list.items[i]);
        if (value_truth(v) == (e->kind == E_OR))
            break;
    }
    return v;
}

static struct value eval_arithmetic(struct interp *in, const struct expr *e) {
    struct value v = eval(in, e->chain.first);
    for (size_t i = 0; i < e->chain.n_rest && !in->failed; i++) {
        const struct value right = eval(in, e->chain.rest[i].expr);
        in->line = e->line;
        v = op_arithmetic(in, e->chain.rest[i].op, v, right);
    }
    return v;
}

static struct value eval_compare(struct interp *in, const struct expr *e) {
    struct value left = eval(in, e->chain.first);
    bool holds = true;
    for (size_t i = 0; i < e->chain.n_rest && holds && !in->failed; i++) {
        const struct value right = eval(in, e->chain.rest[i].expr);
        in->line = e->line;
        holds = op_compare(in, e->chain.rest[i].op, left, right);
        left = right;
    }
    return value_bool(holds);
}

static struct value eval_concat(struct interp *in, const struct expr *e) {
    const struct value first = text_of(in, eval(in, e->list.items[0]));
    const struct str *s = str_as_markup(&in->arena, first.str, false);
    for (size_t i = 1; i < e->list.n && s && !in->failed; i++) {
        const struct value next = text_of(in, eval(in, e->list.items[i]));
        if (interp_charge_bytes(in, next.str->len))
            s = str_concat(&in->arena, s, next.str);
    }
    return interp_str(in, s);
}

static struct value eval_conditional(struct interp *in, const struct expr *e) {
    if (value_truth(eval(in, e->conditional.test)))
        return eval(in, e->conditional.then);
    if (e->conditional.otherwise)
        return eval(in, e->conditional.otherwise);
    return value_undefined("the inline if without else was false, so there is no value");
}

/* --- Suffixes ---------------------------------------------------------------------------------- */

static void add_star(struct interp *in, const struct call_args *call, struct seq *pos) {
    if (!call->star)
        return;
    struct iter it = iter_init(in, eval(in, call->star));
    struct value item;
    while (iter_next(in, &it, &item))
        interp_add(in, pos, item);
}

static void add_star_star(struct interp *in, struct dict *dict, struct kwarg *kw, size_t *n_kw) {
    for (size_t i = 0; i < dict->n; i++) {
        const struct entry *entry = &dict->entries[i];
        if (entry->key.kind != V_STR) {
            interp_fail(in, "keywords must be strings");
            return;
        }
        for (size_t k = 0; k < *n_kw; k++) {
            if (str_equal(kw[k].name, entry->key.str))
                interp_fail(in, "got multiple values for keyword argument '%.*s'",
                            (int)(kw[k].name->len < 64 ? kw[k].name->len : 64), kw[k].name->bytes);
        }
        kw[(*n_kw)++] = (struct kwarg){.name = entry->key.str, .value = entry->value};
    }
}

static struct args eval_args(struct interp *in, const struct call_args *call,
                             const struct kwarg *extra) {
    struct args args = {.n_pos = 0};
    if (!call && !extra)
        return args;
    static const struct call_args none = {.star = NULL};
    if (!call)
        call = &none;

    struct seq *pos = interp_seq(in, call->pos.n);
    for (size_t i = 0; i < call->pos.n && !in->failed; i++)
        interp_add(in, pos, eval(in, call->pos.items[i]));
    add_star(in, call, pos);

    const struct value mapping = call->star_star ? eval(in, call->star_star) : value_none();
    if (call->star_star && mapping.kind != V_DICT)
        interp_fail(in, "argument after ** must be a mapping, not '%s'", value_type_name(mapping));
    const size_t n_mapping = mapping.kind == V_DICT ? mapping.dict->n : 0;
    struct kwarg *kw = interp_alloc(in, call->kw_values.n + n_mapping + 1, sizeof *kw);
    size_t n_kw = 0;
    for (size_t i = 0; i < call->kw_values.n && !in->failed; i++) {
        kw[n_kw++] =
            (struct kwarg){.name = call->kw_names[i], .value = eval(in, call->kw_values.items[i])};
    }
    if (n_mapping && !in->failed)
        add_star_star(in, mapping.dict, kw, &n_kw);
    if (extra && !in->failed)
        kw[n_kw++] = *extra;
    if (in->failed)
        return args;
    return (struct args){.pos = pos->items, .n_pos = pos->n, .kw = kw, .n_kw = n_kw};
}

static struct value eval_slice(struct interp *in, const struct suffix *s, struct value v) {
    const struct value start = s->index ? eval(in, s->index) : value_none();
    const struct value stop = s->stop ? eval(in, s->stop) : value_none();
    const struct value step = s->step ? eval(in, s->step) : value_none();
    in->line = s->line;
    return op_slice(in, v, start, stop, step);
}

static struct value eval_builtin(struct interp *in, const struct suffix *s, struct value v) {
    const bool is_filter = s->kind == S_FILTER;
    const struct args args = eval_args(in, s->args, NULL);
    in->line = s->line;
    if (!s->builtin) {
        interp_fail(in, "there is no %s named '%.*s'", is_filter ? "filter" : "test",
                    (int)(s->name->len < 64 ? s->name->len : 64), s->name->bytes);
        return value_none();
    }
    const struct value result = builtin_call(in, s->builtin, v, &args);
    return is_filter ? result : value_bool(value_truth(result) != s->negated);
}

static struct value eval_suffix(struct interp *in, const struct suffix *s, struct value v,
                                const struct kwarg *extra) {
    in->line = s->line;
    switch (s->kind) {
    case S_ATTRIBUTE:
        return op_get_attribute(in, v, s->name);
    case S_ITEM: {
        const struct value key = eval(in, s->index);
        in->line = s->line;
        return op_get_item(in, v, key);
    }
    case S_SLICE:
        return eval_slice(in, s, v);
    case S_CALL: {
        const struct args args = eval_args(in, s->args, extra);
        in->line = s->line;
        return interp_call(in, v, &args);
    }
    case S_FILTER:
    case S_TEST:
        return eval_builtin(in, s, v);
    }
    return v;
}

struct value eval_suffixes(struct interp *in, const struct expr *e, struct value v,
                           const struct kwarg *extra) {
    const size_t n = e->postfix.n_suffixes;
    for (size_t i = 0; i < n && interp_charge(in, 1); i++)
        v = eval_suffix(in, &e->postfix.suffixes[i], v, i + 1 == n ? extra : NULL);
    return v;
}

static struct value eval_node(struct interp *in, const struct expr *e) {
    switch (e->kind) {
    case E_CONST:
        return e->constant;
    case E_NAME:
        return scope_lookup(in, e->name);
    case E_LIST:
        return eval_list(in, e, V_LIST);
    case E_TUPLE:
        return eval_list(in, e, V_TUPLE);
    case E_DICT:
        return eval_dict(in, e);
    case E_AND:
    case E_OR:
        return eval_logic(in, e);
    case E_NOT:
        return value_bool(!value_truth(eval(in, e->operand)));
    case E_NEGATIVE:
    case E_POSITIVE:
        return op_negate(in, eval(in, e->operand), e->kind == E_NEGATIVE);
    case E_ARITHMETIC:
        return eval_arithmetic(in, e);
    case E_COMPARE:
        return eval_compare(in, e);
    case E_CONCAT:
        return eval_concat(in, e);
    case E_CONDITIONAL:
        return eval_conditional(in, e);
    case E_POSTFIX:
        return eval_suffixes(in, e, eval(in, e->postfix.base), NULL);
    }
    return value_none();
}

struct value eval(struct interp *in, const struct expr *e) {
    if (!interp_enter(in))
        return value_none();

    in->line = e->line;
    const struct value v = eval_node(in, e);
    interp_leave(in);
    return v;
}

struct value interp_call(struct interp *in, struct value callee, const struct args *args) {
    if (in->failed)
        return value_none();
    switch (callee.kind) {
    case V_FUNCTION:
        return builtin_call(in, callee.function, value_none(), args);
    case V_METHOD:
        return builtin_call(in, callee.method->builtin, callee.method->self, args);
    case V_MACRO:
        return macro_call(in, callee.macro, args);
    case V_LOOP:
        return loop_call(in, callee.loop, args);
    case V_JOINER:
        if (callee.joiner->used)
            return callee.joiner->separator;
        callee.joiner->used = true;
        return interp_text(in, "");
    case V_UNDEFINED:
        op_fail_undefined(in, callee);
        return value_none();
    default:
        interp_fail(in, "'%s' object is not callable", value_type_name(callee));
        return value_none();
    }
}
