/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_tokenize - POST /tokenize and /detokenize, in vLLM's shapes. Both do all their work in one
 * job on the pool, for the texts may be large.
 */
#include <errno.h>
#include <string.h>

#include <uv.h>

#include "api.h"
#include "exchange.h"
#include "gen_request.h"
#include "json_read.h"
#include "server_state.h"

/* Lives in the exchange's arena and holds a reference to it. */
struct text_job {
    struct exchange *x;
    int (*run)(struct text_job *job, const json_t *root, struct error *reterr);
    struct buf body; /* of the response */
    int result;
    struct error error;
    struct budget_claim claim;
    uv_work_t work;
};

static void work(uv_work_t *uv_work) {
    struct text_job *job = uv_work->data;
    const struct span body = job->x->request->body;
    json_t *root;
    job->result = json_read(body.bytes, body.len, &root, &job->error);
    if (job->result < 0)
        return;
    job->result = job->run(job, root, &job->error);
    json_decref(root);
}

static void after_work(uv_work_t *uv_work, int status) {
    struct text_job *job = uv_work->data;
    struct exchange *x = job->x;
    struct server *server = x->server;
    server->n_jobs--;
    exchange_drop_body(x);
    budget_claim_end(&server->budget, &job->claim);
    if (!exchange_is_gone(x)) {
        if (status < 0 || job->result < 0)
            exchange_reject(x, status < 0 ? -ESHUTDOWN : job->result, &job->error);
        else
            exchange_reply_json(x, &job->body);
    }
    buf_fini(&job->body);
    exchange_unref(x);
    server_maybe_quit(server);
}

static void on_granted(struct budget_claim *claim) {
    struct text_job *job = list_entry(claim, struct text_job, claim);
    struct server *server = job->x->server;
    server->n_jobs++;
    /* Fails only without a callback. */
    (void)uv_queue_work(&server->loop, &job->work, work, after_work);
}

/* The client is gone: a job that has not begun does not. */
static void on_gone(struct exchange *x) {
    struct text_job *job = x->state;
    if (!budget_claim_waits(&job->claim))
        return;
    budget_claim_end(&x->server->budget, &job->claim);
    exchange_unref(x);
}

static void start(struct exchange *x,
                  int (*run)(struct text_job *job, const json_t *root, struct error *reterr)) {
    struct text_job *job = arena_alloc_zero(&x->arena, 1, sizeof *job);
    if (!job) {
        exchange_reject(x, -ENOMEM, &(struct error){0});
        return;
    }
    job->x = x;
    job->run = run;
    job->work.data = job;
    exchange_ref(x);
    x->state = job;
    x->on_gone = on_gone;
    budget_claim_begin(&x->server->budget, &job->claim, 2 * json_read_cost(x->request->body.len),
                       on_granted);
}

/* ---- tokenize ---- */

static int encode_messages(const json_t *root, const struct gen_context *context,
                           const struct gen_request *parsed, struct token_buf *ids,
                           struct error *reterr) {
    struct gen_request request = *parsed;
    if (!context->service->chat_template)
        return error_set_param(reterr, -EINVAL, "messages",
                               "The model has no chat template; send a 'prompt'.");
    int r = chat_request_parse(root, context, &request, reterr);
    if (r < 0)
        return r;
    return chat_request_encode(&request, context->service, ids, reterr);
}

static int encode_prompt(const json_t *root, const struct gen_context *context,
                         struct token_buf *ids, struct error *reterr) {
    const json_t *prompt = json_object_get(root, "prompt");
    const json_t *special = json_object_get(root, "add_special_tokens");
    if (!json_is_string(prompt))
        return error_set_param(reterr, -EINVAL, "prompt",
                               "'prompt' must be a string (or send 'messages').");
    /* For a prompt the default is true, for messages false, as in vLLM. */
    const bool add = !json_is_boolean(special) || json_is_true(special);
    return tokenizer_encode(
        context->tokenizer, json_string_value(prompt), json_string_length(prompt),
        TOKENIZER_PARSE_SPECIAL | (add ? (unsigned)TOKENIZER_ADD_SPECIAL : 0u), NULL, 0, ids);
}

static void write_ids(struct text_job *job, const struct token_buf *ids, bool with_strings) {
    const struct service *service = job->x->server->service;
    struct buf *out = &job->body;
    buf_printf(out, "{\"count\":%zu,\"max_model_len\":%u,\"tokens\":[", ids->n,
               service->max_model_len);
    for (size_t i = 0; i < ids->n; i++)
        buf_printf(out, i ? ",%d" : "%d", ids->ids[i]);
    buf_append_str(out, "],\"token_strs\":");
    if (!with_strings) {
        buf_append_str(out, "null}");
        return;
    }
    buf_append_char(out, '[');
    for (size_t i = 0; i < ids->n; i++) {
        size_t len;
        const char *bytes = tokenizer_token_bytes(service->tokenizer, ids->ids[i], &len);
        if (i > 0)
            buf_append_char(out, ',');
        buf_append_json_string(out, bytes, len);
    }
    buf_append_str(out, "]}");
}

static int tokenize(struct text_job *job, const json_t *root, struct error *reterr) {
    const struct gen_context context = gen_context_of(job->x->server, &job->x->arena);
    struct gen_request request;
    int r = params_parse(root, ENDPOINT_TOKENIZE, &context, &request, reterr);
    if (r < 0)
        return r;
    const json_t *strings = json_object_get(root, "return_token_strs");
    struct token_buf ids = {0};
    if (json_object_get(root, "messages"))
        r = encode_messages(root, &context, &request, &ids, reterr);
    else
        r = encode_prompt(root, &context, &ids, reterr);
    if (r == 0)
        write_ids(job, &ids, json_is_true(strings));
    token_buf_fini(&ids);
    return r;
}

void api_tokenize(struct exchange *x) {
    start(x, tokenize);
}

/* ---- detokenize ---- */

static int detokenize(struct text_job *job, const json_t *root, struct error *reterr) {
    const struct gen_context context = gen_context_of(job->x->server, &job->x->arena);
    struct gen_request request;
    int r = params_parse(root, ENDPOINT_TOKENIZE, &context, &request, reterr); /* for "model" */
    if (r < 0)
        return r;
    const json_t *tokens = json_object_get(root, "tokens");
    if (!json_is_array(tokens))
        return error_set_param(reterr, -EINVAL, "tokens",
                               "'tokens' must be an array of token ids.");
    const token_id *ids;
    uint32_t n;
    r = params_parse_ids(tokens, "tokens", UINT32_MAX, &context, &ids, &n, reterr);
    if (r < 0)
        return r;

    struct buf text = {0};
    r = tokenizer_decode(context.tokenizer, ids, n, /* skip_special= */ false, &text);
    if (r == 0) {
        buf_append_str(&job->body, "{\"prompt\":");
        buf_append_json_string(&job->body, text.data, text.len);
        buf_append_char(&job->body, '}');
    }
    buf_fini(&text);
    return r;
}

void api_detokenize(struct exchange *x) {
    start(x, detokenize);
}
