/* SPDX-License-Identifier: Apache-2.0 */
/*
 * exec - running a template: scopes, loops, macros; and evaluating its expressions.
 *
 * A scope is a short list of names (interned, compared by pointer) and the scope around it. Every
 * loop iteration, macro call and block has its own; if has none. A macro remembers the scope that
 * it was made in and sees what is there when it is called.
 */
#ifndef KVASIR_JINJA_EXEC_H
#define KVASIR_JINJA_EXEC_H

#include "ast.h"
#include "interp.h"
#include "iter.h"

struct binding {
    struct binding *next;
    const struct str *name;
    struct value value;
};

struct scope {
    struct scope *parent; /* NULL for the globals */
    struct binding *bindings;
};

struct macro {
    const struct macro_def *def;
    struct scope *closure;
};

/* One for loop being run; the value of the variable loop. */
struct loop {
    const struct for_def *def;
    struct scope *outer; /* the scope around the loop statement */
    struct value items;  /* what is walked */
    struct iter source;
    int64_t index0; /* of the current item */
    int64_t length; /* -1 until someone asks */
    struct value current;
    struct value before;
    struct value after; /* valid if has_after: the next item, peeked at */
    bool has_after;
    bool filtered; /* items from source must still pass the loop's if */
    int64_t depth0;
    struct seq *changed; /* arguments of the last changed(), or NULL */
};

struct cycler {
    struct seq *items;
    size_t at;
};

struct joiner {
    struct value separator;
    bool used;
};

struct scope *scope_new(struct interp *in, struct scope *parent); /* NULL: memory; failed */
void scope_set(struct interp *in, struct scope *scope, const struct str *name, struct value v);
struct value scope_lookup(struct interp *in, const struct str *name);

struct value eval(struct interp *in, const struct expr *e);

/* Applies the suffixes of an E_POSTFIX to a value. extra: a keyword argument for its last call. */
struct value eval_suffixes(struct interp *in, const struct expr *e, struct value v,
                           const struct kwarg *extra);

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };
enum flow exec_body(struct interp *in, const struct body *body);

/* Runs body in a new scope below parent and returns what it prints. */
struct value exec_capture(struct interp *in, const struct body *body, struct scope *parent);
void exec_assign(struct interp *in, const struct target *target, struct value v);

void loop_run(struct interp *in, const struct for_def *def, struct value items, struct scope *outer,
              int64_t depth0);
struct value loop_attribute(struct interp *in, struct loop *loop, const struct str *name);
struct value loop_call(struct interp *in, struct loop *loop, const struct args *args);

struct value macro_call(struct interp *in, struct macro *macro, const struct args *args);
const struct str *macro_name(const struct macro *macro);

#endif
