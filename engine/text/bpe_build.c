/* SPDX-License-Identifier: Apache-2.0 */
/* bpe_build - from a vocabulary's pieces and merges to the tables of bpe.h. */
#include "bpe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

enum { FIRST_MERGES = 1 << 12, MAX_MERGES = 1 << 28 };

static const char metaspace[] = "\xe2\x96\x81"; /* U+2581, "▁" */

/* --- the trie of pieces --- */

static struct trie_key piece_key(const void *ctx, size_t i) {
    const struct vocab *vocab = ctx;
    struct trie_key key = {.value = (uint32_t)i};
    const unsigned flags = vocab->entries[i].flags;

    if ((flags & VOCAB_PRESENT) && !(flags & (VOCAB_LITERAL | VOCAB_BYTE)))
        key.bytes = vocab_bytes(vocab, (uint32_t)i, &key.len);
    return key;
}

/* Pieces in the order of their lengths. */
struct by_length {
    const struct vocab *vocab;
    uint32_t *ids; /* [n_tokens] */
};

static struct trie_key nth_key(const void *ctx, size_t i) {
    const struct by_length *order = ctx;
    return piece_key(order->vocab, order->ids[i]);
}

static int order_by_length(const struct vocab *vocab, uint32_t *ret_ids) {
    uint32_t *first = mem_alloc_zero(VOCAB_MAX_PIECE + 2, sizeof *first);
    if (!first)
        return -ENOMEM;
    for (uint32_t id = 0; id < vocab->n; id++)
        first[vocab->entries[id].len + 1]++;
    for (uint32_t len = 1; len < VOCAB_MAX_PIECE + 2; len++)
        first[len] += first[len - 1];
    for (uint32_t id = 0; id < vocab->n; id++)
        ret_ids[first[vocab->entries[id].len]++] = id;
    mem_free(first);
    return 0;
}

/* True if the piece is one base unit. */
static bool is_base(const struct bpe *bpe, struct trie_key key) {
    if (key.len == 0)
        return false;
    return bpe->options.bytes ? key.len == 1 : utf8_sequence(key.bytes, key.len) == key.len;
}

static int alloc_tokens(struct bpe *bpe, uint32_t n) {
    bpe->tokens = mem_alloc_array(n ? n : 1, sizeof *bpe->tokens);
    bpe->links = mem_alloc_array(n ? n : 1, sizeof *bpe->links);
    bpe->n_tokens = n;
    return bpe->tokens && bpe->links ? 0 : -ENOMEM;
}

/* Builds the trie; shorter pieces first, so that each finds the longest that it begins with. */
static int init_trie(struct bpe *bpe, const struct vocab *vocab) {
    const size_t n = vocab->n ? vocab->n : 1;
    struct by_length order = {
        .vocab = vocab,
        .ids = mem_alloc_array(n, sizeof *order.ids),
    };
    uint32_t *shorter = mem_alloc_array(n, sizeof *shorter);
    int r = order.ids && shorter ? order_by_length(vocab, order.ids) : -ENOMEM;
    if (r == 0)
        r = token_trie_init(&bpe->trie, nth_key, &order, vocab->n, shorter);

    for (uint32_t i = 0; r == 0 && i < vocab->n; i++) {
        const uint32_t id = order.ids[i];
        const struct trie_key key = piece_key(vocab, id);
        bpe->tokens[id] = (struct bpe_token){
            .left = TOKEN_NONE,
            .right = TOKEN_NONE,
            .born = is_base(bpe, key) ? BPE_BASE : BPE_UNREACHABLE,
        };
        bpe->links[id] = (struct bpe_link){
            .shorter = shorter[i] == TRIE_NO_VALUE ? TOKEN_NONE : (token_id)shorter[i],
            .len = (uint32_t)key.len,
        };
    }
    mem_free(shorter);
    mem_free(order.ids);
    return r;
}

/* Where <0xHH> is, for each byte. */
static void find_byte_tokens(struct bpe *bpe, const struct vocab *vocab) {
    for (int byte = 0; byte < 256; byte++)
        bpe->byte_tokens[byte] = TOKEN_NONE;
    for (uint32_t id = 0; id < vocab->n; id++) {
        unsigned byte;
        size_t len;
        const char *bytes = vocab_bytes(vocab, id, &len);
        if ((vocab->entries[id].flags & VOCAB_BYTE) && vocab_parse_byte(bytes, len, &byte))
            bpe->byte_tokens[byte] = (token_id)id;
    }
}

int bpe_init(struct bpe *bpe, const struct vocab *vocab, const struct bpe_options *options,
             struct error *reterr) {
    *bpe = (struct bpe){.options = *options};
    find_byte_tokens(bpe, vocab);

    int r = alloc_tokens(bpe, vocab->n);
    if (r == 0)
        r = init_trie(bpe, vocab);
    if (r < 0)
        return error_set(reterr, r,
                         r == -E2BIG ? "the vocabulary's pieces are too long or too many"
                                     : "no memory for the vocabulary");
    return 0;
}

/* --- the list of merges --- */

static int push_merge(struct bpe *bpe, const struct bpe_merge *merge, struct error *reterr) {
    if (bpe->n_merges == bpe->cap_merges) {
        if (bpe->n_merges >= MAX_MERGES)
            return error_set(reterr, -EINVAL, "too many merges");
        const uint32_t cap = bpe->cap_merges ? bpe->cap_merges * 2 : FIRST_MERGES;
        struct bpe_merge *merges = mem_realloc(bpe->merges, (size_t)cap * sizeof *merges);
        if (!merges)
            return error_set(reterr, -ENOMEM, "no memory for the merges");
        bpe->merges = merges;
        bpe->cap_merges = cap;
    }
    bpe->merges[bpe->n_merges++] = *merge;
    return 0;
}

/* True if the piece of id is exactly left and right. */
static bool is_joined(const struct bpe *bpe, const struct vocab *vocab, uint32_t id,
                      const char *left, size_t left_len, const char *right, size_t right_len) {
    if (id >= bpe->n_tokens || bpe->links[id].len != left_len + right_len)
        return false;
    size_t len;
    const char *bytes = vocab_bytes(vocab, id, &len);
    return memcmp(bytes, left, left_len) == 0 && memcmp(bytes + left_len, right, right_len) == 0;
}

/*
 * The piece left + right. Merges and pieces are listed in the same order in most files, so it is
 * looked for behind the result of the merge before, and in the trie only if it is not there.
 */
static uint32_t find_joined(const struct bpe *bpe, const struct vocab *vocab, const char *left,
                            size_t left_len, const char *right, size_t right_len) {
    const uint32_t last = bpe->n_merges > 0 ? (uint32_t)bpe->merges[bpe->n_merges - 1].result : 0;
    for (uint32_t guess = last; guess <= last + 1; guess++)
        if (is_joined(bpe, vocab, guess, left, left_len, right, right_len))
            return guess;

    uint32_t node = token_trie_walk(&bpe->trie, TRIE_ROOT, left, left_len);
    if (node != TRIE_ROOT)
        node = token_trie_walk(&bpe->trie, node, right, right_len);
    return bpe->trie.slots[node].value; /* the root's: no value */
}

int bpe_add_merge(struct bpe *bpe, const struct vocab *vocab, const char *left, size_t left_len,
                  const char *right, size_t right_len, struct error *reterr) {
    const uint32_t left_id = token_trie_find(&bpe->trie, left, left_len);
    const uint32_t right_id = token_trie_find(&bpe->trie, right, right_len);
    const uint32_t result = find_joined(bpe, vocab, left, left_len, right, right_len);

    if (left_id == TRIE_NO_VALUE || right_id == TRIE_NO_VALUE || result == TRIE_NO_VALUE)
        return error_set(reterr, -EINVAL,
                         "merge %u joins \"%.*s\" and \"%.*s\": one of them or the whole is not in "
                         "the vocabulary",
                         bpe->n_merges, (int)(left_len < 64 ? left_len : 64), left,
                         (int)(right_len < 64 ? right_len : 64), right);
    const struct bpe_merge merge = {
        .left = (token_id)left_id,
        .right = (token_id)right_id,
        .result = (token_id)result,
        .rank = bpe->n_merges,
    };
    return push_merge(bpe, &merge, reterr);
}

/* Ids by score, highest first; equal scores by id, so that the order does not depend on qsort. */
struct scored {
    float score;
    token_id id;
};

static int compare_scored(const void *a, const void *b) {
    const struct scored *x = a;
    const struct scored *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* Adds every way to cut the piece of id into two pieces. */
static int add_cuts(struct bpe *bpe, const struct vocab *vocab, token_id id, uint32_t rank,
                    bool *ret_any, struct error *reterr) {
    const struct trie_key key = piece_key(vocab, (size_t)id);
    uint32_t node = TRIE_ROOT;

    *ret_any = false;
    for (size_t cut = 1; cut < key.len; cut++) {
        node = token_trie_step(&bpe->trie, node, (unsigned char)key.bytes[cut - 1]);
        const uint32_t left = bpe->trie.slots[node].value;
        if (left == TRIE_NO_VALUE)
            continue;
        const uint32_t right = token_trie_find(&bpe->trie, key.bytes + cut, key.len - cut);
        if (right == TRIE_NO_VALUE)
            continue;
        const struct bpe_merge merge = {
            .left = (token_id)left,
            .right = (token_id)right,
            .result = id,
            .rank = rank,
        };
        int r = push_merge(bpe, &merge, reterr);
        if (r < 0)
            return r;
        *ret_any = true;
    }
    return 0;
}

int bpe_add_scores(struct bpe *bpe, const struct vocab *vocab, const float *scores,
                   struct error *reterr) {
    struct scored *order = mem_alloc_array(vocab->n ? vocab->n : 1, sizeof *order);
    if (!order)
        return error_set(reterr, -ENOMEM, "no memory for the merges");
    int r = 0;
    for (uint32_t id = 0; id < vocab->n && r == 0; id++) {
        order[id] = (struct scored){.score = scores[id], .id = (token_id)id};
        if (!(scores[id] - scores[id] == 0.0f)) /* infinite or not a number */
            r = error_set(reterr, -EINVAL, "the score of token %u is not a finite number", id);
    }
    if (r == 0)
        qsort(order, vocab->n, sizeof *order, compare_scored);

    uint32_t rank = 0;
    bool any_before = false; /* a merge of this rank exists already */
    for (uint32_t i = 0; i < vocab->n && r == 0; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) {
            rank++;
            any_before = false;
        }
        bool any;
        r = add_cuts(bpe, vocab, order[i].id, rank, &any, reterr);
        /* Between equal ranks the place in the word decides: only the heap looks at places. */
        bpe->needs_heap = bpe->needs_heap || (any && any_before);
        any_before = any_before || any;
    }
    mem_free(order);
    return r;
}

/* --- the rest --- */

/* Marks pieces in the trie that no word is merged into, and takes them out of the links. */
static void drop_unreachable(struct bpe *bpe, const struct vocab *vocab) {
    for (uint32_t id = 0; id < bpe->n_tokens; id++) {
        if (bpe->tokens[id].born == BPE_UNREACHABLE && bpe->links[id].len > 0) {
            const struct trie_key key = piece_key(vocab, id);
            const uint32_t node = token_trie_walk(&bpe->trie, TRIE_ROOT, key.bytes, key.len);
            if (bpe->trie.slots[node].value == id) /* not another of the same bytes */
                bpe->trie.slots[node].value |= BPE_UNREACHABLE_BIT;
        }
    }
    for (uint32_t id = 0; id < bpe->n_tokens; id++) {
        token_id *shorter = &bpe->links[id].shorter;
        while (*shorter != TOKEN_NONE && bpe->tokens[*shorter].born == BPE_UNREACHABLE)
            *shorter = bpe->links[*shorter].shorter;
    }
}

/*
 * True if no merge joins across the place before a "▁" that stands behind another character, so
 * that a text may be cut there: no piece has one there, and "▁" itself is a piece.
 */
static bool find_cuts(const struct bpe *bpe, const struct vocab *vocab) {
    if (bpe->options.bytes || bpe->options.ignore_merges ||
        token_trie_find(&bpe->trie, metaspace, 3) == TRIE_NO_VALUE)
        return false;
    for (uint32_t id = 0; id < bpe->n_tokens; id++) {
        const struct trie_key key = piece_key(vocab, id);
        for (size_t i = 3; i + 3 <= key.len; i++)
            if (memcmp(key.bytes + i, metaspace, 3) == 0 &&
                memcmp(key.bytes + i - 3, metaspace, 3) != 0)
                return false;
        for (size_t i = 1; i < 3 && i + 3 <= key.len; i++)
            if (memcmp(key.bytes + i, metaspace, 3) == 0)
                return false;
    }
    return true;
}

/* True if some base unit would leave no trace in the ids. */
static bool find_drops(const struct bpe *bpe) {
    if (bpe->options.unk != TOKEN_NONE)
        return false;
    for (int byte = 0; byte < 256; byte++) {
        const char unit = (char)byte;
        const bool known = bpe->options.bytes
                               ? token_trie_find(&bpe->trie, &unit, 1) != TRIE_NO_VALUE
                               : bpe->options.byte_fallback && bpe->byte_tokens[byte] != TOKEN_NONE;
        if (!known)
            return true;
    }
    return false;
}

int bpe_finish(struct bpe *bpe, const struct vocab *vocab, struct error *reterr) {
    const uint32_t max_splits = bpe->n_merges < vocab->n ? bpe->n_merges : vocab->n;
    int r = bpe_pairs_init(&bpe->pairs, max_splits);
    if (r == 0)
        r = bpe->needs_heap ? bpe_init_heap(bpe) : bpe_replay(bpe);
    if (r < 0)
        return error_set(reterr, r, "no memory for the merges");

    if (!bpe->needs_heap) {
        mem_free(bpe->merges);
        bpe->merges = NULL;
        bpe->n_merges = 0;
    }
    drop_unreachable(bpe, vocab);
    bpe->cuts_at_metaspace = find_cuts(bpe, vocab);
    bpe->may_drop = find_drops(bpe);
    return 0;
}

void bpe_fini(struct bpe *bpe) {
    token_trie_fini(&bpe->trie);
    mem_free(bpe->tokens);
    mem_free(bpe->links);
    mem_free(bpe->merges);
    bpe_pairs_fini(&bpe->pairs);
    bpe_pairs_fini(&bpe->all_pairs);
    *bpe = (struct bpe){.n_tokens = 0};
}
