/* SPDX-License-Identifier: Apache-2.0 */
/* Filters over sequences. What is lazy in Jinja (map, select, unique ...) is a generator here. */
#include "filters.h"

#include <string.h>

#include "iter.h"
#include "ops.h"
#include "text.h"

static struct value walk_once(struct interp *in, struct value list) {
    struct generator *g = generator_new(in, GENERATE_ALL, list);
    return g ? generator_value(g) : value_none();
}

BUILTIN(filter_length) {
    return value_int(op_length(in, self));
}

BUILTIN(filter_list) {
    return value_seq(V_LIST, iter_collect(in, self));
}

BUILTIN(filter_first) {
    struct iter it = iter_init(in, self);
    struct value first;
    return iter_next(in, &it, &first) ? first
                                      : value_undefined("No first item, sequence was empty.");
}

BUILTIN(filter_last) {
    const int64_t n = op_has_length(self) ? op_length(in, self) : -1;
    if (n < 0)
        interp_fail(in, "'%s' object is not reversible", value_type_name(self));
    if (n <= 0)
        return value_undefined("No last item, sequence was empty.");
    if (self.kind == V_DICT)
        return self.dict->entries[n - 1].key;
    if (value_is_seq(self))
        return self.seq->items[n - 1];
    return op_get_item(in, self, value_int(n - 1));
}

BUILTIN(filter_reverse) {
    if (self.kind == V_STR)
        return op_slice(in, self, value_none(), value_none(), value_int(-1));
    struct seq *list = iter_collect(in, self);
    for (size_t i = 0; i < list->n / 2; i++) {
        const struct value swapped = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swapped;
    }
    return self.kind == V_GENERATOR ? value_seq(V_LIST, list)
                                    : walk_once(in, value_seq(V_LIST, list));
}

BUILTIN(filter_join) {
    const struct str *separator =
        args->pos[0].kind == V_MISSING ? NULL : text_of(in, args->pos[0]).str;
    const struct seq *path = path_parse(in, args->pos[1]);
    struct strb b = interp_builder(in);
    struct iter it = iter_init(in, self);
    struct value item;
    for (bool first = true; iter_next(in, &it, &item); first = false) {
        if (!first && separator)
            strb_append_str(&b, separator);
        text_append(in, &b, path_lookup(in, path, item, value_none()));
    }
    return interp_take(in, &b);
}

/* --- Generators: map, select, unique ---------------------------------------------------------- */

static struct args without_first(const struct args *args, size_t n) {
    return (struct args){
        .pos = args->pos + n, .n_pos = args->n_pos - n, .kw = args->kw, .n_kw = args->n_kw};
}

static const struct builtin *named(struct interp *in, struct value name, bool filter) {
    const struct builtin *builtin = NULL;
    if (name.kind == V_STR)
        builtin = filter ? filter_find(name.str->bytes, name.str->len)
                         : test_find(name.str->bytes, name.str->len);
    if (!builtin)
        interp_fail(in, "there is no %s named '%.*s'", filter ? "filter" : "test",
                    name.kind == V_STR ? (int)(name.str->len < 64 ? name.str->len : 64) : 1,
                    name.kind == V_STR ? name.str->bytes : "?");
    return builtin;
}

static void set_lookup(struct interp *in, struct generator *g, const struct args *args) {
    g->kind = GENERATE_LOOKUP;
    for (size_t i = 0; i < args->n_kw; i++) {
        if (str_is(args->kw[i].name, "attribute"))
            g->path = path_parse(in, args->kw[i].value);
        else if (str_is(args->kw[i].name, "default"))
            g->otherwise = args->kw[i].value;
        else
            interp_fail(in, "map: unexpected keyword argument '%.*s'",
                        (int)(args->kw[i].name->len < 64 ? args->kw[i].name->len : 64),
                        args->kw[i].name->bytes);
    }
}

static bool has_attribute_keyword(const struct args *args) {
    for (size_t i = 0; i < args->n_kw; i++) {
        if (str_is(args->kw[i].name, "attribute"))
            return true;
    }
    return false;
}

BUILTIN(filter_map) {
    struct generator *g = generator_new(in, GENERATE_MAP, self);
    if (!g)
        return value_none();
    if (args->n_pos == 0 && has_attribute_keyword(args)) {
        set_lookup(in, g, args);
    } else if (args->n_pos == 0) {
        interp_fail(in, "map requires a filter argument");
    } else {
        g->builtin = named(in, args->pos[0], /* filter= */ true);
        g->args = without_first(args, 1);
    }
    return generator_value(g);
}

/* select and its kin: [attribute,] [test, arguments of the test] */
static struct value select_items(struct interp *in, struct value self, const struct args *args,
                                 bool by_attribute, bool inverted) {
    struct generator *g = generator_new(in, GENERATE_SELECT, self);
    const size_t n_before = by_attribute ? 1 : 0;
    if (!g)
        return value_none();
    g->inverted = inverted;
    if (by_attribute && args->n_pos == 0) {
        interp_fail(in, "missing parameter for attribute name");
        return value_none();
    }
    if (by_attribute)
        g->path = path_parse(in, args->pos[0]);
    if (args->n_pos > n_before) {
        g->builtin = named(in, args->pos[n_before], /* filter= */ false);
        g->args = without_first(args, n_before + 1);
    }
    return generator_value(g);
}

BUILTIN(filter_select) {
    return select_items(in, self, args, /* by_attribute= */ false, /* inverted= */ false);
}

BUILTIN(filter_reject) {
    return select_items(in, self, args, /* by_attribute= */ false, /* inverted= */ true);
}

BUILTIN(filter_selectattr) {
    return select_items(in, self, args, /* by_attribute= */ true, /* inverted= */ false);
}

BUILTIN(filter_rejectattr) {
    return select_items(in, self, args, /* by_attribute= */ true, /* inverted= */ true);
}

BUILTIN(filter_unique) {
    struct generator *g = generator_new(in, GENERATE_UNIQUE, self);
    if (!g)
        return value_none();
    g->case_sensitive = arg_truth(args, 0, false);
    g->path = path_parse(in, args->pos[1]);
    g->seen = interp_dict(in);
    return generator_value(g);
}

/* A generator of the items of what a function makes of self when the first item is asked for. */
static struct value defer(struct interp *in, struct value self, const struct args *args,
                          const struct builtin *builtin) {
    struct generator *g = generator_new(in, GENERATE_ALL, self);
    struct value *pos = interp_alloc(in, args->n_pos, sizeof *pos);
    if (!g || !pos)
        return value_none();
    for (size_t i = 0; i < args->n_pos; i++)
        pos[i] = args->pos[i];
    g->builtin = builtin;
    g->args = (struct args){.pos = pos, .n_pos = args->n_pos};
    return generator_value(g);
}

static BUILTIN(make_items) {
    if (self.kind == V_UNDEFINED)
        return self;
    if (self.kind != V_DICT) {
        interp_fail(in, "Can only get item pairs from a mapping.");
        return value_none();
    }
    return builtin_call(in, method_find(self, "items", 5), self, &(struct args){.n_pos = 0});
}

BUILTIN(filter_items) {
    static const struct builtin items = {"items", "", make_items};
    return defer(in, self, args, &items);
}

/* --- Order ------------------------------------------------------------------------------------- */

/* "a,b.c": the key to sort by is the list of what these paths lead to. */
static struct value multi_key(struct interp *in, struct value attribute, struct value item,
                              bool ignore_case) {
    struct seq *key = interp_seq(in, 1);
    const struct str *s = attribute.kind == V_STR ? attribute.str : NULL;
    size_t from = 0;
    for (size_t i = 0; s && i <= s->len; i++) {
        if (i < s->len && s->bytes[i] != ',')
            continue;
        const struct seq *path = path_parse(in, interp_part(in, s, from, i));
        const struct value v = path_lookup(in, path, item, value_none());
        interp_add(in, key, ignore_case ? op_ignore_case(in, v) : v);
        from = i + 1;
    }
    if (!s) {
        const struct value v = path_lookup(in, path_parse(in, attribute), item, value_none());
        interp_add(in, key, ignore_case ? op_ignore_case(in, v) : v);
    }
    return value_seq(V_LIST, key);
}

BUILTIN(filter_sort) {
    const bool ignore_case = !arg_truth(args, 1, false);
    struct seq *list = iter_collect(in, self);
    struct seq *keys = interp_seq(in, list->n);
    for (size_t i = 0; i < list->n && !in->failed; i++)
        interp_add(in, keys, multi_key(in, args->pos[2], list->items[i], ignore_case));
    if (!in->failed)
        seq_sort_by(in, keys->items, list->items, list->n, arg_truth(args, 0, false));
    return value_seq(V_LIST, list);
}

BUILTIN(filter_dictsort) {
    const struct str *by = arg_str(in, args, 1, "key");
    const bool by_value = str_is(by, "value");
    if (!by_value && !str_is(by, "key"))
        interp_fail(in, "You can only sort by either \"key\" or \"value\"");
    if (self.kind != V_DICT)
        interp_fail(in, "dictsort needs a dict, not '%s'", value_type_name(self));
    if (in->failed)
        return value_none();

    const struct value items =
        builtin_call(in, method_find(self, "items", 5), self, &(struct args){.n_pos = 0});
    struct seq *list = iter_collect(in, items);
    struct seq *keys = interp_seq(in, list->n);
    for (size_t i = 0; i < list->n && !in->failed; i++) {
        const struct value key = list->items[i].seq->items[by_value ? 1 : 0];
        interp_add(in, keys, arg_truth(args, 0, false) ? key : op_ignore_case(in, key));
    }
    if (!in->failed)
        seq_sort_by(in, keys->items, list->items, list->n, arg_truth(args, 2, false));
    return value_seq(V_LIST, list);
}

static struct value extreme(struct interp *in, struct value self, const struct args *args,
                            enum binary_op op) {
    const bool ignore_case = !arg_truth(args, 0, false);
    const struct seq *path = path_parse(in, args->pos[1]);
    struct iter it = iter_init(in, self);
    struct value item;
    struct value best = value_undefined("No aggregated item, sequence was empty.");
    struct value best_key = value_none();
    for (bool first = true; iter_next(in, &it, &item); first = false) {
        struct value key = path_lookup(in, path, item, value_none());
        if (ignore_case)
            key = op_ignore_case(in, key);
        if (first || op_compare(in, op, key, best_key)) {
            best = item;
            best_key = key;
        }
    }
    return best;
}

BUILTIN(filter_min) {
    return extreme(in, self, args, OP_LT);
}

BUILTIN(filter_max) {
    return extreme(in, self, args, OP_GT);
}

BUILTIN(filter_sum) {
    const struct seq *path = path_parse(in, args->pos[0]);
    struct value sum = args->pos[1].kind == V_MISSING ? value_int(0) : args->pos[1];
    struct iter it = iter_init(in, self);
    struct value item;
    if (sum.kind == V_STR)
        interp_fail(in, "sum() can't sum strings");
    while (iter_next(in, &it, &item))
        sum = op_arithmetic(in, OP_ADD, sum, path_lookup(in, path, item, value_none()));
    return sum;
}

/* --- Groups ------------------------------------------------------------------------------------ */

BUILTIN(filter_groupby) {
    const bool ignore_case = !arg_truth(args, 2, false);
    const struct seq *path = path_parse(in, args->pos[0]);
    struct seq *list = iter_collect(in, self);
    struct seq *keys = interp_seq(in, list->n);
    for (size_t i = 0; i < list->n && !in->failed; i++) {
        const struct value key = path_lookup(in, path, list->items[i], args->pos[1]);
        interp_add(in, keys, ignore_case ? op_ignore_case(in, key) : key);
    }
    struct seq *groups = interp_seq(in, 0);
    if (in->failed)
        return value_none();
    struct seq *sorted_keys = iter_collect(in, value_seq(V_LIST, keys));
    if (in->failed)
        return value_none();
    seq_sort_by(in, keys->items, list->items, list->n, /* reverse= */ false);
    seq_sort(in, sorted_keys->items, sorted_keys->n, /* reverse= */ false);

    for (size_t i = 0; i < list->n && !in->failed;) {
        struct seq *members = interp_seq(in, 0);
        const size_t start = i;
        for (; i < list->n && op_equal(in, sorted_keys->items[i], sorted_keys->items[start]); i++)
            interp_add(in, members, list->items[i]);
        struct value grouper = sorted_keys->items[start];
        if (ignore_case)
            grouper = path_lookup(in, path, list->items[start], args->pos[1]);
        const struct value group = interp_pair(in, grouper, value_seq(V_LIST, members));
        group.seq->is_group = true;
        interp_add(in, groups, group);
    }
    return value_seq(V_LIST, groups);
}

static BUILTIN(make_batches) {
    const int64_t size = arg_int(in, args, 0, 1);
    struct seq *batches = interp_seq(in, 0);
    struct seq *batch = NULL;
    struct iter it = iter_init(in, self);
    struct value item;
    while (iter_next(in, &it, &item)) {
        if (!batch || (int64_t)batch->n == size) {
            batch = interp_seq(in, 0);
            interp_add(in, batches, value_seq(V_LIST, batch));
        }
        interp_add(in, batch, item);
    }
    while (batch && arg_given(args, 1) && (int64_t)batch->n < size && !in->failed)
        interp_add(in, batch, args->pos[1]);
    return value_seq(V_LIST, batches);
}

BUILTIN(filter_batch) {
    static const struct builtin batch = {"batch", "linecount fill_with?", make_batches};
    return defer(in, self, args, &batch);
}

static BUILTIN(make_slices) {
    const int64_t slices = arg_int(in, args, 0, 1);
    const struct seq *list = iter_collect(in, self);
    struct seq *result = interp_seq(in, 0);
    if (slices == 0)
        interp_fail(in, "integer division or modulo by zero");
    const size_t n_slices = slices > 0 ? (size_t)slices : 0;
    const size_t size = n_slices ? list->n / n_slices : 0;
    const size_t n_longer = n_slices ? list->n % n_slices : 0;
    size_t at = 0;
    for (size_t i = 0; i < n_slices && !in->failed; i++) {
        struct seq *slice = interp_seq(in, 0);
        const size_t end = at + size + (i < n_longer ? 1 : 0);
        for (; at < end && !in->failed; at++)
            interp_add(in, slice, list->items[at]);
        if (arg_given(args, 1) && i >= n_longer)
            interp_add(in, slice, args->pos[1]);
        interp_add(in, result, value_seq(V_LIST, slice));
    }
    return value_seq(V_LIST, result);
}

BUILTIN(filter_slice) {
    static const struct builtin slice = {"slice", "slices fill_with?", make_slices};
    return defer(in, self, args, &slice);
}
