/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer - the contract of kvasir/tokenizer.h over the parts of tokenizer_impl.h.
 *
 * Everything here is read-only after tokenizer_ready, so any number of threads may encode. What
 * one call needs beyond its output lies on its stack or in scratch that ends with it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/file.h"
#include "kvasir/mem.h"

#include "token_alphabet.h"
#include "token_buf.h"
#include "tokenizer_impl.h"

enum { MAX_PATH = 4096, MAX_CONFIG_BYTES = 16 << 20 };

/* --- life --- */

struct tokenizer *tokenizer_new(void) {
    struct tokenizer *tokenizer = mem_alloc_zero(1, sizeof *tokenizer);
    if (tokenizer) {
        tokenizer->bos = TOKEN_NONE;
        tokenizer->eos = TOKEN_NONE;
    }
    return tokenizer;
}

void tokenizer_close(struct tokenizer *tokenizer) {
    if (!tokenizer)
        return;
    if (tokenizer->model.ops)
        tokenizer->model.ops->destroy(tokenizer->model.state);
    pretok_fini(&tokenizer->pretok);
    added_fini(&tokenizer->raw_added);
    added_fini(&tokenizer->normalized_added);
    vocab_fini(&tokenizer->vocab);
    buf_fini(&tokenizer->bos_text);
    buf_fini(&tokenizer->eos_text);
    mem_free(tokenizer);
}

static int join(const char *dir, const char *name, char ret_path[MAX_PATH], struct error *reterr) {
    const int n = snprintf(ret_path, MAX_PATH, "%s/%s", dir, name);
    if (n < 0 || n >= MAX_PATH)
        return error_set(reterr, -ENAMETOOLONG, "the path %.64s... is too long", dir);
    return 0;
}

/* The text of tokenizer_config.json; NULL if there is none. */
static int read_config(const char *dir, char **ret_config, size_t *ret_len, struct error *reterr) {
    char path[MAX_PATH];
    int r = join(dir, "tokenizer_config.json", path, reterr);
    if (r < 0)
        return r;
    *ret_config = NULL;
    *ret_len = 0;
    return file_exists(path) ? file_read(path, MAX_CONFIG_BYTES, ret_config, ret_len, reterr) : 0;
}

int tokenizer_open_dir(const char *dir, struct tokenizer **ret_tokenizer, struct error *reterr) {
    char path[MAX_PATH];
    int r = join(dir, "tokenizer.json", path, reterr);
    if (r < 0)
        return r;

    struct file_map map = {.data = NULL};
    r = file_map_open(path, &map, reterr);
    if (r < 0)
        return r;

    char *config;
    size_t config_len;
    r = read_config(dir, &config, &config_len, reterr);
    if (r < 0)
        goto close_map;

    r = tokenizer_read_json(map.data, map.size, config, config_len, ret_tokenizer, reterr);
    if (r < 0)
        r = error_prefix(reterr, r, "%s", dir);
    mem_free(config);

close_map:
    file_map_close(&map);
    return r;
}

/* --- for the readers --- */

/* An added token reads as its content, run through the alphabet as the reference does. */
static int set_added_entry(struct tokenizer *tokenizer, uint64_t id, const char *content,
                           size_t len, unsigned flags, struct error *reterr) {
    const unsigned entry_flags =
        VOCAB_ADDED | VOCAB_LITERAL | (flags & ADDED_SPECIAL ? VOCAB_SPECIAL : 0);
    struct buf bytes = {.data = NULL};
    size_t n;
    char *out = buf_reserve(&bytes, len);
    if (!out)
        return error_set(reterr, -ENOMEM, "no memory for the added tokens");

    const bool spelled =
        tokenizer->decoding.bytes_alphabet && token_alphabet_decode(content, len, out, &n);
    int r = spelled ? vocab_set(&tokenizer->vocab, id, out, n, entry_flags, reterr)
                    : vocab_set(&tokenizer->vocab, id, content, len, entry_flags, reterr);
    buf_fini(&bytes);
    return r;
}

int tokenizer_add_token(struct tokenizer *tokenizer, uint64_t id, const char *content, size_t len,
                        unsigned flags, bool normalized, struct error *reterr) {
    int r = set_added_entry(tokenizer, id, content, len, flags, reterr);
    if (r < 0)
        return r;
    if (!normalized)
        return added_insert(&tokenizer->raw_added, (token_id)id, flags, content, len, reterr);

    struct buf scratch[2] = {{.data = NULL}, {.data = NULL}};
    r = normal_run(&tokenizer->normalizer, content, len, /* at_start= */ true, scratch, &content,
                   &len);
    r = r < 0
            ? error_set(reterr, r, "no memory for the added tokens")
            : added_insert(&tokenizer->normalized_added, (token_id)id, flags, content, len, reterr);
    buf_fini(&scratch[0]);
    buf_fini(&scratch[1]);
    return r;
}

/* The id that reads as content: an added token, or a piece; before tokenizer_ready. */
static token_id find_content(const struct tokenizer *t, const char *content, size_t len) {
    for (uint32_t id = 0; id < t->vocab.n; id++) {
        size_t n;
        const char *bytes = vocab_bytes(&t->vocab, id, &n);
        if (n == len && vocab_has(&t->vocab, (token_id)id, VOCAB_ADDED) &&
            memcmp(bytes, content, len) == 0)
            return (token_id)id;
    }
    return t->model.ops ? t->model.ops->find(t->model.state, content, len) : TOKEN_NONE;
}

static int set_special(struct tokenizer *t, const char *content, size_t len, token_id *ret_id,
                       struct buf *ret_text, struct error *reterr) {
    const token_id id = len > 0 ? find_content(t, content, len) : TOKEN_NONE;
    if (id == TOKEN_NONE)
        return 0;
    *ret_id = id;
    buf_clear(ret_text);
    buf_append(ret_text, content, len);
    return buf_failed(ret_text) ? error_set(reterr, -ENOMEM, "no memory for a token") : 0;
}

int tokenizer_set_bos(struct tokenizer *tokenizer, const char *content, size_t len,
                      struct error *reterr) {
    return set_special(tokenizer, content, len, &tokenizer->bos, &tokenizer->bos_text, reterr);
}

int tokenizer_set_eos(struct tokenizer *tokenizer, const char *content, size_t len,
                      struct error *reterr) {
    return set_special(tokenizer, content, len, &tokenizer->eos, &tokenizer->eos_text, reterr);
}

/* Turns a piece into what it decodes to, in place: that is never longer. */
static void make_decoded(const struct token_decoding *decoding, struct vocab_entry *entry,
                         char *bytes) {
    unsigned byte;
    if (decoding->byte_fallback && vocab_parse_byte(bytes, entry->len, &byte)) {
        bytes[0] = (char)byte;
        entry->len = 1;
        entry->flags |= VOCAB_BYTE;
        return;
    }
    if (!decoding->metaspace)
        return;
    uint16_t n = 0;
    for (uint16_t i = 0; i < entry->len;) {
        const bool is_metaspace = entry->len - i >= 3 && memcmp(bytes + i, "\xe2\x96\x81", 3) == 0;
        bytes[n++] = is_metaspace ? ' ' : bytes[i];
        i = (uint16_t)(i + (is_metaspace ? 3 : 1));
    }
    entry->len = n;
}

/* A text without a configuration: what the post-processor puts first is the bos. */
static int default_bos(struct tokenizer *t, struct error *reterr) {
    if (t->bos != TOKEN_NONE || t->prefix.n == 0 ||
        !vocab_has(&t->vocab, t->prefix.ids[0], VOCAB_SPECIAL))
        return 0;
    size_t len;
    const char *bytes = vocab_bytes(&t->vocab, (uint32_t)t->prefix.ids[0], &len);
    t->bos = t->prefix.ids[0];
    buf_append(&t->bos_text, bytes, len);
    return buf_failed(&t->bos_text) ? error_set(reterr, -ENOMEM, "no memory for a token") : 0;
}

int tokenizer_ready(struct tokenizer *tokenizer, struct error *reterr) {
    struct vocab *vocab = &tokenizer->vocab;
    int r = default_bos(tokenizer, reterr);
    if (r == 0)
        r = added_ready(&tokenizer->raw_added, reterr);
    if (r == 0)
        r = added_ready(&tokenizer->normalized_added, reterr);
    if (r < 0)
        return r;

    for (uint32_t id = 0; id < vocab->n; id++)
        if (vocab->entries[id].flags & VOCAB_PRESENT && vocab->text.data)
            make_decoded(&tokenizer->decoding, &vocab->entries[id],
                         vocab->text.data + vocab->entries[id].offset);

    const char *family = tokenizer->pretok.family;
    (void)snprintf(tokenizer->kind, sizeof tokenizer->kind, "%s%s%s", tokenizer->model.ops->name,
                   family ? ", " : "", family ? family : ""); /* short constants */
    return 0;
}

/* --- encoding --- */

struct encoding {
    const struct tokenizer *tokenizer;
    const char *text;
    size_t len;
    struct added_guard guard; /* in coordinates of text; moves on with the search */
    struct token_buf *ids;
    struct buf scratch[2];  /* the normalizer's */
    struct buf marked;      /* a normalised fragment whose user ranges are known */
    struct buf marked_user; /* struct text_range[]: its user ranges */
};

static int encode_word(void *ctx, const char *word, size_t len) {
    const struct encoding *e = ctx;
    const struct token_model *model = &e->tokenizer->model;
    return model->ops->encode(model->state, word, len, e->ids);
}

static int encode_plain(struct encoding *e, const char *text, size_t len, bool at_start) {
    const struct pretok_sink sink = {.word = encode_word, .ctx = e};
    return pretok_run(&e->tokenizer->pretok, text, len, at_start, &sink);
}

/* Encodes normalised text, looking for the added tokens that are sought there. */
static int encode_normalized(struct encoding *e, const char *text, size_t len, bool at_start,
                             struct added_guard *guard) {
    size_t done = 0;
    size_t scan = 0;
    struct added_match match;

    while (added_find(&e->tokenizer->normalized_added, text, len, scan, done, guard, &match)) {
        int r = 0;
        if (match.start > done)
            r = encode_plain(e, text + done, match.start - done, at_start && done == 0);
        if (r == 0)
            r = token_buf_push(e->ids, match.id);
        if (r < 0)
            return r;
        done = match.end;
        scan = match.scan_from;
    }
    return done < len ? encode_plain(e, text + done, len - done, at_start && done == 0) : 0;
}

/*
 * Normalises the fragment [start, end) in pieces that end where user ranges begin and end, so
 * that it is known where those lie in the result. (A combining mark at the very start of a user's
 * text is then not joined with the template's last character, which is as it should be.)
 */
static int normalize_marked(struct encoding *e, size_t start, size_t end,
                            const struct added_guard *user, struct added_guard *ret_guard) {
    size_t done = start;
    size_t i = 0;

    buf_clear(&e->marked);
    buf_clear(&e->marked_user);
    while (done < end) {
        while (i < user->n_user && user->user[i].end <= done)
            i++;
        const bool has_next = i < user->n_user && user->user[i].start < end;
        const bool inside = has_next && user->user[i].start <= done;
        size_t until = has_next ? (inside ? user->user[i].end : user->user[i].start) : end;
        if (until > end)
            until = end;

        const char *text;
        size_t len;
        int r = normal_run(&e->tokenizer->normalizer, e->text + done, until - done,
                           /* at_start= */ done == start, e->scratch, &text, &len);
        if (r < 0)
            return r;
        const struct text_range range = {.start = e->marked.len, .end = e->marked.len + len};
        buf_append(&e->marked, text, len);
        if (inside && len > 0)
            buf_append(&e->marked_user, &range, sizeof range);
        done = until;
    }
    if (buf_failed(&e->marked) || buf_failed(&e->marked_user))
        return -ENOMEM;
    *ret_guard = (struct added_guard){
        .parse_special = user->parse_special,
        .user = (const struct text_range *)(const void *)e->marked_user.data,
        .n_user = e->marked_user.len / sizeof(struct text_range),
    };
    return 0;
}

/* Encodes what lies between two added tokens of the raw text. */
static int encode_fragment(struct encoding *e, size_t start, size_t end,
                           const struct added_guard *user) {
    const bool needs_marks =
        user->parse_special && user->n_user > 0 && e->tokenizer->normalized_added.n > 0;
    struct added_guard guard = {.parse_special = user->parse_special};
    const char *text;
    size_t len;
    int r;

    if (needs_marks) {
        r = normalize_marked(e, start, end, user, &guard);
        text = e->marked.data ? e->marked.data : "";
        len = e->marked.len;
    } else {
        r = normal_run(&e->tokenizer->normalizer, e->text + start, end - start,
                       /* at_start= */ true, e->scratch, &text, &len);
    }
    return r < 0 ? r : encode_normalized(e, text, len, start == 0, &guard);
}

static int encode_text(struct encoding *e) {
    struct added_guard before = e->guard; /* user ranges from done on */
    size_t done = 0;
    size_t scan = 0;
    struct added_match match;

    while (added_find(&e->tokenizer->raw_added, e->text, e->len, scan, done, &e->guard, &match)) {
        int r = 0;
        if (match.start > done)
            r = encode_fragment(e, done, match.start, &before);
        if (r == 0)
            r = token_buf_push(e->ids, match.id);
        if (r < 0)
            return r;
        done = match.end;
        scan = match.scan_from;
        before = e->guard;
    }
    return done < e->len ? encode_fragment(e, done, e->len, &before) : 0;
}

static int push_around(const struct token_around *around, struct token_buf *ids) {
    for (uint32_t i = 0; i < around->n; i++) {
        int r = token_buf_push(ids, around->ids[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len,
                     unsigned flags, const struct text_range *user_ranges, size_t n_user_ranges,
                     struct token_buf *ret_ids) {
    struct encoding e = {
        .tokenizer = tokenizer,
        .text = text,
        .len = len,
        .guard =
            {
                .parse_special = flags & TOKENIZER_PARSE_SPECIAL,
                .user = user_ranges,
                .n_user = user_ranges ? n_user_ranges : 0,
            },
        .ids = ret_ids,
    };
    const size_t n_before = ret_ids->n;
    const bool around = flags & TOKENIZER_ADD_SPECIAL;

    int r = around ? push_around(&tokenizer->prefix, ret_ids) : 0;
    if (r == 0)
        r = encode_text(&e);
    if (r == 0 && around)
        r = push_around(&tokenizer->suffix, ret_ids);
    if (r < 0)
        ret_ids->n = n_before;

    buf_fini(&e.scratch[0]);
    buf_fini(&e.scratch[1]);
    buf_fini(&e.marked);
    buf_fini(&e.marked_user);
    return r;
}

/* --- decoding --- */

/* Removes the spaces that the decoder takes from the start of a text. */
static void append_first(const struct token_decoding *decoding, const char *bytes, size_t len,
                         struct buf *out) {
    if (decoding->strip_metaspaces) {
        for (size_t i = 0; i < len; i++)
            if (bytes[i] != ' ')
                buf_append_char(out, bytes[i]);
        return;
    }
    const size_t skip = decoding->strip_space && len > 0 && bytes[0] == ' ' ? 1 : 0;
    buf_append(out, bytes + skip, len - skip);
}

int tokenizer_decode(const struct tokenizer *tokenizer, const token_id *ids, size_t n,
                     bool skip_special, struct buf *ret_text) {
    bool is_first = true;
    for (size_t i = 0; i < n; i++) {
        if (skip_special && tokenizer_is_special(tokenizer, ids[i]))
            continue;
        size_t len;
        const char *bytes = tokenizer_token_bytes(tokenizer, ids[i], &len);
        if (is_first)
            append_first(&tokenizer->decoding, bytes, len, ret_text);
        else
            buf_append(ret_text, bytes, len);
        is_first = is_first && len == 0;
    }
    return buf_failed(ret_text) ? -ENOMEM : 0;
}

/* --- questions --- */

uint32_t tokenizer_n_vocab(const struct tokenizer *tokenizer) {
    return tokenizer->vocab.n;
}

const char *tokenizer_kind(const struct tokenizer *tokenizer) {
    return tokenizer->kind;
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, token_id id) {
    return vocab_has(&tokenizer->vocab, id, VOCAB_SPECIAL);
}

token_id tokenizer_find(const struct tokenizer *tokenizer, const char *piece, size_t len) {
    const token_id added = added_lookup(&tokenizer->raw_added, piece, len);
    if (added != TOKEN_NONE)
        return added;
    const token_id normalized = added_lookup(&tokenizer->normalized_added, piece, len);
    if (normalized != TOKEN_NONE)
        return normalized;
    return tokenizer->model.ops->find(tokenizer->model.state, piece, len);
}

const char *tokenizer_token_bytes(const struct tokenizer *tokenizer, token_id id, size_t *ret_len) {
    *ret_len = 0;
    return vocab_has(&tokenizer->vocab, id, VOCAB_PRESENT)
               ? vocab_bytes(&tokenizer->vocab, (uint32_t)id, ret_len)
               : "";
}

token_id tokenizer_bos(const struct tokenizer *tokenizer) {
    return tokenizer->bos;
}

token_id tokenizer_eos(const struct tokenizer *tokenizer) {
    return tokenizer->eos;
}

static const char *text_or_empty(const struct buf *text) {
    return text->data ? text->data : "";
}

const char *tokenizer_bos_text(const struct tokenizer *tokenizer) {
    return text_or_empty(&tokenizer->bos_text);
}

const char *tokenizer_eos_text(const struct tokenizer *tokenizer) {
    return text_or_empty(&tokenizer->eos_text);
}

bool tokenizer_adds_bos(const struct tokenizer *tokenizer) {
    return tokenizer->bos != TOKEN_NONE && tokenizer->prefix.n > 0 &&
           tokenizer->prefix.ids[0] == tokenizer->bos;
}
