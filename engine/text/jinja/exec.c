/* SPDX-License-Identifier: Apache-2.0 */
#include "exec.h"

#include <string.h>

#include "ops.h"
#include "text.h"

/* --- Scopes ------------------------------------------------------------------------------------ */

struct scope *scope_new(struct interp *in, struct scope *parent) {
    struct scope *scope = interp_alloc(in, 1, sizeof *scope);
    if (scope)
        scope->parent = parent;
    return scope;
}

/* What was passed over is charged: a template may fill a scope with names. */
static struct binding *find(struct interp *in, const struct scope *scope, const struct str *name) {
    uint64_t n_passed = 0;
    struct binding *b = scope->bindings;
    for (; b && b->name != name; b = b->next)
        n_passed++;
    (void)interp_charge(in, n_passed / 32); /* failure is sticky */
    return b;
}

void scope_set(struct interp *in, struct scope *scope, const struct str *name, struct value v) {
    struct binding *binding = find(in, scope, name);
    if (!binding) {
        binding = interp_alloc(in, 1, sizeof *binding);
        if (!binding)
            return;
        *binding = (struct binding){.next = scope->bindings, .name = name};
        scope->bindings = binding;
    }
    binding->value = v;
}

/*
 * Variables belong to the caller and are shared; a template may change lists and dicts (append,
 * update). So their containers are copied when a name is first used; the strings are shared.
 */
static struct value import(struct interp *in, struct value v) {
    if ((v.kind != V_LIST && v.kind != V_DICT) || !interp_enter(in))
        return v;

    if (v.kind == V_LIST) {
        struct seq *copy = interp_seq(in, v.seq->n);
        copy->user = v.seq->user;
        for (size_t i = 0; i < v.seq->n && !in->failed; i++)
            interp_add(in, copy, import(in, v.seq->items[i]));
        v.seq = copy;
    } else {
        struct dict *copy = interp_dict(in);
        copy->user = v.dict->user;
        for (size_t i = 0; i < v.dict->n && !in->failed; i++)
            interp_set(in, copy, v.dict->entries[i].key, import(in, v.dict->entries[i].value));
        v.dict = copy;
    }
    interp_leave(in);
    return v;
}

/* A variable, else a global function, else undefined; remembered in the globals' scope. */
static struct value resolve(struct interp *in, const struct str *name) {
    const struct dict *vars = in->vars ? in->vars->v.dict : NULL;
    const struct entry *entry = vars ? dict_get_text(vars, name->bytes, name->len) : NULL;
    struct value v = {.kind = V_UNDEFINED, .form = UNDEFINED_NAME, .name = name};
    const struct builtin *function = entry ? NULL : global_find(name->bytes, name->len);
    if (entry)
        v = import(in, entry->value);
    else if (function)
        v = (struct value){.kind = V_FUNCTION, .function = function};
    scope_set(in, in->globals, name, v);
    return v;
}

struct value scope_lookup(struct interp *in, const struct str *name) {
    for (const struct scope *scope = in->scope; scope; scope = scope->parent) {
        const struct binding *binding = find(in, scope, name);
        if (binding)
            return binding->value;
    }
    return resolve(in, name);
}

/* --- Assignment -------------------------------------------------------------------------------- */

static void assign_attribute(struct interp *in, const struct target *target, struct value v) {
    const struct value object = scope_lookup(in, target->name);
    in->line = target->line;
    if (object.kind != V_NAMESPACE) {
        interp_fail(in, "cannot assign attribute on non-namespace object");
        return;
    }
    interp_set(in, object.dict, value_str(target->attribute), v);
}

static void assign_tuple(struct interp *in, const struct target *target, struct value v) {
    if (!iter_possible(v)) {
        interp_fail(in, "cannot unpack non-iterable %s object", value_type_name(v));
        return;
    }
    struct iter it = iter_init(in, v);
    struct value item;
    size_t n = 0;
    for (; n < target->n_items && iter_next(in, &it, &item); n++)
        exec_assign(in, target->items[n], item);
    if (n < target->n_items)
        interp_fail(in, "not enough values to unpack (expected %zu, got %zu)", target->n_items, n);
    else if (iter_next(in, &it, &item))
        interp_fail(in, "too many values to unpack (expected %zu)", target->n_items);
}

/* Recursion follows the nesting of the target, which the parser limits. */
void exec_assign(struct interp *in, const struct target *target, struct value v) {
    if (in->failed)
        return;
    switch (target->kind) {
    case TARGET_NAME:
        scope_set(in, in->scope, target->name, v);
        return;
    case TARGET_ATTRIBUTE:
        assign_attribute(in, target, v);
        return;
    case TARGET_TUPLE:
        assign_tuple(in, target, v);
        return;
    }
}

/* --- Statements -------------------------------------------------------------------------------- */

static void print(struct interp *in, struct value v) {
    const size_t before = in->out->len;
    text_append(in, in->out, v);
    if (in->out->failed)
        interp_fail_memory(in, in->out->wanted);
    (void)interp_charge_bytes(in, in->out->len - before); /* failure is sticky */
}

struct value exec_capture(struct interp *in, const struct body *body, struct scope *parent) {
    struct strb captured = interp_builder(in);
    struct strb *out = in->out;
    struct scope *scope = in->scope;
    struct scope *inner = scope_new(in, parent);
    if (!inner)
        return interp_str(in, NULL);

    in->out = &captured;
    in->scope = inner;
    (void)exec_body(in, body); /* break and continue do not cross a body of its own */
    in->scope = scope;
    in->out = out;
    return interp_take(in, &captured);
}

static enum flow exec_if(struct interp *in, const struct stmt *st) {
    for (size_t i = 0; i < st->conditional.n_branches && !in->failed; i++) {
        const struct branch *branch = &st->conditional.branches[i];
        if (value_truth(eval(in, branch->test)))
            return exec_body(in, &branch->body);
    }
    return exec_body(in, &st->conditional.otherwise);
}

static void exec_set(struct interp *in, const struct stmt *st) {
    if (st->kind == ST_SET) {
        exec_assign(in, st->set.target, eval(in, st->set.value));
        return;
    }
    struct value v = exec_capture(in, &st->set.body, in->scope);
    if (st->set.filter)
        v = eval_suffixes(in, st->set.filter, v, NULL);
    exec_assign(in, st->set.target, v);
}

static struct value new_macro(struct interp *in, const struct macro_def *def) {
    struct macro *macro = interp_alloc(in, 1, sizeof *macro);
    if (!macro)
        return value_none();
    *macro = (struct macro){.def = def, .closure = in->scope};
    return (struct value){.kind = V_MACRO, .macro = macro};
}

static void exec_call_block(struct interp *in, const struct stmt *st) {
    static const struct str name = {.bytes = "caller", .len = 6, .n_chars = 6};
    const struct kwarg caller = {.name = &name, .value = new_macro(in, &st->call.caller)};
    const struct expr *call = st->call.call;

    print(in, eval_suffixes(in, call, eval(in, call->postfix.base), &caller));
}

/* Filters of in-scope text: {% filter upper %}...{% endfilter %} */
static void exec_filter_block(struct interp *in, const struct stmt *st) {
    const struct value text = exec_capture(in, &st->filter.body, in->scope);
    print(in, eval_suffixes(in, st->filter.filter, text, NULL));
}

/* A body in a scope of its own that prints where its surroundings print. */
static enum flow exec_scoped(struct interp *in, const struct body *body, struct scope *inner) {
    struct scope *scope = in->scope;
    in->scope = inner;
    const enum flow flow = exec_body(in, body);
    in->scope = scope;
    return flow;
}

static enum flow exec_with(struct interp *in, const struct stmt *st) {
    struct scope *outer = in->scope;
    struct scope *inner = scope_new(in, outer);
    for (size_t i = 0; i < st->with.n && !in->failed; i++) {
        const struct value v = eval(in, st->with.values[i]); /* sees the outer scope only */
        in->scope = inner;
        exec_assign(in, st->with.targets[i], v);
        in->scope = outer;
    }
    return in->failed ? FLOW_ON : exec_scoped(in, &st->with.body, inner);
}

static enum flow exec_statement(struct interp *in, const struct stmt *st) {
    in->line = st->line;
    switch (st->kind) {
    case ST_TEXT:
        print(in, value_str(st->text));
        break;
    case ST_OUTPUT:
        for (size_t i = 0; i < st->output.n && !in->failed; i++)
            print(in, eval(in, st->output.items[i]));
        break;
    case ST_IF:
        return exec_if(in, st);
    case ST_FOR: {
        const struct value items = eval(in, st->loop.iterable);
        loop_run(in, &st->loop, items, in->scope, 0);
        break;
    }
    case ST_SET:
    case ST_SET_BLOCK:
        exec_set(in, st);
        break;
    case ST_MACRO:
        scope_set(in, in->scope, st->macro.name, new_macro(in, &st->macro));
        break;
    case ST_CALL_BLOCK:
        exec_call_block(in, st);
        break;
    case ST_FILTER_BLOCK:
        exec_filter_block(in, st);
        break;
    case ST_WITH:
        return exec_with(in, st);
    case ST_SCOPE:
    case ST_BLOCK: {
        struct scope *inner = scope_new(in, st->kind == ST_BLOCK ? in->top : in->scope);
        if (inner)
            (void)exec_scoped(in, &st->block, inner); /* the parser keeps break out of it */
        break;
    }
    case ST_BREAK:
        return FLOW_BREAK;
    case ST_CONTINUE:
        return FLOW_CONTINUE;
    }
    return FLOW_ON;
}

enum flow exec_body(struct interp *in, const struct body *body) {
    if (body->n == 0 || !interp_enter(in))
        return FLOW_ON;

    enum flow flow = FLOW_ON;
    for (size_t i = 0; i < body->n && flow == FLOW_ON && interp_charge(in, 1); i++)
        flow = exec_statement(in, body->items[i]);
    interp_leave(in);
    return flow;
}
