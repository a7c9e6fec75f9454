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
    /* each factor is below 2^31 and head_dim below 2^10, so that steps are checked apart */
    const uint64_t per_layer = (uint64_t)shape->n_kv_heads * shape->head_dim * 2;
    uint64_t total;

    if (!size_mul(per_layer, (size_t)shape->n_layers * format_bytes[shape->format], &total))
        return 0;
    return total;
}

int kv_store_init(struct kv_store *store, const struct kv_shape *shape, const struct ops *ops,
                  struct error *reterr) {
    if (shape->block_size < MIN_BLOCK || shape->block_size > MAX_BLOCK ||
        shape->block_size % KV_GROUP != 0)
        return error_set_param(reterr, -EINVAL, "block-size",
                               "block-size must be a multiple of %d from %d to %d, not %" PRIu32,
                               KV_GROUP, MIN_BLOCK, MAX_BLOCK, shape->block_size);
    if (shape->head_dim == 0 || shape->head_dim > KV_MAX_HEAD_DIM)
        return error_set(reterr, -ENOTSUP, "heads of 1 to %d dimensions are served, not %" PRIu32,
                         KV_MAX_HEAD_DIM, shape->head_dim);

    *store = (struct kv_store){
        .shape = *shape,
        .convert = ops->kv[shape->format],
        .element_bytes = format_bytes[shape->format],
    };
    store->group_bytes = (size_t)2 * KV_GROUP * shape->head_dim * store->element_bytes;
    store->head_bytes = shape->block_size / KV_GROUP * store->group_bytes;

    if (!size_mul(store->head_bytes, shape->n_kv_heads, &store->layer_bytes) ||
        !size_mul(store->layer_bytes, shape->n_blocks, &store->layer_bytes) ||
        !size_mul(store->layer_bytes, shape->n_layers, &store->n_bytes))
        return error_set_param(reterr, -ENOMEM, "kv-memory",
                               "%" PRIu32 " blocks of KV are more than memory can hold",
                               shape->n_blocks);

    store->data = mem_map(store->n_bytes);
    if (!store->data)
        return error_set_param(reterr, -ENOMEM, "kv-memory", "no memory for %zu MiB of KV",
                               store->n_bytes >> 20);
    return 0;
}

void kv_store_fini(struct kv_store *store) {
    mem_unmap(store->data, store->n_bytes);
    *store = (struct kv_store){0};
}

/* The group of one head that position lies in: keys, then values from half of it on. */
static unsigned char *group_of(const struct kv_store *store, uint32_t layer, uint32_t head,
                               const uint32_t *block_table, uint32_t position) {
    const uint32_t block = block_table[position / store->shape.block_size];
    const uint32_t row = position % store->shape.block_size;

    return store->data + layer * store->layer_bytes +
           ((size_t)block * store->shape.n_kv_heads + head) * store->head_bytes +
           row / KV_GROUP * store->group_bytes;
}

void kv_store_write(const struct kv_store *store, uint32_t layer, uint32_t head,
                    const uint32_t *block_table, uint32_t position, const float *k,
                    const float *v) {
    const uint32_t head_dim = store->shape.head_dim;
    const size_t size = store->element_bytes;
    const size_t lane = position % KV_GROUP;
    unsigned char *group = group_of(store, layer, head, block_table, position);

    store->convert.narrow(group + store->group_bytes / 2 + lane * head_dim * size, v, head_dim);

    float narrowed[KV_MAX_HEAD_DIM]; /* holds any format; float for its alignment */
    store->convert.narrow(narrowed, k, head_dim);
    const unsigned char *from = (const unsigned char *)narrowed;
    unsigned char *to = group + lane * size;
    for (uint32_t i = 0; i < head_dim; i++)
        memcpy(to + i * KV_GROUP * size, from + i * size, size);
}

static void read_values(const struct kv_store *store, const unsigned char *from, float *to,
                        uint32_t v_stride) {
    const uint32_t head_dim = store->shape.head_dim;

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
    for (uint32_t at = 0; at < n; at += KV_GROUP) {
        const unsigned char *group = group_of(store, layer, head, block_table, first + at);

        store->convert.widen_keys(k + at, group, store->shape.head_dim);
        read_values(store, group + store->group_bytes / 2, v + (size_t)at * v_stride, v_stride);
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
