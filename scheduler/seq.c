/* SPDX-License-Identifier: Apache-2.0 */
#include "seq.h"

#include <errno.h>

#include "kvasir/mem.h"

/* Room for output that is added when the last was used up, beside half of what there is. */
enum { MORE_ROOM = 64 };

static uint64_t pool_slots(const struct scheduler_options *options) {
    return (uint64_t)options->n_blocks * options->block_size;
}

/* C14: a request that could never run is told so at once, with both numbers. */
static int check_fits(const struct scheduler_options *options,
                      const struct scheduler_request *request, struct error *reterr) {
    const uint64_t output = request->max_tokens ? 1 : 0; /* the least that it asks for */
    const uint32_t n_prompt = request->n_prompt;

    if (n_prompt + output > options->max_model_len)
        return error_set(reterr, SCHEDULER_TOO_LONG,
                         "the prompt has %u tokens, but the context holds %u%s", n_prompt,
                         options->max_model_len,
                         output ? ", of which one must be left for the answer" : "");
    if (n_prompt > pool_slots(options))
        return error_set(reterr, SCHEDULER_TOO_LARGE,
                         "the prompt has %u tokens, but the KV pool holds %llu (%u blocks "
                         "of %u)",
                         n_prompt, (unsigned long long)pool_slots(options), options->n_blocks,
                         options->block_size);
    return 0;
}

static int check_prompt(const struct scheduler_options *options,
                        const struct scheduler_request *request, struct error *reterr) {
    if (request->n_prompt == 0)
        return error_set_param(reterr, -EINVAL, "prompt", "the prompt is empty");
    for (uint32_t i = 0; i < request->n_prompt; i++) {
        const token_id token = request->prompt[i];
        if (token < 0 || (uint32_t)token >= options->n_vocab)
            return error_set_param(reterr, -EINVAL, "prompt",
                                   "token id %d at index %u is outside the vocabulary of %u",
                                   (int)token, i, options->n_vocab);
    }
    return 0;
}

/*
 * The length at which the sequence ends in any case. The last token needs no KV, so the pool
 * carries one token more than it has slots; with this clip a sequence that is alone can always
 * go on, and running out of blocks never ends one.
 */
static uint32_t clip_length(const struct scheduler_options *options,
                            const struct scheduler_request *request) {
    uint64_t length = (uint64_t)request->n_prompt + request->max_tokens;
    if (length > options->max_model_len)
        length = options->max_model_len;
    if (length > pool_slots(options) + 1)
        length = pool_slots(options) + 1;
    return (uint32_t)length;
}

int seq_create(const struct scheduler_options *options, struct scheduler_request *request,
               struct seq **ret_seq, struct error *reterr) {
    int r = check_prompt(options, request, reterr);
    if (r < 0)
        return r;
    r = check_fits(options, request, reterr);
    if (r < 0)
        return r;

    struct seq *seq = mem_alloc_zero(1, sizeof *seq);
    if (!seq)
        return error_set(reterr, -ENOMEM, "There is not enough memory for one more sequence.");

    seq->tokens = request->prompt;
    seq->cap_tokens = request->cap_prompt;
    request->prompt = NULL; /* moved: it is the beginning of the sequence's history */
    seq->n_prompt = request->n_prompt;
    seq->n_tokens = request->n_prompt;
    seq->max_length = clip_length(options, request);
    seq->scores = request->score_prompt || request->prompt_logits_out;
    seq->request = request;
    *ret_seq = seq;
    return 0;
}

void seq_destroy(struct seq *seq) {
    if (!seq)
        return;
    INVARIANT(!list_linked(&seq->link) && !list_linked(&seq->cancel_link));

    scheduler_request_free(seq->request);
    mem_free(seq->tokens);
    mem_free(seq);
}

int seq_append(struct seq *seq, token_id token) {
    INVARIANT(seq->n_tokens < seq->max_length);

    if (seq->n_tokens == seq->cap_tokens) {
        const uint64_t half_more = (uint64_t)seq->cap_tokens + seq->cap_tokens / 2 + MORE_ROOM;
        const uint32_t cap = half_more < seq->max_length ? (uint32_t)half_more : seq->max_length;
        token_id *tokens = mem_realloc(seq->tokens, (size_t)cap * sizeof *tokens);
        if (!tokens)
            return -ENOMEM;

        seq->tokens = tokens;
        seq->cap_tokens = cap;
    }
    seq->tokens[seq->n_tokens++] = token;
    return 0;
}
