/* SPDX-License-Identifier: Apache-2.0 */
#include "iter.h"

#include <string.h>

#include "ops.h"

enum { MAX_GENERATORS = 32 };

bool iter_possible(struct value v) {
    return v.kind == V_UNDEFINED || v.kind == V_STR || v.kind == V_DICT || v.kind == V_RANGE ||
           v.kind == V_GENERATOR || value_is_seq(v);
}

struct iter iter_init(struct interp *in, struct value v) {
    if (!iter_possible(v))
        interp_fail(in, "'%s' object is not iterable", value_type_name(v));
    return (struct iter){.of = v};
}

static struct value range_item(const struct range *range, size_t index) {
    return value_int(range->start + (int64_t)index * range->step);
}

/* One pass of a generator over one source item: true when it gives ret. */
static bool generate(struct interp *in, struct generator *g, struct value item, struct value *ret) {
    *ret = item;
    switch (g->kind) {
    case GENERATE_ALL:
        return true;
    case GENERATE_MAP:
        *ret = builtin_call(in, g->builtin, item, &g->args);
        return true;
    case GENERATE_LOOKUP:
        *ret = path_lookup(in, g->path, item, g->otherwise);
        return true;
    case GENERATE_SELECT: {
        const struct value tested = g->path ? path_lookup(in, g->path, item, value_none()) : item;
        const struct value result =
            g->builtin ? builtin_call(in, g->builtin, tested, &g->args) : tested;
        return value_truth(result) != g->inverted;
    }
    case GENERATE_UNIQUE: {
        struct value key = g->path ? path_lookup(in, g->path, item, value_none()) : item;
        if (!g->case_sensitive)
            key = op_ignore_case(in, key);
        if (dict_get(g->seen, key))
            return false;
        interp_set(in, g->seen, key, value_none());
        return true;
    }
    }
    return false;
}

/* map and select give nothing for anything false, be it None or 0, before they ask what it is. */
static void start(struct interp *in, struct generator *g) {
    const bool asks = g->kind == GENERATE_ALL || g->kind == GENERATE_UNIQUE;
    struct value source = g->source.of;
    g->started = true;
    if (g->kind == GENERATE_ALL && g->builtin)
        source = g->builtin->call(in, source, &g->args);
    else if (!asks && !value_truth(source))
        source = value_undefined("nothing");
    if (!in->failed)
        g->source = iter_init(in, source);
}

static bool generator_next(struct interp *in, struct generator *g, struct value *ret) {
    struct value item;
    if (!g->started)
        start(in, g);
    while (iter_next(in, &g->source, &item)) {
        if (generate(in, g, item, ret))
            return !in->failed;
    }
    return false;
}

bool iter_next(struct interp *in, struct iter *it, struct value *ret) {
    if (!interp_charge(in, 1))
        return false;

    const struct value of = it->of;
    switch (of.kind) {
    case V_STR: {
        if (it->at >= of.str->len)
            return false;
        uint32_t cp;
        const size_t n = str_char(of.str, it->at, &cp);
        *ret = interp_part(in, of.str, it->at, it->at + n);
        *ret = interp_str(in, str_as_markup(&in->arena, ret->str, false)); /* as in Python */
        it->at += n;
        return !in->failed;
    }
    case V_RANGE:
        if (it->at >= (size_t)of.range->n)
            return false;
        *ret = range_item(of.range, it->at++);
        return true;
    case V_DICT:
        if (it->at >= of.dict->n)
            return false;
        *ret = of.dict->entries[it->at++].key;
        return true;
    case V_GENERATOR:
        return generator_next(in, of.generator, ret);
    default:
        if (!value_is_seq(of) || it->at >= of.seq->n)
            return false;
        *ret = of.seq->items[it->at++];
        return true;
    }
}

struct generator *generator_new(struct interp *in, enum generator_kind kind, struct value source) {
    struct generator *g = interp_alloc(in, 1, sizeof *g);
    if (!g)
        return NULL;

    g->kind = kind;
    g->source = (struct iter){.of = source};
    g->depth = source.kind == V_GENERATOR ? source.generator->depth + 1 : 0;
    g->otherwise = value_none();
    if (g->depth >= MAX_GENERATORS)
        interp_fail(in, "more than %d filters on top of each other", MAX_GENERATORS);
    return g;
}

struct value generator_value(struct generator *generator) {
    return (struct value){.kind = V_GENERATOR, .generator = generator};
}

struct seq *iter_collect(struct interp *in, struct value v) {
    struct iter it = iter_init(in, v);
    struct seq *list = interp_seq(in, value_is_seq(v) ? v.seq->n : 0);
    list->user = (value_is_seq(v) && v.seq->user) || (v.kind == V_DICT && v.dict->user);
    struct value item;
    while (iter_next(in, &it, &item))
        interp_add(in, list, item);
    return list;
}

static bool is_number(const struct str *s) {
    for (size_t i = 0; i < s->len; i++) {
        if (s->bytes[i] < '0' || s->bytes[i] > '9')
            return false;
    }
    return s->len > 0 && s->len < 19;
}

static struct value path_part(struct interp *in, const struct str *s) {
    if (!is_number(s))
        return interp_str(in, s);
    int64_t number = 0;
    for (size_t i = 0; i < s->len; i++)
        number = number * 10 + (s->bytes[i] - '0');
    return value_int(number);
}

const struct seq *path_parse(struct interp *in, struct value attribute) {
    struct seq *path = interp_seq(in, 1);
    if (attribute.kind == V_NONE || attribute.kind == V_MISSING)
        return path;
    if (attribute.kind != V_STR) {
        interp_add(in, path, attribute);
        return path;
    }
    const struct str *s = attribute.str;
    size_t from = 0;
    for (size_t i = 0; i <= s->len && !in->failed; i++) {
        if (i < s->len && s->bytes[i] != '.')
            continue;
        interp_add(in, path, path_part(in, interp_part(in, s, from, i).str));
        from = i + 1;
    }
    return path;
}

struct value path_lookup(struct interp *in, const struct seq *path, struct value item,
                         struct value otherwise) {
    for (size_t i = 0; i < path->n && !in->failed; i++) {
        item = op_get_item(in, item, path->items[i]);
        if (item.kind == V_UNDEFINED && otherwise.kind != V_NONE && otherwise.kind != V_MISSING)
            item = otherwise;
    }
    return item;
}

/* Merges the sorted halves [0, half) and [half, n) of order, which holds positions in keys. */
static void merge(struct interp *in, const struct value *keys, uint32_t *order, uint32_t *spare,
                  size_t half, size_t n, bool reverse) {
    size_t left = 0;
    size_t right = half;
    for (size_t i = 0; i < n; i++) {
        bool take_right = left == half;
        if (left < half && right < n && interp_charge(in, 1)) {
            const struct value a = keys[order[left]];
            const struct value b = keys[order[right]];
            take_right = reverse ? op_order(in, a, b, OP_LT) < 0 : op_order(in, b, a, OP_LT) < 0;
        }
        spare[i] = take_right ? order[right++] : order[left++];
    }
    memcpy(order, spare, n * sizeof *order);
}

/* Merge sort: stable, and its recursion is as deep as the logarithm of n. */
static void sort_order(struct interp *in, const struct value *keys, uint32_t *order,
                       uint32_t *spare, size_t n, bool reverse) {
    if (n < 2 || in->failed)
        return;
    sort_order(in, keys, order, spare, n / 2, reverse);
    sort_order(in, keys, order + n / 2, spare, n - n / 2, reverse);
    merge(in, keys, order, spare, n / 2, n, reverse);
}

void seq_sort_by(struct interp *in, struct value *keys, struct value *items, size_t n,
                 bool reverse) {
    uint32_t *order = interp_alloc(in, n * 2, sizeof *order);
    struct value *old = interp_alloc(in, n, sizeof *old);
    if (!order || !old || in->failed)
        return;
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    sort_order(in, keys, order, order + n, n, reverse);
    struct value *moved = items ? items : keys;
    if (n)
        memcpy(old, moved, n * sizeof *old);
    for (size_t i = 0; i < n; i++)
        moved[i] = old[order[i]];
}
