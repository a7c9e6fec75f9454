/* SPDX-License-Identifier: Apache-2.0 */
#include "render.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "json_value.h"

void render_init(struct render *r) {
    *r = (struct render){
        .now = {.unix_seconds = 1738324800}, /* 2025-01-31T12:00:00 */
        .limits = {.max_time_us = 2000000u * TEST_SLOWNESS},
    };
    arena_init(&r->arena, 0);
    r->vars = chat_map(&r->arena);
    assert_non_null(r->vars);
}

void render_fini(struct render *r) {
    chat_prompt_fini(&r->prompt);
    arena_fini(&r->arena);
}

void render_set(struct render *r, const char *name, struct chat_value *value) {
    assert_int_equal(chat_map_set(&r->arena, r->vars, name, strlen(name), value), 0);
}

void render_set_text(struct render *r, const char *name, const char *text) {
    render_set(r, name, chat_string(&r->arena, text, strlen(text), /* trusted= */ false));
}

void render_set_trusted(struct render *r, const char *name, const char *text) {
    render_set(r, name, chat_string(&r->arena, text, strlen(text), /* trusted= */ true));
}

void render_set_json(struct render *r, const char *name, const char *json) {
    json_t *tree = json_loads(json, JSON_DECODE_ANY, NULL);
    struct chat_value *value;
    assert_non_null(tree);
    assert_int_equal(json_value_convert(tree, &r->arena, &value, NULL), 0);
    render_set(r, name, value);
    json_decref(tree);
}

int render_bytes(struct render *r, const char *source, size_t len) {
    struct chat_template *tmpl = NULL;
    chat_prompt_fini(&r->prompt);
    r->error = (struct error){.message = ""};
    int result = chat_template_parse(source, len, "test", &tmpl, &r->error);
    if (result == 0)
        result = chat_template_render(tmpl, r->vars, &r->limits, r->now, &r->prompt, &r->error);
    chat_template_free(tmpl);
    return result;
}

int render(struct render *r, const char *source) {
    return render_bytes(r, source, strlen(source));
}

void assert_renders(struct render *r, const char *source, const char *expected) {
    if (render(r, source) < 0)
        fail_msg("%s\n  failed: %s", source, r->error.message);
    assert_string_equal(r->prompt.text.data ? r->prompt.text.data : "", expected);
}

void assert_refuses(struct render *r, const char *source, const char *part) {
    if (render(r, source) != -EINVAL)
        fail_msg("%.200s\n  was not refused", source);
    if (!strstr(r->error.message, part))
        fail_msg("%.200s\n  said: %s\n  without: %s", source, r->error.message, part);
}

bool is_user(const struct render *r, size_t at) {
    for (size_t i = 0; i < r->prompt.n_user_ranges; i++) {
        if (at >= r->prompt.user_ranges[i].start && at < r->prompt.user_ranges[i].end)
            return true;
    }
    return false;
}
