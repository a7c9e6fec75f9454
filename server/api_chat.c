/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_chat - POST /v1/chat/completions: the shapes of chat choices.
 */
#include <string.h>

#include "api.h"
#include "exchange.h"
#include "generation.h"
#include "server_state.h"

/* {"token","logprob","bytes"}: the bytes let a client join characters that tokens split. */
static void write_token(struct buf *out, const struct tokenizer *tokenizer, token_id token,
                        float logprob) {
    size_t len;
    const char *bytes = tokenizer_token_bytes(tokenizer, token, &len);
    buf_append_str(out, "{\"token\":");
    buf_append_json_string(out, bytes, len);
    buf_append_str(out, ",\"logprob\":");
    gen_write_float(out, logprob);
    buf_append_str(out, ",\"bytes\":[");
    for (size_t i = 0; i < len; i++)
        buf_printf(out, i ? ",%u" : "%u", (unsigned)(unsigned char)bytes[i]);
    buf_append_char(out, ']');
}

static void add_logprob(struct choice *choice, token_id token, const float *logprob,
                        const struct token_logprob *top, uint32_t n_top) {
    const struct tokenizer *tokenizer = choice->gen->x->server->service->tokenizer;
    const int64_t wanted = choice->gen->request.top_logprobs;
    struct buf *out = &choice->logprobs.tokens;

    if (choice->logprobs.n++ > 0)
        buf_append_char(out, ',');
    write_token(out, tokenizer, token, logprob ? *logprob : 0.0f);
    buf_append_str(out, ",\"top_logprobs\":[");
    for (uint32_t i = 0; i < n_top && (int64_t)i < wanted; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        write_token(out, tokenizer, top[i].token, top[i].logprob);
        buf_append_char(out, '}');
    }
    buf_append_str(out, "]}");
}

static void write_logprobs(struct buf *out, const struct choice *choice) {
    if (!choice->gen->request.chat_logprobs) {
        buf_append_str(out, ",\"logprobs\":null");
        return;
    }
    buf_append_str(out, ",\"logprobs\":{\"content\":[");
    buf_append(out, choice->logprobs.tokens.data, choice->logprobs.tokens.len);
    buf_append_str(out, "],\"refusal\":null}");
}

static void write_token_ids(struct buf *out, const struct choice *choice) {
    if (!choice->gen->request.return_token_ids)
        return;
    buf_append_str(out, ",\"token_ids\":[");
    buf_append(out, choice->id_items.data, choice->id_items.len);
    buf_append_char(out, ']');
}

static void write_first(struct buf *out, const struct choice *choice) {
    buf_printf(out,
               "{\"index\":%u,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
               "\"logprobs\":null,\"finish_reason\":null}",
               choice->index);
}

static void write_chunk(struct buf *out, const struct choice *choice) {
    buf_printf(out, "{\"index\":%u,\"delta\":{\"content\":", choice->index);
    buf_append_json_string(out, choice->delta.data, choice->delta.len);
    buf_append_char(out, '}');
    write_logprobs(out, choice);
    buf_append_str(out, ",\"finish_reason\":null");
    write_token_ids(out, choice);
    buf_append_char(out, '}');
}

static void write_end(struct buf *out, const struct choice *choice) {
    buf_printf(out, "{\"index\":%u,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"",
               choice->index, choice_finish_name(choice));
    buf_append_str(out, ",\"stop_reason\":");
    gen_write_stop_reason(out, choice);
    buf_append_char(out, '}');
}

static void write_whole(struct buf *out, const struct choice *choice) {
    buf_printf(out,
               "{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":", choice->index);
    buf_append_json_string(out, choice->delta.data, choice->delta.len);
    buf_append_str(out, ",\"refusal\":null}");
    write_logprobs(out, choice);
    buf_printf(out, ",\"finish_reason\":\"%s\",\"stop_reason\":", choice_finish_name(choice));
    gen_write_stop_reason(out, choice);
    write_token_ids(out, choice);
    buf_append_char(out, '}');
}

static const struct gen_api chat_api = {
    .endpoint = ENDPOINT_CHAT,
    .id_prefix = "chatcmpl-",
    .object = "chat.completion",
    .chunk_object = "chat.completion.chunk",
    .parse = chat_request_parse,
    .write_first = write_first,
    .write_chunk = write_chunk,
    .write_end = write_end,
    .write_whole = write_whole,
    .add_logprob = add_logprob,
};

void api_chat_completions(struct exchange *x) {
    generation_start(x, &chat_api);
}
