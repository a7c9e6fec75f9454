/* SPDX-License-Identifier: Apache-2.0 */
/* Calling macros, and the bodies of call blocks, which are macros without a name. */
#include <string.h>

#include "exec.h"
#include "ops.h"

const struct str *macro_name(const struct macro *macro) {
    static const struct str anonymous = {.bytes = "caller", .len = 6, .n_chars = 6};
    return macro->def->name ? macro->def->name : &anonymous;
}

static const struct kwarg *find_keyword(const struct args *args, const struct str *name) {
    for (size_t i = 0; i < args->n_kw; i++) {
        if (str_equal(args->kw[i].name, name))
            return &args->kw[i];
    }
    return NULL;
}

static bool is_param(const struct macro_def *def, const struct str *name) {
    for (size_t i = 0; i < def->n_params; i++) {
        if (str_equal(def->params[i], name))
            return true;
    }
    return false;
}

/* The value of parameter i: given in place, by name, its default, or undefined. */
static struct value param_value(struct interp *in, const struct macro_def *def, size_t i,
                                const struct args *args) {
    const struct str *name = def->params[i];
    if (i < args->n_pos)
        return args->pos[i];
    const struct kwarg *kw = find_keyword(args, name);
    if (kw)
        return kw->value;
    const size_t first_default = def->n_params - def->n_defaults;
    if (i >= first_default)
        return eval(in, def->defaults[i - first_default]);
    return (struct value){.kind = V_UNDEFINED, .form = UNDEFINED_PARAMETER, .name = name};
}

static void bind_varargs(struct interp *in, const struct macro_def *def, const struct args *args) {
    if (args->n_pos <= def->n_params && !def->uses_varargs)
        return;
    if (!def->uses_varargs) {
        interp_fail(in, "macro '%.*s' takes not more than %zu argument(s)",
                    def->name ? (int)def->name->len : 6, def->name ? def->name->bytes : "caller",
                    def->n_params);
        return;
    }
    struct seq *rest = interp_seq(in, 0);
    for (size_t i = def->n_params; i < args->n_pos; i++)
        interp_add(in, rest, args->pos[i]);
    scope_set(in, in->scope, in->varargs_name, value_seq(V_TUPLE, rest));
}

/* caller, and what was given by name and is no parameter. */
static void bind_keywords(struct interp *in, const struct macro_def *def, const struct args *args) {
    struct dict *rest = interp_dict(in);
    struct value caller = value_undefined("No caller defined");
    for (size_t i = 0; i < args->n_kw && !in->failed; i++) {
        const struct kwarg *kw = &args->kw[i];
        if (is_param(def, kw->name)) {
            for (size_t k = 0; k < def->n_params && k < args->n_pos; k++) {
                if (str_equal(def->params[k], kw->name))
                    interp_fail(in, "macro got multiple values for argument '%.*s'",
                                (int)kw->name->len, kw->name->bytes);
            }
        } else if (str_is(kw->name, "caller") && def->uses_caller) {
            caller = kw->value;
        } else if (def->uses_kwargs) {
            interp_set(in, rest, value_str(kw->name), kw->value);
        } else {
            interp_fail(in, "macro '%.*s' takes no keyword argument '%.*s'",
                        def->name ? (int)def->name->len : 6,
                        def->name ? def->name->bytes : "caller",
                        (int)(kw->name->len < 64 ? kw->name->len : 64), kw->name->bytes);
        }
    }
    if (def->uses_caller && in->caller_name && !is_param(def, in->caller_name))
        scope_set(in, in->scope, in->caller_name, caller);
    if (def->uses_kwargs && in->kwargs_name && !is_param(def, in->kwargs_name))
        scope_set(in, in->scope, in->kwargs_name, value_dict(rest));
}

struct value macro_call(struct interp *in, struct macro *macro, const struct args *args) {
    const struct macro_def *def = macro->def;
    if (in->calls >= in->limits.max_depth)
        interp_fail(in, "calls are nested more than %u deep", in->limits.max_depth);
    struct scope *inner = scope_new(in, macro->closure);
    if (in->failed || !inner || !interp_enter(in))
        return value_none();

    struct scope *scope = in->scope;
    const uint32_t line = in->line;
    in->calls++;
    in->scope = inner;
    bind_keywords(in, def, args);
    bind_varargs(in, def, args);
    for (size_t i = 0; i < def->n_params && !in->failed; i++)
        scope_set(in, inner, def->params[i], param_value(in, def, i, args));
    const struct value result = exec_capture(in, &def->body, inner);
    in->scope = scope;
    in->calls--;
    interp_leave(in);
    if (!in->failed)
        in->line = line;
    return result;
}
