/* SPDX-License-Identifier: Apache-2.0 */
#include "interp.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"

enum { CLOCK_EVERY_STEPS = 1024, NESTING_PER_CALL = 8 };

void interp_fail(struct interp *in, const char *fmt, ...) {
    if (in->failed)
        return;
    in->failed = true;
    in->code = -EINVAL;

    char what[640];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args); /* a cut message is fine */
    va_end(args);
    (void)error_set(&in->error, -EINVAL, "%s (chat template %s, line %u)", what, in->name,
                    in->line);
}

void interp_fail_memory(struct interp *in, size_t wanted) {
    const size_t limit = in->limits.max_memory_bytes;
    const size_t used = arena_used(&in->arena);
    if (in->failed)
        return;
    if (used >= limit / 2 || wanted > limit - used) {
        interp_fail(in, "the template needs more than the %zu bytes of memory it may use", limit);
        return;
    }
    in->failed = true;
    in->code =
        error_set(&in->error, -ENOMEM, "out of memory while rendering chat template %s", in->name);
}

bool interp_charge(struct interp *in, uint64_t steps) {
    in->steps += steps;
    if (in->failed)
        return false;
    if (in->steps > in->limits.max_steps) {
        interp_fail(in, "the template takes more than the %llu steps it may take",
                    (unsigned long long)in->limits.max_steps);
        return false;
    }
    if (in->steps < in->next_clock_check)
        return true;
    in->next_clock_check = in->steps + CLOCK_EVERY_STEPS;
    if (clock_now_us() <= in->deadline_us)
        return true;
    interp_fail(in, "the template takes longer than the %llu ms it may take",
                (unsigned long long)(in->limits.max_time_us / 1000));
    return false;
}

bool interp_enter(struct interp *in) {
    if (!interp_charge(in, 1))
        return false;
    if (in->nesting >= in->limits.max_depth * NESTING_PER_CALL) {
        interp_fail(in, "the template nests too deeply (more than %u levels)",
                    in->limits.max_depth * NESTING_PER_CALL);
        return false;
    }
    in->nesting++;
    return true;
}

void *interp_alloc(struct interp *in, size_t count, size_t size) {
    void *ptr = arena_alloc_zero(&in->arena, count, size);
    size_t wanted;
    if (!ptr)
        interp_fail_memory(in, size_mul(count, size, &wanted) ? wanted : SIZE_MAX);
    return ptr;
}

struct value interp_str(struct interp *in, const struct str *s) {
    static const struct str empty = {.bytes = ""};
    if (!s)
        interp_fail_memory(in, 0);
    return value_str(s ? s : &empty);
}

struct value interp_take(struct interp *in, struct strb *b) {
    if (b->failed)
        interp_fail_memory(in, b->wanted);
    return interp_str(in, interp_charge_bytes(in, b->len) ? strb_take(b) : NULL);
}

struct value interp_text(struct interp *in, const char *text) {
    return interp_str(in, str_copy(&in->arena, text, strlen(text), /* user= */ false));
}

struct value interp_part(struct interp *in, const struct str *s, size_t from, size_t to) {
    return interp_str(in, str_part(&in->arena, s, from, to));
}

struct seq *interp_seq(struct interp *in, size_t cap) {
    struct seq *seq = in->failed ? NULL : seq_new(&in->arena, cap);
    if (seq)
        return seq;
    interp_fail_memory(in, 0);
    in->spare_seq = (struct seq){.n = 0};
    return &in->spare_seq;
}

struct dict *interp_dict(struct interp *in) {
    struct dict *dict = in->failed ? NULL : dict_new(&in->arena);
    if (dict)
        return dict;
    interp_fail_memory(in, 0);
    in->spare_dict = (struct dict){.n = 0};
    return &in->spare_dict;
}

void interp_add(struct interp *in, struct seq *seq, struct value item) {
    if (interp_charge(in, 1) && !seq_add(&in->arena, seq, item))
        interp_fail_memory(in, 0);
}

void interp_set(struct interp *in, struct dict *dict, struct value key, struct value value) {
    if (!interp_charge(in, 1))
        return;
    if (!value_hashable(key))
        interp_fail(in, "unhashable type: '%s'", value_type_name(key));
    else if (!dict_set(&in->arena, dict, key, value))
        interp_fail_memory(in, 0);
}

struct value interp_pair(struct interp *in, struct value a, struct value b) {
    struct seq *pair = interp_seq(in, 2);
    interp_add(in, pair, a);
    interp_add(in, pair, b);
    return value_seq(V_TUPLE, pair);
}

/* --- Calling builtins ------------------------------------------------------------------------ */

const struct builtin *builtin_find(const struct builtin *table, size_t n, const char *name,
                                   size_t len) {
    for (size_t i = 0; i < n; i++) {
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return &table[i];
    }
    return NULL;
}

/* One parameter of a list such as "old new count?". */
struct param {
    const char *name;
    size_t len;
    bool optional;
};

static size_t split_params(const char *params, struct param ret[MAX_PARAMS]) {
    size_t n = 0;
    while (*params && n < MAX_PARAMS) {
        const size_t len = strcspn(params, " ");
        const bool optional = params[len - 1] == '?';
        ret[n++] = (struct param){params, optional ? len - 1 : len, optional};
        params += len;
        params += *params == ' ';
    }
    return n;
}

static void bind_keyword(struct interp *in, const struct builtin *builtin, const struct kwarg *kw,
                         const struct param *params, size_t n_params, struct value *bound) {
    for (size_t i = 0; i < n_params; i++) {
        if (params[i].len != kw->name->len ||
            memcmp(params[i].name, kw->name->bytes, kw->name->len) != 0)
            continue;
        if (bound[i].kind != V_MISSING)
            interp_fail(in, "%s() got multiple values for argument '%.*s'", builtin->name,
                        (int)params[i].len, params[i].name);
        bound[i] = kw->value;
        return;
    }
    interp_fail(in, "%s() got an unexpected keyword argument '%.*s'", builtin->name,
                (int)(kw->name->len < 64 ? kw->name->len : 64), kw->name->bytes);
}

struct value builtin_call(struct interp *in, const struct builtin *builtin, struct value self,
                          const struct args *args) {
    if (in->failed)
        return value_none();
    if (!builtin->params)
        return builtin->call(in, self, args);

    struct param params[MAX_PARAMS];
    struct value bound[MAX_PARAMS] = {{.kind = V_MISSING}};
    const size_t n_params = split_params(builtin->params, params);
    if (args->n_pos > n_params) {
        interp_fail(in, "%s() takes at most %zu arguments (%zu given)", builtin->name, n_params,
                    args->n_pos);
        return value_none();
    }
    for (size_t i = 0; i < args->n_pos; i++)
        bound[i] = args->pos[i];
    for (size_t i = 0; i < args->n_kw; i++)
        bind_keyword(in, builtin, &args->kw[i], params, n_params, bound);
    for (size_t i = 0; i < n_params; i++) {
        if (bound[i].kind == V_MISSING && !params[i].optional)
            interp_fail(in, "%s() is missing its argument '%.*s'", builtin->name,
                        (int)params[i].len, params[i].name);
    }
    if (in->failed)
        return value_none();
    return builtin->call(in, self, &(struct args){.pos = bound, .n_pos = n_params});
}

int64_t arg_int(struct interp *in, const struct args *args, size_t i, int64_t otherwise) {
    const struct value v = args->pos[i];
    if (v.kind == V_MISSING)
        return otherwise;
    if (value_is_integral(v))
        return value_as_int(v);
    interp_fail(in, "'%s' object cannot be interpreted as an integer", value_type_name(v));
    return otherwise;
}

bool arg_truth(const struct args *args, size_t i, bool otherwise) {
    return args->pos[i].kind == V_MISSING ? otherwise : value_truth(args->pos[i]);
}

const struct str *arg_str(struct interp *in, const struct args *args, size_t i,
                          const char *otherwise) {
    const struct value v = args->pos[i];
    if (v.kind == V_STR)
        return v.str;
    if (v.kind != V_MISSING || !otherwise)
        interp_fail(in, "expected a str argument, found '%s'", value_type_name(v));
    return interp_text(in, otherwise ? otherwise : "").str;
}
