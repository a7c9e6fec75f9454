/* SPDX-License-Identifier: Apache-2.0 */
#include "value.h"

#include <math.h>
#include <string.h>

#include "kvasir/mem.h"

enum { LINEAR_UP_TO = 8, FIRST_CAP = 4, MAX_DEPTH = 64, MAX_KEY_VALUES = 1 << 12 };

const char *value_type_name(struct value v) {
#define AS_NAME(kind, name) [kind] = name,
    static const char *const names[] = {VALUE_KINDS(AS_NAME)};
#undef AS_NAME
    return names[v.kind];
}

bool value_truth(struct value v) {
    switch (v.kind) {
    case V_MISSING:
    case V_UNDEFINED:
    case V_NONE:
        return false;
    case V_BOOL:
        return v.boolean;
    case V_INT:
        return v.integer != 0;
    case V_FLOAT:
        return v.real != 0.0;
    case V_STR:
        return v.str->len > 0;
    case V_LIST:
    case V_TUPLE:
    case V_KEYS:
    case V_VALUES:
    case V_ITEMS:
        return v.seq->n > 0;
    case V_DICT:
        return v.dict->n > 0;
    case V_RANGE:
        return v.range->n > 0;
    default:
        return true;
    }
}

/* What a comparison may still look at, and how deep it is. */
struct comparison {
    uint64_t *budget;
    int depth;
};

static bool equal_values(struct value a, struct value b, struct comparison c);

static bool equal_seqs(const struct seq *a, const struct seq *b, struct comparison c) {
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        if (!equal_values(a->items[i], b->items[i], c))
            return false;
    }
    return true;
}

static bool equal_dicts(const struct dict *a, const struct dict *b, struct comparison c) {
    if (a == b)
        return true;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct entry *other = dict_get(b, a->entries[i].key);
        if (!other || !equal_values(a->entries[i].value, other->value, c))
            return false;
    }
    return true;
}

static bool equal_ranges(const struct range *a, const struct range *b) {
    if (a->n != b->n)
        return false;
    return a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step));
}

static bool equal_numbers(struct value a, struct value b) {
    if (value_is_integral(a) && value_is_integral(b))
        return value_as_int(a) == value_as_int(b);
    return value_as_float(a) == value_as_float(b);
}

static bool equal_values(struct value a, struct value b, struct comparison c) {
    const struct comparison inner = {.budget = c.budget, .depth = c.depth + 1};
    if (*c.budget == 0)
        return false;
    --*c.budget;
    if (value_is_number(a) && value_is_number(b))
        return equal_numbers(a, b);
    if (a.kind != b.kind || c.depth >= MAX_DEPTH)
        return false;

    switch (a.kind) {
    case V_UNDEFINED:
    case V_NONE:
        return true;
    case V_STR:
        *c.budget -= a.str->len / 64 < *c.budget ? a.str->len / 64 : *c.budget;
        return str_equal(a.str, b.str);
    case V_LIST:
    case V_TUPLE:
    case V_KEYS:
    case V_ITEMS:
        return equal_seqs(a.seq, b.seq, inner);
    case V_DICT:
        return equal_dicts(a.dict, b.dict, inner);
    case V_RANGE:
        return equal_ranges(a.range, b.range);
    default:
        return a.pointer == b.pointer;
    }
}

bool value_equal(struct value a, struct value b, uint64_t *budget) {
    return equal_values(a, b, (struct comparison){.budget = budget});
}

/* Keys hold few values, see value_hashable; strings may be long, but there are few of one hash. */
static bool equal_keys(struct value a, struct value b) {
    uint64_t budget = UINT64_MAX;
    return value_equal(a, b, &budget);
}

static bool hashable_at(struct value v, int depth, uint32_t *left) {
    if (*left == 0)
        return false;
    --*left;
    if (v.kind != V_TUPLE)
        return v.kind != V_LIST && v.kind != V_DICT && v.kind != V_KEYS && v.kind != V_ITEMS;
    if (depth >= MAX_DEPTH)
        return false;
    for (size_t i = 0; i < v.seq->n; i++) {
        if (!hashable_at(v.seq->items[i], depth + 1, left))
            return false;
    }
    return true;
}

bool value_hashable(struct value v) {
    uint32_t left = MAX_KEY_VALUES;
    return hashable_at(v, 0, &left);
}

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

/*
 * The seed is the dict's own address, which a client cannot know: keys that collide on purpose
 * would make building a dict quadratic.
 */
static uint64_t hash_text(const struct dict *dict, const char *bytes, size_t len) {
    uint64_t h = mix((uint64_t)(uintptr_t)dict, len);
    for (; len >= 8; bytes += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        h = mix(h, word);
    }
    uint64_t rest = 0;
    memcpy(&rest, bytes, len);
    return mix(mix(h, rest), (uint64_t)(uintptr_t)dict);
}

/* Equal values hash alike: 1, 1.0 and true are one key. */
static uint64_t hash_number(struct value v) {
    const double real = v.kind == V_FLOAT ? v.real : 0;
    if (v.kind == V_FLOAT && !(real >= -9.2e18 && real <= 9.2e18 && real == floor(real))) {
        uint64_t bits;
        memcpy(&bits, &real, sizeof bits);
        return mix(2, bits);
    }
    const int64_t integer = v.kind == V_FLOAT ? (int64_t)real : value_as_int(v);
    return mix(1, (uint64_t)integer);
}

static uint64_t hash_at(const struct dict *dict, struct value v, int depth) {
    if (value_is_number(v))
        return hash_number(v);
    if (v.kind == V_STR)
        return hash_text(dict, v.str->bytes, v.str->len);
    if (v.kind == V_UNDEFINED || v.kind == V_NONE || depth >= MAX_DEPTH)
        return v.kind;
    if (v.kind != V_TUPLE)
        return mix(v.kind, (uint64_t)(uintptr_t)v.pointer);

    uint64_t h = v.seq->n;
    for (size_t i = 0; i < v.seq->n; i++)
        h = mix(h, hash_at(dict, v.seq->items[i], depth + 1));
    return h;
}

struct seq *seq_new(struct arena *arena, size_t cap) {
    struct seq *seq = arena_alloc_zero(arena, 1, sizeof *seq);
    if (!seq || cap == 0)
        return seq;

    seq->items = arena_alloc_zero(arena, cap, sizeof *seq->items);
    if (!seq->items)
        return NULL;

    seq->cap = cap;
    return seq;
}

bool seq_add(struct arena *arena, struct seq *seq, struct value item) {
    if (seq->n == seq->cap) {
        const size_t cap = seq->cap ? seq->cap * 2 : FIRST_CAP;
        size_t bytes;
        if (!size_mul(cap, sizeof *seq->items, &bytes))
            return false;
        struct value *items = arena_alloc(arena, bytes);
        if (!items)
            return false;
        if (seq->n)
            memcpy(items, seq->items, seq->n * sizeof *items);
        seq->items = items;
        seq->cap = cap;
    }
    seq->items[seq->n++] = item;
    return true;
}

void seq_remove(struct seq *seq, size_t index) {
    seq->n--;
    memmove(seq->items + index, seq->items + index + 1, (seq->n - index) * sizeof *seq->items);
}

struct dict *dict_new(struct arena *arena) {
    return arena_alloc_zero(arena, 1, sizeof(struct dict));
}

static void index_entry(struct dict *dict, size_t number) {
    size_t slot = dict->entries[number].hash & (dict->n_index - 1);
    while (dict->index[slot])
        slot = (slot + 1) & (dict->n_index - 1);
    dict->index[slot] = (uint32_t)number + 1;
}

static void rebuild_index(struct dict *dict) {
    if (!dict->index)
        return;
    memset(dict->index, 0, dict->n_index * sizeof *dict->index);
    for (size_t i = 0; i < dict->n; i++)
        index_entry(dict, i);
}

/* Doubles the entries; from the ninth on, with an index. */
static bool grow(struct arena *arena, struct dict *dict) {
    const size_t cap = dict->cap ? dict->cap * 2 : FIRST_CAP;
    if (cap > UINT32_MAX / 4)
        return false;

    struct entry *entries = arena_alloc(arena, cap * sizeof *entries);
    if (!entries)
        return false;
    if (cap > LINEAR_UP_TO) {
        uint32_t *index = arena_alloc(arena, cap * 2 * sizeof *index);
        if (!index)
            return false;
        dict->index = index;
        dict->n_index = cap * 2;
    }
    if (dict->n)
        memcpy(entries, dict->entries, dict->n * sizeof *entries);
    dict->entries = entries;
    dict->cap = cap;
    rebuild_index(dict);
    return true;
}

static const struct entry *lookup(const struct dict *dict, struct value key, uint64_t hash) {
    if (!dict->index) {
        for (size_t i = 0; i < dict->n; i++) {
            if (dict->entries[i].hash == hash && equal_keys(dict->entries[i].key, key))
                return &dict->entries[i];
        }
        return NULL;
    }
    size_t slot = hash & (dict->n_index - 1);
    for (; dict->index[slot]; slot = (slot + 1) & (dict->n_index - 1)) {
        const struct entry *entry = &dict->entries[dict->index[slot] - 1];
        if (entry->hash == hash && equal_keys(entry->key, key))
            return entry;
    }
    return NULL;
}

const struct entry *dict_get(const struct dict *dict, struct value key) {
    if (dict->n == 0 || !value_hashable(key))
        return NULL;
    return lookup(dict, key, hash_at(dict, key, 0));
}

const struct entry *dict_get_text(const struct dict *dict, const char *bytes, size_t len) {
    const struct str key = {.bytes = bytes, .len = (uint32_t)len};
    return dict->n ? lookup(dict, value_str(&key), hash_text(dict, bytes, len)) : NULL;
}

bool dict_set(struct arena *arena, struct dict *dict, struct value key, struct value value) {
    const uint64_t hash = hash_at(dict, key, 0);
    struct entry *old = (struct entry *)lookup(dict, key, hash);
    if (old) {
        old->value = value;
        return true;
    }
    if (dict->n == dict->cap && !grow(arena, dict))
        return false;

    dict->entries[dict->n] = (struct entry){.key = key, .value = value, .hash = hash};
    dict->n++;
    if (dict->index)
        index_entry(dict, dict->n - 1);
    return true;
}

void dict_remove(struct dict *dict, size_t index) {
    dict->n--;
    memmove(dict->entries + index, dict->entries + index + 1,
            (dict->n - index) * sizeof *dict->entries);
    rebuild_index(dict);
}

void dict_clear(struct dict *dict) {
    dict->n = 0;
    rebuild_index(dict);
}

struct dict *dict_copy(struct arena *arena, const struct dict *dict) {
    struct dict *copy = dict_new(arena);
    if (!copy)
        return NULL;
    copy->user = dict->user;
    for (size_t i = 0; i < dict->n; i++) {
        if (!dict_set(arena, copy, dict->entries[i].key, dict->entries[i].value))
            return NULL;
    }
    return copy;
}
