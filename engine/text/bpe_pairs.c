/* SPDX-License-Identifier: Apache-2.0 */
/* bpe_pairs - the table of pairs, and the question that encoding asks most: do these two merge? */
#include <errno.h>

#include "kvasir/mem.h"

#include "bpe.h"

enum { MIN_BITS = 4, MAX_BITS = 29 };

/* Four bits a slot. */
static size_t filter_words(uint32_t bits) {
    return ((size_t)1 << bits) / 16;
}

static uint32_t filter_bit(const struct bpe_pairs *pairs, uint64_t hash) {
    return (uint32_t)(hash >> (62 - pairs->bits)); /* the highest bits + 2 */
}

int bpe_pairs_init(struct bpe_pairs *pairs, size_t n) {
    uint32_t bits = MIN_BITS;
    while (bits < MAX_BITS && ((size_t)1 << bits) / 3 * 2 < n)
        bits++;
    *pairs = (struct bpe_pairs){
        .slots = mem_alloc_zero((size_t)1 << bits, sizeof *pairs->slots),
        .filter = mem_alloc_zero(filter_words(bits), sizeof *pairs->filter),
        .bits = bits,
    };
    return pairs->slots && pairs->filter ? 0 : -ENOMEM;
}

void bpe_pairs_fini(struct bpe_pairs *pairs) {
    mem_free(pairs->slots);
    mem_free(pairs->filter);
    *pairs = (struct bpe_pairs){.slots = NULL};
}

void bpe_pairs_insert(struct bpe_pairs *pairs, token_id left, token_id right, uint32_t value) {
    const uint64_t hash = bpe_pair_hash(left, right);
    const uint32_t mask = (1u << pairs->bits) - 1;
    uint32_t slot = (uint32_t)hash & mask;

    while (pairs->slots[slot].value != 0)
        slot = (slot + 1) & mask;
    const uint32_t bit = filter_bit(pairs, hash);
    pairs->filter[bit / 64] |= (uint64_t)1 << (bit % 64);
    pairs->slots[slot] = (struct bpe_pair_slot){.tag = (uint32_t)(hash >> 32), .value = value};
}

token_id bpe_find_pair(const struct bpe *bpe, token_id left, token_id right) {
    const uint64_t hash = bpe_pair_hash(left, right);
    const uint32_t mask = (1u << bpe->pairs.bits) - 1;
    const uint32_t tag = (uint32_t)(hash >> 32);
    const uint32_t bit = filter_bit(&bpe->pairs, hash);

    if (!(bpe->pairs.filter[bit / 64] >> (bit % 64) & 1))
        return TOKEN_NONE;
    for (uint32_t slot = (uint32_t)hash & mask;; slot = (slot + 1) & mask) {
        const struct bpe_pair_slot pair = bpe->pairs.slots[slot];
        if (pair.value == 0)
            return TOKEN_NONE;
        const struct bpe_token *token = &bpe->tokens[pair.value - 1];
        if (pair.tag == tag && token->left == left && token->right == right)
            return (token_id)(pair.value - 1);
    }
}
