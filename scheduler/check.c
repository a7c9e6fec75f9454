/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check - proves the numbered invariants of the README, by recounting everything.
 *
 * Each function proves the invariants that its comment names. Nothing here is needed to serve;
 * it runs after every step in tests and debug builds.
 */
#include "core.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Columns of core::recount. */
struct recount {
    uint32_t *n_refs;     /* by tables */
    uint32_t *n_children; /* by published blocks */
    uint32_t *free_place; /* 1 for the head of the free list; 0: not on it */
};

struct checker {
    const struct core *core;
    struct recount recount;
    struct error *reterr;
};

KV_PRINTF(3, 4)
static int broken(const struct checker *c, int number, const char *fmt, ...) {
    char found[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(found, sizeof found, fmt, args); /* a cut message is fine */
    va_end(args);
    return error_set(c->reterr, -EFAULT, "invariant %d: %s", number, found);
}

/* 1, 5: the free list has the blocks without holders, unhashed ones first. */
static int check_free_list(const struct checker *c) {
    const struct pool *pool = &c->core->pool;
    uint32_t n = 0;
    uint32_t n_cached = 0;
    uint32_t prev = pool->n_blocks;

    for (uint32_t b = pool->blocks[prev].next; b != pool->n_blocks; b = pool->blocks[b].next) {
        const struct block *block = &pool->blocks[b];
        if (b > pool->n_blocks || block->prev != prev || c->recount.free_place[b] != 0)
            return broken(c, 1, "the free list is not a list at block %u", b);
        if (block->n_refs != 0)
            return broken(c, 1, "block %u is free and has %u holders", b, block->n_refs);
        if (n_cached > 0 && !block->hashed)
            return broken(c, 5, "unhashed block %u stands behind hashed ones", b);
        n_cached += block->hashed;
        c->recount.free_place[b] = ++n;
        prev = b;
    }
    if (pool->blocks[pool->n_blocks].prev != prev)
        return broken(c, 1, "the free list ends at %u, not %u", prev,
                      pool->blocks[pool->n_blocks].prev);
    for (uint32_t b = 0; b < pool->n_blocks; b++)
        if (pool->blocks[b].n_refs == 0 && c->recount.free_place[b] == 0)
            return broken(c, 1, "block %u has no holder and is not free", b);
    if (n != pool->n_free || n_cached != pool->n_cached)
        return broken(c, 1, "%u free, %u of them cached; counted as %u and %u", n, n_cached,
                      pool->n_free, pool->n_cached);
    return 0;
}

/* 3: what is found under a digest is the hashed blocks. */
static int check_buckets(const struct checker *c) {
    const struct prefix *prefix = &c->core->prefix;
    uint32_t n = 0;
    uint32_t n_hashed = 0;

    for (uint32_t i = 0; i < prefix->n_buckets; i++)
        for (uint32_t b = prefix->buckets[i]; b != BLOCK_NONE; b = prefix->entries[b].next) {
            if (++n > prefix->n_blocks || b >= prefix->n_blocks)
                return broken(c, 3, "bucket %u does not end", i);
            if ((prefix->entries[b].digest.lo & (prefix->n_buckets - 1)) != i)
                return broken(c, 3, "block %u is in bucket %u", b, i);
            if (!c->core->pool.blocks[b].hashed)
                return broken(c, 3, "block %u is in the index but not hashed", b);
        }
    for (uint32_t b = 0; b < prefix->n_blocks; b++)
        n_hashed += c->core->pool.blocks[b].hashed;
    if (n != n_hashed || n != prefix->n_published)
        return broken(c, 3, "%u blocks in the index, %u hashed, counted as %u", n, n_hashed,
                      prefix->n_published);
    return 0;
}

/* 4: the index is a tree, and its leaves are evicted first. */
static int check_tree(const struct checker *c) {
    const struct core *core = c->core;

    for (uint32_t b = 0; b < core->prefix.n_blocks; b++) {
        const struct prefix_entry *entry = &core->prefix.entries[b];
        const uint32_t parent = entry->parent;
        if (!core->pool.blocks[b].hashed || parent == BLOCK_NONE)
            continue;
        if (parent >= core->prefix.n_blocks || !core->pool.blocks[parent].hashed)
            return broken(c, 4, "the parent %u of block %u is not published", parent, b);
        if (memcmp(&entry->root, &core->prefix.entries[parent].root, sizeof entry->root) != 0)
            return broken(c, 4, "block %u has another root than its parent %u", b, parent);
        if (c->recount.free_place[parent] > 0 &&
            (c->recount.free_place[b] == 0 ||
             c->recount.free_place[b] > c->recount.free_place[parent]))
            return broken(c, 4, "block %u would be evicted before its child %u", parent, b);
        c->recount.n_children[parent]++;
    }
    for (uint32_t b = 0; b < core->prefix.n_blocks; b++)
        if (core->pool.blocks[b].hashed &&
            core->prefix.entries[b].n_children != c->recount.n_children[b])
            return broken(c, 4, "block %u has %u children, counted as %u", b,
                          c->recount.n_children[b], core->prefix.entries[b].n_children);
    return 0;
}

/* 3, 6: the first n_published blocks of a table are its prefix in the index, the rest its own. */
static int check_table(const struct checker *c, const struct seq *seq) {
    const struct core *core = c->core;
    const uint32_t block_size = core->options.block_size;
    uint32_t parent = BLOCK_NONE;

    for (uint32_t i = 0; i < seq->n_blocks; i++) {
        const uint32_t b = seq->blocks[i];
        if (b >= core->pool.n_blocks)
            return broken(c, 2, "sequence %llu names block %u", (unsigned long long)seq->serial, b);
        c->recount.n_refs[b]++;
        const struct block *block = &core->pool.blocks[b];
        if (i >= seq->n_published) {
            if (block->hashed || block->n_refs != 1)
                return broken(c, 6, "block %u, written by sequence %llu, is shared", b,
                              (unsigned long long)seq->serial);
            continue;
        }
        const struct prefix_entry *entry = &core->prefix.entries[b];
        if (!block->hashed || entry->parent != parent ||
            memcmp(&entry->root, &seq->place.root, sizeof entry->root) != 0 ||
            memcmp(core->prefix.tokens + (size_t)b * block_size,
                   seq->tokens + (size_t)i * block_size, block_size * sizeof(token_id)) != 0)
            return broken(c, 3, "block %u of sequence %llu is not its prefix", b,
                          (unsigned long long)seq->serial);
        parent = b;
    }
    if (seq->place.block != parent)
        return broken(c, 3, "sequence %llu stands behind block %u, not %u",
                      (unsigned long long)seq->serial, seq->place.block, parent);
    return 0;
}

/* 7, 8, 9: how far a running sequence is, and what it holds for it. */
static int check_running(const struct checker *c, const struct seq *seq) {
    const struct core *core = c->core;
    const unsigned long long name = seq->serial;
    const uint32_t total = core_blocks_for(core, seq->n_tokens);

    if (seq->finish != FINISH_NONE || seq->n_computed >= seq->n_tokens ||
        seq->n_tokens > seq->max_length)
        return broken(c, 9, "sequence %llu runs with %u of %u tokens computed, at most %u", name,
                      seq->n_computed, seq->n_tokens, seq->max_length);
    if (seq->n_blocks < core_blocks_for(core, seq->n_computed) || seq->n_blocks > total)
        return broken(c, 7, "sequence %llu has %u blocks for %u of %u tokens", name, seq->n_blocks,
                      seq->n_computed, seq->n_tokens);
    if ((uint64_t)seq->n_published * core->options.block_size > seq->n_computed)
        return broken(c, 3, "sequence %llu published %u blocks of %u tokens", name,
                      seq->n_published, seq->n_computed);
    const uint32_t promised = seq->state == SEQ_PREFILLING ? total - seq->n_blocks : 0;
    if (seq->n_reserved != promised)
        return broken(c, 8, "sequence %llu has %u blocks promised, needs %u", name, seq->n_reserved,
                      promised);
    if (seq->state == SEQ_DECODING && seq_need(seq) != 1)
        return broken(c, 9, "sequence %llu decodes with %u tokens to catch up", name,
                      seq_need(seq));
    if (seq->slot >= core->options.max_num_seqs ||
        seq->blocks != core->tables + (size_t)seq->slot * core->table_len)
        return broken(c, 10, "sequence %llu has slot %u", name, seq->slot);
    return check_table(c, seq);
}

/* 10: a list holds what its name says, as many as counted. */
static int check_list(const struct checker *c, const struct list *list, enum seq_state state,
                      uint32_t n_counted, uint32_t *n_reserved) {
    uint32_t n = 0;
    list_for_each (node, list) {
        const struct seq *seq = list_entry(node, struct seq, link);
        if (seq->state != state)
            return broken(c, 10, "sequence %llu is in a list of another state",
                          (unsigned long long)seq->serial);
        for (const struct list *other = list->next; other != node; other = other->next)
            if (list_entry(other, struct seq, link)->slot == seq->slot && state != SEQ_ENDED)
                return broken(c, 10, "slot %u is used twice", seq->slot);
        const int r = state == SEQ_ENDED ? 0 : check_running(c, seq);
        if (r < 0)
            return r;
        if (state == SEQ_ENDED && (seq->finish == FINISH_NONE || seq->n_blocks || seq->n_reserved))
            return broken(c, 11, "sequence %llu ended and holds %u blocks",
                          (unsigned long long)seq->serial, seq->n_blocks);
        *n_reserved += seq->n_reserved;
        n++;
    }
    if (n != n_counted)
        return broken(c, 10, "a list has %u sequences, counted as %u", n, n_counted);
    return 0;
}

/* 11: who waits holds nothing; the heap is one. */
static int check_waiting(const struct checker *c) {
    const struct waiting *waiting = &c->core->waiting;
    uint64_t n_tokens = 0;

    for (uint32_t i = 0; i < waiting->n; i++) {
        const struct seq *seq = waiting->heap[i];
        if (seq->state != SEQ_WAITING || seq->heap_index != i || list_linked(&seq->link))
            return broken(c, 10, "sequence %llu waits in a place that it does not know",
                          (unsigned long long)seq->serial);
        if (i > 0 && policy_before(waiting->policy, seq, waiting->heap[(i - 1) / 2]))
            return broken(c, 10, "sequence %llu waits behind one that it precedes",
                          (unsigned long long)seq->serial);
        if (seq->n_blocks || seq->n_reserved || seq->n_computed || seq->n_published ||
            seq->finish != FINISH_NONE)
            return broken(c, 11, "sequence %llu waits and holds %u blocks",
                          (unsigned long long)seq->serial, seq->n_blocks);
        n_tokens += seq->n_tokens;
    }
    if (n_tokens != waiting->n_tokens)
        return broken(c, 10, "%llu tokens wait, counted as %llu", (unsigned long long)n_tokens,
                      (unsigned long long)waiting->n_tokens);
    return 0;
}

/* 12: the batch keeps its limits and names running sequences; nothing runnable stands still. */
static int check_batch(const struct checker *c) {
    const struct core *core = c->core;
    const struct batch *batch = &core->batch;
    uint32_t n_tokens = 0;

    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        const struct seq *seq = core->planned[i];
        if (!seq_is_running(seq) || !seq->in_step)
            return broken(c, 12, "sequence %llu is in the batch and does not run",
                          (unsigned long long)seq->serial);
        n_tokens += batch->seqs[i].n_tokens;
    }
    if (n_tokens != batch->n_tokens || n_tokens > core->options.max_num_batched_tokens ||
        batch->n_seqs > core->options.max_num_seqs)
        return broken(c, 12, "the batch has %u tokens and %u sequences", n_tokens, batch->n_seqs);
    if (core->counters.stalls > 0)
        return broken(c, 12, "a plan was empty although something could run");
    return 0;
}

/* 2, 8, 10: what all sequences together hold. */
static int check_sums(const struct checker *c, uint32_t n_reserved) {
    const struct core *core = c->core;

    for (uint32_t b = 0; b < core->pool.n_blocks; b++)
        if (core->pool.blocks[b].n_refs != c->recount.n_refs[b])
            return broken(c, 2, "block %u is in %u tables, counted as %u", b, c->recount.n_refs[b],
                          core->pool.blocks[b].n_refs);
    if (n_reserved != core->n_reserved || n_reserved > core->pool.n_free)
        return broken(c, 8, "%u blocks are promised, counted as %u, %u are free", n_reserved,
                      core->n_reserved, core->pool.n_free);
    if (core_n_running(core) + core->n_free_slots != core->options.max_num_seqs)
        return broken(c, 10, "%u sequences run and %u slots are free", core_n_running(core),
                      core->n_free_slots);
    return 0;
}

int core_check(const struct core *core, struct error *reterr) {
    const size_t n_blocks = core->options.n_blocks;
    const struct checker c = {
        .core = core,
        .recount = {.n_refs = core->recount,
                    .n_children = core->recount + n_blocks,
                    .free_place = core->recount + 2 * n_blocks},
        .reterr = reterr,
    };
    uint32_t n_reserved = 0;

    memset(core->recount, 0, 3 * n_blocks * sizeof *core->recount);
    int r = check_free_list(&c);
    if (r == 0)
        r = check_buckets(&c);
    if (r == 0)
        r = check_tree(&c);
    if (r == 0)
        r = check_list(&c, &core->prefilling, SEQ_PREFILLING, core->n_prefilling, &n_reserved);
    if (r == 0)
        r = check_list(&c, &core->decoding, SEQ_DECODING, core->n_decoding, &n_reserved);
    if (r == 0)
        r = check_list(&c, &core->ended, SEQ_ENDED, core->n_ended, &n_reserved);
    if (r == 0)
        r = check_waiting(&c);
    if (r == 0)
        r = check_batch(&c);
    if (r == 0)
        r = check_sums(&c, n_reserved);
    return r;
}
