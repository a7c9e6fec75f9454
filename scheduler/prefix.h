/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prefix - which block already holds the KV of these tokens after that prefix.
 *
 * A tree: a published block hangs below the block that precedes it in every sequence, first
 * blocks below a root, which is (salt, rope class). Children are found by a chained keyed hash,
 *
 *     digest(block) = SipHash(key, digest(parent) | token ids)
 *
 * and a hit counts only if root, parent block and token ids are equal as well. So by induction
 * from the root a hit is the same prefix, whatever the hash does: collisions cost a compare.
 *
 * Owns the index, not the blocks: pool.h says which are held or free, and free ones stay here
 * until they are taken. Engine thread only. Invariants 3 and 4 of the README.
 */
#ifndef KVASIR_PREFIX_H
#define KVASIR_PREFIX_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/error.h"
#include "kvasir/siphash.h"
#include "kvasir/types.h"

/* What must be equal before two sequences may share anything. */
struct prefix_root {
    uint64_t salt;       /* tenant, adapter and salt of the request, already hashed */
    uint64_t rope_class; /* of the prompt's length */
};

/* A place in the tree: just behind `block`, or at the root when that is BLOCK_NONE. */
struct prefix_place {
    struct prefix_root root;
    uint32_t block;
    struct digest digest; /* of block, or of the root */
};

struct prefix_entry {
    struct prefix_root root;
    struct digest digest;
    uint32_t parent; /* BLOCK_NONE: a first block */
    uint32_t next;   /* in its bucket */
    uint32_t n_children;
};

struct prefix {
    struct prefix_entry *entries; /* [n_blocks]; valid only for published blocks */
    token_id *tokens;             /* [n_blocks, block_size], of published blocks */
    uint32_t *buckets;            /* [n_buckets], a power of two; BLOCK_NONE ends a chain */
    uint32_t n_blocks;
    uint32_t n_buckets;
    uint32_t block_size;
    uint32_t n_published;
    uint64_t key[2];
};

int prefix_init(struct prefix *prefix, uint32_t n_blocks, uint32_t block_size,
                const uint64_t key[2]) KV_MUST_CHECK;
void prefix_fini(struct prefix *prefix);

/* The place before the first token of sequences with this root. */
struct prefix_place prefix_begin(const struct prefix *prefix, struct prefix_root root);

/* The digest that a block with these block_size tokens has behind place. */
struct digest prefix_digest(const struct prefix *prefix, const struct prefix_place *place,
                            const token_id *tokens);

/* The published block with these tokens behind place, or BLOCK_NONE. digest: prefix_digest's. */
uint32_t prefix_find(const struct prefix *prefix, const struct prefix_place *place,
                     struct digest digest, const token_id *tokens);

/* Enters a block that is not yet published; prefix_find must have found none like it. */
void prefix_publish(struct prefix *prefix, uint32_t block, const struct prefix_place *place,
                    struct digest digest, const token_id *tokens);

/* Takes a leaf of the tree out. */
void prefix_forget(struct prefix *prefix, uint32_t block);

/* Moves place behind one of its children. */
static inline void prefix_advance(struct prefix_place *place, uint32_t block,
                                  struct digest digest) {
    place->block = block;
    place->digest = digest;
}

#endif
