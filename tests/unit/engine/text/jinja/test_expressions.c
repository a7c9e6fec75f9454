/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small templates against what Jinja2 makes of them (tests/golden/templates; the script that asked
 * Jinja2 lies beside the file). Errors must be errors that name the line.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "support.h"

#include "kvasir/chat.h"

#include "json_value.h"

static const struct chat_clock noon = {.unix_seconds = 1738324800}; /* 2025-01-31T12:00:00 */

static bool as_expected(const json_t *record, int r, const struct chat_prompt *prompt,
                        const struct error *error) {
    const json_t *output = json_object_get(record, "output");
    if (!output)
        return r < 0 && strstr(error->message, "line ") != NULL;
    return r == 0 && prompt->text.len == json_string_length(output) &&
           (prompt->text.len == 0 ||
            memcmp(prompt->text.data, json_string_value(output), prompt->text.len) == 0);
}

static bool check(const json_t *record) {
    const json_t *source = json_object_get(record, "template");
    struct chat_template *tmpl = NULL;
    struct chat_value *vars = NULL;
    struct chat_prompt prompt = {.n_user_ranges = 0};
    struct error error = {.message = ""};
    struct arena arena;
    arena_init(&arena, 0);
    assert_int_equal(json_value_convert(json_object_get(record, "vars"), &arena, &vars, NULL), 0);

    int r = chat_template_parse(json_string_value(source), json_string_length(source), "case",
                                &tmpl, &error);
    if (r == 0)
        r = chat_template_render(tmpl, vars, NULL, noon, &prompt, &error);
    const bool good = as_expected(record, r, &prompt, &error);
    if (!good) {
        const char *output = json_string_value(json_object_get(record, "output"));
        print_error("%s\n  expected %s\n  found    %s\n", json_string_value(source),
                    output ? output : json_string_value(json_object_get(record, "error")),
                    r < 0              ? error.message
                    : prompt.text.data ? prompt.text.data
                                       : "");
    }
    chat_prompt_fini(&prompt);
    chat_template_free(tmpl);
    arena_fini(&arena);
    return good;
}

static void test_expressions_give_what_jinja2_gives(void **state) {
    size_t len;
    char *text = test_read_file(test_path("tests/golden/templates/expressions.jsonl"), &len);
    int n_cases = 0;
    int n_good = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *record = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(record);
        n_good += check(record);
        n_cases++;
        json_decref(record);
    }
    test_release(text);
    assert_true(n_cases > 1000);
    assert_int_equal(n_good, n_cases);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions_give_what_jinja2_gives),
    };
    return cmocka_run_group_tests_name("jinja expressions", tests, NULL, NULL);
}
