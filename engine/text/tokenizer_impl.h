/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_impl - the parts of a tokenizer, for its readers (tokenizer_json.c, tokenizer_gguf.c)
 * and its two users (tokenizer.c, detokenizer.c).
 *
 * A text goes through them in this order:
 *   raw_added -> normalizer -> normalized_added -> pretok -> model, and prefix and suffix around.
 */
#ifndef KVASIR_TEXT_TOKENIZER_IMPL_H
#define KVASIR_TEXT_TOKENIZER_IMPL_H

#include "kvasir/buf.h"
#include "kvasir/tokenizer.h"

#include "normal.h"
#include "pretok.h"
#include "token_added.h"
#include "token_model.h"
#include "token_vocab.h"

enum { TOKENIZER_MAX_AROUND = 16 };

/* What the post-processor puts before or behind a text. */
struct token_around {
    token_id ids[TOKENIZER_MAX_AROUND];
    uint32_t n;
};

/* How ids become text, beyond what the vocabulary's entries say. */
struct token_decoding {
    bool bytes_alphabet;   /* pieces are spelled in the byte-level alphabet */
    bool metaspace;        /* "▁" reads as a space */
    bool byte_fallback;    /* "<0xHH>" reads as a byte; broken runs as U+FFFD a byte */
    bool strip_space;      /* one space at the start of the text disappears */
    bool strip_metaspaces; /* every "▁" of the first token disappears */
};

struct tokenizer {
    struct vocab vocab;
    struct added_set raw_added;
    struct normalizer normalizer;
    struct added_set normalized_added;
    struct pretok pretok;
    struct token_model model;
    struct token_around prefix;
    struct token_around suffix;
    struct token_decoding decoding;
    token_id bos;
    token_id eos;
    struct buf bos_text;
    struct buf eos_text;
    char kind[96];
};

/* An empty tokenizer for a reader to fill; NULL if there is no memory. */
struct tokenizer *tokenizer_new(void);

/*
 * Adds a token that is found in the text. flags: enum added_flags; normalized: searched in the
 * normalised text. The normalizer and the vocabulary of the model must be complete.
 */
int tokenizer_add_token(struct tokenizer *tokenizer, uint64_t id, const char *content, size_t len,
                        unsigned flags, bool normalized, struct error *reterr) KV_MUST_CHECK;

/* Sets bos or eos from its text, if that is a token. -ENOMEM. */
int tokenizer_set_bos(struct tokenizer *tokenizer, const char *content, size_t len,
                      struct error *reterr) KV_MUST_CHECK;
int tokenizer_set_eos(struct tokenizer *tokenizer, const char *content, size_t len,
                      struct error *reterr) KV_MUST_CHECK;

/* The reader's last call: entries become what they decode to, searches are built. */
int tokenizer_ready(struct tokenizer *tokenizer, struct error *reterr) KV_MUST_CHECK;

/* --- readers --- */

/* Reads the text of a tokenizer.json. config: that of tokenizer_config.json, NULL if none. */
int tokenizer_read_json(const char *json, size_t len, const char *config, size_t config_len,
                        struct tokenizer **ret_tokenizer, struct error *reterr) KV_MUST_CHECK;

/* What a reader of a model is given: p stands before the object, which the reader takes. */
struct json_pull;
struct json_model_source {
    struct json_pull *p;
    bool bytes_alphabet;
};

/* Reads the object into tokenizer->vocab and tokenizer->model. */
typedef int (*json_model_fn)(const struct json_model_source *source, struct tokenizer *tokenizer,
                             struct error *reterr);
int bpe_read_json(const struct json_model_source *source, struct tokenizer *tokenizer,
                  struct error *reterr) KV_MUST_CHECK;

/* Makes bpe (moved) the model of the tokenizer. -ENOMEM (then bpe is still the caller's). */
struct bpe;
int bpe_become_model(struct bpe *bpe, struct tokenizer *tokenizer, struct error *reterr)
    KV_MUST_CHECK;

#endif
