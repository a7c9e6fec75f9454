/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpe_json - reads the model object of a tokenizer.json whose type is BPE.
 *
 * Vocabulary and merges are megabytes: they are taken where they stand. Merges that stand before
 * the vocabulary wait for it.
 */
#include <errno.h>
#include <string.h>

#include "kvasir/json_pull.h"

#include "bpe.h"
#include "token_piece.h"
#include "tokenizer_impl.h"

struct bpe_reader {
    struct vocab *vocab;
    struct bpe bpe;
    struct bpe_options options; /* unk is found at the end */
    struct json_str unk;        /* empty: none */
    struct json_str merges;     /* those that wait */
    bool has_vocab;
    bool has_merges;
    struct piece_reader pieces;
    struct buf plain[2]; /* unescaped strings */
    struct error *reterr;
};

/* Makes *str the unescaped string; it lives until the next call with the same which. */
static int unescape(struct bpe_reader *reader, int which, struct json_str *str) {
    if (!str->escaped)
        return 0;
    struct buf *plain = &reader->plain[which];
    buf_clear(plain);
    json_unescape(*str, plain);
    if (buf_failed(plain))
        return error_set(reader->reterr, -ENOMEM, "no memory for a piece");
    *str = (struct json_str){.bytes = plain->data ? plain->data : "", .len = plain->len};
    return 0;
}

static int read_piece(struct bpe_reader *reader, int which, struct json_str str,
                      struct piece *ret_piece) {
    int r = unescape(reader, which, &str);
    if (r < 0)
        return r;
    r = piece_read(&reader->pieces, which, str.bytes, str.len, ret_piece);
    return r < 0 ? error_set(reader->reterr, r, "no memory for a piece") : 0;
}

static int read_entry(struct bpe_reader *reader, struct json_str key, uint64_t id) {
    struct piece piece;
    unsigned byte;
    int r = read_piece(reader, 0, key, &piece);
    if (r < 0)
        return r;
    if (id < VOCAB_MAX_IDS && vocab_has(reader->vocab, (token_id)id, VOCAB_PRESENT))
        return error_set_param(reader->reterr, -EINVAL, "model.vocab",
                               "tokenizer.json: two pieces have the id %u", (unsigned)id);

    unsigned flags = piece.literal ? VOCAB_LITERAL : 0;
    if (!reader->options.bytes && vocab_parse_byte(piece.bytes, piece.len, &byte))
        flags |= VOCAB_BYTE;
    return vocab_set(reader->vocab, id, piece.bytes, piece.len, flags, reader->reterr);
}

static int read_vocab(struct bpe_reader *reader, struct json_pull *p) {
    struct json_str key;
    int r = 0;

    json_enter_object(p);
    while (r == 0 && json_next_key(p, &key)) {
        const uint64_t id = json_take_uint(p);
        r = read_entry(reader, key, id);
    }
    reader->has_vocab = true;
    return r < 0 ? r : json_pull_status(p, "tokenizer.json: model.vocab", reader->reterr);
}

/* Takes ["a", "b"]. */
static int take_pair(struct bpe_reader *reader, struct json_pull *p, struct piece ret_parts[2]) {
    int n = 0;
    int r = 0;
    json_enter_array(p);
    while (r == 0 && json_next_item(p)) {
        const struct json_str part = json_take_string(p);
        if (n < 2)
            r = read_piece(reader, n, part, &ret_parts[n]);
        n++;
    }
    if (n != 2)
        json_fail(p, "a merge has two parts");
    return r;
}

/* Takes "a b". */
static int take_line(struct bpe_reader *reader, struct json_pull *p, struct piece ret_parts[2]) {
    struct json_str line = json_take_string(p);
    int r = unescape(reader, 0, &line);
    if (r < 0)
        return r;
    struct piece parts[2];
    if (!piece_cut_merge(line.bytes, line.len, parts)) {
        json_fail(p, "a merge is two pieces with a space between them");
        return 0;
    }
    for (int i = 0; i < 2 && r == 0; i++)
        r = piece_read(&reader->pieces, i, parts[i].bytes, parts[i].len, &ret_parts[i]);
    return r < 0 ? error_set(reader->reterr, r, "no memory for a piece") : 0;
}

static int read_merges(struct bpe_reader *reader, struct json_pull *p) {
    static const char what[] = "tokenizer.json: model.merges";
    int r = bpe_init(&reader->bpe, reader->vocab, &reader->options, reader->reterr);

    json_enter_array(p);
    while (r == 0 && json_next_item(p)) {
        struct piece parts[2] = {{.bytes = NULL}};
        r = json_peek(p) == JSON_ARRAY ? take_pair(reader, p, parts) : take_line(reader, p, parts);
        if (r == 0)
            r = json_pull_status(p, what, reader->reterr);
        if (r == 0)
            r = bpe_add_merge(&reader->bpe, reader->vocab, parts[0].bytes, parts[0].len,
                              parts[1].bytes, parts[1].len, reader->reterr);
    }
    reader->has_merges = true;
    return r < 0 ? r : json_pull_status(p, what, reader->reterr);
}

/* Refuses a member that changes the meaning of pieces and is not implemented. */
static int check_unused(struct bpe_reader *reader, struct json_pull *p, struct json_str name) {
    const enum json_kind kind = json_peek(p);
    const struct json_str text = json_skip(p);
    const bool unused = kind == JSON_NULL || kind == JSON_INVALID ||
                        (kind == JSON_STRING && text.len == 2) ||
                        (kind == JSON_NUMBER && strspn(text.bytes, "0.") >= text.len);
    if (unused)
        return 0;
    return error_set_param(reader->reterr, -ENOTSUP, "model",
                           "tokenizer.json: model.%.*s is %.*s: BPE with it is not served",
                           (int)(name.len < 64 ? name.len : 64), name.bytes,
                           (int)(text.len < 64 ? text.len : 64), text.bytes);
}

static bool take_flag(struct json_pull *p) {
    if (json_peek(p) == JSON_NULL) {
        json_take_null(p);
        return false;
    }
    return json_take_bool(p);
}

static int read_member(struct bpe_reader *reader, struct json_pull *p, struct json_str key) {
    if (json_is(key, "vocab") && !reader->has_vocab)
        return read_vocab(reader, p);
    if (json_is(key, "merges") && !reader->has_merges) {
        if (reader->has_vocab)
            return read_merges(reader, p);
        reader->merges = json_skip(p);
        return 0;
    }
    if (json_is(key, "continuing_subword_prefix") || json_is(key, "end_of_word_suffix") ||
        json_is(key, "dropout"))
        return check_unused(reader, p, key);

    if (json_is(key, "ignore_merges"))
        reader->options.ignore_merges = take_flag(p);
    else if (json_is(key, "byte_fallback"))
        reader->options.byte_fallback = take_flag(p);
    else if (json_is(key, "fuse_unk"))
        reader->options.fuse_unk = take_flag(p);
    else if (json_is(key, "unk_token") && json_peek(p) == JSON_STRING)
        reader->unk = json_take_string(p);
    else
        (void)json_skip(p); /* null, or a member that means nothing to us */
    return 0;
}

static int read_members(struct bpe_reader *reader, struct json_pull *p) {
    struct json_str key;
    int r = 0;

    json_enter_object(p);
    while (r == 0 && json_next_key(p, &key))
        r = read_member(reader, p, key);
    if (r == 0)
        r = json_pull_status(p, "tokenizer.json: model", reader->reterr);
    if (r < 0)
        return r;
    if (!reader->has_vocab || (!reader->has_merges && reader->merges.len == 0))
        return error_set_param(reader->reterr, -EINVAL, "model",
                               "tokenizer.json: a BPE model has a vocab and merges");
    if (reader->has_merges)
        return 0;
    struct json_pull waiting;
    json_pull_init(&waiting, reader->merges.bytes, reader->merges.len);
    return read_merges(reader, &waiting);
}

/* The id of the unknown token, which may be no piece of the model's. */
static int find_unk(struct bpe_reader *reader) {
    const struct vocab *vocab = reader->vocab;
    struct piece piece;

    reader->options.unk = TOKEN_NONE;
    if (reader->unk.len == 0)
        return 0;
    int r = read_piece(reader, 0, reader->unk, &piece);
    for (uint32_t id = 0; r == 0 && id < vocab->n; id++) {
        size_t len;
        const char *bytes = vocab_bytes(vocab, id, &len);
        if (len == piece.len && memcmp(bytes, piece.bytes, len) == 0 &&
            vocab_has(vocab, (token_id)id, VOCAB_PRESENT)) {
            reader->options.unk = (token_id)id;
            break;
        }
    }
    return r;
}

int bpe_read_json(const struct json_model_source *source, struct tokenizer *tokenizer,
                  struct error *reterr) {
    struct bpe_reader reader = {
        .vocab = &tokenizer->vocab,
        .options = {.bytes = source->bytes_alphabet, .unk = TOKEN_NONE},
        .pieces = {.bytes_alphabet = source->bytes_alphabet},
        .reterr = reterr,
    };

    int r = read_members(&reader, source->p);
    if (r == 0)
        r = find_unk(&reader);
    reader.bpe.options = reader.options;
    if (r == 0)
        r = bpe_finish(&reader.bpe, &tokenizer->vocab, reterr);
    if (r == 0)
        r = bpe_become_model(&reader.bpe, tokenizer, reterr);

    bpe_fini(&reader.bpe); /* empty if it was moved */
    piece_reader_fini(&reader.pieces);
    buf_fini(&reader.plain[0]);
    buf_fini(&reader.plain[1]);
    return r;
}
