/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value - what a template computes with: Python's values, as far as templates see them.
 *
 * A value is 16 bytes, copied freely; what it points to lives in the arena of the render (or of
 * the parsed template, or of the variables) and is shared, so that lists and dicts alias as in
 * Python. Scalars and containers carry one bit of origin: they came in through a variable.
 */
#ifndef KVASIR_JINJA_VALUE_H
#define KVASIR_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"

#include "str.h"

/* kind, Python's name of the type */
#define VALUE_KINDS(X)                                                                             \
    X(V_MISSING, "missing") /* an argument that was not given; a template never sees it */         \
    X(V_UNDEFINED, "Undefined")                                                                    \
    X(V_NONE, "NoneType")                                                                          \
    X(V_BOOL, "bool")                                                                              \
    X(V_INT, "int")                                                                                \
    X(V_FLOAT, "float")                                                                            \
    X(V_STR, "str")                                                                                \
    X(V_LIST, "list")                                                                              \
    X(V_TUPLE, "tuple")                                                                            \
    X(V_KEYS, "dict_keys")                                                                         \
    X(V_VALUES, "dict_values")                                                                     \
    X(V_ITEMS, "dict_items")                                                                       \
    X(V_DICT, "dict")                                                                              \
    X(V_NAMESPACE, "Namespace")                                                                    \
    X(V_RANGE, "range")                                                                            \
    X(V_GENERATOR, "generator")                                                                    \
    X(V_FUNCTION, "function")                                                                      \
    X(V_METHOD, "builtin_function_or_method")                                                      \
    X(V_MACRO, "Macro")                                                                            \
    X(V_LOOP, "LoopContext")                                                                       \
    X(V_CYCLER, "Cycler")                                                                          \
    X(V_JOINER, "Joiner")

#define AS_ENUM(kind, name) kind,
enum value_kind { VALUE_KINDS(AS_ENUM) };
#undef AS_ENUM

/* How an undefined value came about, for the message when it is used. */
enum undefined_form {
    UNDEFINED_NAME,      /* name: no such variable */
    UNDEFINED_ATTRIBUTE, /* name: no such attribute or key of an owner kind */
    UNDEFINED_ELEMENT,   /* no such element of an owner kind */
    UNDEFINED_PARAMETER, /* name: a macro's parameter that was not given */
    UNDEFINED_HINT,      /* hint: a sentence */
};

struct value {
    uint8_t kind;  /* enum value_kind */
    bool user;     /* none, bool, int, float: came in through a variable */
    uint8_t form;  /* V_UNDEFINED: enum undefined_form */
    uint8_t owner; /* V_UNDEFINED: enum value_kind of what was asked */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const struct str *str;
        struct seq *seq;   /* V_LIST, V_TUPLE, V_KEYS, V_VALUES, V_ITEMS */
        struct dict *dict; /* V_DICT, V_NAMESPACE */
        struct range *range;
        struct generator *generator;
        const struct builtin *function;
        struct method *method;
        struct macro *macro;
        struct loop *loop;
        struct cycler *cycler;
        struct joiner *joiner;
        const struct str *name; /* V_UNDEFINED */
        const char *hint;       /* V_UNDEFINED, UNDEFINED_HINT */
        const void *pointer;    /* any of the pointers, for identity */
    };
};

struct seq {
    struct value *items;
    size_t n;
    size_t cap;
    bool user;
    bool is_group; /* a tuple of groupby: has .grouper and .list */
};

struct entry {
    struct value key;
    struct value value;
    uint64_t hash;
};

/* Insertion-ordered; the index is made when the ninth entry comes. */
struct dict {
    struct entry *entries;
    size_t n;
    size_t cap;
    uint32_t *index; /* entry + 1, open addressing; NULL: search linearly */
    size_t n_index;  /* a power of two, at least twice cap */
    bool user;
};

struct range {
    int64_t start;
    int64_t stop; /* as it was given, for its text */
    int64_t step; /* not 0 */
    int64_t n;
};

/* The public face of a value: what the builders of kvasir/chat.h return. */
struct chat_value {
    struct value v;
};

static inline struct value value_none(void) {
    return (struct value){.kind = V_NONE};
}

static inline struct value value_bool(bool boolean) {
    return (struct value){.kind = V_BOOL, .boolean = boolean};
}

static inline struct value value_int(int64_t integer) {
    return (struct value){.kind = V_INT, .integer = integer};
}

static inline struct value value_float(double real) {
    return (struct value){.kind = V_FLOAT, .real = real};
}

static inline struct value value_str(const struct str *str) {
    return (struct value){.kind = V_STR, .str = str};
}

static inline struct value value_seq(enum value_kind kind, struct seq *seq) {
    return (struct value){.kind = (uint8_t)kind, .seq = seq};
}

static inline struct value value_dict(struct dict *dict) {
    return (struct value){.kind = V_DICT, .dict = dict};
}

static inline struct value value_undefined(const char *hint) {
    return (struct value){.kind = V_UNDEFINED, .form = UNDEFINED_HINT, .hint = hint};
}

static inline bool value_is_number(struct value v) {
    return v.kind == V_INT || v.kind == V_FLOAT || v.kind == V_BOOL;
}

/* int or bool, which Python takes for an int almost everywhere; then value_as_int. */
static inline bool value_is_integral(struct value v) {
    return v.kind == V_INT || v.kind == V_BOOL;
}

static inline int64_t value_as_int(struct value v) {
    return v.kind == V_BOOL ? v.boolean : v.integer;
}

static inline double value_as_float(struct value v) {
    return v.kind == V_FLOAT ? v.real : (double)value_as_int(v);
}

static inline bool value_is_seq(struct value v) {
    return v.kind >= V_LIST && v.kind <= V_ITEMS;
}

const char *value_type_name(struct value v);

bool value_truth(struct value v);

/*
 * Python's ==, looking at no more than *budget values, of which it takes what it used: lists that
 * share their parts can take exponentially long. 0 is left, and the answer is false, when that was
 * not enough. Nested deeper than 64 counts as different, for a list may hold itself.
 */
bool value_equal(struct value a, struct value b, uint64_t *budget);

/* Lists, dicts and what holds them cannot be keys; nor can tuples of very many values. */
bool value_hashable(struct value v);

/* NULL when memory is exhausted. */
struct seq *seq_new(struct arena *arena, size_t cap);
bool seq_add(struct arena *arena, struct seq *seq, struct value item);
void seq_remove(struct seq *seq, size_t index);

struct dict *dict_new(struct arena *arena);

/* key must be hashable. false when memory is exhausted. */
bool dict_set(struct arena *arena, struct dict *dict, struct value key, struct value value);

/* NULL when there is none (also for keys that cannot be one). */
const struct entry *dict_get(const struct dict *dict, struct value key);
const struct entry *dict_get_text(const struct dict *dict, const char *bytes, size_t len);

/* Forgets entry number index; the order of the others stays. */
void dict_remove(struct dict *dict, size_t index);

void dict_clear(struct dict *dict);

/* A copy that shares no container memory with dict; items are shared. */
struct dict *dict_copy(struct arena *arena, const struct dict *dict);

#endif
