/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Methods of lists, dicts and the engine's own objects, and which table a value's methods are in.
 *
 * transformers' sandbox forbids every method that changes a list or dict. Published templates
 * (Kimi's) need some, and change only what belongs to the render, so they are served here.
 */
#include <string.h>

#include "exec.h"
#include "iter.h"
#include "methods.h"
#include "ops.h"
#include "text.h"

/* --- Lists and tuples ------------------------------------------------------------------------- */

static BUILTIN(list_append) {
    interp_add(in, self.seq, args->pos[0]);
    return value_none();
}

static BUILTIN(list_extend) {
    const struct seq *more = iter_collect(in, args->pos[0]);
    for (size_t i = 0; i < more->n; i++)
        interp_add(in, self.seq, more->items[i]);
    return value_none();
}

/* Where an index that may count from the end points, clamped into the list. */
static size_t clamped(int64_t index, size_t n) {
    const int64_t from_start = index < 0 ? index + (int64_t)n : index;
    return from_start < 0 ? 0 : (size_t)from_start > n ? n : (size_t)from_start;
}

static BUILTIN(list_insert) {
    struct seq *list = self.seq;
    const size_t at = clamped(arg_int(in, args, 0, 0), list->n);
    interp_add(in, list, args->pos[1]);
    if (!interp_charge(in, list->n / 64))
        return value_none();
    memmove(list->items + at + 1, list->items + at, (list->n - 1 - at) * sizeof *list->items);
    list->items[at] = args->pos[1];
    return value_none();
}

static BUILTIN(list_pop) {
    const int64_t index = arg_int(in, args, 0, -1);
    const int64_t at = index < 0 ? index + (int64_t)self.seq->n : index;
    if (self.seq->n == 0 || at < 0 || at >= (int64_t)self.seq->n) {
        interp_fail(in, "%s", self.seq->n ? "pop index out of range" : "pop from empty list");
        return value_none();
    }
    const struct value item = self.seq->items[at];
    seq_remove(self.seq, (size_t)at);
    (void)interp_charge(in, 1 + self.seq->n / 64); /* failure is sticky */
    return item;
}

static size_t position(struct interp *in, const struct seq *seq, struct value item) {
    for (size_t i = 0; i < seq->n && interp_charge(in, 1); i++) {
        if (op_equal(in, seq->items[i], item))
            return i;
    }
    return SIZE_MAX;
}

static BUILTIN(list_remove) {
    const size_t at = position(in, self.seq, args->pos[0]);
    if (at == SIZE_MAX)
        interp_fail(in, "list.remove(x): x not in list");
    else
        seq_remove(self.seq, at);
    return value_none();
}

static BUILTIN(list_clear) {
    self.seq->n = 0;
    return value_none();
}

static BUILTIN(list_copy) {
    return value_seq(V_LIST, iter_collect(in, self));
}

static BUILTIN(list_reverse) {
    struct seq *list = self.seq;
    for (size_t i = 0; i < list->n / 2 && interp_charge(in, 1); i++) {
        const struct value swapped = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swapped;
    }
    return value_none();
}

static BUILTIN(list_sort) {
    seq_sort(in, self.seq->items, self.seq->n, arg_truth(args, 0, false));
    return value_none();
}

static BUILTIN(seq_count) {
    int64_t n = 0;
    for (size_t i = 0; i < self.seq->n && interp_charge(in, 1); i++)
        n += op_equal(in, self.seq->items[i], args->pos[0]);
    return value_int(n);
}

static BUILTIN(seq_index) {
    const size_t at = position(in, self.seq, args->pos[0]);
    if (at == SIZE_MAX)
        interp_fail(in, "the item is not in the %s", value_type_name(self));
    return value_int((int64_t)at);
}

static const struct builtin list_methods[] = {
    {"append", "object", list_append},
    {"clear", "", list_clear},
    {"copy", "", list_copy},
    {"count", "value", seq_count},
    {"extend", "iterable", list_extend},
    {"index", "value", seq_index},
    {"insert", "index object", list_insert},
    {"pop", "index?", list_pop},
    {"remove", "value", list_remove},
    {"reverse", "", list_reverse},
    {"sort", "reverse?", list_sort},
};

static const struct builtin tuple_methods[] = {
    {"count", "value", seq_count},
    {"index", "value", seq_index},
};

/* --- Ranges ------------------------------------------------------------------------------------ */

/* Which item of the range a number is, or -1. */
static int64_t range_position(const struct range *range, struct value v) {
    if (!value_is_integral(v))
        return -1;
    const int64_t distance = value_as_int(v) - range->start;
    const int64_t at = distance / range->step;
    return distance % range->step == 0 && at >= 0 && at < range->n ? at : -1;
}

static BUILTIN(range_count) {
    return value_int(range_position(self.range, args->pos[0]) >= 0);
}

static BUILTIN(range_index) {
    const int64_t at = range_position(self.range, args->pos[0]);
    if (at < 0)
        interp_fail(in, "the item is not in range");
    return value_int(at);
}

static const struct builtin range_methods[] = {
    {"count", "value", range_count},
    {"index", "value", range_index},
};

/* --- Dicts ------------------------------------------------------------------------------------- */

static struct value dict_view(struct interp *in, const struct dict *dict, enum value_kind kind) {
    struct seq *list = interp_seq(in, dict->n);
    list->user = dict->user;
    for (size_t i = 0; i < dict->n && !in->failed; i++) {
        const struct entry *entry = &dict->entries[i];
        struct value item = kind == V_KEYS ? entry->key : entry->value;
        if (kind == V_ITEMS) {
            item = interp_pair(in, entry->key, entry->value);
            item.seq->user = dict->user;
        }
        interp_add(in, list, item);
    }
    return value_seq(kind, list);
}

static BUILTIN(dict_items) {
    return dict_view(in, self.dict, V_ITEMS);
}

static BUILTIN(dict_keys) {
    return dict_view(in, self.dict, V_KEYS);
}

static BUILTIN(dict_values) {
    return dict_view(in, self.dict, V_VALUES);
}

static const struct entry *lookup(struct interp *in, struct value self, struct value key) {
    if (!value_hashable(key))
        interp_fail(in, "unhashable type: '%s'", value_type_name(key));
    return dict_get(self.dict, key);
}

static struct value or_none(struct value v) {
    return v.kind == V_MISSING ? value_none() : v;
}

static BUILTIN(dict_get_method) {
    const struct entry *entry = lookup(in, self, args->pos[0]);
    return entry ? entry->value : or_none(args->pos[1]);
}

static BUILTIN(dict_pop) {
    const struct entry *entry = lookup(in, self, args->pos[0]);
    if (!entry) {
        if (args->pos[1].kind == V_MISSING)
            interp_fail(in, "pop(): the key is not in the dict");
        return or_none(args->pos[1]);
    }
    const struct value v = entry->value;
    (void)interp_charge(in, 1 + self.dict->n / 16); /* failure is sticky */
    dict_remove(self.dict, (size_t)(entry - self.dict->entries));
    return v;
}

static BUILTIN(dict_popitem) {
    if (self.dict->n == 0) {
        interp_fail(in, "popitem(): dictionary is empty");
        return value_none();
    }
    const struct entry last = self.dict->entries[self.dict->n - 1];
    (void)interp_charge(in, 1 + self.dict->n / 16); /* failure is sticky */
    dict_remove(self.dict, self.dict->n - 1);
    return interp_pair(in, last.key, last.value);
}

static BUILTIN(dict_setdefault) {
    const struct entry *entry = lookup(in, self, args->pos[0]);
    if (entry)
        return entry->value;
    interp_set(in, self.dict, args->pos[0], or_none(args->pos[1]));
    return or_none(args->pos[1]);
}

static BUILTIN(dict_clear_method) {
    (void)interp_charge(in, 1 + self.dict->n / 16); /* failure is sticky */
    dict_clear(self.dict);
    return value_none();
}

static BUILTIN(dict_copy_method) {
    struct dict *copy = interp_dict(in);
    dict_merge(in, copy, self);
    copy->user = self.dict->user;
    return value_dict(copy);
}

void dict_merge(struct interp *in, struct dict *dict, struct value from) {
    if (from.kind == V_DICT || from.kind == V_NAMESPACE) {
        for (size_t i = 0; i < from.dict->n && !in->failed; i++)
            interp_set(in, dict, from.dict->entries[i].key, from.dict->entries[i].value);
        return;
    }
    struct iter it = iter_init(in, from);
    struct value pair;
    while (iter_next(in, &it, &pair)) {
        if (!value_is_seq(pair) || pair.seq->n != 2)
            interp_fail(in, "a dict is made of a mapping or of pairs");
        else
            interp_set(in, dict, pair.seq->items[0], pair.seq->items[1]);
    }
}

void dict_merge_args(struct interp *in, struct dict *dict, const char *function,
                     const struct args *args) {
    if (args->n_pos > 1)
        interp_fail(in, "%s expected at most 1 argument, got %zu", function, args->n_pos);
    if (args->n_pos > 0)
        dict_merge(in, dict, args->pos[0]);
    for (size_t i = 0; i < args->n_kw && !in->failed; i++)
        interp_set(in, dict, value_str(args->kw[i].name), args->kw[i].value);
}

static BUILTIN(dict_update) {
    dict_merge_args(in, self.dict, "update", args);
    return value_none();
}

static const struct builtin dict_methods[] = {
    {"clear", "", dict_clear_method},
    {"copy", "", dict_copy_method},
    {"get", "key default?", dict_get_method},
    {"items", "", dict_items},
    {"keys", "", dict_keys},
    {"pop", "key default?", dict_pop},
    {"popitem", "", dict_popitem},
    {"setdefault", "key default?", dict_setdefault},
    {"update", NULL, dict_update},
    {"values", "", dict_values},
};

/* --- The engine's own objects ------------------------------------------------------------------ */

static BUILTIN(loop_cycle) {
    if (args->n_pos == 0) {
        interp_fail(in, "no items for cycling given");
        return value_none();
    }
    return args->pos[(size_t)self.loop->index0 % args->n_pos];
}

static BUILTIN(loop_changed) {
    struct seq *now = interp_seq(in, args->n_pos);
    for (size_t i = 0; i < args->n_pos; i++)
        interp_add(in, now, args->pos[i]);
    const bool changed = !self.loop->changed || !op_equal(in, value_seq(V_TUPLE, now),
                                                          value_seq(V_TUPLE, self.loop->changed));
    if (changed)
        self.loop->changed = now;
    return value_bool(changed);
}

static const struct builtin loop_methods[] = {
    {"changed", NULL, loop_changed},
    {"cycle", NULL, loop_cycle},
};

static BUILTIN(cycler_next) {
    struct cycler *cycler = self.cycler;
    const struct value item = cycler->items->items[cycler->at];
    cycler->at = (cycler->at + 1) % cycler->items->n;
    return item;
}

static BUILTIN(cycler_reset) {
    self.cycler->at = 0;
    return value_none();
}

static const struct builtin cycler_methods[] = {
    {"next", "", cycler_next},
    {"reset", "", cycler_reset},
};

#define FIND(table) builtin_find(table, sizeof(table) / sizeof(table)[0], name, len)

const struct builtin *method_find(struct value self, const char *name, size_t len) {
    switch (self.kind) {
    case V_STR:
        return str_method_find(name, len);
    case V_LIST:
        return FIND(list_methods);
    case V_TUPLE:
        return FIND(tuple_methods);
    case V_RANGE:
        return FIND(range_methods);
    case V_DICT:
        return FIND(dict_methods);
    case V_LOOP:
        return FIND(loop_methods);
    case V_CYCLER:
        return FIND(cycler_methods);
    default:
        return NULL;
    }
}
