/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer - bytes to token ids and back, exactly as the model's reference tokenizer does.
 *
 * A tokenizer is immutable after opening: any number of threads may encode and decode at once,
 * each with its own output buffer. Encoding is linear in the worst case. A detokenizer is the
 * state of one output stream and belongs to one thread.
 */
#ifndef KVASIR_TOKENIZER_H
#define KVASIR_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"
#include "kvasir/types.h"

struct tokenizer;

/* A growing run of ids. A zeroed struct is empty; free with token_buf_fini. */
struct token_buf {
    token_id *ids;
    size_t n;
    /* private */
    size_t cap;
};
void token_buf_fini(struct token_buf *buf);

enum tokenizer_flags {
    TOKENIZER_ADD_SPECIAL = 1 << 0,   /* add what the post-processor adds (bos, eos, ...) */
    TOKENIZER_PARSE_SPECIAL = 1 << 1, /* special tokens written in the text become their ids */
};

/* Bytes [start, end) of a text that came from a user: never parsed as special tokens. */
struct text_range {
    size_t start;
    size_t end;
};

/* Reads DIR/tokenizer.json (and tokenizer_config.json if there). -ENOENT, -EINVAL, -ENOTSUP. */
int tokenizer_open_dir(const char *dir, struct tokenizer **ret_tokenizer, struct error *reterr)
    KV_MUST_CHECK;
/* Reads the tokenizer of a .gguf file (its weights are not looked at). The same errors. */
int tokenizer_open_file(const char *path, struct tokenizer **ret_tokenizer, struct error *reterr)
    KV_MUST_CHECK;
void tokenizer_close(struct tokenizer *tokenizer);

/*
 * Appends the ids of text to ret_ids. With TOKENIZER_PARSE_SPECIAL, a special token is recognised
 * only where all its bytes lie outside the user ranges (sorted, disjoint; may be NULL); ordinary
 * merging is not affected by ranges. Invalid UTF-8 is encoded byte by byte (byte-level BPE), or as
 * byte tokens. -ENOMEM; on failure ret_ids keeps what it held before.
 */
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len,
                     unsigned flags, const struct text_range *user_ranges, size_t n_user_ranges,
                     struct token_buf *ret_ids) KV_MUST_CHECK;

/* Decodes ids to bytes (may be invalid UTF-8 if the ids are). Unknown ids give nothing. */
int tokenizer_decode(const struct tokenizer *tokenizer, const token_id *ids, size_t n,
                     bool skip_special, struct buf *ret_text) KV_MUST_CHECK;

uint32_t tokenizer_n_vocab(const struct tokenizer *tokenizer); /* highest id + 1 */
const char *tokenizer_kind(const struct tokenizer *tokenizer); /* "byte-level BPE, qwen2" */
bool tokenizer_is_special(const struct tokenizer *tokenizer, token_id id);
token_id tokenizer_find(const struct tokenizer *tokenizer, const char *piece, size_t len);

/*
 * The bytes that id alone stands for (for logprobs and the detokenizer); "" for unknown ids.
 * Lives as long as the tokenizer; not NUL-terminated.
 */
const char *tokenizer_token_bytes(const struct tokenizer *tokenizer, token_id id, size_t *ret_len);

/* The tokenizer's own special ids, TOKEN_NONE if it has none; and what they read as. */
token_id tokenizer_bos(const struct tokenizer *tokenizer);
token_id tokenizer_eos(const struct tokenizer *tokenizer);
const char *tokenizer_bos_text(const struct tokenizer *tokenizer); /* "" if none */
const char *tokenizer_eos_text(const struct tokenizer *tokenizer);
bool tokenizer_adds_bos(const struct tokenizer *tokenizer); /* with TOKENIZER_ADD_SPECIAL */

/*
 * One output stream: ids in, complete UTF-8 out. Holds back an incomplete sequence and, when stop
 * strings are given, a tail that could still become one; never more. Loop thread (one thread).
 */
struct detokenizer;

/* The stop strings (lent until close) are matched on the text; the match is not returned. */
int detokenizer_open(const struct tokenizer *tokenizer, bool skip_special, const char *const *stops,
                     size_t n_stops, bool include_stop, struct detokenizer **ret_detok,
                     struct error *reterr) KV_MUST_CHECK;
void detokenizer_close(struct detokenizer *detok);

/*
 * Feeds one id and appends the text that became certain. *ret_stop is the index of the stop
 * string that was completed, or -1; after a match nothing more is returned. -ENOMEM.
 */
int detokenizer_push(struct detokenizer *detok, token_id id, struct buf *ret_text, int *ret_stop)
    KV_MUST_CHECK;

/*
 * The end of the stream: appends what was held back, broken sequences as U+FFFD. That too may
 * complete a stop string: *ret_stop as with detokenizer_push.
 */
int detokenizer_finish(struct detokenizer *detok, struct buf *ret_text, int *ret_stop)
    KV_MUST_CHECK;

#endif
