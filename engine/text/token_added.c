/* SPDX-License-Identifier: Apache-2.0 */
#include "token_added.h"

#include <errno.h>

#include "kvasir/mem.h"

#include "token_vocab.h"
#include "unicode.h"

enum { FIRST_CAP = 32, MAX_BYTES = 1 << 28 };

int added_insert(struct added_set *set, token_id id, unsigned flags, const char *content,
                 size_t len, struct error *reterr) {
    if (len > VOCAB_MAX_PIECE || set->text.len + len > MAX_BYTES)
        return error_set(reterr, -EINVAL, "the added token %d has %zu bytes, at most %d", (int)id,
                         len, VOCAB_MAX_PIECE);
    if (len == 0)
        return 0; /* an empty token is found nowhere */
    if (set->n == set->cap) {
        const uint32_t cap = set->cap ? set->cap * 2 : FIRST_CAP;
        struct added_token *tokens = mem_realloc(set->tokens, (size_t)cap * sizeof *tokens);
        if (!tokens)
            return error_set(reterr, -ENOMEM, "no memory for the added tokens");
        set->tokens = tokens;
        set->cap = cap;
    }
    set->tokens[set->n++] = (struct added_token){
        .id = id,
        .flags = flags,
        .offset = (uint32_t)set->text.len,
        .len = (uint32_t)len,
    };
    set->first[(unsigned char)content[0]] = true;
    buf_append(&set->text, content, len);
    return buf_failed(&set->text) ? error_set(reterr, -ENOMEM, "no memory for the added tokens")
                                  : 0;
}

static struct trie_key content_key(const void *ctx, size_t i) {
    const struct added_set *set = ctx;
    const struct added_token *token = &set->tokens[i];
    return (struct trie_key){
        .bytes = set->text.data + token->offset,
        .len = token->len,
        .value = (uint32_t)i,
    };
}

int added_ready(struct added_set *set, struct error *reterr) {
    int r = token_trie_init(&set->trie, content_key, set, set->n, NULL);
    return r < 0 ? error_set(reterr, r, "no memory for the added tokens") : 0;
}

void added_fini(struct added_set *set) {
    mem_free(set->tokens);
    buf_fini(&set->text);
    token_trie_fini(&set->trie);
    *set = (struct added_set){.n = 0};
}

token_id added_lookup(const struct added_set *set, const char *content, size_t len) {
    if (set->n == 0 || len == 0)
        return TOKEN_NONE;
    const uint32_t value = token_trie_find(&set->trie, content, len);
    return value == TRIE_NO_VALUE ? TOKEN_NONE : set->tokens[value].id;
}

/* --- characters around a match --- */

/* Where the character begins that ends at end > 0. */
static size_t char_start(const char *text, size_t end) {
    for (size_t n = 1; n <= 4 && n <= end; n++) {
        const unsigned char *s = (const unsigned char *)text + end - n;
        size_t len;
        if (unicode_decode(s, s + n, &len) != UNICODE_INVALID && len == n)
            return end - n;
    }
    return end - 1;
}

/* \w: letters, marks, decimal digits, connectors, other alphabetic characters, joiners. */
static bool is_word_char(uint32_t cp) {
    if (cp == UNICODE_INVALID)
        return false;
    const uint32_t word = UNICODE_L | UNICODE_M | UNICODE_BIT(UNICODE_ND) |
                          UNICODE_BIT(UNICODE_NL) | UNICODE_BIT(UNICODE_PC);
    return (unicode_bit(cp) & word) || cp == 0x200c || cp == 0x200d ||
           (cp >= 0x24b6 && cp <= 0x24e9) || (cp >= 0x1f130 && cp <= 0x1f149) ||
           (cp >= 0x1f150 && cp <= 0x1f169) || (cp >= 0x1f170 && cp <= 0x1f189);
}

static bool stands_alone(const char *text, size_t len, size_t start, size_t end) {
    const unsigned char *s = (const unsigned char *)text;
    size_t n;
    if (start > 0 && is_word_char(unicode_decode(s + char_start(text, start), s + start, &n)))
        return false;
    return end == len || !is_word_char(unicode_decode(s + end, s + len, &n));
}

static size_t space_start(const char *text, size_t start, size_t after) {
    const unsigned char *s = (const unsigned char *)text;
    while (start > after) {
        const size_t at = char_start(text, start);
        size_t n;
        if (!(unicode_bit_at(s + at, s + start, &n) & UNICODE_SPACE))
            break;
        start = at;
    }
    return start;
}

static size_t space_end(const char *text, size_t len, size_t end) {
    const unsigned char *s = (const unsigned char *)text;
    while (end < len) {
        size_t n;
        if (!(unicode_bit_at(s + end, s + len, &n) & UNICODE_SPACE))
            break;
        end += n;
    }
    return end;
}

/* --- the search --- */

/* Special tokens that begin at pos may reach up to here; pos itself if none may. */
static size_t special_limit(struct added_guard *guard, size_t pos, size_t len) {
    if (!guard->parse_special)
        return pos;
    while (guard->n_user > 0 &&
           (guard->user->end <= pos || guard->user->end <= guard->user->start)) {
        guard->user++;
        guard->n_user--;
    }
    if (guard->n_user == 0 || guard->user->start >= len)
        return len;
    return guard->user->start > pos ? guard->user->start : pos;
}

/* The longest token at pos that may stand there; NULL. */
static const struct added_token *longest_at(const struct added_set *set, const char *text,
                                            size_t len, size_t pos, size_t limit) {
    const struct added_token *longest = NULL;
    uint32_t node = TRIE_ROOT;

    for (size_t i = pos; i < len; i++) {
        node = token_trie_step(&set->trie, node, (unsigned char)text[i]);
        if (node == TRIE_ROOT)
            break;
        const uint32_t value = set->trie.slots[node].value;
        if (value == TRIE_NO_VALUE)
            continue;
        const struct added_token *token = &set->tokens[value];
        if (!(token->flags & ADDED_SPECIAL) || i < limit)
            longest = token;
    }
    return longest;
}

bool added_find(const struct added_set *set, const char *text, size_t len, size_t scan,
                size_t after, struct added_guard *guard, struct added_match *ret_match) {
    if (set->n == 0)
        return false;
    for (size_t pos = scan; pos < len; pos++) {
        if (!set->first[(unsigned char)text[pos]])
            continue;
        const size_t limit = special_limit(guard, pos, len);
        const struct added_token *token = longest_at(set, text, len, pos, limit);
        if (!token)
            continue;

        const size_t end = pos + token->len;
        if ((token->flags & ADDED_SINGLE_WORD) && !stands_alone(text, len, pos, end)) {
            pos = end - 1; /* the reference does not look for a shorter one either */
            continue;
        }
        *ret_match = (struct added_match){
            .start = token->flags & ADDED_LSTRIP ? space_start(text, pos, after) : pos,
            .end = token->flags & ADDED_RSTRIP ? space_end(text, len, end) : end,
            .scan_from = end,
            .id = token->id,
        };
        return true;
    }
    return false;
}
