/* SPDX-License-Identifier: Apache-2.0 */
/* methods - the tables of methods, and what the constructors dict and namespace share with them. */
#ifndef KVASIR_JINJA_METHODS_H
#define KVASIR_JINJA_METHODS_H

#include "interp.h"

const struct builtin *str_method_find(const char *name, size_t len);

/* Adds the entries of a mapping, or pairs, to dict. */
void dict_merge(struct interp *in, struct dict *dict, struct value from);

/* As dict(mapping, key=value, ...) takes its arguments. */
void dict_merge_args(struct interp *in, struct dict *dict, const char *function,
                     const struct args *args);

#endif
