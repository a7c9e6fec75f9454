/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/kv_store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "kvasir/mem.h"

enum { MIN_BLOCK = 8, MAX_BLOCK = 256 };

static const uint8_t format_bytes[KV_FORMATS] = {
    [KV_FORMAT_F32] = 4,
    [KV_FORMAT_F16] = 2,
    [KV_FORMAT_BF16] = 2,
};

uint64_t kv_bytes_per_position(const struct kv_shape *shape) {
    size_t total = 0;

    for (uint32_t i = 0; i < shape->n_layers; i++) {
        const struct attention_shape *attention = &shape->layers[i].attention;
        size_t n_bytes;
        if (!size_mul((size_t)attention->n_kv_heads * attention->head_dim,
                      (size_t)2 * format_bytes[shape->format], &n_bytes) ||
            !size_add(total, n_bytes, &total))
            return 0;
    }
    return total;
}

/* The part of a layer, behind those of the layers before it. */
static int lay_out(struct kv_store *store, uint32_t index, struct error *reterr) {
    const struct kv_shape *shape = &store->shape;
    const struct attention_shape *attention = &shape->layers[index].attention;
    struct kv_layer *layer = &store->layers[index];
    size_t n_bytes;

    if (attention->head_dim == 0 || attention->head_dim > KV_MAX_HEAD_DIM)
        return error_set(reterr, -ENOTSUP, "heads of 1 to %d dimensions are served, not %" PRIu32,
                         KV_MAX_HEAD_DIM, attention->head_dim);

    *layer = (struct kv_layer){
        .n_kv_heads = attention->n_kv_heads,
        .head_dim = attention->head_dim,
        .group_bytes = (size_t)2 * KV_GROUP * attention->head_dim * store->element_bytes,
        .offset = store->n_bytes,
    };
    layer->head_bytes = shape->block_size / KV_GROUP * layer->group_bytes;
    if (!size_mul(layer->head_bytes, layer->n_kv_heads, &n_bytes) ||
        !size_mul(n_bytes, shape->n_blocks, &n_bytes) ||
        !size_add(store->n_bytes, n_bytes, &store->n_bytes))
        return error_set_param(reterr, -ENOMEM, "kv-memory",
                               "%" PRIu32 " blocks of KV are more than memory can hold",
                               shape->n_blocks);
    return 0;
}

static int reserve(struct kv_store *store, struct error *reterr) {
    store->layers = mem_alloc_array(store->shape.n_layers, sizeof *store->layers);
    if (!store->layers)
        return error_set(reterr, -ENOMEM, "out of memory for the layout of KV");

    for (uint32_t i = 0; i < store->shape.n_layers; i++) {
        const int r = lay_out(store, i, reterr);
        if (r < 0)
            return r;
    }
    store->data = mem_map(store->n_bytes);
    if (!store->data)
        return error_set_param(reterr, -ENOMEM, "kv-memory", "no memory for %zu MiB of KV",
                               store->n_bytes >> 20);
    return 0;
}

int kv_store_init(struct kv_store *store, const struct kv_shape *shape, const struct ops *ops,
                  struct error *reterr) {
    if (shape->block_size < MIN_BLOCK || shape->block_size > MAX_BLOCK ||
        shape->block_size % KV_GROUP != 0)
        return error_set_param(reterr, -EINVAL, "block-size",
                               "block-size must be a multiple of %d from %d to %d, not %" PRIu32,
                               KV_GROUP, MIN_BLOCK, MAX_BLOCK, shape->block_size);

    *store = (struct kv_store){
        .shape = *shape,
        .convert = ops->kv[shape->format],
        .element_bytes = format_bytes[shape->format],
    };
    const int r = reserve(store, reterr);
    if (r < 0)
        kv_store_fini(store);
    return r;
}

void kv_store_fini(struct kv_store *store) {
    mem_free(store->layers);
    mem_unmap(store->data, store->n_bytes);
    *store = (struct kv_store){.data = NULL};
}

/* The group of one head that position lies in: keys, then values from half of it on. */
static unsigned char *group_of(const struct kv_store *store, uint32_t layer_index, uint32_t head,
                               const uint32_t *block_table, uint32_t position) {
    const struct kv_layer *layer = &store->layers[layer_index];
    const uint32_t block = block_table[position / store->shape.block_size];
    const uint32_t row = position % store->shape.block_size;

    return store->data + layer->offset +
           ((size_t)block * layer->n_kv_heads + head) * layer->head_bytes +
           row / KV_GROUP * layer->group_bytes;
}

void kv_store_write(const struct kv_store *store, uint32_t layer, uint32_t head,
                    const uint32_t *block_table, uint32_t position, const float *k,
                    const float *v) {
    const uint32_t head_dim = store->layers[layer].head_dim;
    const size_t size = store->element_bytes;
    const size_t lane = position % KV_GROUP;
    unsigned char *group = group_of(store, layer, head, block_table, position);

    store->convert.narrow(group + store->layers[layer].group_bytes / 2 + lane * head_dim * size, v,
                          head_dim);

    float narrowed[KV_MAX_HEAD_DIM]; /* holds any format; float for its alignment */
    store->convert.narrow(narrowed, k, head_dim);
    const unsigned char *from = (const unsigned char *)narrowed;
    unsigned char *to = group + lane * size;
    for (uint32_t i = 0; i < head_dim; i++)
        memcpy(to + i * KV_GROUP * size, from + i * size, size);
}

static void read_values(const struct kv_store *store, uint32_t head_dim, const unsigned char *from,
                        float *to, uint32_t v_stride) {
    if (v_stride == head_dim) {
        store->convert.widen(to, from, KV_GROUP * head_dim);
        return;
    }
    for (uint32_t row = 0; row < KV_GROUP; row++)
        store->convert.widen(to + (size_t)row * v_stride,
                             from + (size_t)row * head_dim * store->element_bytes, head_dim);
}

void kv_store_read(const struct kv_store *store, uint32_t layer, uint32_t head,
                   const uint32_t *block_table, uint32_t first, uint32_t n, float *k, float *v,
                   uint32_t v_stride) {
    const uint32_t head_dim = store->layers[layer].head_dim;
    const size_t values = store->layers[layer].group_bytes / 2; /* behind the keys */

    for (uint32_t at = 0; at < n; at += KV_GROUP) {
        const unsigned char *group = group_of(store, layer, head, block_table, first + at);

        store->convert.widen_keys(k + at, group, head_dim);
        read_values(store, head_dim, group + values, v + (size_t)at * v_stride, v_stride);
    }
}

uint32_t kv_store_locate(const struct kv_store *store, uint32_t layer, uint32_t head,
                         const uint32_t *block_table, uint32_t first, uint32_t n,
                         const void *ret_groups[ATTENTION_TILE / KV_GROUP]) {
    uint32_t n_groups = 0;

    for (uint32_t at = 0; at < n; at += KV_GROUP)
        ret_groups[n_groups++] = group_of(store, layer, head, block_table, first + at);
    return n_groups;
}
