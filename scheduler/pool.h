/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - blocks of KV slots as integers, counted by reference.
 *
 * Owns the block records and the free list, which is also the LRU list of the cached blocks: a
 * block that nobody holds but whose content is published stays findable until it is taken from
 * the list's head. Does not own keys and values (engine/kv) nor the index (prefix.h).
 *
 * Engine thread only. Invariants 1, 2 and 5 of the README.
 */
#ifndef KVASIR_POOL_H
#define KVASIR_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/error.h"

#define BLOCK_NONE UINT32_MAX

struct block {
    uint32_t n_refs; /* tables that name it; 0 <=> on the free list */
    uint32_t prev;   /* neighbours in the free list; valid only if n_refs == 0 */
    uint32_t next;
    bool hashed; /* published in the prefix index */
};

struct pool {
    struct block *blocks; /* [n_blocks + 1]; the last record is the head of the free list */
    uint32_t n_blocks;
    uint32_t n_free;   /* blocks with n_refs == 0 */
    uint32_t n_cached; /* those of them that are hashed */
};

/* All blocks free and unhashed, taken in ascending order. -ENOMEM. */
int pool_init(struct pool *pool, uint32_t n_blocks) KV_MUST_CHECK;
void pool_fini(struct pool *pool);

/*
 * Takes the head of the free list, with one reference. n_free must not be 0. If the block is
 * still hashed, the caller evicts it from the index before anything else. O(1).
 */
uint32_t pool_alloc(struct pool *pool);

/* One more holder; a cached block leaves the free list. O(1). */
void pool_ref(struct pool *pool, uint32_t block);

/*
 * One holder less. With the last one the block becomes free: a hashed one goes to the tail (it
 * may be hit again, so it is evicted last), an unhashed one to the head (it never can). O(1).
 */
void pool_unref(struct pool *pool, uint32_t block);

/* Labels a held block as published, or no longer so. */
void pool_set_hashed(struct pool *pool, uint32_t block, bool hashed);

/* The n-th free block from the head, or BLOCK_NONE; for tests and checks. O(n). */
uint32_t pool_peek_free(const struct pool *pool, uint32_t n);

#endif
