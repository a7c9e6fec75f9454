/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_store - the physical keys and values, paged; the only file with KV index arithmetic.
 *
 * A block holds block_size positions of one sequence, in every layer. Within it each kv head has
 * one piece, and within that each group of 8 positions its keys and then its values:
 *
 *   [layer][block][kv head][block_size / 8]  keys    [head_dim][8 positions]
 *                                            values  [8 positions][head_dim]
 *
 * Layers may differ in heads and dimensions; each has its own part of the memory, for the same
 * blocks. Attention works head by head, so that it reads a piece from end to end. Keys have the
 * dimension outside, because q k is summed over dimensions: a vector of positions is loaded as it
 * is, in decode and prefill alike; no horizontal sum, no transposing at read. A token pays for it
 * once, with a scattered store. Values lie as rows, because p v is summed over positions. Groups
 * of 8 (not 16) make every block size that is a multiple of 8 look the same to the readers. No
 * other file knows any of this.
 *
 * Lengths and tables come checked (engine_step). Engine thread creates and destroys; workers
 * write different positions and read what was written before their workers_for.
 */
#ifndef KVASIR_ENGINE_KV_STORE_H
#define KVASIR_ENGINE_KV_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/ops.h"
#include "kvasir/error.h"
#include "model/hparams.h"

enum { KV_MAX_HEAD_DIM = 1024 };

struct kv_shape {
    const struct layer_spec *layers; /* [n_layers], whose attention's sizes count; lent */
    uint32_t n_layers;
    uint32_t n_blocks;
    uint32_t block_size; /* a multiple of KV_GROUP */
    enum kv_format format;
};

/* One layer's part of the store. */
struct kv_layer {
    uint32_t n_kv_heads;
    uint32_t head_dim;  /* <= KV_MAX_HEAD_DIM */
    size_t group_bytes; /* keys and values of one head in one group */
    size_t head_bytes;  /* of one head in one block */
    size_t offset;      /* in data */
};

struct kv_store {
    struct kv_shape shape;
    struct kv_layer *layers; /* [n_layers] */
    /* private */
    struct kv_convert convert;
    size_t element_bytes;
    size_t n_bytes;
    unsigned char *data; /* mem_map'ed; pages are taken when first written */
};

/* Bytes of one position over all layers; 0 if that overflows. */
uint64_t kv_bytes_per_position(const struct kv_shape *shape);

/* -EINVAL (block_size), -ENOTSUP (head_dim), -ENOMEM. ops is read, not kept. */
int kv_store_init(struct kv_store *store, const struct kv_shape *shape, const struct ops *ops,
                  struct error *reterr) KV_MUST_CHECK;
void kv_store_fini(struct kv_store *store);

/* Stores k and v [head_dim] of one position. */
void kv_store_write(const struct kv_store *store, uint32_t layer, uint32_t head,
                    const uint32_t *block_table, uint32_t position, const float *k, const float *v);

/*
 * Reads the tile of ATTENTION_TILE positions from first on (a multiple of it), of which the
 * first n are stored: k [head_dim, ATTENTION_TILE], v [ATTENTION_TILE, v_stride] in the first
 * head_dim columns. Beyond n, what the block holds up to a whole group (any bits); no more.
 */
void kv_store_read(const struct kv_store *store, uint32_t layer, uint32_t head,
                   const uint32_t *block_table, uint32_t first, uint32_t n, float *k, float *v,
                   uint32_t v_stride);

/*
 * The groups of the same tile as memory, to be prefetched: returns their number and where each
 * of them is, kv_layer::group_bytes long.
 */
uint32_t kv_store_locate(const struct kv_store *store, uint32_t layer, uint32_t head,
                         const uint32_t *block_table, uint32_t first, uint32_t n,
                         const void *ret_groups[ATTENTION_TILE / KV_GROUP]);

#endif
