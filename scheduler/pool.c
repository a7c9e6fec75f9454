/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <errno.h>

#include "kvasir/mem.h"

/* The list is circular through the record at n_blocks, so no operation has a special case. */
static void insert_between(struct pool *pool, uint32_t block, uint32_t prev, uint32_t next) {
    pool->blocks[block].prev = prev;
    pool->blocks[block].next = next;
    pool->blocks[prev].next = block;
    pool->blocks[next].prev = block;
}

static void unlink_free(struct pool *pool, uint32_t block) {
    const struct block *b = &pool->blocks[block];
    pool->blocks[b->prev].next = b->next;
    pool->blocks[b->next].prev = b->prev;
    pool->n_free--;
    pool->n_cached -= b->hashed;
}

int pool_init(struct pool *pool, uint32_t n_blocks) {
    INVARIANT(n_blocks > 0 && n_blocks < BLOCK_NONE);

    *pool = (struct pool){.n_blocks = n_blocks};
    pool->blocks = mem_alloc_zero((size_t)n_blocks + 1, sizeof *pool->blocks);
    if (!pool->blocks)
        return -ENOMEM;

    const uint32_t head = n_blocks;
    pool->blocks[head].prev = head;
    pool->blocks[head].next = head;
    for (uint32_t i = 0; i < n_blocks; i++)
        insert_between(pool, i, pool->blocks[head].prev, head);
    pool->n_free = n_blocks;
    return 0;
}

void pool_fini(struct pool *pool) {
    mem_free(pool->blocks);
    *pool = (struct pool){.n_blocks = 0};
}

uint32_t pool_alloc(struct pool *pool) {
    INVARIANT(pool->n_free > 0);

    const uint32_t block = pool->blocks[pool->n_blocks].next;
    unlink_free(pool, block);
    pool->blocks[block].n_refs = 1;
    return block;
}

void pool_ref(struct pool *pool, uint32_t block) {
    INVARIANT(block < pool->n_blocks);

    if (pool->blocks[block].n_refs == 0)
        unlink_free(pool, block);
    pool->blocks[block].n_refs++;
}

void pool_unref(struct pool *pool, uint32_t block) {
    INVARIANT(block < pool->n_blocks && pool->blocks[block].n_refs > 0);

    struct block *b = &pool->blocks[block];
    if (--b->n_refs > 0)
        return;

    const uint32_t head = pool->n_blocks;
    if (b->hashed)
        insert_between(pool, block, pool->blocks[head].prev, head);
    else
        insert_between(pool, block, head, pool->blocks[head].next);
    pool->n_free++;
    pool->n_cached += b->hashed;
}

void pool_set_hashed(struct pool *pool, uint32_t block, bool hashed) {
    /* A free block would have to move in the list, too; nobody needs that. */
    INVARIANT(block < pool->n_blocks && pool->blocks[block].n_refs > 0);
    pool->blocks[block].hashed = hashed;
}

uint32_t pool_peek_free(const struct pool *pool, uint32_t n) {
    uint32_t block = pool->blocks[pool->n_blocks].next;
    while (n-- > 0 && block != pool->n_blocks)
        block = pool->blocks[block].next;
    return block == pool->n_blocks ? BLOCK_NONE : block;
}
