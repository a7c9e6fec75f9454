/* SPDX-License-Identifier: Apache-2.0 */
#include "bpe.h"

#include <errno.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/mem.h"

#include "token_buf.h"
#include "unicode.h"

enum {
    /* Words up to here keep their notes on the stack: 64 * 64 bytes. */
    SMALL_WORD = 4096,
};

/* How a moment in the history of two neighbours ended: one of them was merged away. */
struct ending {
    uint32_t born; /* of what it was merged into */
    uint32_t rank;
    bool on_right;   /* the right one was, as the left part of that merge */
    uint32_t z_born; /* on_right: when that merge's right part was born */
};

/*
 * Would the merge of this rank happen across in this moment, before its ending? In time order:
 * eras ascend; within an era first what happens on the left, then across, then on the right (of
 * equal merges the leftmost goes first); and within a side, a merge of lower rank than the era
 * happens as soon as its parts are there, the lowest first.
 */
static bool happens_across(uint32_t rank, uint32_t left_born, uint32_t right_born,
                           const struct ending *ending) {
    const uint32_t born = left_born > right_born ? left_born : right_born;

    if (rank >= born) /* it waits for the era of its own rank */
        return rank + 1 < ending->born || (rank + 1 == ending->born && ending->on_right);
    if (born < ending->born)
        return true; /* late, and nothing else happens first */
    if (!ending->on_right)
        return rank < ending->rank;
    return right_born < born || ending->z_born >= born || rank <= ending->rank;
}

/*
 * Goes back in time from the finished pieces: at each moment two symbols touch at the boundary,
 * and the one that was born last is taken apart next.
 */
bool bpe_compatible(const struct bpe *bpe, token_id left, token_id right) {
    const struct bpe_token *l = &bpe->tokens[left];
    const struct bpe_token *r = &bpe->tokens[right];
    struct ending ending = {.born = UINT32_MAX};

    for (;;) {
        const token_id across = bpe_find_pair(bpe, left, right);
        if (across != TOKEN_NONE &&
            happens_across(bpe->tokens[across].rank, l->born, r->born, &ending))
            return false;
        if (l->born == BPE_BASE && r->born == BPE_BASE)
            return true;

        if (r->born >= l->born) {
            ending = (struct ending){
                .born = r->born,
                .rank = r->rank,
                .on_right = true,
                .z_born = bpe->tokens[r->right].born,
            };
            right = r->left;
            r = &bpe->tokens[right];
        } else {
            ending = (struct ending){.born = l->born, .rank = l->rank};
            left = l->right;
            l = &bpe->tokens[left];
        }
    }
}

token_id bpe_find(const struct bpe *bpe, const char *piece, size_t len) {
    const uint32_t value = len ? token_trie_find(&bpe->trie, piece, len) : TRIE_NO_VALUE;
    return value == TRIE_NO_VALUE ? TOKEN_NONE : (token_id)(value & ~BPE_UNREACHABLE_BIT);
}

/*
 * The longest reachable piece that text begins with; TOKEN_NONE. *ret_whole is the trie's value
 * of all of text.
 */
static inline token_id longest_piece(const struct bpe *bpe, const char *text, size_t len,
                                     uint32_t *ret_whole) {
    token_id longest = TOKEN_NONE;
    uint32_t node = TRIE_ROOT;

    *ret_whole = TRIE_NO_VALUE;
    for (size_t i = 0; i < len; i++) {
        node = token_trie_step(&bpe->trie, node, (unsigned char)text[i]);
        if (node == TRIE_ROOT)
            return longest;
        const uint32_t value = bpe->trie.slots[node].value;
        if (value < BPE_UNREACHABLE_BIT)
            longest = (token_id)value;
    }
    *ret_whole = bpe->trie.slots[node].value;
    return longest;
}

size_t bpe_unit_len(const struct bpe *bpe, const char *text, size_t len) {
    const unsigned char *bytes = (const unsigned char *)text;
    size_t n = 1;
    if (!bpe->options.bytes)
        (void)unicode_decode(bytes, bytes + len, &n); /* only the length matters */
    return n;
}

/* True if every byte of a base unit has its byte token. */
static bool falls_back(const struct bpe *bpe, const char *text, size_t n) {
    bool has_bytes = bpe->options.byte_fallback;
    for (size_t i = 0; i < n; i++)
        has_bytes = has_bytes && bpe->byte_tokens[(unsigned char)text[i]] != TOKEN_NONE;
    return has_bytes;
}

int bpe_encode_unknown(const struct bpe *bpe, const char *text, size_t len, bool follows_unknown,
                       size_t *ret_len, struct token_buf *ret_ids) {
    const size_t n = bpe_unit_len(bpe, text, len);
    *ret_len = n;

    if (falls_back(bpe, text, n)) {
        int r = token_buf_reserve(ret_ids, n);
        if (r < 0)
            return r;
        for (size_t i = 0; i < n; i++)
            token_buf_put(ret_ids, bpe->byte_tokens[(unsigned char)text[i]]);
        return 0;
    }
    if (bpe->options.unk == TOKEN_NONE || (follows_unknown && bpe->options.fuse_unk))
        return 0;
    return token_buf_push(ret_ids, bpe->options.unk);
}

/* The state of the search through one word. */
struct search {
    const struct bpe *bpe;
    const char *word;
    size_t len;
    size_t pos;         /* bytes covered by the pieces so far */
    size_t first_id;    /* ids before it are final: no piece joins across an unknown unit */
    bool after_unknown; /* the last id stands for an unknown unit */
    uint64_t *dead;     /* bit p: no valid sequence goes on from position p */
    struct token_buf *ids;
};

static bool is_dead(const struct search *s, size_t pos) {
    return s->dead[pos / 64] >> (pos % 64) & 1;
}

/* The longest piece from candidate downwards that may stand at pos; TOKEN_NONE. */
static token_id fitting_piece(const struct search *s, token_id candidate) {
    const struct bpe *bpe = s->bpe;
    const token_id last = s->ids->n > s->first_id ? s->ids->ids[s->ids->n - 1] : TOKEN_NONE;

    while (candidate != TOKEN_NONE) {
        const struct bpe_link *link = &bpe->links[candidate];
        if (!is_dead(s, s->pos + link->len) &&
            (last == TOKEN_NONE || bpe_compatible(bpe, last, candidate)))
            return candidate;
        candidate = link->shorter;
    }
    return TOKEN_NONE;
}

/*
 * Sets *ret_candidate to the longest piece at pos. Base units with which no piece begins are
 * encoded as unknown on the way; what was found before them is then final.
 */
static int next_candidate(struct search *s, token_id *ret_candidate) {
    *ret_candidate = TOKEN_NONE;
    while (s->pos < s->len) {
        uint32_t whole; /* only asked of the word */
        *ret_candidate = longest_piece(s->bpe, s->word + s->pos, s->len - s->pos, &whole);
        if (*ret_candidate != TOKEN_NONE)
            return 0;

        size_t n;
        int r = bpe_encode_unknown(s->bpe, s->word + s->pos, s->len - s->pos, s->after_unknown, &n,
                                   s->ids);
        if (r < 0)
            return r;
        s->pos += n;
        s->first_id = s->ids->n;
        s->after_unknown = true;
    }
    return 0;
}

/*
 * Depth first, longest piece first. A position can be reached by one sequence only (the encoding
 * of what lies before it is unique), so when nothing goes on from it, it is dead for good and no
 * position is tried twice: linear in the length of the word.
 */
static int search_word(struct search *s, token_id candidate) {
    int r = candidate == TOKEN_NONE ? next_candidate(s, &candidate) : 0;

    while (r == 0 && s->pos < s->len) {
        const token_id fitting = fitting_piece(s, candidate);
        if (fitting != TOKEN_NONE) {
            r = token_buf_push(s->ids, fitting);
            if (r < 0)
                break;
            s->pos += s->bpe->links[fitting].len;
            s->after_unknown = false;
            r = next_candidate(s, &candidate);
        } else {
            /* The base units are pieces, so some sequence exists: see the README. */
            INVARIANT(s->ids->n > s->first_id);
            const struct bpe_link *last = &s->bpe->links[s->ids->ids[--s->ids->n]];
            s->dead[s->pos / 64] |= (uint64_t)1 << (s->pos % 64);
            s->pos -= last->len;
            candidate = last->shorter;
        }
    }
    return r;
}

/* Encodes a word that is not one piece; it begins with the piece first, if with any. */
static int encode_parts(const struct bpe *bpe, const char *word, size_t len, token_id first,
                        struct token_buf *ret_ids) {
    uint64_t small[SMALL_WORD / 64 + 1];
    const size_t n_dead = len / 64 + 1; /* position len counts too */
    uint64_t *dead = len <= SMALL_WORD ? small : mem_alloc_array(n_dead, sizeof *dead);
    if (!dead)
        return -ENOMEM;
    memset(dead, 0, n_dead * sizeof *dead);

    struct search s = {
        .bpe = bpe,
        .word = word,
        .len = len,
        .first_id = ret_ids->n,
        .dead = dead,
        .ids = ret_ids,
    };
    int r = search_word(&s, first);

    if (dead != small)
        mem_free(dead);
    return r;
}

/* unreachable_too: a word that is a piece is that piece, whether merging leads to it or not. */
static int encode_word(const struct bpe *bpe, const char *word, size_t len, bool unreachable_too,
                       struct token_buf *ret_ids) {
    uint32_t whole;
    const token_id first = longest_piece(bpe, word, len, &whole);
    if (whole < BPE_UNREACHABLE_BIT || (unreachable_too && whole != TRIE_NO_VALUE))
        return token_buf_push(ret_ids, (token_id)(whole & ~BPE_UNREACHABLE_BIT));
    if (bpe->needs_heap)
        return bpe_encode_heap(bpe, word, len, ret_ids);
    return encode_parts(bpe, word, len, first, ret_ids);
}

/*
 * Without an unknown token the reference leaves out what it does not know before it merges: what
 * stood on both sides becomes neighbours.
 */
static int encode_dropping(const struct bpe *bpe, const char *word, size_t len,
                           struct token_buf *ret_ids) {
    struct buf known = {.data = NULL};
    size_t n;

    if (bpe->options.ignore_merges && bpe_find(bpe, word, len) != TOKEN_NONE)
        return token_buf_push(ret_ids, bpe_find(bpe, word, len));
    for (size_t i = 0; i < len; i += n) {
        n = bpe_unit_len(bpe, word + i, len - i);
        if (token_trie_find(&bpe->trie, word + i, n) != TRIE_NO_VALUE ||
            falls_back(bpe, word + i, n))
            buf_append(&known, word + i, n);
    }
    int r = buf_failed(&known) ? -ENOMEM : 0;
    if (r == 0 && known.len > 0)
        r = encode_word(bpe, known.data, known.len, /* unreachable_too= */ false, ret_ids);
    buf_fini(&known);
    return r;
}

int bpe_encode(const struct bpe *bpe, const char *word, size_t len, struct token_buf *ret_ids) {
    if (len == 0)
        return 0;
    return bpe->may_drop ? encode_dropping(bpe, word, len, ret_ids)
                         : encode_word(bpe, word, len, bpe->options.ignore_merges, ret_ids);
}
