/* SPDX-License-Identifier: Apache-2.0 */
/*
 * request - what a caller fills and submit takes: one arena that owns itself, and the prompt.
 */
#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/scheduler.h"

/* Room for output behind the prompt; most answers need no second allocation. */
enum { FIRST_ROOM = 64 };

struct scheduler_request *scheduler_request_create(const token_id *prompt, uint32_t n_prompt,
                                                   size_t max_bytes) {
    if (n_prompt > INT32_MAX)
        return NULL;
    const uint32_t cap = n_prompt + FIRST_ROOM;
    struct arena arena;
    arena_init(&arena, max_bytes);

    struct scheduler_request *request = arena_alloc_zero(&arena, 1, sizeof *request);
    token_id *copy = request ? mem_alloc_array(cap, sizeof *copy) : NULL;
    if (!copy) {
        arena_fini(&arena);
        return NULL;
    }

    if (n_prompt > 0)
        memcpy(copy, prompt, n_prompt * sizeof *copy);
    *request = (struct scheduler_request){
        .arena = arena, /* moved: the struct lives in the memory that its own field owns */
        .prompt = copy,
        .n_prompt = n_prompt,
        .cap_prompt = cap,
    };
    return request;
}

void scheduler_request_free(struct scheduler_request *request) {
    if (!request)
        return;

    mem_free(request->prompt);
    struct arena arena = request->arena; /* out of the memory that is about to be freed */
    arena_fini(&arena);
}
