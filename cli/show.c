/* SPDX-License-Identifier: Apache-2.0 */
#include "show.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "kvasir/buf.h"

/* The types in which K and V can be kept, with the bytes of a value. */
static const struct {
    const char *name;
    uint32_t n_bytes;
} kv_types[] = {{"float32", 4}, {"float16", 2}, {"bfloat16", 2}};
enum { N_KV_TYPES = sizeof kv_types / sizeof *kv_types };

/* "1.11 GiB", "12.1 KiB", "640 B" */
static void print_bytes(struct buf *buf, uint64_t n_bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)n_bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        value /= 1024;
        unit++;
    }
    buf_printf(buf, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
}

/* "596.0 M", "7.62 B" */
static void print_count(struct buf *buf, uint64_t n) {
    if (n >= 1000000000)
        buf_printf(buf, "%.2f B", (double)n / 1e9);
    else
        buf_printf(buf, "%.1f M", (double)n / 1e6);
}

static void print_label(struct buf *buf, const char *label) {
    buf_printf(buf, "\n  %-15s ", label);
}

static void print_weights(struct buf *buf, const struct model_info *info) {
    print_label(buf, "weights");
    print_bytes(buf, info->weight_bytes);
    for (uint32_t i = 0; i < info->n_types; i++) {
        const struct model_type_bytes *type = &info->types[i];

        buf_printf(buf, "%s%s ", i ? ", " : ": ", type->type);
        print_bytes(buf, type->n_bytes);
        buf_printf(buf, " in %" PRIu32 " tensor%s", type->n_tensors,
                   type->n_tensors == 1 ? "" : "s");
    }
}

static void print_sampling(struct buf *buf, const struct model_info *info) {
    const struct sampling_params *p = &info->generation_defaults;
    if (!info->has_generation_defaults)
        return;

    print_label(buf, "sampling");
    buf_printf(buf, "temperature %g, top_p %g, top_k %" PRId32 ", min_p %g, repetition_penalty %g",
               (double)p->temperature, (double)p->top_p, p->top_k, (double)p->min_p,
               (double)p->repetition_penalty);
}

static void print_text(struct buf *buf, const struct show_model *model) {
    const struct model_info *info = model->info;

    buf_append_str(buf, info->name);
    print_label(buf, "path");
    buf_append_str(buf, info->path);
    print_label(buf, "format");
    buf_printf(buf, "%s, %s (family %s)", info->format, info->architecture, info->family);
    print_label(buf, "parameters");
    print_count(buf, info->n_params);
    print_weights(buf, info);

    print_label(buf, "layers");
    buf_printf(buf, "%" PRIu32 " of width %" PRIu32 ", inner width %" PRIu32, info->n_layers,
               info->hidden_size, info->intermediate_size);
    print_label(buf, "attention");
    buf_printf(buf, "%" PRIu32 " heads, %" PRIu32 " key-value heads of %" PRIu32, info->n_heads,
               info->n_kv_heads, info->head_dim);
    if (info->sliding_window)
        buf_printf(buf, ", sliding window of %" PRIu32 " tokens", info->sliding_window);
    print_label(buf, "vocabulary");
    buf_printf(buf, "%" PRIu32 ", output head %s", info->n_vocab,
               info->tied_embeddings ? "tied to the embedding" : "of its own");
    print_label(buf, "context");
    buf_printf(buf, "%" PRIu32 " tokens", info->max_position);
    print_label(buf, "rope");
    buf_append_str(buf, info->rope);
    print_label(buf, "KV per token");
    for (uint32_t i = 0; i < N_KV_TYPES; i++) {
        buf_append_str(buf, i ? ", " : "");
        print_bytes(buf, info->kv_values_per_token * kv_types[i].n_bytes);
        buf_printf(buf, " as %s", kv_types[i].name);
    }

    print_label(buf, "tokenizer");
    if (model->tokenizer_kind)
        buf_append_str(buf, model->tokenizer_kind);
    else
        buf_printf(buf, "cannot be read: %s", model->tokenizer_reason);
    print_label(buf, "chat template");
    if (info->chat_template)
        buf_printf(buf, "yes, %zu bytes", info->chat_template_len);
    else
        buf_append_str(buf, "none");
    print_label(buf, "end tokens");
    for (uint32_t i = 0; i < info->n_eos; i++)
        buf_printf(buf, "%s%" PRId32, i ? ", " : "", info->eos[i]);
    if (info->n_eos == 0)
        buf_append_str(buf, "none");
    print_sampling(buf, info);
    buf_append_char(buf, '\n');
}

/* "key": with the comma before it, unless it is the first of its object. */
static void json_key(struct buf *buf, const char *key) {
    if (buf->len > 0 && buf->data[buf->len - 1] != '{')
        buf_append_char(buf, ',');
    buf_printf(buf, "\"%s\":", key);
}

static void json_string(struct buf *buf, const char *key, const char *value) {
    json_key(buf, key);
    if (value)
        buf_append_json_string(buf, value, strlen(value));
    else
        buf_append_str(buf, "null");
}

static void json_number(struct buf *buf, const char *key, uint64_t value) {
    json_key(buf, key);
    buf_printf(buf, "%" PRIu64, value);
}

static void json_bool(struct buf *buf, const char *key, bool value) {
    json_key(buf, key);
    buf_append_str(buf, value ? "true" : "false");
}

static void json_types(struct buf *buf, const struct model_info *info) {
    json_key(buf, "weight_bytes_by_type");
    buf_append_char(buf, '{');
    for (uint32_t i = 0; i < info->n_types; i++)
        json_number(buf, info->types[i].type, info->types[i].n_bytes);
    buf_append_char(buf, '}');
}

static void json_ids(struct buf *buf, const struct model_info *info) {
    json_key(buf, "bos_token_id");
    if (info->bos == TOKEN_NONE)
        buf_append_str(buf, "null");
    else
        buf_printf(buf, "%" PRId32, info->bos);

    json_key(buf, "eos_token_ids");
    buf_append_char(buf, '[');
    for (uint32_t i = 0; i < info->n_eos; i++)
        buf_printf(buf, "%s%" PRId32, i ? "," : "", info->eos[i]);
    buf_append_char(buf, ']');
}

static void json_sampling(struct buf *buf, const struct model_info *info) {
    const struct sampling_params *p = &info->generation_defaults;

    json_key(buf, "generation_defaults");
    if (!info->has_generation_defaults) {
        buf_append_str(buf, "null");
        return;
    }
    buf_printf(buf,
               "{\"temperature\":%.9g,\"top_p\":%.9g,\"top_k\":%" PRId32
               ",\"min_p\":%.9g,\"repetition_penalty\":%.9g}",
               (double)p->temperature, (double)p->top_p, p->top_k, (double)p->min_p,
               (double)p->repetition_penalty);
}

static void print_json(struct buf *buf, const struct show_model *model) {
    const struct model_info *info = model->info;

    buf_append_char(buf, '{');
    json_string(buf, "name", info->name);
    json_string(buf, "path", info->path);
    json_string(buf, "format", info->format);
    json_string(buf, "architecture", info->architecture);
    json_string(buf, "family", info->family);
    json_number(buf, "parameters", info->n_params);
    json_number(buf, "weight_bytes", info->weight_bytes);
    json_types(buf, info);
    json_number(buf, "vocab_size", info->n_vocab);
    json_number(buf, "num_hidden_layers", info->n_layers);
    json_number(buf, "hidden_size", info->hidden_size);
    json_number(buf, "intermediate_size", info->intermediate_size);
    json_number(buf, "num_attention_heads", info->n_heads);
    json_number(buf, "num_key_value_heads", info->n_kv_heads);
    json_number(buf, "head_dim", info->head_dim);
    json_number(buf, "sliding_window", info->sliding_window);
    json_bool(buf, "tied_embeddings", info->tied_embeddings);
    json_number(buf, "context_length", info->max_position);
    json_string(buf, "rope", info->rope);
    json_key(buf, "kv_bytes_per_token");
    buf_append_char(buf, '{');
    for (uint32_t i = 0; i < N_KV_TYPES; i++)
        json_number(buf, kv_types[i].name, info->kv_values_per_token * kv_types[i].n_bytes);
    buf_append_char(buf, '}');
    json_string(buf, "tokenizer", model->tokenizer_kind);
    json_bool(buf, "chat_template", info->chat_template != NULL);
    json_ids(buf, info);
    json_sampling(buf, info);
    buf_append_str(buf, "}\n");
}

int show_print(const struct show_model *model, bool json, FILE *out) {
    struct buf buf;
    int r = 0;

    buf_init(&buf, /* max_len= */ 0);
    if (json)
        print_json(&buf, model);
    else
        print_text(&buf, model);
    if (buf_failed(&buf))
        r = -ENOMEM;
    else if (fwrite(buf.data, 1, buf.len, out) != buf.len)
        r = -EIO;
    buf_fini(&buf);
    return r;
}
