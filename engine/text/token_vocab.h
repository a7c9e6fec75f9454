/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_vocab - what each id reads as: one run of bytes and one record per id.
 *
 * While a tokenizer is read the bytes are the piece as the model matches it; when it is ready they
 * are what the id decodes to ("▁" has become a space, "<0x0A>" a newline).
 */
#ifndef KVASIR_TEXT_TOKEN_VOCAB_H
#define KVASIR_TEXT_TOKEN_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"
#include "kvasir/types.h"

enum {
    VOCAB_MAX_IDS = 1 << 24,
    VOCAB_MAX_PIECE = 65535,
    VOCAB_MAX_BYTES = 1 << 28,
};

enum vocab_flags {
    VOCAB_PRESENT = 1 << 0,
    VOCAB_SPECIAL = 1 << 1, /* left out when decoding skips special tokens */
    VOCAB_ADDED = 1 << 2,   /* found in the text before the model sees it */
    VOCAB_LITERAL = 1 << 3, /* no piece of the model: merging cannot give it */
    VOCAB_BYTE = 1 << 4,    /* one raw byte of a byte-fallback alphabet */
};

struct vocab_entry {
    uint32_t offset; /* into text */
    uint16_t len;
    uint8_t flags;
};

/* A zeroed struct is empty. */
struct vocab {
    struct vocab_entry *entries; /* [n]; ids in gaps have flags 0 */
    uint32_t n;                  /* highest id + 1 */
    struct buf text;
    /* private */
    uint32_t cap;
    uint32_t n_present;
};

/*
 * Sets what id reads as, replacing what was there. -EINVAL for an id or length beyond the limits,
 * -ENOMEM. The message names the id.
 */
int vocab_set(struct vocab *vocab, uint64_t id, const char *bytes, size_t len, unsigned flags,
              struct error *reterr) KV_MUST_CHECK;

/* True if the bytes read "<0xHH>", the name of a raw byte. */
bool vocab_parse_byte(const char *bytes, size_t len, unsigned *ret_byte);

void vocab_fini(struct vocab *vocab);

static inline bool vocab_has(const struct vocab *vocab, token_id id, unsigned flags) {
    return id >= 0 && (uint32_t)id < vocab->n && (vocab->entries[id].flags & flags) == flags;
}

/* The bytes of an id below n; lent. */
static inline const char *vocab_bytes(const struct vocab *vocab, uint32_t id, size_t *ret_len) {
    *ret_len = vocab->entries[id].len;
    return vocab->text.data ? vocab->text.data + vocab->entries[id].offset : "";
}

#endif
