/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_prepare - from the bytes of a body to token ids. Runs on the pool (or, for small bodies,
 * parsing runs on the loop); touches nothing but its generation and immutable parts of the
 * service.
 */
#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"

#include "exchange.h"
#include "generation.h"
#include "json_read.h"
#include "server_state.h"

struct gen_context gen_context_of(const struct server *server, struct arena *arena) {
    const struct server_options *options = &server->options;
    const struct model_names names = server_model_names(server);
    return (struct gen_context){
        .service = server->service,
        .tokenizer = server->service->tokenizer,
        .model_names = names.items,
        .n_model_names = names.n,
        .max_n = options->max_n,
        .max_sequences = options->max_sequences,
        .api_defaults = options->api_defaults,
        .arena = arena,
    };
}

int gen_prepare_parse(struct generation *gen, struct error *reterr) {
    const struct span body = gen->x->request->body;
    json_t *root;
    int r = json_read(body.bytes, body.len, &root, reterr);
    if (r < 0)
        return r;
    struct gen_context context = gen_context_of(gen->x->server, &gen->x->arena);
    r = params_parse(root, gen->api->endpoint, &context, &gen->request, reterr);
    arena_init(&gen->scratch, json_read_cost(body.len));
    context.arena = &gen->scratch;
    if (r == 0)
        r = gen->api->parse(root, &context, &gen->request, reterr);
    json_decref(root);
    return r;
}

/* truncate_prompt_tokens: the side that is not asked for is cut. */
static void truncate_ids(const struct generation *gen, struct token_buf *ids) {
    const struct gen_request *q = &gen->request;
    const uint32_t max_model_len = gen->x->server->service->max_model_len;
    if (q->truncate_prompt_tokens == 0)
        return;
    size_t keep = (size_t)q->truncate_prompt_tokens;
    if (q->truncate_prompt_tokens < 0) { /* what fits beside the answer */
        const int64_t asked = gen_request_answer_tokens(q);
        const int64_t answer = asked >= 0 && asked < max_model_len ? asked : 1;
        keep = (size_t)(max_model_len - answer);
    }
    if (ids->n <= keep)
        return;
    if (!q->truncate_right)
        memmove(ids->ids, ids->ids + (ids->n - keep), keep * sizeof *ids->ids);
    ids->n = keep;
}

static int encode_text(struct generation *gen, const struct gen_prompt *prompt,
                       struct encoded_prompt *encoded) {
    const struct tokenizer *tokenizer = gen->x->server->service->tokenizer;
    int r = 0;
    if (prompt->text) {
        r = tokenizer_encode(tokenizer, prompt->text, prompt->len,
                             gen_request_encode_flags(&gen->request), NULL, 0, &encoded->ids);
    } else {
        encoded->ids.ids = mem_alloc_array(prompt->n_ids, sizeof *prompt->ids);
        if (!encoded->ids.ids)
            return -ENOMEM;
        memcpy(encoded->ids.ids, prompt->ids, prompt->n_ids * sizeof *prompt->ids);
        encoded->ids.n = prompt->n_ids;
    }
    return r;
}

/* The text that echo gives back: of the ids that are left of n_before. */
static int set_echo(const struct generation *gen, const struct gen_prompt *prompt, size_t n_before,
                    struct encoded_prompt *encoded) {
    const struct tokenizer *tokenizer = gen->x->server->service->tokenizer;
    const struct token_buf *ids = &encoded->ids;
    if (prompt->text && ids->n == n_before) {
        buf_append(&encoded->text, prompt->text, prompt->len);
        return buf_failed(&encoded->text) ? -ENOMEM : 0;
    }
    /* A bos that we put before a text is not part of it. */
    const bool added_bos = prompt->text && gen->request.add_special_tokens && ids->n > 0 &&
                           gen->request.truncate_right && tokenizer_adds_bos(tokenizer) &&
                           ids->ids[0] == tokenizer_bos(tokenizer);
    return tokenizer_decode(tokenizer, ids->ids + added_bos, ids->n - added_bos,
                            /* skip_special= */ false, &encoded->text);
}

/* A long prompt with many of them each would be a response of hundreds of megabytes. */
static int check_prompt_scores(const struct generation *gen, struct error *reterr) {
    const int64_t wanted = gen->request.prompt_logprobs;
    size_t n_tokens = 0;
    for (uint32_t i = 0; i < gen->n_prompts; i++)
        n_tokens += gen->prompts[i].ids.n;
    if (wanted < 0 || n_tokens <= GEN_MAX_PROMPT_SCORES / (size_t)(wanted + 1))
        return 0;
    return error_set_param(reterr, -EINVAL, "prompt_logprobs",
                           "'prompt_logprobs' of %lld for %zu tokens would be %zu entries; at most "
                           "%d are given.",
                           (long long)wanted, n_tokens, n_tokens * (size_t)(wanted + 1),
                           GEN_MAX_PROMPT_SCORES);
}

static int encode(struct generation *gen, struct error *reterr) {
    const bool chat = gen->api->endpoint == ENDPOINT_CHAT;
    gen->n_prompts = chat ? 1 : gen->request.n_prompts;
    gen->prompts = arena_alloc_zero(&gen->x->arena, gen->n_prompts, sizeof *gen->prompts);
    if (!gen->prompts) {
        gen->n_prompts = 0;
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < gen->n_prompts; i++) {
        const int r = chat ? chat_request_encode(&gen->request, gen->x->server->service,
                                                 &gen->prompts[0].ids, reterr)
                           : encode_text(gen, &gen->request.prompts[i], &gen->prompts[i]);
        if (r < 0)
            return r;
        if (gen->prompts[i].ids.n == 0)
            return error_set_param(reterr, -EINVAL, chat ? "messages" : "prompt",
                                   "The prompt is empty: it has no tokens.");
        const size_t n_before = gen->prompts[i].ids.n;
        truncate_ids(gen, &gen->prompts[i].ids);
        if (gen->request.echo) {
            const int echoed = set_echo(gen, &gen->request.prompts[i], n_before, &gen->prompts[i]);
            if (echoed < 0)
                return echoed;
        }
    }
    return check_prompt_scores(gen, reterr);
}

int gen_prepare_encode(struct generation *gen, struct error *reterr) {
    const int r = encode(gen, reterr);
    arena_fini(&gen->scratch); /* the ids say it all */
    gen->request.vars = NULL;
    gen->request.continue_text = NULL;
    gen->request.prompts = NULL;
    return r;
}
