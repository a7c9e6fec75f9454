/* SPDX-License-Identifier: Apache-2.0 */
#include "token_trie.h"

#include <errno.h>
#include <stdbool.h>

#include "kvasir/mem.h"

enum { MIN_BITS = 9 };

/* Parent numbers stay below 2^23, so this is no node's check. */
#define ROOT_CHECK (TRIE_EMPTY - 1)

static bool is_crowded(const struct token_trie *trie) {
    return trie->n_nodes >= (1u << trie->bits) / 4 * 3;
}

/* The child, made if it is not there; TRIE_ROOT if the table is too full for one more. */
static uint32_t step_or_add(struct token_trie *trie, uint32_t node, unsigned char byte) {
    const uint32_t check = node << 8 | byte;
    const uint32_t mask = (1u << trie->bits) - 1;
    uint32_t slot = (check * 0x9e3779b1u) >> (32 - trie->bits);

    while (trie->slots[slot].check != check) {
        if (trie->slots[slot].check == TRIE_EMPTY) {
            if (is_crowded(trie))
                return TRIE_ROOT;
            trie->slots[slot].check = check;
            trie->n_nodes++;
            return slot;
        }
        slot = (slot + 1) & mask;
    }
    return slot;
}

/* False if the table is too full. */
static bool insert(struct token_trie *trie, struct trie_key key, uint32_t *ret_shorter) {
    uint32_t node = TRIE_ROOT;
    uint32_t shorter = TRIE_NO_VALUE;
    for (size_t i = 0; i < key.len; i++) {
        const uint32_t value = trie->slots[node].value;
        shorter = value != TRIE_NO_VALUE ? value : shorter;
        node = step_or_add(trie, node, (unsigned char)key.bytes[i]);
        if (node == TRIE_ROOT)
            return false;
    }
    if (key.len > 0)
        trie->slots[node].value = key.value;
    *ret_shorter = shorter;
    return true;
}

static int alloc_slots(struct token_trie *trie, uint32_t bits) {
    const size_t n_slots = (size_t)1 << bits;

    trie->slots = mem_alloc_array(n_slots, sizeof *trie->slots);
    if (!trie->slots)
        return -ENOMEM;
    trie->bits = bits;
    trie->n_nodes = 1;
    for (size_t i = 0; i < n_slots; i++)
        trie->slots[i] = (struct trie_slot){.check = TRIE_EMPTY, .value = TRIE_NO_VALUE};
    trie->slots[TRIE_ROOT].check = ROOT_CHECK;
    return 0;
}

int token_trie_init(struct token_trie *trie, trie_key_fn key, const void *ctx, size_t n,
                    uint32_t *ret_shorter) {
    /* Vocabularies share prefixes: about a third of all bytes become nodes. */
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += key(ctx, i).len;
    uint32_t bits = MIN_BITS;
    while (bits < TRIE_MAX_BITS && ((size_t)1 << bits) < total / 2)
        bits++;

    for (; bits <= TRIE_MAX_BITS; bits++) {
        *trie = (struct token_trie){.slots = NULL};
        int r = alloc_slots(trie, bits);
        if (r < 0)
            return r;

        size_t i = 0;
        uint32_t shorter;
        while (i < n && insert(trie, key(ctx, i), &shorter)) {
            if (ret_shorter)
                ret_shorter[i] = shorter;
            i++;
        }
        if (i == n)
            return 0;
        token_trie_fini(trie);
    }
    return -E2BIG;
}

void token_trie_fini(struct token_trie *trie) {
    mem_free(trie->slots);
    *trie = (struct token_trie){.slots = NULL};
}
