/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - the operators on values: arithmetic, comparison, membership, attributes, items, slices.
 *
 * Python's semantics and, where it matters to a reader of the error, Python's words. A result's
 * scalar is of user origin if an operand is.
 */
#ifndef KVASIR_JINJA_OPS_H
#define KVASIR_JINJA_OPS_H

#include "ast.h"
#include "interp.h"

/* Any operator but the comparisons that op_compare does. */
struct value op_arithmetic(struct interp *in, enum binary_op op, struct value a, struct value b);
struct value op_negate(struct interp *in, struct value v, bool negative);

/* ==; what it looks at is charged. */
bool op_equal(struct interp *in, struct value a, struct value b);
bool op_compare(struct interp *in, enum binary_op op, struct value a, struct value b);
bool op_contains(struct interp *in, struct value container, struct value item);

/* -1, 0 or 1 for sorting; fails when the types have no order. */
int op_order(struct interp *in, struct value a, struct value b, enum binary_op op);

/* a.name: methods first, then keys. a[key]: keys first, then methods. */
struct value op_get_attribute(struct interp *in, struct value v, const struct str *name);
struct value op_get_item(struct interp *in, struct value v, struct value key);
struct value op_slice(struct interp *in, struct value v, struct value start, struct value stop,
                      struct value step);

/* Fails with what an undefined value says about itself. */
void op_fail_undefined(struct interp *in, struct value v);

/* Number of items; fails for what has none. */
int64_t op_length(struct interp *in, struct value v);
bool op_has_length(struct value v);

/* Strings in lower case for comparisons that ignore it; other values as they are. */
struct value op_ignore_case(struct interp *in, struct value v);

struct value op_concat_str(struct interp *in, const struct str *a, const struct str *b);

#endif
