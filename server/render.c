/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render - the prompt of a chat request without a server around it (`kvasir render MODEL`).
 */
#include <errno.h>

#include "kvasir/server.h"

#include "gen_request.h"
#include "json_read.h"

int server_render_chat(const char *body, size_t len, const struct tokenizer *tokenizer,
                       const struct chat_template *chat_template, struct chat_clock now,
                       struct chat_prompt *ret_prompt, struct error *reterr) {
    json_read_init();
    json_t *root;
    int r = json_read(body, len, &root, reterr);
    if (r < 0)
        return r;

    struct arena arena;
    arena_init(&arena, 0);
    const struct gen_context context = {
        .tokenizer = tokenizer,
        .max_n = UINT32_MAX,
        .max_sequences = UINT32_MAX,
        .arena = &arena,
    };
    struct gen_request request;
    r = params_parse(root, ENDPOINT_CHAT, &context, &request, reterr);
    if (r == 0)
        r = chat_request_parse(root, &context, &request, reterr);
    if (r == 0)
        r = chat_request_render(&request, chat_template, now, ret_prompt, reterr);
    arena_fini(&arena);
    json_decref(root);
    return r;
}
