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

/*
 * A SentencePiece text is one word, however long. If no piece reaches over the start of a word,
 * the text may as well be cut there: the same ids, from words that are short and come again.
 */
static int add_cuts(struct pretok *pretok, struct error *reterr) {
    struct pretok_step step = {.kind = PRETOK_SPLIT, .behavior = SPLIT_ISOLATED};
    matcher_init_metaspace_words(&step.matcher);
    return pretok_add(pretok, &step, reterr);
}

int bpe_become_model(struct bpe *bpe, struct tokenizer *tokenizer, struct error *reterr) {
    if (bpe->cuts_at_metaspace && tokenizer->pretok.n_steps < PRETOK_MAX_STEPS) {
        int r = add_cuts(&tokenizer->pretok, reterr);
        if (r < 0)
            return r;
    }
    struct bpe *state = mem_alloc(sizeof *state);
    if (!state)
        return error_set(reterr, -ENOMEM, "no memory for the model");
    *state = *bpe;
    *bpe = (struct bpe){.n_tokens = 0};
    tokenizer->model = (struct token_model){
        .ops = state->options.bytes ? &byte_level_ops : &sentencepiece_ops,
        .state = state,
    };
    return 0;
}
