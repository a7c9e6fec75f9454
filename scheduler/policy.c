/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <errno.h>

#include "core.h"
#include "kvasir/mem.h"

/* A sequence that gave way this often does so again only when every other did as well. */
enum { MANY_PREEMPTIONS = 4 };

bool policy_before(enum scheduler_policy policy, const struct seq *a, const struct seq *b) {
    const int32_t pa = a->request->priority;
    const int32_t pb = b->request->priority;
    if (policy == POLICY_PRIORITY && pa != pb)
        return pa < pb;
    return a->serial < b->serial;
}

int waiting_reserve(struct waiting *waiting, uint32_t n) {
    if (n <= waiting->cap)
        return 0;

    const uint32_t cap = n < 64 ? 64 : n > UINT32_MAX / 2 ? n : n * 2;
    struct seq **heap = mem_realloc(waiting->heap, (size_t)cap * sizeof(struct seq *));
    if (!heap)
        return -ENOMEM;

    waiting->heap = heap;
    waiting->cap = cap;
    return 0;
}

void waiting_fini(struct waiting *waiting) {
    mem_free(waiting->heap);
    *waiting = (struct waiting){.n = 0};
}

static void put(struct waiting *waiting, uint32_t index, struct seq *seq) {
    waiting->heap[index] = seq;
    seq->heap_index = index;
}

/* Moves seq from the hole at index towards the root. */
static void sift_up(struct waiting *waiting, uint32_t index, struct seq *seq) {
    while (index > 0) {
        const uint32_t parent = (index - 1) / 2;
        if (!policy_before(waiting->policy, seq, waiting->heap[parent]))
            break;
        put(waiting, index, waiting->heap[parent]);
        index = parent;
    }
    put(waiting, index, seq);
}

/* Moves seq from the hole at index towards the leaves. */
static void sift_down(struct waiting *waiting, uint32_t index, struct seq *seq) {
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= waiting->n)
            break;
        if (child + 1 < waiting->n &&
            policy_before(waiting->policy, waiting->heap[child + 1], waiting->heap[child]))
            child++;
        if (!policy_before(waiting->policy, waiting->heap[child], seq))
            break;
        put(waiting, index, waiting->heap[child]);
        index = child;
    }
    put(waiting, index, seq);
}

void waiting_push(struct waiting *waiting, struct seq *seq) {
    INVARIANT(waiting->n < waiting->cap);

    waiting->n_tokens += seq->n_tokens;
    sift_up(waiting, waiting->n++, seq);
}

void waiting_remove(struct waiting *waiting, struct seq *seq) {
    INVARIANT(seq->heap_index < waiting->n && waiting->heap[seq->heap_index] == seq);

    waiting->n_tokens -= seq->n_tokens;
    struct seq *last = waiting->heap[--waiting->n];
    const uint32_t hole = seq->heap_index;
    if (last == seq)
        return;
    if (hole > 0 && policy_before(waiting->policy, last, waiting->heap[(hole - 1) / 2]))
        sift_up(waiting, hole, last);
    else
        sift_down(waiting, hole, last);
}

struct seq *waiting_peek(const struct waiting *waiting) {
    return waiting->n ? waiting->heap[0] : NULL;
}

/* What taking the blocks of a sequence costs and brings. */
struct loss {
    uint32_t recompute; /* tokens whose KV would be gone */
    uint32_t freed;     /* blocks that would be free or no longer promised */
    bool often;         /* gave way too often already */
};

/* Blocks that others hold as well are neither freed nor lost: they are hit on the way back. */
static struct loss loss_of(const struct core *core, const struct seq *seq) {
    uint32_t n_shared = 0;
    while (n_shared < seq->n_published && core->pool.blocks[seq->blocks[n_shared]].n_refs > 1)
        n_shared++;
    return (struct loss){
        .recompute = seq->n_computed - n_shared * core->options.block_size,
        .freed = seq->n_blocks - n_shared + seq->n_reserved,
        .often = seq->n_preemptions >= MANY_PREEMPTIONS,
    };
}

/* Tokens lost per freed block, rounded up: the few tokens of a last block decide nothing. */
static uint32_t price(struct loss loss) {
    return loss.freed ? (loss.recompute + loss.freed - 1) / loss.freed : UINT32_MAX;
}

/*
 * a is the better victim: what frees something before what does not; under POLICY_PRIORITY the
 * less urgent; those that gave way often are spared; then the least recompute per freed block,
 * the least recompute, the later in the order.
 */
static bool loses_less(const struct core *core, const struct seq *a, const struct seq *b) {
    const struct loss la = loss_of(core, a);
    const struct loss lb = loss_of(core, b);

    if (!la.freed != !lb.freed)
        return la.freed > 0;
    if (core->options.policy == POLICY_PRIORITY && a->request->priority != b->request->priority)
        return a->request->priority > b->request->priority;
    if (la.often != lb.often)
        return !la.often;
    if (price(la) != price(lb))
        return price(la) < price(lb);
    if (la.recompute != lb.recompute)
        return la.recompute < lb.recompute;
    return policy_before(core->options.policy, b, a);
}

static void consider(const struct core *core, struct seq *seq, const struct seq *first,
                     struct seq **victim) {
    if (seq != first && (!*victim || loses_less(core, seq, *victim)))
        *victim = seq;
}

static void keep_first(const struct core *core, const struct seq *seq, const struct seq **first) {
    if (!*first || policy_before(core->options.policy, seq, *first))
        *first = seq;
}

/*
 * O(running), and as many blocks as the sequences share. The first of the order always stays:
 * it can take every block of the others, so it ends, and then the next one is first. That is why
 * preemption cannot go round in circles.
 */
struct seq *policy_victim(const struct core *core) {
    const struct seq *first = NULL;
    list_for_each (node, &core->prefilling) {
        keep_first(core, list_entry(node, struct seq, link), &first);
    }
    list_for_each (node, &core->decoding) {
        keep_first(core, list_entry(node, struct seq, link), &first);
    }

    struct seq *victim = NULL;
    list_for_each (node, &core->prefilling) {
        consider(core, list_entry(node, struct seq, link), first, &victim);
    }
    list_for_each (node, &core->decoding) {
        consider(core, list_entry(node, struct seq, link), first, &victim);
    }
    return victim;
}
