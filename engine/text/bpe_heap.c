/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpe_heap - merging as it is specified: a heap of candidate pairs, lowest rank first, then
 * leftmost. O(n log n), some 70 bytes of scratch a base unit. Used for vocabularies with equal
 * scores, and by tests as the second opinion on bpe_encode.c.
 */
#include <errno.h>

#include "kvasir/mem.h"

#include "bpe.h"
#include "token_buf.h"

#define NO_SYMBOL UINT32_MAX

/* Neighbours are linked by index; a symbol that was merged into its left one has id NONE. */
struct symbol {
    token_id id;
    uint32_t prev;
    uint32_t next;
};

struct candidate {
    uint32_t rank;
    uint32_t left;    /* index of the left symbol */
    token_id left_id; /* what both were when this was queued: otherwise it is stale */
    token_id right_id;
    token_id result;
};

struct merging {
    const struct bpe *bpe;
    struct symbol *symbols;
    uint32_t n_symbols;
    struct candidate *heap;
    uint32_t n_heap;
};

static bool comes_before(const struct candidate *a, const struct candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->left < b->left;
}

static void heap_push(struct merging *m, struct candidate candidate) {
    uint32_t i = m->n_heap++;
    while (i > 0 && comes_before(&candidate, &m->heap[(i - 1) / 2])) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = candidate;
}

static struct candidate heap_pop(struct merging *m) {
    const struct candidate top = m->heap[0];
    const struct candidate last = m->heap[--m->n_heap];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= m->n_heap)
            break;
        if (child + 1 < m->n_heap && comes_before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!comes_before(&m->heap[child], &last))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = last;
    return top;
}

/* The index of the merge of a pair; UINT32_MAX. */
static uint32_t find_merge(const struct bpe *bpe, token_id left, token_id right) {
    const uint64_t hash = bpe_pair_hash(left, right);
    const uint32_t mask = (1u << bpe->all_pairs.bits) - 1;

    for (uint32_t slot = (uint32_t)hash & mask;; slot = (slot + 1) & mask) {
        const struct bpe_pair_slot pair = bpe->all_pairs.slots[slot];
        if (pair.value == 0)
            return UINT32_MAX;
        const struct bpe_merge *merge = &bpe->merges[pair.value - 1];
        if (merge->left == left && merge->right == right)
            return pair.value - 1;
    }
}

/* Of a pair that is listed twice the last rank counts. */
int bpe_init_heap(struct bpe *bpe) {
    int r = bpe_pairs_init(&bpe->all_pairs, bpe->n_merges);
    for (uint32_t i = bpe->n_merges; r == 0 && i > 0; i--) {
        const struct bpe_merge *merge = &bpe->merges[i - 1];
        if (find_merge(bpe, merge->left, merge->right) == UINT32_MAX)
            bpe_pairs_insert(&bpe->all_pairs, merge->left, merge->right, i);
    }
    return r;
}

/* Queues the pair that begins with symbol left, if it merges. */
static void queue_pair(struct merging *m, uint32_t left) {
    if (left == NO_SYMBOL || m->symbols[left].next == NO_SYMBOL)
        return;
    const token_id left_id = m->symbols[left].id;
    const token_id right_id = m->symbols[m->symbols[left].next].id;
    const uint32_t merge = find_merge(m->bpe, left_id, right_id);
    if (merge == UINT32_MAX)
        return;
    heap_push(m, (struct candidate){
                     .rank = m->bpe->merges[merge].rank,
                     .left = left,
                     .left_id = left_id,
                     .right_id = right_id,
                     .result = m->bpe->merges[merge].result,
                 });
}

static bool is_stale(const struct merging *m, const struct candidate *candidate) {
    const struct symbol *left = &m->symbols[candidate->left];
    return left->id != candidate->left_id || left->next == NO_SYMBOL ||
           m->symbols[left->next].id != candidate->right_id;
}

static void apply(struct merging *m, const struct candidate *candidate) {
    struct symbol *left = &m->symbols[candidate->left];
    struct symbol *right = &m->symbols[left->next];

    left->id = candidate->result;
    left->next = right->next;
    right->id = TOKEN_NONE;
    if (left->next != NO_SYMBOL)
        m->symbols[left->next].prev = candidate->left;
    queue_pair(m, left->prev);
    queue_pair(m, candidate->left);
}

/* Merges a run of known base units, whose ids are in symbols, and appends what remains. */
static int merge_run(struct merging *m, struct token_buf *ret_ids) {
    if (m->n_symbols == 0)
        return 0;
    int r = token_buf_reserve(ret_ids, m->n_symbols);
    if (r < 0)
        return r;

    for (uint32_t i = 0; i < m->n_symbols; i++) {
        m->symbols[i].prev = i > 0 ? i - 1 : NO_SYMBOL;
        m->symbols[i].next = i + 1 < m->n_symbols ? i + 1 : NO_SYMBOL;
    }
    m->n_heap = 0;
    for (uint32_t i = 0; i < m->n_symbols; i++)
        queue_pair(m, i);
    while (m->n_heap > 0) {
        const struct candidate candidate = heap_pop(m);
        if (!is_stale(m, &candidate))
            apply(m, &candidate);
    }
    for (uint32_t i = 0; i != NO_SYMBOL; i = m->symbols[i].next)
        token_buf_put(ret_ids, m->symbols[i].id);
    m->n_symbols = 0;
    return 0;
}

static int merge_word(struct merging *m, const char *word, size_t len, struct token_buf *ret_ids) {
    bool after_unknown = false;
    size_t pos = 0;

    while (pos < len) {
        const size_t n = bpe_unit_len(m->bpe, word + pos, len - pos);
        const uint32_t value = token_trie_find(&m->bpe->trie, word + pos, n);
        if (value < BPE_UNREACHABLE_BIT) {
            m->symbols[m->n_symbols++].id = (token_id)value;
            after_unknown = false;
            pos += n;
            continue;
        }
        int r = merge_run(m, ret_ids);
        size_t n_unknown = 0;
        if (r == 0)
            r = bpe_encode_unknown(m->bpe, word + pos, len - pos, after_unknown, &n_unknown,
                                   ret_ids);
        if (r < 0)
            return r;
        after_unknown = true;
        pos += n_unknown;
    }
    return merge_run(m, ret_ids);
}

int bpe_encode_heap(const struct bpe *bpe, const char *word, size_t len,
                    struct token_buf *ret_ids) {
    if (len >= UINT32_MAX / 4)
        return -ENOMEM;

    /* Each merge removes a pair and queues two: n - 1 at first, then two for each of n - 1. */
    struct merging m = {
        .bpe = bpe,
        .symbols = mem_alloc_array(len, sizeof *m.symbols),
        .heap = mem_alloc_array(3 * len, sizeof *m.heap),
    };
    int r = m.symbols && m.heap ? merge_word(&m, word, len, ret_ids) : -ENOMEM;

    mem_free(m.heap);
    mem_free(m.symbols);
    return r;
}
