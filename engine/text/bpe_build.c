/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpe_build - from pieces and merges to the tables of bpe.h.
 *
 * A vocabulary lists merges that never happen: LLaMA 3's names every way to cut a piece in two,
 * though merging by rank arrives at a piece in one way only. bpe_finish replays the merges in time
 * and keeps, for each piece, the one that makes it (its split).
 */
#include "bpe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

enum { FIRST_MERGES = 1 << 12, MIN_PAIR_BITS = 4 };

/* --- the trie of pieces --- */

static struct trie_key piece_key(const void *ctx, size_t i) {
    const struct vocab *vocab = ctx;
    struct trie_key key = {.value = (uint32_t)i};
    const unsigned flags = vocab->entries[i].flags;

    if ((flags & VOCAB_PRESENT) && !(flags & (VOCAB_LITERAL | VOCAB_BYTE)))
        key.bytes = vocab_bytes(vocab, (uint32_t)i, &key.len);
    return key;
}

/* True if the piece is one base unit. */
static bool is_base(const struct bpe *bpe, struct trie_key key) {
    if (key.len == 0)
        return false;
    return bpe->options.bytes ? key.len == 1 : utf8_sequence(key.bytes, key.len) == key.len;
}

static int init_tokens(struct bpe *bpe, const struct vocab *vocab) {
    bpe->tokens = mem_alloc_array(vocab->n ? vocab->n : 1, sizeof *bpe->tokens);
    if (!bpe->tokens)
        return -ENOMEM;
    bpe->n_tokens = vocab->n;
    for (uint32_t id = 0; id < vocab->n; id++) {
        const struct trie_key key = piece_key(vocab, id);
        bpe->tokens[id] = (struct bpe_token){
            .split = is_base(bpe, key) ? BPE_BASE : BPE_UNREACHABLE,
            .shorter = TOKEN_NONE,
            .len = (uint32_t)key.len,
        };
    }
    return 0;
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

    int r = token_trie_init(&bpe->trie, piece_key, vocab, vocab->n);
    if (r == 0)
        r = init_tokens(bpe, vocab);
    if (r < 0)
        return error_set(reterr, r,
                         r == -E2BIG ? "the vocabulary's pieces are too long or too many"
                                     : "no memory for the vocabulary");
    return 0;
}

/* --- the list of merges --- */

static int push_merge(struct bpe *bpe, const struct bpe_merge *merge, struct error *reterr) {
    if (bpe->n_merges == bpe->cap_merges) {
        if (bpe->n_merges >= BPE_BASE / 2)
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

int bpe_add_merge(struct bpe *bpe, const char *left, size_t left_len, const char *right,
                  size_t right_len, struct error *reterr) {
    const struct token_trie *trie = &bpe->trie;
    uint32_t whole = token_trie_walk(trie, TRIE_ROOT, left, left_len);
    uint32_t node = TRIE_ROOT;
    const uint32_t left_id = trie->slots[whole].value;
    uint32_t shorter = left_id;
    bool found = left_len > 0 && right_len > 0 && whole != TRIE_ROOT && left_id != TRIE_NO_VALUE;

    /* Two walks in step: right by itself, and right behind left. */
    for (size_t i = 0; i < right_len && found; i++) {
        if (i > 0 && trie->slots[whole].value != TRIE_NO_VALUE)
            shorter = trie->slots[whole].value;
        node = token_trie_step(trie, node, (unsigned char)right[i]);
        whole = token_trie_step(trie, whole, (unsigned char)right[i]);
        found = node != TRIE_ROOT && whole != TRIE_ROOT;
    }
    if (!found || trie->slots[node].value == TRIE_NO_VALUE ||
        trie->slots[whole].value == TRIE_NO_VALUE)
        return error_set(reterr, -EINVAL,
                         "merge %u joins \"%.*s\" and \"%.*s\": one of them or the whole is not in "
                         "the vocabulary",
                         bpe->n_merges, (int)(left_len < 64 ? left_len : 64), left,
                         (int)(right_len < 64 ? right_len : 64), right);

    const struct bpe_merge merge = {
        .left = (token_id)left_id,
        .right = (token_id)trie->slots[node].value,
        .result = (token_id)trie->slots[whole].value,
        .era = bpe->n_merges,
    };
    bpe->tokens[merge.result].shorter = (token_id)shorter;
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
            .era = rank,
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

/* --- what really happens --- */

static int alloc_pairs(struct bpe *bpe, uint32_t n_pairs) {
    uint32_t bits = MIN_PAIR_BITS;
    while (((size_t)1 << bits) * 2 / 3 < n_pairs)
        bits++;
    bpe->pairs = mem_alloc_zero((size_t)1 << bits, sizeof *bpe->pairs);
    bpe->pair_bits = bits;
    return bpe->pairs ? 0 : -ENOMEM;
}

/*
 * The replay of all merges in time. A merge whose part does not exist yet when its rank comes
 * waits for it: it is in the list of that part, and happens, if at all, when the part is made.
 */
struct replay {
    struct bpe *bpe;
    uint32_t *first_waiting; /* [n_tokens] merge, plus one */
    uint32_t *next_waiting;  /* [n_merges] merge, plus one */
    uint32_t due;            /* list of merges whose parts exist now, by next_waiting */
};

static bool exists(const struct bpe *bpe, token_id id) {
    return bpe->tokens[id].split != BPE_UNREACHABLE;
}

/* Moves the merges that waited for id to the list of those that are due. */
static void wake(struct replay *replay, token_id id) {
    uint32_t waiting = replay->first_waiting[id];
    replay->first_waiting[id] = 0;
    while (waiting) {
        const uint32_t next = replay->next_waiting[waiting - 1];
        replay->next_waiting[waiting - 1] = replay->due;
        replay->due = waiting;
        waiting = next;
    }
}

/* Gives the merge's result its split if its own bytes are merged so; or lets the merge wait. */
static void consider(struct replay *replay, uint32_t i, uint32_t era) {
    struct bpe *bpe = replay->bpe;
    const struct bpe_merge *merge = &bpe->merges[i];

    if (exists(bpe, merge->result))
        return;
    const token_id missing = !exists(bpe, merge->left)    ? merge->left
                             : !exists(bpe, merge->right) ? merge->right
                                                          : TOKEN_NONE;
    if (missing != TOKEN_NONE) {
        replay->next_waiting[i] = replay->first_waiting[missing];
        replay->first_waiting[missing] = i + 1;
        return;
    }
    if (!bpe_compatible(bpe, merge->left, merge->right))
        return;
    bpe->merges[i].era = era;
    bpe->tokens[merge->result].split = i;
    bpe_insert_pair(bpe, i);
    wake(replay, merge->result);
}

/* Takes the merge with the shortest result from the due ones: what it makes may bar a longer. */
static uint32_t take_due(struct replay *replay) {
    const struct bpe *bpe = replay->bpe;
    uint32_t *best = &replay->due;
    for (uint32_t *at = &replay->due; *at; at = &replay->next_waiting[*at - 1])
        if (bpe->tokens[bpe->merges[*at - 1].result].len <
            bpe->tokens[bpe->merges[*best - 1].result].len)
            best = at;
    const uint32_t taken = *best - 1;
    *best = replay->next_waiting[taken];
    return taken;
}

static int replay_merges(struct bpe *bpe) {
    struct replay replay = {
        .bpe = bpe,
        .first_waiting = mem_alloc_zero(bpe->n_tokens ? bpe->n_tokens : 1, sizeof(uint32_t)),
        .next_waiting = mem_alloc_zero(bpe->n_merges ? bpe->n_merges : 1, sizeof(uint32_t)),
    };
    const bool ok = replay.first_waiting && replay.next_waiting;

    for (uint32_t era = 0; ok && era < bpe->n_merges; era++) {
        consider(&replay, era, era);
        while (replay.due)
            consider(&replay, take_due(&replay), era);
    }
    mem_free(replay.next_waiting);
    mem_free(replay.first_waiting);
    return ok ? 0 : -ENOMEM;
}

/* Keeps the merges that are splits, in order. An era is named by a merge that is kept. */
static int keep_splits(struct bpe *bpe) {
    uint32_t n_kept = 0;
    for (uint32_t i = 0; i < bpe->n_merges; i++)
        if (bpe->tokens[bpe->merges[i].result].split == i)
            n_kept++;

    uint32_t *index = mem_alloc_array(bpe->n_merges ? bpe->n_merges : 1, sizeof *index);
    mem_free(bpe->pairs);
    bpe->pairs = NULL;
    int r = index ? alloc_pairs(bpe, n_kept) : -ENOMEM;
    if (r < 0)
        goto free_index;

    n_kept = 0;
    for (uint32_t i = 0; i < bpe->n_merges; i++) {
        index[i] = n_kept;
        if (bpe->tokens[bpe->merges[i].result].split == i)
            bpe->merges[n_kept++] = bpe->merges[i];
    }
    for (uint32_t i = 0; i < n_kept; i++) {
        bpe->tokens[bpe->merges[i].result].split = i;
        bpe_insert_pair(bpe, i);
    }
    for (uint32_t i = 0; i < n_kept; i++)
        bpe->merges[i].era = index[bpe->merges[i].era];
    bpe->n_merges = n_kept;

free_index:
    mem_free(index);
    return r;
}

/* Every merge, for the heap; of a pair that is listed twice the last rank counts. */
static int keep_all(struct bpe *bpe) {
    mem_free(bpe->pairs);
    bpe->pairs = NULL;
    int r = alloc_pairs(bpe, bpe->n_merges);
    if (r < 0)
        return r;
    for (uint32_t i = bpe->n_merges; i > 0; i--) {
        const struct bpe_merge *merge = &bpe->merges[i - 1];
        if (bpe_find_pair(bpe, merge->left, merge->right) == UINT32_MAX)
            bpe_insert_pair(bpe, i - 1);
    }
    return 0;
}

/* The longest piece that begins the key's and is not all of it; TRIE_NO_VALUE. */
static uint32_t shorter_piece(const struct token_trie *trie, struct trie_key key) {
    uint32_t value = TRIE_NO_VALUE;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i + 1 < key.len; i++) {
        node = token_trie_step(trie, node, (unsigned char)key.bytes[i]);
        if (trie->slots[node].value != TRIE_NO_VALUE)
            value = trie->slots[node].value;
    }
    return value;
}

/* Marks pieces in the trie that no word is merged into, and links the others by length. */
static void link_pieces(struct bpe *bpe, const struct vocab *vocab) {
    for (uint32_t id = 0; id < bpe->n_tokens; id++) {
        const struct trie_key key = piece_key(vocab, id);
        if (key.len == 0)
            continue;
        if (bpe->tokens[id].split == BPE_UNREACHABLE) {
            const uint32_t node = token_trie_walk(&bpe->trie, TRIE_ROOT, key.bytes, key.len);
            bpe->trie.slots[node].value = id | BPE_UNREACHABLE_BIT;
        }
        if (bpe->tokens[id].shorter == TOKEN_NONE) {
            const uint32_t shorter = shorter_piece(&bpe->trie, key);
            if (shorter != TRIE_NO_VALUE)
                bpe->tokens[id].shorter = (token_id)(shorter & ~BPE_UNREACHABLE_BIT);
        }
    }
    for (uint32_t id = 0; id < bpe->n_tokens; id++) {
        token_id *shorter = &bpe->tokens[id].shorter;
        while (*shorter != TOKEN_NONE && bpe->tokens[*shorter].split == BPE_UNREACHABLE)
            *shorter = bpe->tokens[*shorter].shorter;
    }
}

/* Gives back what the growing list of merges has too much. */
static void shrink_merges(struct bpe *bpe) {
    const size_t n = bpe->n_merges ? bpe->n_merges : 1;
    struct bpe_merge *merges = mem_realloc(bpe->merges, n * sizeof *merges);
    if (merges)
        bpe->merges = merges;
}

int bpe_finish(struct bpe *bpe, const struct vocab *vocab, struct error *reterr) {
    const uint32_t max_splits = bpe->n_merges < vocab->n ? bpe->n_merges : vocab->n;
    int r = alloc_pairs(bpe, max_splits);

    if (r == 0 && !bpe->needs_heap)
        r = replay_merges(bpe);
    if (r == 0)
        r = bpe->needs_heap ? keep_all(bpe) : keep_splits(bpe);
    if (r < 0)
        return error_set(reterr, r, "no memory for the merges");

    shrink_merges(bpe);
    link_pieces(bpe, vocab);
    return 0;
}

void bpe_fini(struct bpe *bpe) {
    token_trie_fini(&bpe->trie);
    mem_free(bpe->tokens);
    mem_free(bpe->merges);
    mem_free(bpe->pairs);
    *bpe = (struct bpe){.n_tokens = 0};
}
