/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_submit - from token ids to sequences in the scheduler: all choices of a request or none.
 */
#include <errno.h>
#include <string.h>

#include "kvasir/clock.h"
#include "kvasir/siphash.h"

#include "exchange.h"
#include "generation.h"
#include "server_state.h"

enum {
    REQUEST_SLACK_BYTES = 16 << 10,
    BYTES_PER_TOKEN = 4, /* of a body, about: English text in JSON */
};

/* Tokens that a prompt may be answered with; -E2BIG when there is no room for one. */
static int room_for(const struct generation *gen, size_t n_prompt, uint32_t *ret_max_tokens,
                    struct error *reterr) {
    const struct gen_request *q = &gen->request;
    const uint32_t context = gen->x->server->service->max_model_len;
    const int64_t asked = gen_request_answer_tokens(q);
    const uint32_t least = asked == 0 ? 0 : 1; /* 0: the prompt is only scored */
    if (n_prompt + least > context)
        return error_set_param(reterr, -E2BIG,
                               gen->api->endpoint == ENDPOINT_CHAT ? "messages" : "prompt",
                               "The prompt has %zu tokens, but the context length is %u tokens, of "
                               "which at least %u must be left for the answer.",
                               n_prompt, context, least);
    const uint32_t room = context - (uint32_t)n_prompt;
    *ret_max_tokens = asked < 0 || asked > room ? room : (uint32_t)asked;
    return 0;
}

static const void *copy_array(struct arena *arena, const void *from, size_t count, size_t size) {
    void *to = arena_alloc_zero(arena, count, size);
    if (to && count > 0)
        memcpy(to, from, count * size);
    return to;
}

/* The model's end tokens and the request's, in the request's arena. */
static const token_id *all_stop_ids(const struct generation *gen, struct arena *arena,
                                    uint32_t *ret_n) {
    const struct model_info *info = gen->x->server->service->info;
    const struct gen_request *q = &gen->request;
    const uint32_t n_model = q->ignore_eos ? 0 : info->n_eos;
    token_id *ids = arena_alloc_zero(arena, n_model + q->n_stop_ids, sizeof *ids);
    if (!ids)
        return NULL;
    for (uint32_t i = 0; i < n_model; i++)
        ids[i] = info->eos[i];
    for (uint32_t i = 0; i < q->n_stop_ids; i++)
        ids[n_model + i] = q->stop_ids[i];
    *ret_n = n_model + q->n_stop_ids;
    return ids;
}

/* What the scheduler takes for one choice; NULL without memory. */
static struct scheduler_request *request_of(const struct choice *choice, uint32_t n_of_prompt) {
    const struct generation *gen = choice->gen;
    const struct gen_request *q = &gen->request;
    const struct token_buf *ids = &choice->prompt->ids;
    const size_t max_bytes = q->n_logit_bias * sizeof(struct token_bias) +
                             ((size_t)q->n_allowed_ids + q->n_stop_ids) * sizeof(token_id) +
                             REQUEST_SLACK_BYTES;

    struct scheduler_request *request =
        scheduler_request_create(ids->ids, (uint32_t)ids->n, max_bytes);
    if (!request)
        return NULL;
    struct arena *arena = &request->arena;
    request->sampling = gen_request_sampling(q, n_of_prompt);
    request->sampling.logit_bias =
        copy_array(arena, q->logit_bias, q->n_logit_bias, sizeof *q->logit_bias);
    request->sampling.allowed_ids =
        copy_array(arena, q->allowed_ids, q->n_allowed_ids, sizeof *q->allowed_ids);
    request->sampling.stop_ids = all_stop_ids(gen, arena, &request->sampling.n_stop_ids);
    if (!request->sampling.logit_bias || !request->sampling.allowed_ids ||
        !request->sampling.stop_ids) {
        scheduler_request_free(request);
        return NULL;
    }
    request->max_tokens = choice->max_tokens;
    request->priority = (int32_t)q->priority;
    if (q->cache_salt)
        request->cache_salt =
            siphash_64(gen->x->server->salt_key, q->cache_salt, q->cache_salt_len);
    /* The choices of a prompt show the same prompt_logprobs: one of them has it scored. */
    request->score_prompt =
        (q->prompt_logprobs >= 0 && n_of_prompt == 0) || (q->echo && q->n_logprobs >= 0);
    return request;
}

/* ---- places in the queue ---- */

void gen_release(struct generation *gen) {
    if (gen->reserved.n_requests > 0)
        scheduler_release(gen->x->server->service->scheduler, &gen->reserved);
    gen->reserved = (struct scheduler_load){.n_requests = 0};
}

int gen_reserve(struct generation *gen, struct error *reterr) {
    const struct gen_request *q = &gen->request;
    const bool parsed = q->n > 0;
    const uint32_t n_prompts = parsed && q->n_prompts > 0 ? q->n_prompts : 1;
    const uint32_t n = parsed ? (uint32_t)q->n : 1;
    const struct scheduler_load load = {
        .n_requests = n_prompts * n,
        .n_tokens = gen->x->request->body.len / BYTES_PER_TOKEN * n,
    };
    gen_release(gen);
    const int r = scheduler_reserve(gen->x->server->service->scheduler, &load, reterr);
    if (r == 0)
        gen->reserved = load;
    return r;
}

/* ---- submit ---- */

static int init_choices(struct generation *gen, struct error *reterr) {
    const uint32_t n = (uint32_t)gen->request.n;
    gen->choices =
        arena_alloc_zero(&gen->x->arena, (size_t)gen->n_prompts * n, sizeof *gen->choices);
    if (!gen->choices)
        return -ENOMEM;
    gen->n_choices = gen->n_prompts * n;
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        struct choice *choice = &gen->choices[i];
        choice->gen = gen;
        choice->index = i;
        choice->prompt = &gen->prompts[i / n];
        choice->stop_token = TOKEN_NONE;
        choice->stop_index = -1;
        const int r = room_for(gen, choice->prompt->ids.n, &choice->max_tokens, reterr);
        if (r < 0)
            return r;
        if (gen->request.echo) {
            buf_append(&choice->delta, choice->prompt->text.data, choice->prompt->text.len);
            if (gen->request.n_logprobs >= 0) /* the first token has nothing before it */
                gen->api->add_logprob(choice, choice->prompt->ids.ids[0], NULL, NULL, 0);
            if (gen->request.return_token_ids) {
                gen_write_ids(&choice->id_items, choice->prompt->ids.ids, choice->prompt->ids.n);
            }
        }
    }
    return 0;
}

/* The process's seed and a count: different for every request, the same again in the next run
 * under the same seed. */
static void draw_seed(struct generation *gen) {
    struct server *server = gen->x->server;
    const uint64_t count = server->n_seeds_drawn++;
    const uint64_t key[2] = {server->options.seed, 0};
    gen->request.seed = (int64_t)(siphash_64(key, &count, sizeof count) >> 1); /* never -1 */
}

/* What the scheduler takes for each choice, into requests. On failure those that were made stay
 * there, the others are NULL. */
static int make_requests(struct generation *gen, struct scheduler_request **requests,
                         struct error *reterr) {
    const struct gen_request *q = &gen->request;
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        struct choice *choice = &gen->choices[i];
        const int r =
            detokenizer_open(gen->x->server->service->tokenizer, q->skip_special_tokens, q->stops,
                             q->n_stops, q->include_stop_str_in_output, &choice->detok, reterr);
        if (r < 0)
            return r;
        requests[i] = request_of(choice, i % (uint32_t)q->n);
        if (!requests[i])
            return -ENOMEM;
    }
    return 0;
}

int gen_submit(struct generation *gen, struct error *reterr) {
    struct server *server = gen->x->server;
    int r = init_choices(gen, reterr);
    if (r < 0)
        return r;
    if (gen->request.seed == -1)
        draw_seed(gen);

    struct arena *arena = &gen->x->arena;
    struct scheduler_request **requests =
        arena_alloc_zero(arena, gen->n_choices, sizeof(struct scheduler_request *));
    seq_id *ids = arena_alloc_zero(arena, gen->n_choices, sizeof *ids);
    if (!requests || !ids)
        return -ENOMEM;
    r = make_requests(gen, requests, reterr);
    if (r < 0) {
        for (uint32_t i = 0; i < gen->n_choices; i++)
            scheduler_request_free(requests[i]);
        return r;
    }
    const struct scheduler_load reserved = gen->reserved;
    gen->reserved = (struct scheduler_load){.n_requests = 0}; /* taken in any case */
    r = scheduler_submit_all(server->service->scheduler, requests, gen->n_choices, &reserved, ids,
                             reterr);
    if (r < 0)
        return r;

    if (server->sequences.n == 0)
        server->work_since_us = clock_now_us();
    for (uint32_t i = 0; i < gen->n_choices; i++)
        seq_map_add(&server->sequences, &gen->choices[i].entry, ids[i]);
    gen->n_open = gen->n_choices;
    return 0;
}
