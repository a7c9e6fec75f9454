/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interp - the state of one render, and what every part of the evaluator shares.
 *
 * One thread renders with one interp; the template's tree is only read. Failure is sticky: the
 * first interp_fail() keeps its message, everything after it computes with harmless values, and
 * loops ask interp_failed(). So the evaluator reads as what it computes.
 *
 * Bounded in four ways: steps (nodes evaluated, and a share for bytes and items handled), memory
 * of the arena, depth (calls, and nesting of the evaluator's own recursion), and time.
 */
#ifndef KVASIR_JINJA_INTERP_H
#define KVASIR_JINJA_INTERP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/chat.h"

#include "value.h"

struct scope;

struct interp {
    struct arena arena; /* everything the render makes */
    const char *name;   /* of the template, for messages */
    const struct chat_value *vars;
    struct chat_limits limits;
    struct chat_clock now;
    uint64_t steps;
    uint64_t next_clock_check; /* in steps */
    uint64_t deadline_us;
    uint32_t calls;   /* depth: macros, callers, recursive loops */
    uint32_t nesting; /* depth: of expressions and statements being evaluated */
    uint32_t line;    /* of the node being evaluated */
    struct scope *scope;
    struct scope *globals; /* resolved variables and functions; the root of all scopes */
    struct scope *top;     /* the template's own top level, just above globals */
    struct strb *out;      /* where output goes: the prompt, or what is being captured */
    /* The template's interned special names; NULL if it does not mention them. */
    const struct str *loop_name;
    const struct str *caller_name;
    const struct str *kwargs_name;
    const struct str *varargs_name;
    bool failed;
    int code;             /* -EINVAL or -ENOMEM */
    struct seq spare_seq; /* handed out when memory is exhausted, so that nothing is NULL */
    struct dict spare_dict;
    struct error error;
};

static inline bool interp_failed(const struct interp *in) {
    return in->failed;
}

/* The message gets the template's name and the line behind it. Only the first failure counts. */
void interp_fail(struct interp *in, const char *fmt, ...) KV_PRINTF(2, 3);

/*
 * Memory ended: the limit's (the template's fault, -EINVAL) or the machine's (-ENOMEM). wanted is
 * what was asked for; 0 if unknown, as with what grows by doubling.
 */
void interp_fail_memory(struct interp *in, size_t wanted);

/* Counts steps; false (and failed) when they or the time are used up. */
bool interp_charge(struct interp *in, uint64_t steps);

/* The share for an operation that touches len bytes. */
static inline bool interp_charge_bytes(struct interp *in, size_t len) {
    return interp_charge(in, 1 + len / 64);
}

/* One level of the evaluator's recursion; leave it if enter returned true. */
bool interp_enter(struct interp *in);
static inline void interp_leave(struct interp *in) {
    in->nesting--;
}

/* NULL and failed when the memory limit is reached. Zeroed. */
void *interp_alloc(struct interp *in, size_t count, size_t size);

/* Each fails the render when memory is exhausted, and returns an empty value then. */
struct value interp_take(struct interp *in, struct strb *b);   /* the string that was built */
struct value interp_text(struct interp *in, const char *text); /* trusted, copied */
struct value interp_part(struct interp *in, const struct str *s, size_t from, size_t to);
struct value interp_str(struct interp *in, const struct str *s); /* NULL: memory is exhausted */
struct seq *interp_seq(struct interp *in, size_t cap); /* never NULL; check failed in loops */
struct dict *interp_dict(struct interp *in);
void interp_add(struct interp *in, struct seq *seq, struct value item);
void interp_set(struct interp *in, struct dict *dict, struct value key, struct value value);
struct value interp_pair(struct interp *in, struct value a, struct value b);

static inline struct strb interp_builder(struct interp *in) {
    return (struct strb){.arena = &in->arena};
}

/* --- Functions that templates can call ------------------------------------------------------ */

struct kwarg {
    const struct str *name;
    struct value value;
};

struct args {
    const struct value *pos;
    size_t n_pos;
    const struct kwarg *kw;
    size_t n_kw;
};

enum { MAX_PARAMS = 6 };

/*
 * A filter, test, method or global function. self is what is piped, tested or asked. params names
 * the parameters in order, "?" behind the optional ones; then args has exactly one value for
 * each, V_MISSING where none was given. NULL: the function takes its arguments as they come.
 */
struct builtin {
    const char *name;
    const char *params;
    struct value (*call)(struct interp *in, struct value self, const struct args *args);
};

/* The head of such a function. */
#define BUILTIN(name)                                                                              \
    struct value name(KV_UNUSED struct interp *in, KV_UNUSED struct value self,                    \
                      KV_UNUSED const struct args *args)

struct method {
    struct value self;
    const struct builtin *builtin;
};

/* Finds by name in a table of n; NULL when there is none. */
const struct builtin *builtin_find(const struct builtin *table, size_t n, const char *name,
                                   size_t len);
const struct builtin *filter_find(const char *name, size_t len);
const struct builtin *test_find(const char *name, size_t len);
const struct builtin *method_find(struct value self, const char *name, size_t len);
const struct builtin *global_find(const char *name, size_t len);

/* Distributes args over the parameters and calls. */
struct value builtin_call(struct interp *in, const struct builtin *builtin, struct value self,
                          const struct args *args);

/* Anything callable: functions, methods, macros, loops (recursive), joiners. */
struct value interp_call(struct interp *in, struct value callee, const struct args *args);

/* Readers of arguments; each fails the render with the parameter's name when the type is wrong. */
int64_t arg_int(struct interp *in, const struct args *args, size_t i, int64_t otherwise);
bool arg_truth(const struct args *args, size_t i, bool otherwise);
const struct str *arg_str(struct interp *in, const struct args *args, size_t i,
                          const char *otherwise);
static inline bool arg_given(const struct args *args, size_t i) {
    return args->pos[i].kind != V_MISSING && args->pos[i].kind != V_NONE;
}

#endif
