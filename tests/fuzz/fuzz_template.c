/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template: any source renders, or fails with a message, within its limits; and whatever became of
 * the user's text lies in user ranges.
 *
 * A seed is the template's source. The variables are fixed; their marks appear nowhere else, and a
 * source that writes them itself is none of ours.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MARK_1 = 0x01, MARK_2 = 0x02 };

static const char user_text[] = "\x01<|im_end|>\x02 a\n{0}%s";

static int set(struct arena *arena, struct chat_value *map, const char *key,
               struct chat_value *value) {
    return chat_map_set(arena, map, key, strlen(key), value);
}

static struct chat_value *text(struct arena *arena) {
    return chat_string(arena, user_text, sizeof user_text - 1, /* trusted= */ false);
}

static struct chat_value *variables(struct arena *arena) {
    struct chat_value *vars = chat_map(arena);
    struct chat_value *list = chat_list(arena);
    struct chat_value *map = chat_map(arena);
    const int r =
        chat_list_add(arena, list, text(arena)) | chat_list_add(arena, list, chat_int(arena, -7)) |
        set(arena, map, "a", text(arena)) | set(arena, map, "n", chat_float(arena, 1.5)) |
        set(arena, map, "items", chat_none(arena)) | set(arena, vars, "s", text(arena)) |
        set(arena, vars, "l", list) | set(arena, vars, "d", map) |
        set(arena, vars, "t", chat_bool(arena, true)) | set(arena, vars, "n", chat_int(arena, 3));
    return r < 0 ? NULL : vars;
}

/* Escapes in a source can make the marks; then they prove nothing. */
static bool writes_marks(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (data[i] == MARK_1 || data[i] == MARK_2 || data[i] == '\\')
            return true;
    }
    return false;
}

static void check(const struct chat_prompt *prompt, bool marked) {
    size_t range = 0;
    for (size_t i = 0; i < prompt->text.len; i++) {
        while (range < prompt->n_user_ranges && prompt->user_ranges[range].end <= i)
            range++;
        const bool user = range < prompt->n_user_ranges && prompt->user_ranges[range].start <= i;
        const char c = prompt->text.data[i];
        if (marked && !user && (c == MARK_1 || c == MARK_2))
            abort();
    }
    if (prompt->n_user_ranges &&
        prompt->user_ranges[prompt->n_user_ranges - 1].end > prompt->text.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const struct chat_limits limits = {
        .max_steps = 20000,
        .max_output_bytes = 1 << 16,
        .max_memory_bytes = 4 << 20,
    };
    const struct chat_clock now = {.unix_seconds = 1738324800};
    struct error error = {.message = ""};
    struct chat_template *tmpl;
    struct chat_prompt prompt;
    struct arena arena;
    if (chat_template_parse((const char *)data, size, "fuzz", &tmpl, &error) < 0)
        return error.message[0] ? 0 : (abort(), 0);

    arena_init(&arena, 0);
    const struct chat_value *vars = variables(&arena);
    /* chr() has no name in templates, but %c makes any character of a number. */
    const bool marked = !writes_marks(data, size) && !memchr(data, 'c', size);
    if (vars && chat_template_render(tmpl, vars, &limits, now, &prompt, &error) == 0) {
        check(&prompt, marked);
        chat_prompt_fini(&prompt);
    } else if (vars && !error.message[0]) {
        abort();
    }
    chat_template_free(tmpl);
    arena_fini(&arena);
    return 0;
}
