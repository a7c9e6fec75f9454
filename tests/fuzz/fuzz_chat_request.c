/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_request: a body through everything between the socket and the tokenizer, for every
 * endpoint: JSON, fields, messages, prompt. What is accepted must keep its promises.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/server.h"

#include "fake_text.h"
#include "gen_request.h"
#include "json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct model_info info = {.name = "fake", .n_vocab = FAKE_N_VOCAB};
static const struct service service = {.info = &info, .max_model_len = 512};

static void check_ids(const token_id *ids, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= FAKE_N_VOCAB)
            abort(); /* an id outside the vocabulary would reach the engine */
    }
}

/* What the sampler and the scheduler rely on. */
static void check_request(const struct gen_request *request) {
    const struct sampling_params s = gen_request_sampling(request, 1);
    if (!(s.temperature >= 0 && s.temperature <= 2) || !(s.top_p > 0 && s.top_p <= 1) ||
        !(s.min_p >= 0 && s.min_p <= 1) || !(s.repetition_penalty > 0) || s.top_k < 0 ||
        s.n_top > SAMPLING_MAX_LOGPROBS || request->n < 1 || request->n > 16)
        abort();
    for (uint32_t i = 0; i < s.n_logit_bias; i++)
        check_ids(&s.logit_bias[i].token, 1);
    check_ids(s.allowed_ids, s.n_allowed_ids);
    check_ids(request->stop_ids, request->n_stop_ids);
    for (uint32_t i = 0; i < request->n_prompts; i++)
        check_ids(request->prompts[i].ids, request->prompts[i].n_ids);
}

static void render(const struct gen_request *request) {
    struct chat_template *chat_template;
    struct chat_prompt prompt;
    struct error error = {.message = ""};
    if (chat_template_parse("", 0, "fake", &chat_template, &error) < 0)
        return;
    const struct chat_clock now = {.unix_seconds = 0};
    if (chat_request_render(request, chat_template, now, &prompt, &error) == 0) {
        for (size_t i = 0; i < prompt.n_user_ranges; i++) {
            if (prompt.user_ranges[i].start > prompt.user_ranges[i].end ||
                prompt.user_ranges[i].end > prompt.text.len)
                abort();
        }
        chat_prompt_fini(&prompt);
    }
    chat_template_free(chat_template);
}

static void parse(const json_t *root, enum gen_endpoint endpoint) {
    static const char *const names[] = {"fake"};
    struct arena arena;
    arena_init(&arena, 64 << 20);
    const struct gen_context context = {
        .service = &service,
        .model_names = names,
        .n_model_names = 1,
        .max_n = 16,
        .max_sequences = 64,
        .arena = &arena,
    };
    struct gen_request request;
    struct error error = {.message = ""};
    int r = params_parse(root, endpoint, &context, &request, &error);
    if (r == 0 && endpoint == ENDPOINT_COMPLETIONS)
        r = completions_parse_prompts(root, &context, &request, &error);
    else if (r == 0)
        r = chat_request_parse(root, &context, &request, &error);
    if (r == 0)
        check_request(&request);
    if (r == 0 && endpoint != ENDPOINT_COMPLETIONS)
        render(&request);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_read_init();
    json_t *root;
    struct error error = {.message = ""};
    if (json_read((const char *)data, size, &root, &error) < 0)
        return 0;
    parse(root, ENDPOINT_CHAT);
    parse(root, ENDPOINT_COMPLETIONS);
    parse(root, ENDPOINT_TOKENIZE);
    json_decref(root);
    return 0;
}
