/* SPDX-License-Identifier: Apache-2.0 */
#include "token_vocab.h"

#include <errno.h>

#include "kvasir/mem.h"

enum {
    FIRST_CAP = 1 << 10,
    /* Gaps are few in real files; without a bound, 30 bytes of JSON could ask for 2^24 records. */
    MAX_GAP_FACTOR = 16,
    FREE_GAP = 1 << 16,
};

static int grow(struct vocab *vocab, uint32_t n) {
    uint32_t cap = vocab->cap ? vocab->cap : FIRST_CAP;
    while (cap < n)
        cap *= 2;

    struct vocab_entry *entries = mem_realloc(vocab->entries, (size_t)cap * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    for (uint32_t id = vocab->cap; id < cap; id++)
        entries[id] = (struct vocab_entry){.len = 0};
    vocab->entries = entries;
    vocab->cap = cap;
    return 0;
}

int vocab_set(struct vocab *vocab, uint64_t id, const char *bytes, size_t len, unsigned flags,
              struct error *reterr) {
    if (id >= VOCAB_MAX_IDS || id / MAX_GAP_FACTOR > vocab->n_present + (uint64_t)FREE_GAP)
        return error_set(reterr, -EINVAL, "token id %llu: expected ids below %d without large gaps",
                         (unsigned long long)id, VOCAB_MAX_IDS);
    if (len > VOCAB_MAX_PIECE)
        return error_set(reterr, -EINVAL, "token id %llu: its piece has %zu bytes, at most %d",
                         (unsigned long long)id, len, VOCAB_MAX_PIECE);
    if (vocab->text.len + len > VOCAB_MAX_BYTES)
        return error_set(reterr, -EINVAL, "the pieces have more than %d bytes", VOCAB_MAX_BYTES);

    if (id >= vocab->cap) {
        int r = grow(vocab, (uint32_t)id + 1);
        if (r < 0)
            return error_set(reterr, r, "no memory for the vocabulary");
    }
    struct vocab_entry *entry = &vocab->entries[id];
    if (!(entry->flags & VOCAB_PRESENT))
        vocab->n_present++;
    *entry = (struct vocab_entry){
        .offset = (uint32_t)vocab->text.len,
        .len = (uint16_t)len,
        .flags = (uint8_t)(flags | VOCAB_PRESENT),
    };
    if (id >= vocab->n)
        vocab->n = (uint32_t)id + 1;

    buf_append(&vocab->text, bytes, len);
    return buf_failed(&vocab->text) ? error_set(reterr, -ENOMEM, "no memory for the vocabulary")
                                    : 0;
}

static unsigned hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c >= 'A' && c <= 'F' ? (unsigned)(c - 'A' + 10) : 16;
}

bool vocab_parse_byte(const char *bytes, size_t len, unsigned *ret_byte) {
    if (len != 6 || bytes[0] != '<' || bytes[1] != '0' || bytes[2] != 'x' || bytes[5] != '>')
        return false;
    const unsigned high = hex_digit(bytes[3]);
    const unsigned low = hex_digit(bytes[4]);
    *ret_byte = high << 4 | low;
    return high < 16 && low < 16;
}

void vocab_fini(struct vocab *vocab) {
    mem_free(vocab->entries);
    buf_fini(&vocab->text);
    *vocab = (struct vocab){.n = 0};
}
