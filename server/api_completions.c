/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_completions - POST /v1/completions: prompts as text or ids, and the shapes of text choices.
 */
#include <errno.h>
#include <string.h>

#include "kvasir/utf8.h"

#include "api.h"
#include "exchange.h"
#include "generation.h"
#include "server_state.h"

/* ---- prompts ---- */

static int wrong_prompt(struct error *reterr) {
    return error_set_param(reterr, -EINVAL, "prompt",
                           "'prompt' must be a string, an array of token ids, or an array of "
                           "either.");
}

static int parse_one(const json_t *value, const struct gen_context *context,
                     struct gen_prompt *prompt, struct error *reterr) {
    if (json_is_string(value)) {
        prompt->len = json_string_length(value);
        prompt->text = arena_dup(context->arena, json_string_value(value), prompt->len);
        return prompt->text ? 0 : -ENOMEM;
    }
    if (!json_is_array(value))
        return wrong_prompt(reterr);
    if (json_array_size(value) == 0)
        return error_set_param(reterr, -EINVAL, "prompt", "A prompt must have at least one token.");
    /* A prompt that is too long is told so with both numbers later; this bounds the array. */
    return params_parse_ids(value, "prompt", UINT32_MAX, context, &prompt->ids, &prompt->n_ids,
                            reterr);
}

int completions_parse_prompts(const json_t *root, const struct gen_context *context,
                              struct gen_request *request, struct error *reterr) {
    const json_t *value = json_object_get(root, "prompt");
    if (!json_is_string(value) && !json_is_array(value))
        return wrong_prompt(reterr);
    if (json_is_array(value) && json_array_size(value) == 0)
        return error_set_param(reterr, -EINVAL, "prompt", "'prompt' must not be empty.");

    /* An array of numbers is one prompt; an array of anything else is several. */
    const bool several = json_is_array(value) && !json_is_number(json_array_get(value, 0));
    const size_t n = several ? json_array_size(value) : 1;
    if (n * (size_t)request->n > context->max_sequences)
        return error_set_param(
            reterr, -EINVAL, "prompt",
            "A request can have at most %u choices; %zu prompts times n=%lld are "
            "more.",
            context->max_sequences, n, (long long)request->n);
    request->prompts = arena_alloc_zero(context->arena, n, sizeof *request->prompts);
    if (!request->prompts)
        return -ENOMEM;
    request->n_prompts = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const int r = parse_one(several ? json_array_get(value, i) : value, context,
                                &request->prompts[i], reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- choices ---- */

static uint64_t count_characters(const char *bytes, size_t len) {
    uint64_t n = 0;
    for (size_t i = 0; i < len;) {
        const size_t step = utf8_sequence(bytes + i, len - i);
        i += step ? step : 1; /* a broken byte shows as one U+FFFD */
        n++;
    }
    return n;
}

static void write_top(struct buf *out, const struct tokenizer *tokenizer, token_id token,
                      float logprob) {
    size_t len;
    const char *bytes = tokenizer_token_bytes(tokenizer, token, &len);
    buf_append_json_string(out, bytes, len);
    buf_append_char(out, ':');
    gen_write_float(out, logprob);
}

/* Four arrays side by side; the token itself is always among its top ones, as in vLLM. */
static void add_logprob(struct choice *choice, token_id token, const float *logprob,
                        const struct token_logprob *top, uint32_t n_top) {
    const struct tokenizer *tokenizer = choice->gen->x->server->service->tokenizer;
    const int64_t wanted = choice->gen->request.n_logprobs;
    struct logprob_items *items = &choice->logprobs;
    const char *comma = items->n++ > 0 ? "," : "";
    size_t len;
    const char *bytes = tokenizer_token_bytes(tokenizer, token, &len);

    buf_append_str(&items->tokens, comma);
    buf_append_json_string(&items->tokens, bytes, len);
    buf_printf(&items->offsets, "%s%llu", comma, (unsigned long long)choice->text_offset);
    choice->text_offset += count_characters(bytes, len);
    buf_append_str(&items->values, comma);
    buf_append_str(&items->tops, comma);
    if (!logprob) {
        buf_append_str(&items->values, "null");
        buf_append_str(&items->tops, "null");
        return;
    }
    gen_write_float(&items->values, *logprob);
    buf_append_char(&items->tops, '{');
    write_top(&items->tops, tokenizer, token, *logprob);
    for (uint32_t i = 0; i < n_top && (int64_t)i < wanted; i++) {
        if (top[i].token == token)
            continue;
        buf_append_char(&items->tops, ',');
        write_top(&items->tops, tokenizer, top[i].token, top[i].logprob);
    }
    buf_append_char(&items->tops, '}');
}

static void write_array(struct buf *out, const char *name, const struct buf *items) {
    buf_printf(out, "\"%s\":[", name);
    buf_append(out, items->data, items->len);
    buf_append_char(out, ']');
}

static void write_logprobs(struct buf *out, const struct choice *choice) {
    const struct logprob_items *items = &choice->logprobs;
    if (choice->gen->request.n_logprobs < 0) {
        buf_append_str(out, ",\"logprobs\":null");
        return;
    }
    buf_append_str(out, ",\"logprobs\":{");
    write_array(out, "tokens", &items->tokens);
    buf_append_char(out, ',');
    write_array(out, "token_logprobs", &items->values);
    buf_append_char(out, ',');
    write_array(out, "top_logprobs", &items->tops);
    buf_append_char(out, ',');
    write_array(out, "text_offset", &items->offsets);
    buf_append_char(out, '}');
}

static void write_ids(struct buf *out, const struct choice *choice, bool with_prompt) {
    if (!choice->gen->request.return_token_ids)
        return;
    buf_append_char(out, ',');
    write_array(out, "token_ids", &choice->id_items);
    if (with_prompt) {
        buf_append_str(out, ",\"prompt_token_ids\":[");
        gen_write_ids(out, choice->prompt->ids.ids, choice->prompt->ids.n);
        buf_append_char(out, ']');
    }
}

static void write_text(struct buf *out, const struct choice *choice) {
    buf_printf(out, "{\"index\":%u,\"text\":", choice->index);
    buf_append_json_string(out, choice->delta.data, choice->delta.len);
    write_logprobs(out, choice);
}

static void write_chunk(struct buf *out, const struct choice *choice) {
    write_text(out, choice);
    buf_append_str(out, ",\"finish_reason\":null,\"stop_reason\":null");
    write_ids(out, choice, /* with_prompt= */ false);
    buf_append_char(out, '}');
}

static void write_finish(struct buf *out, const struct choice *choice) {
    buf_printf(out, ",\"finish_reason\":\"%s\",\"stop_reason\":", choice_finish_name(choice));
    gen_write_stop_reason(out, choice);
}

static void write_end(struct buf *out, const struct choice *choice) {
    buf_printf(out, "{\"index\":%u,\"text\":\"\",\"logprobs\":null", choice->index);
    write_finish(out, choice);
    buf_append_char(out, '}');
}

static void write_whole(struct buf *out, const struct choice *choice) {
    write_text(out, choice);
    write_finish(out, choice);
    write_ids(out, choice, /* with_prompt= */ true);
    if (choice->gen->request.prompt_logprobs >= 0) {
        buf_append_str(out, ",\"prompt_logprobs\":");
        gen_write_prompt_logprobs(out, choice);
    }
    buf_append_char(out, '}');
}

static const struct gen_api completions_api = {
    .endpoint = ENDPOINT_COMPLETIONS,
    .id_prefix = "cmpl-",
    .object = "text_completion",
    .chunk_object = "text_completion",
    .parse = completions_parse_prompts,
    .write_chunk = write_chunk,
    .write_end = write_end,
    .write_whole = write_whole,
    .add_logprob = add_logprob,
};

void api_completions(struct exchange *x) {
    generation_start(x, &completions_api);
}
