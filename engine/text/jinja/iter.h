/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iter - walking over values, and the lazy generators of map, select and their kin.
 *
 * As in Python, a generator can be walked once, is computed (and fails) as it is walked, and is
 * true however little it would give. Lists are walked live (what is appended meanwhile is seen).
 */
#ifndef KVASIR_JINJA_ITER_H
#define KVASIR_JINJA_ITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interp.h"

struct iter {
    struct value of; /* V_STR, V_RANGE, a seq, V_DICT (its keys), V_GENERATOR; else empty */
    size_t at;       /* index, or byte of a string */
};

enum generator_kind {
    GENERATE_ALL,    /* what the source gives, or what the builtin makes of it at once */
    GENERATE_MAP,    /* filter applied */
    GENERATE_LOOKUP, /* attribute path looked up */
    GENERATE_SELECT, /* what passes a test */
    GENERATE_UNIQUE,
};

struct generator {
    enum generator_kind kind;
    uint32_t depth; /* how many generators lie below this one */
    bool started;   /* nothing is asked of the source before the first item is */
    struct iter source;
    const struct builtin *builtin; /* filter or test; NULL: truth */
    struct args args;              /* of builtin; in the arena */
    const struct seq *path;        /* of an attribute, or NULL */
    struct value otherwise;        /* default of a lookup; V_MISSING or none: none */
    bool inverted;                 /* reject */
    bool case_sensitive;           /* unique */
    struct dict *seen;             /* unique */
};

/* Fails the render if v cannot be walked. */
struct iter iter_init(struct interp *in, struct value v);

/* The next item into ret; false at the end and after a failure. */
bool iter_next(struct interp *in, struct iter *it, struct value *ret);

bool iter_possible(struct value v); /* whether iter_init would succeed */

/* A generator over source; the caller fills in the rest. NULL: memory. */
struct generator *generator_new(struct interp *in, enum generator_kind kind, struct value source);
struct value generator_value(struct generator *generator);

/* All items as a new list (of user origin if v is). */
struct seq *iter_collect(struct interp *in, struct value v);

/*
 * Sorts in place, stably, by Python's order; fails where there is none. keys are compared and
 * items, if not NULL, moved along.
 */
void seq_sort_by(struct interp *in, struct value *keys, struct value *items, size_t n,
                 bool reverse);
static inline void seq_sort(struct interp *in, struct value *items, size_t n, bool reverse) {
    seq_sort_by(in, items, NULL, n, reverse);
}

/* "a.b.0" or an int into the parts of a path; none: the item itself (empty path). */
const struct seq *path_parse(struct interp *in, struct value attribute);
struct value path_lookup(struct interp *in, const struct seq *path, struct value item,
                         struct value otherwise);

#endif
