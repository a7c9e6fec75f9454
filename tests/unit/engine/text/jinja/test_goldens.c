/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The templates of published models against what Jinja2 makes of them, text and errors alike.
 * The templates belong to their publishers and are not part of the repository: skipped without.
 */
#include <string.h>

#include <jansson.h>

#include "support.h"

#include "kvasir/chat.h"

#include "json_value.h"

enum { N_KNOWN_CASES = 528 };

static const struct chat_clock noon = {.unix_seconds = 1738324800}; /* 2025-01-31T12:00:00 */

struct case_result {
    int r;
    struct chat_prompt prompt;
    struct error error;
};

static void add_token(struct arena *arena, struct chat_value *vars, const json_t *record,
                      const char *name) {
    const char *text = json_string_value(json_object_get(record, name));
    struct chat_value *token = chat_string(arena, text, strlen(text), /* trusted= */ true);
    assert_int_equal(chat_map_set(arena, vars, name, strlen(name), token), 0);
}

static struct case_result render(const char *source, size_t len, const json_t *record) {
    struct case_result result = {.r = 0};
    struct chat_template *tmpl = NULL;
    struct chat_value *vars = NULL;
    struct arena arena;
    arena_init(&arena, 0);
    assert_int_equal(json_value_convert(json_object_get(record, "vars"), &arena, &vars, NULL), 0);
    add_token(&arena, vars, record, "bos_token");
    add_token(&arena, vars, record, "eos_token");

    result.r = chat_template_parse(source, len, "golden", &tmpl, &result.error);
    if (result.r == 0)
        result.r = chat_template_render(tmpl, vars, NULL, noon, &result.prompt, &result.error);
    chat_template_free(tmpl);
    arena_fini(&arena);
    return result;
}

/* raise_exception's words stand first in ours; other errors have their own words. */
static bool is_expected_error(const struct case_result *result, const char *expected) {
    static const char raised[] = "TemplateError: ";
    if (result->r == 0)
        return false;
    if (strncmp(expected, raised, sizeof raised - 1) != 0)
        return strstr(result->error.message, "line ") != NULL;
    const char *words = expected + sizeof raised - 1;
    return strncmp(result->error.message, words, strlen(words)) == 0;
}

static bool check(const json_t *record) {
    const char *name = json_string_value(json_object_get(record, "template"));
    const char *expected = json_string_value(json_object_get(record, "output"));
    const char *error = json_string_value(json_object_get(record, "error"));
    char relative[256];
    (void)snprintf(relative, sizeof relative, "templates/%s", name);
    size_t len;
    char *source = test_read_file(test_shared_path(relative), &len);
    struct case_result result = render(source, len, record);
    bool good;
    if (expected)
        good = result.r == 0 && result.prompt.text.len == strlen(expected) &&
               memcmp(result.prompt.text.data, expected, strlen(expected)) == 0;
    else
        good = is_expected_error(&result, error);
    if (!good)
        print_error("%s %s\n expected: %s\n found: %s\n", name,
                    json_string_value(json_object_get(record, "case")), expected ? expected : error,
                    result.r == 0 ? result.prompt.text.data : result.error.message);
    chat_prompt_fini(&result.prompt);
    test_release(source);
    return good;
}

static void test_templates_render_as_jinja2_does(void **state) {
    size_t len;
    char *text = test_read_file(test_shared_path("templates/goldens.jsonl"), &len);
    int n_cases = 0;
    int n_good = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *record = json_loads(line, 0, NULL);
        assert_non_null(record);
        n_good += check(record);
        n_cases++;
        json_decref(record);
    }
    test_release(text);
    assert_true(n_cases >= N_KNOWN_CASES);
    assert_int_equal(n_good, n_cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates_render_as_jinja2_does),
    };
    return cmocka_run_group_tests_name("jinja goldens", tests, NULL, NULL);
}
