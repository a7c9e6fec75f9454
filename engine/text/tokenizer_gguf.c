/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_gguf - reads the tokenizer that a GGUF file carries: byte-level BPE ("gpt2") and
 * SentencePiece BPE ("llama").
 *
 * A GGUF says less than a tokenizer.json: the pre-tokenizer is a name, the normalizer is not
 * there at all. What the name implies in the original is restored here, so that both files of one
 * model give the same ids.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/mem.h"
#include "load/gguf.h"

#include "bpe.h"
#include "pretok_patterns.h"
#include "token_piece.h"
#include "tokenizer_gguf.h"
#include "tokenizer_impl.h"

/* tokenizer.ggml.token_type */
enum token_type {
    TYPE_NORMAL = 1,
    TYPE_UNKNOWN = 2,
    TYPE_CONTROL = 3,
    TYPE_USER_DEFINED = 4,
    TYPE_UNUSED = 5,
    TYPE_BYTE = 6,
};

enum { MAX_PATTERNS = 6, MAX_NAMES = 8 };

/* What a value of tokenizer.ggml.pre stands for. */
struct pre_kind {
    const char *family; /* for tokenizer_kind, where the patterns have no name of their own */
    const char *names[MAX_NAMES];
    const char *patterns[MAX_PATTERNS]; /* splits, isolated, one after the other */
    bool nfc;
    bool ignore_merges;
    bool adds_bos; /* unless the file says otherwise */
};

static const struct pre_kind pre_kinds[] = {
    {.names = {"gpt-2", "phi-2", "mpt", "olmo", "jais"}, .patterns = {PATTERN_GPT2}},
    {.names = {"llama-bpe", "llama3", "llama-v3"},
     .patterns = {PATTERN_LLAMA3},
     .ignore_merges = true,
     .adds_bos = true},
    {.names = {"glm4", "chatglm-bpe", "dbrx", "smaug-bpe"}, .patterns = {PATTERN_LLAMA3}},
    {.names = {"qwen2", "deepseek-r1-qwen", "stablelm2"}, .patterns = {PATTERN_QWEN2}, .nfc = true},
    {.names = {"qwen35"}, .patterns = {PATTERN_QWEN35}, .nfc = true},
    {.names = {"deepseek-v3"},
     .patterns = {"\\p{N}{1,3}", PATTERN_KANA_HAN, PATTERN_DEEPSEEK3("\\r\\n")}},
    {.family = "deepseek-llm",
     .names = {"deepseek-llm"},
     .patterns = {"[\\r\\n]", PATTERN_CASED, PATTERN_WIDE_MARKS, "\\s+$", PATTERN_HAN_HANGUL,
                  "\\p{N}"}},
    {.family = "deepseek-coder",
     .names = {"deepseek-coder"},
     .patterns = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", PATTERN_HAN_HANGUL, "\\p{N}"}},
    {.names = {"tekken"}, .patterns = {PATTERN_TEKKEN}, .ignore_merges = true},
    {.names = {"gpt-4o", "llama4"}, .patterns = {PATTERN_GPT4O}},
    {.names = {"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b"},
     .patterns = {"\\p{N}", PATTERN_GPT2}},
};

struct gguf_reader {
    const struct gguf *gguf;
    struct tokenizer *tokenizer;
    const struct pre_kind *pre; /* byte-level only */
    int32_t *types;             /* [n_tokens] */
    uint64_t n_tokens;
    bool bytes; /* byte-level BPE */
    struct error *reterr;
};

/* --- keys --- */

/* A key that may be absent. */
static int optional_bool(struct gguf_reader *reader, const char *key, bool *value) {
    int r = gguf_get_bool(reader->gguf, key, value, reader->reterr);
    return r == -ENOENT ? 0 : r;
}

static int optional_id(struct gguf_reader *reader, const char *key, token_id *value) {
    uint32_t id;
    int r = gguf_get_u32(reader->gguf, key, &id, reader->reterr);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (id >= reader->n_tokens)
        return error_set_param(reader->reterr, -EINVAL, key, "%s is %u, but there are %llu tokens",
                               key, id, (unsigned long long)reader->n_tokens);
    *value = (token_id)id;
    return 0;
}

static int read_types(struct gguf_reader *reader) {
    static const char key[] = "tokenizer.ggml.token_type";
    reader->n_tokens = gguf_array_len(reader->gguf, "tokenizer.ggml.tokens");
    if (reader->n_tokens == 0 || reader->n_tokens > VOCAB_MAX_IDS)
        return error_set_param(reader->reterr, -EINVAL, "tokenizer.ggml.tokens",
                               "tokenizer.ggml.tokens has %llu entries: expected 1 to %d",
                               (unsigned long long)reader->n_tokens, VOCAB_MAX_IDS);

    reader->types = mem_alloc_array((size_t)reader->n_tokens, sizeof *reader->types);
    if (!reader->types)
        return error_set(reader->reterr, -ENOMEM, "no memory for the vocabulary");
    int r = gguf_copy_i32(reader->gguf, key, reader->n_tokens, reader->types, reader->reterr);
    if (r != -ENOENT)
        return r;
    for (uint64_t i = 0; i < reader->n_tokens; i++)
        reader->types[i] = TYPE_NORMAL;
    return 0;
}

/* --- the pieces --- */

/* Byte-level: only normal tokens are pieces. SentencePiece: those of the user are pieces too. */
static unsigned piece_flags(const struct gguf_reader *reader, int32_t type,
                            const struct piece *piece) {
    if (type == TYPE_BYTE && !reader->bytes)
        return VOCAB_BYTE;
    const bool is_piece = type == TYPE_NORMAL || (type == TYPE_USER_DEFINED && !reader->bytes);
    return is_piece && !piece->literal ? 0 : VOCAB_LITERAL;
}

static int read_pieces(struct gguf_reader *reader) {
    struct piece_reader pieces = {.bytes_alphabet = reader->bytes};
    struct gguf_strings tokens;
    struct gguf_str token;
    uint64_t id = 0;

    int r = gguf_get_strings(reader->gguf, "tokenizer.ggml.tokens", &tokens, reader->reterr);
    while (r == 0 && gguf_next_string(&tokens, &token)) {
        struct piece piece = {.bytes = token.bytes, .len = token.len, .literal = true};
        if (reader->types[id] == TYPE_NORMAL)
            r = piece_read(&pieces, 0, token.bytes, token.len, &piece);
        else
            piece.literal = reader->bytes;
        if (r < 0)
            r = error_set(reader->reterr, r, "no memory for the vocabulary");
        else
            r = vocab_set(&reader->tokenizer->vocab, id, piece.bytes, piece.len,
                          piece_flags(reader, reader->types[id], &piece), reader->reterr);
        id++;
    }
    piece_reader_fini(&pieces);
    return r;
}

static int add_merge(struct gguf_reader *reader, struct bpe *bpe, struct piece_reader *pieces,
                     struct gguf_str line) {
    struct piece parts[2];
    if (!piece_cut_merge(line.bytes, line.len, parts))
        return error_set_param(reader->reterr, -EINVAL, "tokenizer.ggml.merges",
                               "tokenizer.ggml.merges: \"%.*s\" is not two pieces with a space "
                               "between them",
                               (int)(line.len < 64 ? line.len : 64), line.bytes);
    int r = 0;
    for (int i = 0; i < 2 && r == 0; i++)
        r = piece_read(pieces, i, parts[i].bytes, parts[i].len, &parts[i]);
    if (r < 0)
        return error_set(reader->reterr, r, "no memory for the merges");
    return bpe_add_merge(bpe, &reader->tokenizer->vocab, parts[0].bytes, parts[0].len,
                         parts[1].bytes, parts[1].len, reader->reterr);
}

static int read_merges(struct gguf_reader *reader, struct bpe *bpe) {
    struct piece_reader pieces = {.bytes_alphabet = reader->bytes};
    struct gguf_strings merges;
    struct gguf_str line;

    int r = gguf_get_strings(reader->gguf, "tokenizer.ggml.merges", &merges, reader->reterr);
    if (r == -ENOENT)
        r = error_set_param(reader->reterr, -EINVAL, "tokenizer.ggml.merges",
                            "the file has no tokenizer.ggml.merges");
    while (r == 0 && gguf_next_string(&merges, &line))
        r = add_merge(reader, bpe, &pieces, line);
    piece_reader_fini(&pieces);
    return r;
}

static int read_scores(struct gguf_reader *reader, struct bpe *bpe) {
    float *scores = mem_alloc_array((size_t)reader->n_tokens, sizeof *scores);
    if (!scores)
        return error_set(reader->reterr, -ENOMEM, "no memory for the scores");
    int r = gguf_copy_f32(reader->gguf, "tokenizer.ggml.scores", reader->n_tokens, scores,
                          reader->reterr);
    if (r == -ENOENT)
        r = error_set_param(reader->reterr, -EINVAL, "tokenizer.ggml.scores",
                            "the file has no tokenizer.ggml.scores");
    if (r == 0)
        r = bpe_add_scores(bpe, &reader->tokenizer->vocab, scores, reader->reterr);
    mem_free(scores);
    return r;
}

static int read_model(struct gguf_reader *reader) {
    struct bpe_options options = {
        .bytes = reader->bytes,
        .ignore_merges = reader->pre && reader->pre->ignore_merges,
        .byte_fallback = !reader->bytes,
        .unk = TOKEN_NONE,
    };
    int r = read_pieces(reader);
    if (r == 0 && !reader->bytes) {
        options.unk = 0;
        r = optional_id(reader, "tokenizer.ggml.unknown_token_id", &options.unk);
    }
    struct bpe bpe = {.n_tokens = 0};
    if (r == 0)
        r = bpe_init(&bpe, &reader->tokenizer->vocab, &options, reader->reterr);
    if (r == 0)
        r = reader->bytes ? read_merges(reader, &bpe) : read_scores(reader, &bpe);
    if (r == 0)
        r = bpe_finish(&bpe, &reader->tokenizer->vocab, reader->reterr);
    if (r == 0)
        r = bpe_become_model(&bpe, reader->tokenizer, reader->reterr);
    bpe_fini(&bpe); /* empty if it was moved */
    return r;
}

/* --- what surrounds the model --- */

static int add_nfc(struct gguf_reader *reader) {
    const struct normal_step nfc = {.kind = NORMAL_NFC};
    return normal_add(&reader->tokenizer->normalizer, &nfc, reader->reterr);
}

/* Finds the pre-tokenizer's name in the table and sets up what it implies. */
static int read_pre(struct gguf_reader *reader) {
    struct gguf_str name;
    int r = gguf_get_str(reader->gguf, "tokenizer.ggml.pre", &name, reader->reterr);
    if (r == -ENOENT)
        return error_set_param(reader->reterr, -ENOTSUP, "tokenizer.ggml.pre",
                               "the file does not say how its tokenizer cuts text "
                               "(tokenizer.ggml.pre): convert the model anew");
    if (r < 0)
        return r;

    for (size_t i = 0; i < sizeof pre_kinds / sizeof pre_kinds[0] && !reader->pre; i++)
        for (size_t j = 0; j < MAX_NAMES && pre_kinds[i].names[j]; j++)
            if (strlen(pre_kinds[i].names[j]) == name.len &&
                memcmp(pre_kinds[i].names[j], name.bytes, name.len) == 0)
                reader->pre = &pre_kinds[i];
    if (!reader->pre)
        return error_set_param(reader->reterr, -ENOTSUP, "tokenizer.ggml.pre",
                               "the pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not served",
                               (int)(name.len < 64 ? name.len : 64), name.bytes);

    for (size_t i = 0; i < MAX_PATTERNS && reader->pre->patterns[i] && r == 0; i++)
        r = pretok_add_pattern(&reader->tokenizer->pretok, reader->pre->patterns[i],
                               strlen(reader->pre->patterns[i]), SPLIT_ISOLATED,
                               /* invert= */ false, reader->reterr);
    if (reader->pre->family)
        reader->tokenizer->pretok.family = reader->pre->family;
    if (r == 0 && reader->pre->nfc)
        r = add_nfc(reader);
    reader->tokenizer->decoding.bytes_alphabet = true;
    return r;
}

/* SentencePiece: a space before the text and behind special tokens, spaces as U+2581. */
static int read_spaces(struct gguf_reader *reader) {
    static const struct normal_step prepend = {
        .kind = NORMAL_PREPEND,
        .to = {.bytes = "\xe2\x96\x81", .len = 3},
    };
    static const struct normal_step replace = {
        .kind = NORMAL_REPLACE,
        .from = {.bytes = " ", .len = 1},
        .to = {.bytes = "\xe2\x96\x81", .len = 3},
    };
    struct tokenizer *t = reader->tokenizer;
    bool add_prefix = true;

    int r = optional_bool(reader, "tokenizer.ggml.add_space_prefix", &add_prefix);
    if (r == 0 && add_prefix)
        r = normal_add(&t->normalizer, &prepend, reader->reterr);
    if (r == 0)
        r = normal_add(&t->normalizer, &replace, reader->reterr);
    t->decoding.metaspace = true;
    t->decoding.byte_fallback = true;
    t->decoding.strip_space = add_prefix;
    return r;
}

/* "[PAD151936]" at that id only fills up the vocabulary: no text means it. */
static bool is_filler(struct gguf_str token, uint64_t id) {
    char name[32];
    const int n = snprintf(name, sizeof name, "[PAD%llu]", (unsigned long long)id);
    return n > 0 && token.len == (size_t)n && memcmp(token.bytes, name, token.len) == 0;
}

static int read_added(struct gguf_reader *reader) {
    struct gguf_strings tokens;
    struct gguf_str token;
    uint64_t id = 0;

    int r = gguf_get_strings(reader->gguf, "tokenizer.ggml.tokens", &tokens, reader->reterr);
    for (; r == 0 && gguf_next_string(&tokens, &token); id++) {
        const int32_t type = reader->types[id];
        const bool special = type == TYPE_CONTROL || type == TYPE_UNKNOWN;
        if ((special || type == TYPE_USER_DEFINED) && !is_filler(token, id))
            r = tokenizer_add_token(reader->tokenizer, id, token.bytes, token.len,
                                    special ? ADDED_SPECIAL : 0, /* normalized= */ false,
                                    reader->reterr);
    }
    return r;
}

/* What the token reads as, for templates. */
static int copy_text(struct gguf_reader *reader, token_id id, struct buf *ret_text) {
    if (id == TOKEN_NONE)
        return 0;
    size_t len;
    const char *bytes = vocab_bytes(&reader->tokenizer->vocab, (uint32_t)id, &len);
    buf_append(ret_text, bytes, len);
    return buf_failed(ret_text) ? error_set(reader->reterr, -ENOMEM, "no memory for a token") : 0;
}

static int read_ends(struct gguf_reader *reader) {
    struct tokenizer *t = reader->tokenizer;
    bool add_bos = reader->bytes ? reader->pre->adds_bos : true;
    bool add_eos = false;

    if (!reader->bytes && reader->n_tokens > 2) {
        t->bos = 1;
        t->eos = 2;
    }
    int r = optional_id(reader, "tokenizer.ggml.bos_token_id", &t->bos);
    if (r == 0)
        r = optional_id(reader, "tokenizer.ggml.eos_token_id", &t->eos);
    if (r == 0)
        r = optional_bool(reader, "tokenizer.ggml.add_bos_token", &add_bos);
    if (r == 0)
        r = optional_bool(reader, "tokenizer.ggml.add_eos_token", &add_eos);
    if (r == 0)
        r = copy_text(reader, t->bos, &t->bos_text);
    if (r == 0)
        r = copy_text(reader, t->eos, &t->eos_text);

    if (add_bos && t->bos != TOKEN_NONE)
        t->prefix.ids[t->prefix.n++] = t->bos;
    if (add_eos && t->eos != TOKEN_NONE)
        t->suffix.ids[t->suffix.n++] = t->eos;
    return r;
}

static int read_all(struct gguf_reader *reader) {
    struct gguf_str model;
    int r = gguf_get_str(reader->gguf, "tokenizer.ggml.model", &model, reader->reterr);
    if (r == -ENOENT)
        return error_set_param(reader->reterr, -EINVAL, "tokenizer.ggml.model",
                               "the file has no tokenizer (tokenizer.ggml.model)");
    if (r < 0)
        return r;
    reader->bytes = model.len == 4 && memcmp(model.bytes, "gpt2", 4) == 0;
    const bool llama = model.len == 5 && memcmp(model.bytes, "llama", 5) == 0;
    if (!reader->bytes && !llama)
        return error_set_param(reader->reterr, -ENOTSUP, "tokenizer.ggml.model",
                               "the tokenizer model \"%.*s\" (tokenizer.ggml.model) is not served; "
                               "gpt2 and llama are",
                               (int)(model.len < 64 ? model.len : 64), model.bytes);

    r = read_types(reader);
    if (r == 0)
        r = reader->bytes ? read_pre(reader) : read_spaces(reader);
    if (r == 0)
        r = read_model(reader);
    if (r == 0)
        r = read_added(reader);
    return r < 0 ? r : read_ends(reader);
}

int tokenizer_open_gguf(const struct gguf *gguf, struct tokenizer **ret_tokenizer,
                        struct error *reterr) {
    struct gguf_reader reader = {
        .gguf = gguf,
        .tokenizer = tokenizer_new(),
        .reterr = reterr,
    };
    if (!reader.tokenizer)
        return error_set(reterr, -ENOMEM, "no memory for a tokenizer");

    int r = read_all(&reader);
    if (r == 0)
        r = tokenizer_ready(reader.tokenizer, reterr);
    mem_free(reader.types);
    if (r < 0) {
        tokenizer_close(reader.tokenizer);
        return r;
    }
    *ret_tokenizer = reader.tokenizer;
    return 0;
}

int tokenizer_open_file(const char *path, struct tokenizer **ret_tokenizer, struct error *reterr) {
    struct gguf *gguf;
    int r = gguf_open(path, &gguf, reterr);
    if (r < 0)
        return r;
    r = tokenizer_open_gguf(gguf, ret_tokenizer, reterr);
    if (r < 0)
        r = error_prefix(reterr, r, "%s", path);
    gguf_close(gguf);
    return r;
}
