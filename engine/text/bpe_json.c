/* SPDX-License-Identifier: Apache-2.0 */
/* bpe_json - reads the model object of a tokenizer.json whose type is BPE. */
#include <errno.h>
#include <string.h>

#include "kvasir/json_pull.h"
#include "kvasir/mem.h"

#include "bpe.h"
#include "token_alphabet.h"
#include "tokenizer_impl.h"

/* The object's members; large ones as text. */
struct bpe_members {
    struct json_str vocab;
    struct json_str merges;
    struct json_str unk;
    bool has_unk;
    struct bpe_options options;
};

/* Bytes of pieces as they are read. */
struct piece_reader {
    bool bytes_alphabet;
    struct buf plain[2]; /* unescaped; merges need two at once */
    struct buf bytes[2]; /* in bytes, for the byte-level alphabet */
};

static void piece_reader_fini(struct piece_reader *reader) {
    for (int i = 0; i < 2; i++) {
        buf_fini(&reader->plain[i]);
        buf_fini(&reader->bytes[i]);
    }
}

struct piece {
    const char *bytes;
    size_t len;
    bool literal; /* not spelled in the alphabet */
};

/* The bytes of text, lent until the next call with the same i (0 or 1). */
static int piece_bytes(struct piece_reader *reader, int i, const char *text, size_t len,
                       struct piece *ret_piece) {
    *ret_piece = (struct piece){.bytes = text, .len = len};
    if (!reader->bytes_alphabet)
        return 0;

    struct buf *bytes = &reader->bytes[i];
    buf_clear(bytes);
    char *out = buf_reserve(bytes, len);
    if (!out)
        return -ENOMEM;
    size_t n;
    if (token_alphabet_decode(text, len, out, &n))
        *ret_piece = (struct piece){.bytes = out, .len = n};
    else
        ret_piece->literal = true;
    return 0;
}

static int json_plain(struct piece_reader *reader, int i, struct json_str *str) {
    if (!str->escaped)
        return 0;
    struct buf *plain = &reader->plain[i];
    buf_clear(plain);
    json_unescape(*str, plain);
    if (buf_failed(plain))
        return -ENOMEM;
    *str = (struct json_str){.bytes = plain->data ? plain->data : "", .len = plain->len};
    return 0;
}

static int read_vocab(struct json_str text, struct piece_reader *reader, struct vocab *vocab,
                      bool byte_fallback, struct error *reterr) {
    struct json_pull p;
    struct json_str key;

    json_pull_init(&p, text.bytes, text.len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        const uint64_t id = json_take_uint(&p);
        struct piece piece;
        int r = json_plain(reader, 0, &key);
        if (r == 0)
            r = piece_bytes(reader, 0, key.bytes, key.len, &piece);
        if (r < 0)
            return error_set(reterr, r, "no memory for the vocabulary");
        if (id < vocab->n && (vocab->entries[id].flags & VOCAB_PRESENT))
            return error_set_param(reterr, -EINVAL, "model.vocab", "two pieces have the id %llu",
                                   (unsigned long long)id);

        unsigned byte;
        unsigned flags = piece.literal ? VOCAB_LITERAL : 0;
        if (byte_fallback && vocab_parse_byte(piece.bytes, piece.len, &byte))
            flags |= VOCAB_BYTE;
        r = vocab_set(vocab, id, piece.bytes, piece.len, flags, reterr);
        if (r < 0)
            return r;
    }
    return json_pull_status(&p, "model.vocab", reterr);
}

/* Takes ["a", "b"] or "a b"; an error is sticky in p. */
static int take_merge(struct json_pull *p, struct piece_reader *reader, struct json_str pair[2]) {
    if (json_peek(p) == JSON_ARRAY) {
        int n = 0;
        json_enter_array(p);
        while (json_next_item(p)) {
            const struct json_str part = json_take_string(p);
            if (n < 2)
                pair[n] = part;
            n++;
        }
        if (n != 2)
            json_fail(p, "a merge has two parts");
        int r = json_plain(reader, 0, &pair[0]);
        return r < 0 ? r : json_plain(reader, 1, &pair[1]);
    }
    struct json_str line = json_take_string(p);
    int r = json_plain(reader, 0, &line);
    if (r < 0)
        return r;
    const char *space = line.len > 1 ? memchr(line.bytes + 1, ' ', line.len - 1) : NULL;
    if (!space) {
        json_fail(p, "a merge is two pieces with a space between them");
        return 0;
    }
    const size_t left_len = (size_t)(space - line.bytes);
    pair[0] = (struct json_str){.bytes = line.bytes, .len = left_len};
    pair[1] = (struct json_str){.bytes = space + 1, .len = line.len - left_len - 1};
    return 0;
}

static int read_merges(struct json_str text, struct piece_reader *reader, struct bpe *bpe,
                       struct error *reterr) {
    struct json_pull p;

    json_pull_init(&p, text.bytes, text.len);
    json_enter_array(&p);
    while (json_next_item(&p)) {
        struct json_str pair[2] = {{.bytes = ""}, {.bytes = ""}};
        struct piece left, right;
        int r = take_merge(&p, reader, pair);
        if (r == 0)
            r = piece_bytes(reader, 0, pair[0].bytes, pair[0].len, &left);
        if (r == 0)
            r = piece_bytes(reader, 1, pair[1].bytes, pair[1].len, &right);
        if (r < 0)
            return error_set(reterr, r, "no memory for the merges");
        if (json_peek(&p) == JSON_INVALID && json_pull_status(&p, "model.merges", reterr) < 0)
            return -EINVAL;
        r = bpe_add_merge(bpe, left.bytes, left.len, right.bytes, right.len, reterr);
        if (r < 0)
            return r;
    }
    return json_pull_status(&p, "model.merges", reterr);
}

/* Refuses what changes the meaning of pieces and is not implemented. */
static int check_absent(struct json_pull *p, const char *name, struct error *reterr) {
    const enum json_kind kind = json_peek(p);
    const struct json_str text = json_skip(p);
    const bool empty = kind == JSON_NULL || (kind == JSON_STRING && text.len == 2) ||
                       (kind == JSON_NUMBER && (text.bytes[0] == '0' && text.len <= 3));
    return empty ? 0
                 : error_set_param(reterr, -ENOTSUP, name, "%s is %.*s: BPE with it is not served",
                                   name, (int)(text.len < 64 ? text.len : 64), text.bytes);
}

static bool take_optional_bool(struct json_pull *p) {
    if (json_peek(p) == JSON_NULL) {
        json_take_null(p);
        return false;
    }
    return json_take_bool(p);
}

static int read_members(const struct json_model_source *source, struct bpe_members *ret_members,
                        struct error *reterr) {
    struct json_pull p;
    struct json_str key;
    int r = 0;

    json_pull_init(&p, source->json, source->len);
    json_enter_object(&p);
    while (r == 0 && json_next_key(&p, &key)) {
        if (json_is(key, "vocab"))
            ret_members->vocab = json_skip(&p);
        else if (json_is(key, "merges"))
            ret_members->merges = json_skip(&p);
        else if (json_is(key, "ignore_merges"))
            ret_members->options.ignore_merges = take_optional_bool(&p);
        else if (json_is(key, "byte_fallback"))
            ret_members->options.byte_fallback = take_optional_bool(&p);
        else if (json_is(key, "fuse_unk"))
            ret_members->options.fuse_unk = take_optional_bool(&p);
        else if (json_is(key, "continuing_subword_prefix"))
            r = check_absent(&p, "model.continuing_subword_prefix", reterr);
        else if (json_is(key, "end_of_word_suffix"))
            r = check_absent(&p, "model.end_of_word_suffix", reterr);
        else if (json_is(key, "dropout"))
            r = check_absent(&p, "model.dropout", reterr);
        else if (json_is(key, "unk_token") && json_peek(&p) == JSON_STRING) {
            ret_members->unk = json_take_string(&p);
            ret_members->has_unk = true;
        } else
            (void)json_skip(&p); /* unknown members mean nothing to us */
    }
    if (r == 0)
        r = json_pull_status(&p, "model", reterr);
    if (r == 0 && (!ret_members->vocab.bytes || !ret_members->merges.bytes))
        r = error_set_param(reterr, -EINVAL, "model", "a BPE model has a vocab and merges");
    return r;
}

/* The id of the unknown token, which may be no piece of the model's trie. */
static int find_unk(const struct bpe_members *members, struct piece_reader *reader,
                    const struct vocab *vocab, token_id *ret_unk) {
    *ret_unk = TOKEN_NONE;
    if (!members->has_unk)
        return 0;
    struct json_str unk = members->unk;
    struct piece piece;
    int r = json_plain(reader, 0, &unk);
    if (r == 0)
        r = piece_bytes(reader, 0, unk.bytes, unk.len, &piece);
    for (uint32_t id = 0; r == 0 && id < vocab->n; id++) {
        size_t len;
        const char *bytes = vocab_bytes(vocab, id, &len);
        if (len == piece.len && memcmp(bytes, piece.bytes, len) == 0 &&
            vocab_has(vocab, (token_id)id, VOCAB_PRESENT)) {
            *ret_unk = (token_id)id;
            break;
        }
    }
    return r;
}

static int build(const struct bpe_members *members, struct piece_reader *reader,
                 struct tokenizer *tokenizer, struct error *reterr) {
    struct bpe_options options = members->options;
    options.bytes = reader->bytes_alphabet;

    int r = read_vocab(members->vocab, reader, &tokenizer->vocab, options.byte_fallback, reterr);
    if (r == 0)
        r = find_unk(members, reader, &tokenizer->vocab, &options.unk);
    struct bpe bpe = {.n_tokens = 0};
    if (r == 0)
        r = bpe_init(&bpe, &tokenizer->vocab, &options, reterr);
    if (r == 0)
        r = read_merges(members->merges, reader, &bpe, reterr);
    if (r == 0)
        r = bpe_finish(&bpe, &tokenizer->vocab, reterr);
    if (r == 0)
        r = bpe_become_model(&bpe, tokenizer);
    bpe_fini(&bpe); /* empty if it was moved */
    return r;
}

int bpe_read_json(const struct json_model_source *source, struct tokenizer *tokenizer,
                  struct error *reterr) {
    struct bpe_members members = {.has_unk = false};
    int r = read_members(source, &members, reterr);
    if (r < 0)
        return r;

    struct piece_reader reader = {.bytes_alphabet = source->bytes_alphabet};
    r = build(&members, &reader, tokenizer, reterr);
    piece_reader_fini(&reader);
    return r;
}
