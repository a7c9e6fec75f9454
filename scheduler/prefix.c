/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix.h"

#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"
#include "pool.h"

/* Longest hash input: a digest and the ids of the largest block (engine.h: 256). */
enum { MAX_HASHED_BLOCK = 256 };

static uint32_t power_of_two_from(uint32_t n) {
    uint32_t power = 1;
    while (power < n && power < 1u << 31)
        power *= 2;
    return power;
}

int prefix_init(struct prefix *prefix, uint32_t n_blocks, uint32_t block_size,
                const uint64_t key[2]) {
    INVARIANT(block_size >= 1 && block_size <= MAX_HASHED_BLOCK);

    *prefix = (struct prefix){
        .n_blocks = n_blocks,
        .n_buckets = power_of_two_from(n_blocks),
        .block_size = block_size,
        .key = {key[0], key[1]},
    };
    prefix->entries = mem_alloc_zero(n_blocks, sizeof *prefix->entries);
    prefix->tokens = mem_alloc_zero((size_t)n_blocks * block_size, sizeof *prefix->tokens);
    prefix->buckets = mem_alloc_array(prefix->n_buckets, sizeof *prefix->buckets);
    if (!prefix->entries || !prefix->tokens || !prefix->buckets) {
        prefix_fini(prefix);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < prefix->n_buckets; i++)
        prefix->buckets[i] = BLOCK_NONE;
    return 0;
}

void prefix_fini(struct prefix *prefix) {
    mem_free(prefix->entries);
    mem_free(prefix->tokens);
    mem_free(prefix->buckets);
    *prefix = (struct prefix){.n_blocks = 0};
}

struct prefix_place prefix_begin(const struct prefix *prefix, struct prefix_root root) {
    return (struct prefix_place){
        .root = root,
        .block = BLOCK_NONE,
        .digest = siphash_128(prefix->key, &root, sizeof root),
    };
}

struct digest prefix_digest(const struct prefix *prefix, const struct prefix_place *place,
                            const token_id *tokens) {
    unsigned char input[sizeof place->digest + MAX_HASHED_BLOCK * sizeof *tokens];
    const size_t len = prefix->block_size * sizeof *tokens;

    memcpy(input, &place->digest, sizeof place->digest);
    memcpy(input + sizeof place->digest, tokens, len);
    return siphash_128(prefix->key, input, sizeof place->digest + len);
}

static uint32_t *bucket_of(const struct prefix *prefix, struct digest digest) {
    return &prefix->buckets[digest.lo & (prefix->n_buckets - 1)];
}

static token_id *tokens_of(const struct prefix *prefix, uint32_t block) {
    return prefix->tokens + (size_t)block * prefix->block_size;
}

static bool is_same_prefix(const struct prefix *prefix, uint32_t block,
                           const struct prefix_place *place, struct digest digest,
                           const token_id *tokens) {
    const struct prefix_entry *entry = &prefix->entries[block];
    return entry->digest.lo == digest.lo && entry->digest.hi == digest.hi &&
           entry->parent == place->block && entry->root.salt == place->root.salt &&
           entry->root.rope_class == place->root.rope_class &&
           memcmp(tokens_of(prefix, block), tokens, prefix->block_size * sizeof *tokens) == 0;
}

uint32_t prefix_find(const struct prefix *prefix, const struct prefix_place *place,
                     struct digest digest, const token_id *tokens) {
    uint32_t block = *bucket_of(prefix, digest);
    while (block != BLOCK_NONE && !is_same_prefix(prefix, block, place, digest, tokens))
        block = prefix->entries[block].next;
    return block;
}

void prefix_publish(struct prefix *prefix, uint32_t block, const struct prefix_place *place,
                    struct digest digest, const token_id *tokens) {
    INVARIANT(block < prefix->n_blocks && block != place->block);

    uint32_t *bucket = bucket_of(prefix, digest);
    prefix->entries[block] = (struct prefix_entry){
        .root = place->root,
        .digest = digest,
        .parent = place->block,
        .next = *bucket,
    };
    *bucket = block;
    memcpy(tokens_of(prefix, block), tokens, prefix->block_size * sizeof *tokens);
    if (place->block != BLOCK_NONE)
        prefix->entries[place->block].n_children++;
    prefix->n_published++;
}

void prefix_forget(struct prefix *prefix, uint32_t block) {
    const struct prefix_entry *entry = &prefix->entries[block];
    INVARIANT(entry->n_children == 0); /* else the children could never be found again */

    uint32_t *link = bucket_of(prefix, entry->digest);
    while (*link != block) {
        INVARIANT(*link != BLOCK_NONE);
        link = &prefix->entries[*link].next;
    }
    *link = entry->next;
    if (entry->parent != BLOCK_NONE)
        prefix->entries[entry->parent].n_children--;
    prefix->n_published--;
}
