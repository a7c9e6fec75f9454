/* SPDX-License-Identifier: Apache-2.0 */
#include "model/bind.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where a rule failed, so that it is said once for all layers. */
struct tally {
    uint32_t n;
    uint32_t first, last;
    char detail[160]; /* of the first */
};

/* The state of one binding. */
struct bind {
    const struct family *family;
    enum stored_format format;
    const struct tensor_dir *dir;
    struct hparams_build *build;
    struct model_weights *weights;
    bool *is_used;       /* [dir->n] */
    const char *refused; /* the name of the last rule that failed; NULL: none yet */
};

/* layer: whose sizes; any for those that are the model's. */
static uint64_t dim_size(const struct hparams *hp, uint32_t layer, enum dim dim) {
    const struct layer_spec *spec = &hp->layers[layer];
    const struct attention_shape *attention = &spec->attention;

    switch (dim) {
    case DIM_NONE:
        return 1;
    case DIM_VOCAB:
        return hp->n_vocab;
    case DIM_HIDDEN:
        return hp->hidden_size;
    case DIM_INTERMEDIATE:
        return spec->intermediate_size;
    case DIM_Q:
        return (uint64_t)attention->n_heads * attention->head_dim;
    case DIM_KV:
        return (uint64_t)attention->n_kv_heads * attention->head_dim;
    case DIM_HEAD:
        return attention->head_dim;
    }
    return 0;
}

static const char *rule_name(const struct bind *b, const struct tensor_rule *rule) {
    return b->format == STORED_HF ? rule->hf_name : rule->gguf_name;
}

/* pattern with '#' replaced by the layer. */
static void format_name(const char *pattern, uint32_t layer, char *ret_name, size_t cap) {
    const char *mark = strchr(pattern, '#');

    if (mark) /* patterns are ours and short */
        (void)snprintf(ret_name, cap, "%.*s%" PRIu32 "%s", (int)(mark - pattern), pattern, layer,
                       mark + 1);
    else
        (void)snprintf(ret_name, cap, "%s", pattern); /* as above */
}

static void tally_add(struct tally *tally, uint32_t layer) {
    if (tally->n == 0)
        tally->first = layer;
    tally->last = layer;
    tally->n++;
}

/* "[2, 3]" */
static void format_shape(const uint64_t *shape, uint32_t n_dims, char *ret_text, size_t cap) {
    size_t len = (size_t)snprintf(ret_text, cap, "[");
    for (uint32_t i = 0; i < n_dims && len < cap; i++)
        len += (size_t)snprintf(ret_text + len, cap - len, "%s%" PRIu64, i ? ", " : "", shape[i]);
    if (len < cap)
        (void)snprintf(ret_text + len, cap - len, "]"); /* for display */
}

/* Rows of the first n parts of a fused tensor. */
static uint64_t rows_of_parts(const struct hparams *hp, const struct tensor_rule *rule,
                              uint32_t layer, uint32_t n) {
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < n && rule->fused[i] != DIM_NONE; i++)
        n_rows += dim_size(hp, layer, rule->fused[i]);
    return n_rows;
}

/* True if the stored tensor has the shape of the rule; otherwise says so in detail. */
static bool check_shape(const struct hparams *hp, const struct tensor_rule *rule, uint32_t layer,
                        const struct stored_tensor *stored, char detail[160]) {
    uint64_t expected[RULE_MAX_DIMS];
    uint32_t n_dims = 0;
    while (n_dims < RULE_MAX_DIMS && rule->shape[n_dims] != DIM_NONE) {
        expected[n_dims] = dim_size(hp, layer, rule->shape[n_dims]);
        n_dims++;
    }
    if (rule->fused[0] != DIM_NONE)
        expected[0] = rows_of_parts(hp, rule, layer, RULE_MAX_PARTS);
    if (stored->n_dims == n_dims && memcmp(stored->shape, expected, n_dims * sizeof *expected) == 0)
        return true;

    char want[64], found[64];
    format_shape(expected, n_dims, want, sizeof want);
    format_shape(stored->shape, stored->n_dims, found, sizeof found);
    (void)snprintf(detail, 160, "expected %s, found %s", want, found); /* for display */
    return false;
}

/* True if a row of the stored tensor begins on a block, so that rows can be taken out. */
static bool has_whole_rows(const struct stored_tensor *stored) {
    uint64_t n_cols = 1;
    for (uint32_t i = 1; i < stored->n_dims; i++)
        n_cols *= stored->shape[i];
    return n_cols % weight_type_info(stored->type)->block_len == 0;
}

static bool is_served(const struct tensor_rule *rule, const struct stored_tensor *stored) {
    return weight_type_info(stored->type) && (rule->fused[0] == DIM_NONE || has_whole_rows(stored));
}

static struct tensor *slot_of(const struct bind *b, const struct tensor_rule *rule,
                              uint32_t layer) {
    return rule->scope == PER_MODEL ? &b->weights->global[rule->slot]
                                    : &b->weights->layers[layer].slots[rule->slot];
}

static void fill_slot(struct tensor *slot, const struct stored_tensor *stored) {
    *slot = (struct tensor){
        .name = stored->name,
        .type = (enum weight_type)stored->type,
        .n_dims = stored->n_dims,
        .data = stored->data,
        .n_bytes = stored->n_bytes,
    };
    for (uint32_t i = 0; i < TENSOR_MAX_DIMS; i++)
        slot->shape[i] = stored->shape[i];
}

/* The slot becomes the rows of one part: rows are contiguous, so that is a tensor like any other. */
static void take_part(struct tensor *slot, const struct hparams *hp, const struct tensor_rule *rule,
                      uint32_t layer) {
    INVARIANT(rule->part < RULE_MAX_PARTS && rule->shape[0] == rule->fused[rule->part]);
    const size_t row_bytes = slot->n_bytes / slot->shape[0];
    const uint64_t first_row = rows_of_parts(hp, rule, layer, rule->part);

    slot->data = (const unsigned char *)slot->data + first_row * row_bytes;
    slot->shape[0] = dim_size(hp, layer, rule->shape[0]);
    slot->n_bytes = slot->shape[0] * row_bytes;
}

/* " in layers 0 to 27", " in layer 3", " in 5 of the layers 2 to 30" */
static void format_layers(const struct tensor_rule *rule, const struct tally *tally, char *ret_text,
                          size_t cap) {
    ret_text[0] = '\0';
    if (rule->scope == PER_MODEL)
        return;
    if (tally->n == 1)
        (void)snprintf(ret_text, cap, " in layer %" PRIu32, tally->first); /* for display */
    else if (tally->n == tally->last - tally->first + 1)
        (void)snprintf(ret_text, cap, " in layers %" PRIu32 " to %" PRIu32, tally->first,
                       tally->last); /* for display */
    else
        (void)snprintf(ret_text, cap, " in %" PRIu32 " of the layers %" PRIu32 " to %" PRIu32,
                       tally->n, tally->first, tally->last); /* for display */
}

static void report(struct bind *b, const struct tensor_rule *rule, int code,
                   const struct tally *tally, const char *what) {
    if (tally->n == 0)
        return;
    b->refused = rule_name(b, rule);

    char layers[64];
    format_layers(rule, tally, layers, sizeof layers);
    problems_add(b->build->problems, code, "%s: %s%s%s%s%s", rule_name(b, rule), what, layers,
                 tally->detail[0] ? " (" : "", tally->detail, tally->detail[0] ? ")" : "");
}

static void bind_rule(struct bind *b, const struct tensor_rule *rule) {
    const struct hparams *hp = b->build->hparams;
    const char *pattern = rule_name(b, rule);
    const uint32_t n = rule->scope == PER_MODEL ? 1 : hp->n_layers;
    struct tally missing = {.n = 0}, misshaped = {.n = 0}, not_served = {.n = 0};

    if (!pattern || (b->refused && strcmp(pattern, b->refused) == 0))
        return; /* not of this format; or another part of it, and what is wrong has been said */
    for (uint32_t layer = 0; layer < n; layer++) {
        if (rule->when && !rule->when(hp, layer))
            continue;

        char name[128];
        format_name(pattern, layer, name, sizeof name);
        const struct stored_tensor *stored = tensor_dir_find(b->dir, name);
        if (!stored) {
            if (!rule->optional)
                tally_add(&missing, layer);
            continue;
        }
        b->is_used[stored - b->dir->items] = true;

        char detail[160];
        if (!check_shape(hp, rule, layer, stored, detail)) {
            if (misshaped.n == 0)
                memcpy(misshaped.detail, detail, sizeof detail);
            tally_add(&misshaped, layer);
        } else if (!is_served(rule, stored)) {
            if (not_served.n == 0) /* for display */
                (void)snprintf(not_served.detail, sizeof not_served.detail, "%s",
                               stored->type_name);
            tally_add(&not_served, layer);
        } else {
            fill_slot(slot_of(b, rule, layer), stored);
            if (rule->fused[0] != DIM_NONE)
                take_part(slot_of(b, rule, layer), hp, rule, layer);
        }
    }
    report(b, rule, -EINVAL, &missing, "missing");
    report(b, rule, -EINVAL, &misshaped, "wrong shape");
    report(b, rule, -ENOTSUP, &not_served, "type not served");
}

/* True if name is what pattern says up to '#', then a layer that the model has, then '.'. */
static bool is_of_layer(const char *pattern, const char *name, uint32_t n_layers) {
    const char *mark = strchr(pattern, '#');
    if (!mark || strncmp(pattern, name, (size_t)(mark - pattern)) != 0)
        return false;

    const char *digit = name + (mark - pattern);
    uint32_t layer = 0;
    if (*digit < '0' || *digit > '9')
        return false;
    while (*digit >= '0' && *digit <= '9' && layer < n_layers)
        layer = layer * 10 + (uint32_t)(*digit++ - '0');
    return layer < n_layers && *digit == '.';
}

static bool ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

/* What old writers stored though it follows from the configuration. */
static bool is_stale(const char *name) {
    return ends_with(name, "rotary_emb.inv_freq") || ends_with(name, "attn_rot_embd") ||
           ends_with(name, "attn_rot_embd.weight");
}

static bool is_known_layer(const struct bind *b, const char *name) {
    for (const struct rule_table *const *table = b->family->tables; *table; table++)
        for (size_t i = 0; i < (*table)->n; i++) {
            const char *pattern = rule_name(b, &(*table)->rules[i]);
            if (pattern && is_of_layer(pattern, name, b->build->hparams->n_layers))
                return true;
        }
    return false;
}

static void report_unknown(const struct bind *b) {
    size_t n = 0;
    const char *first = NULL;

    for (size_t i = 0; i < b->dir->n; i++) {
        const char *name = b->dir->items[i].name;
        if (b->is_used[i] || is_stale(name) || !is_known_layer(b, name))
            continue;
        first = first ? first : name;
        n++;
    }
    if (n == 1)
        problems_add(b->build->problems, -ENOTSUP, "unexpected tensor %.200s", first);
    else if (n > 1)
        problems_add(b->build->problems, -ENOTSUP, "%zu unexpected tensors, the first is %.200s", n,
                     first);
}

void weights_bind(const struct family *family, enum stored_format format,
                  const struct tensor_dir *dir, struct hparams_build *build,
                  struct model_weights *ret_weights) {
    struct hparams *hp = build->hparams;
    struct bind b = {
        .family = family,
        .format = format,
        .dir = dir,
        .build = build,
        .weights = ret_weights,
        .is_used = arena_alloc_zero(build->arena, dir->n + 1, sizeof *b.is_used),
    };
    ret_weights->layers = arena_alloc_zero(build->arena, hp->n_layers, sizeof *ret_weights->layers);
    if (!b.is_used || !ret_weights->layers) {
        problems_add(build->problems, -ENOMEM, "no memory for the table of weights");
        return;
    }

    for (const struct rule_table *const *table = family->tables; *table; table++)
        for (size_t i = 0; i < (*table)->n; i++)
            bind_rule(&b, &(*table)->rules[i]);
    report_unknown(&b);

    if (!ret_weights->global[W_OUTPUT].name)
        hp->tied_embeddings = true;
}
