/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_trie - byte strings to 32-bit values, walked byte by byte: "which pieces begin here?"
 *
 * One flat table of 8-byte slots. A node's number is the slot in which it lies, and that slot is
 * found by hashing the parent's number with the byte, so a step computes the next address without
 * waiting for a load: the processor runs ahead along the path. A slot holds the parent and the
 * byte (to check) and the value of the string that ends there. Built once, then read-only.
 */
#ifndef KVASIR_TEXT_TOKEN_TRIE_H
#define KVASIR_TEXT_TOKEN_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"

enum { TRIE_ROOT = 0, TRIE_MAX_BITS = 23 };
#define TRIE_NO_VALUE UINT32_MAX
#define TRIE_EMPTY UINT32_MAX

struct trie_slot {
    uint32_t check; /* parent << 8 | byte; TRIE_EMPTY */
    uint32_t value; /* TRIE_NO_VALUE: no string ends here */
};

/* A zeroed struct is the empty trie (only fini may follow); it owns slots. */
struct token_trie {
    struct trie_slot *slots; /* 1 << bits; slot 0 is the root */
    uint32_t n_nodes;
    uint32_t bits;
};

/* A string to insert. */
struct trie_key {
    const char *bytes;
    size_t len;
    uint32_t value;
};
typedef struct trie_key (*trie_key_fn)(const void *ctx, size_t i);

/*
 * Builds the trie of the n strings that key(ctx, i) returns; those of length 0 are left out, and
 * of equal strings the last one's value stays. ret_shorter (may be NULL): [n], the value of the
 * longest string before it that string i begins with, TRIE_NO_VALUE if none; complete if shorter
 * strings come first. -ENOMEM; -E2BIG for more than 2^23 * 3/4 nodes.
 */
int token_trie_init(struct token_trie *trie, trie_key_fn key, const void *ctx, size_t n,
                    uint32_t *ret_shorter) KV_MUST_CHECK;
void token_trie_fini(struct token_trie *trie);

/* The node for node + byte; TRIE_ROOT if there is none. */
static inline uint32_t token_trie_step(const struct token_trie *trie, uint32_t node,
                                       unsigned char byte) {
    const uint32_t check = node << 8 | byte;
    const uint32_t mask = (1u << trie->bits) - 1;
    uint32_t slot = (check * 0x9e3779b1u) >> (32 - trie->bits);

    while (trie->slots[slot].check != check) {
        if (trie->slots[slot].check == TRIE_EMPTY)
            return TRIE_ROOT;
        slot = (slot + 1) & mask;
    }
    return slot;
}

/* The node at the end of the path of bytes from node; TRIE_ROOT if it breaks off. */
static inline uint32_t token_trie_walk(const struct token_trie *trie, uint32_t node,
                                       const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        node = token_trie_step(trie, node, (unsigned char)bytes[i]);
        if (node == TRIE_ROOT)
            return TRIE_ROOT;
    }
    return node;
}

/* The value of exactly these bytes; TRIE_NO_VALUE if they are not in the trie. */
static inline uint32_t token_trie_find(const struct token_trie *trie, const char *bytes,
                                       size_t len) {
    const uint32_t node = token_trie_walk(trie, TRIE_ROOT, bytes, len);
    return node == TRIE_ROOT ? TRIE_NO_VALUE : trie->slots[node].value;
}

#endif
