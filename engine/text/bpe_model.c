/* SPDX-License-Identifier: Apache-2.0 */
/* bpe_model - BPE as a kind of token_model. */
#include <errno.h>

#include "kvasir/mem.h"

#include "bpe.h"
#include "tokenizer_impl.h"

static int encode(const void *state, const char *word, size_t len, struct token_buf *ret_ids) {
    return bpe_encode(state, word, len, ret_ids);
}

static token_id find(const void *state, const char *piece, size_t len) {
    return bpe_find(state, piece, len);
}

static void destroy(void *state) {
    struct bpe *bpe = state;
    bpe_fini(bpe);
    mem_free(bpe);
}

static const struct token_model_ops byte_level_ops = {
    .name = "byte-level BPE",
    .encode = encode,
    .find = find,
    .destroy = destroy,
};

static const struct token_model_ops sentencepiece_ops = {
    .name = "SentencePiece BPE",
    .encode = encode,
    .find = find,
    .destroy = destroy,
};

int bpe_become_model(struct bpe *bpe, struct tokenizer *tokenizer) {
    struct bpe *state = mem_alloc(sizeof *state);
    if (!state)
        return -ENOMEM;
    *state = *bpe;
    *bpe = (struct bpe){.n_tokens = 0};
    tokenizer->model = (struct token_model){
        .ops = state->options.bytes ? &byte_level_ops : &sentencepiece_ops,
        .state = state,
    };
    return 0;
}
