/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpe - byte-pair encoding of one word: bytes to the ids that merging by rank leads to.
 *
 * The specification is: one symbol per base unit (a byte, or a character), then again and again
 * the pair of neighbours with the lowest rank, the leftmost of equals, becomes one symbol. Done
 * so, a word of n bytes costs n log n and much memory traffic. bpe_encode instead looks for the
 * only sequence of pieces in which every two neighbours are what merging makes of their own
 * bytes, which is the same sequence (README, "Why backtracking is exact"); it costs O(n).
 *
 * Built (bpe_build.c) in three calls: bpe_init, bpe_add_merge (or bpe_add_scores), bpe_finish.
 * Immutable afterwards, any thread may encode.
 */
#ifndef KVASIR_TEXT_BPE_H
#define KVASIR_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"
#include "kvasir/tokenizer.h"

#include "token_trie.h"
#include "token_vocab.h"

/* Values of bpe_token::born. */
#define BPE_BASE 0u                /* a base unit: there before any merge */
#define BPE_UNREACHABLE UINT32_MAX /* no word is merged into this piece */

/* Set in the trie's values for pieces that merging cannot reach. */
#define BPE_UNREACHABLE_BIT (1u << 31)

/*
 * How merging makes a piece: from left and right, by the merge of this rank. The era is the rank
 * at which that happens: mostly the merge's own, but a merge whose part is made by a merge of
 * higher rank happens late, in that one's era.
 */
struct bpe_token {
    token_id left;
    token_id right;
    uint32_t rank;
    uint32_t born; /* the era plus one, BPE_BASE or BPE_UNREACHABLE */
};

struct bpe_link {
    token_id shorter; /* longest reachable piece that begins this one; TOKEN_NONE */
    uint32_t len;     /* bytes */
};

/* As a vocabulary lists them; what can happen is in bpe_token after bpe_finish. */
struct bpe_merge {
    token_id left;
    token_id right;
    token_id result;
    uint32_t rank; /* ascending; equal only where scores are */
};

struct bpe_pair_slot {
    uint32_t tag;   /* other bits of the pair's hash than those that chose the slot */
    uint32_t value; /* 0: empty */
};

/* Open addressing, from a pair of pieces to a number that is not 0. */
struct bpe_pairs {
    struct bpe_pair_slot *slots; /* [1 << bits] */
    uint64_t *filter; /* four bits a slot, by hash: most pairs are absent, and it is seen here */
    uint32_t bits;
};

struct bpe_options {
    bool bytes;         /* base units are bytes; otherwise UTF-8 characters */
    bool ignore_merges; /* a word that is a piece is that piece, reachable or not */
    bool byte_fallback; /* a character without a piece becomes its byte tokens */
    bool fuse_unk;      /* neighbouring unknown characters become one unk */
    token_id unk;       /* TOKEN_NONE: unknown characters are dropped */
};

/* A zeroed struct may be given to bpe_fini. */
struct bpe {
    struct bpe_options options;
    struct token_trie trie;   /* piece -> id, perhaps with BPE_UNREACHABLE_BIT */
    struct bpe_token *tokens; /* [n_tokens] */
    struct bpe_link *links;   /* [n_tokens] */
    uint32_t n_tokens;
    struct bpe_pairs pairs;    /* -> the piece that they are merged into, plus one */
    token_id byte_tokens[256]; /* for byte_fallback; TOKEN_NONE where missing */
    bool may_drop;             /* some base units have neither piece, nor bytes, nor unk */
    bool cuts_at_metaspace;    /* no piece has a "▁" behind another character */

    /* While building, and for the heap: all merges, and pairs -> their index plus one. */
    struct bpe_merge *merges; /* [n_merges] */
    uint32_t n_merges;
    struct bpe_pairs all_pairs;
    bool needs_heap; /* equal scores: only places in the word decide (bpe_heap.c) */
    /* private to building */
    uint32_t cap_merges;
};

/* --- building; the vocabulary is lent until bpe_finish --- */

/* Entries with VOCAB_LITERAL or VOCAB_BYTE are no pieces. -ENOMEM, -E2BIG. */
int bpe_init(struct bpe *bpe, const struct vocab *vocab, const struct bpe_options *options,
             struct error *reterr) KV_MUST_CHECK;

/* The next merge in order of rank. -EINVAL if left, right or both together are no piece. */
int bpe_add_merge(struct bpe *bpe, const struct vocab *vocab, const char *left, size_t left_len,
                  const char *right, size_t right_len, struct error *reterr) KV_MUST_CHECK;

/* SentencePiece: any two pieces that form a piece merge, the highest score [n_tokens] first. */
int bpe_add_scores(struct bpe *bpe, const struct vocab *vocab, const float *scores,
                   struct error *reterr) KV_MUST_CHECK;

int bpe_finish(struct bpe *bpe, const struct vocab *vocab, struct error *reterr) KV_MUST_CHECK;
void bpe_fini(struct bpe *bpe);

/* --- use --- */

/* Appends the ids of one word. -ENOMEM; ret_ids may then hold some of them. */
int bpe_encode(const struct bpe *bpe, const char *word, size_t len, struct token_buf *ret_ids)
    KV_MUST_CHECK;

/* The id whose piece is exactly these bytes; TOKEN_NONE. */
token_id bpe_find(const struct bpe *bpe, const char *piece, size_t len);

/* --- between the bpe files --- */

/* Room for n pairs; -ENOMEM. */
int bpe_pairs_init(struct bpe_pairs *pairs, size_t n) KV_MUST_CHECK;
void bpe_pairs_fini(struct bpe_pairs *pairs);
/* The pair must not be there yet, and there must be room. */
void bpe_pairs_insert(struct bpe_pairs *pairs, token_id left, token_id right, uint32_t value);

static inline uint64_t bpe_pair_hash(token_id left, token_id right) {
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t hash = (key ^ key >> 29) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* The piece that a pair is merged into; TOKEN_NONE if it is not. */
token_id bpe_find_pair(const struct bpe *bpe, token_id left, token_id right);

/* Fills tokens and pairs with the merges that happen (bpe_replay.c). -ENOMEM. */
int bpe_replay(struct bpe *bpe) KV_MUST_CHECK;

/* True if merging left's and right's bytes together never joins across where they meet. */
bool bpe_compatible(const struct bpe *bpe, token_id left, token_id right);

/*
 * The specification itself, for vocabularies that need it and as a test's second opinion.
 * bpe_init_heap must have been called: bpe_finish does where needs_heap is set.
 */
int bpe_init_heap(struct bpe *bpe) KV_MUST_CHECK;
int bpe_encode_heap(const struct bpe *bpe, const char *word, size_t len, struct token_buf *ret_ids)
    KV_MUST_CHECK;

/* Bytes of the base unit at text, len > 0. */
size_t bpe_unit_len(const struct bpe *bpe, const char *text, size_t len);

/* Appends what stands for the unknown base unit at text; its length goes to ret_len. */
int bpe_encode_unknown(const struct bpe *bpe, const char *text, size_t len, bool follows_unknown,
                       size_t *ret_len, struct token_buf *ret_ids) KV_MUST_CHECK;

#endif
