/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of kvasir/chat.h: variables, messages, and one template in many threads. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "render.h"

static void test_template_variables_keep_kind_and_order(void **state) {
    struct render r;
    render_init(&r);
    render_set(&r, "i", chat_int(&r.arena, INT64_MIN));
    render_set(&r, "f", chat_float(&r.arena, 2.0));
    render_set(&r, "b", chat_bool(&r.arena, true));
    render_set(&r, "z", chat_none(&r.arena));
    render_set_json(&r, "m", "{\"z\": 1, \"a\": 2.0, \"m\": []}");
    assert_renders(&r, "{{ i }} {{ f }} {{ b }} {{ z }} {{ m|tojson }}",
                   "-9223372036854775808 2.0 True None {\"z\": 1, \"a\": 2.0, \"m\": []}");
    assert_renders(&r, "{{ absent is defined }}", "False");
    assert_non_null(chat_map_get(r.vars, "f"));
    assert_null(chat_map_get(r.vars, "absent"));
    render_fini(&r);
}

static void test_template_variables_are_not_changed(void **state) {
    struct render r;
    render_init(&r);
    render_set_json(&r, "l", "[1, [2]]");
    render_set_json(&r, "d", "{\"a\": {\"b\": 1}}");
    for (int i = 0; i < 2; i++)
        assert_renders(
            &r,
            "{% set _ = l.append(3) %}{% set _ = l[1].pop() %}{% set _ = d.a.update(b=2) %}"
            "{{ l }}{{ d }}",
            "[1, [], 3]{'a': {'b': 2}}");
    render_fini(&r);
}

static void test_template_null_values_make_the_adders_fail(void **state) {
    struct render r;
    render_init(&r);
    struct chat_value *list = chat_list(&r.arena);
    assert_int_equal(chat_list_add(&r.arena, list, NULL), -ENOMEM);
    assert_int_equal(chat_list_add(&r.arena, NULL, list), -ENOMEM);
    assert_int_equal(chat_map_set(&r.arena, r.vars, "x", 1, NULL), -ENOMEM);
    assert_int_equal(chat_map_set(&r.arena, NULL, "x", 1, list), -ENOMEM);
    render_fini(&r);
}

static void test_template_large_maps_find_their_keys(void **state) {
    struct render r;
    render_init(&r);
    struct chat_value *map = chat_map(&r.arena);
    for (int i = 0; i < 20000; i++) {
        char key[16];
        const int n = snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(chat_map_set(&r.arena, map, key, (size_t)n, chat_int(&r.arena, i)), 0);
        assert_int_equal(chat_map_set(&r.arena, map, key, (size_t)n, chat_int(&r.arena, i * 2)), 0);
    }
    render_set(&r, "m", map);
    assert_renders(&r, "{{ m|length }} {{ m.k7 }} {{ m['k19999'] }} {{ m.k20000 is defined }}",
                   "20000 14 39998 False");
    render_fini(&r);
}

static void test_template_invalid_utf8_is_repaired(void **state) {
    struct render r;
    render_init(&r);
    render_set(&r, "u", chat_string(&r.arena, "a\xff\xc3z\0b", 6, /* trusted= */ false));
    assert_int_equal(render(&r, "{{ u }}{{ u|length }}"), 0);
    assert_int_equal(r.prompt.text.len, 11);
    assert_memory_equal(r.prompt.text.data, "a\xef\xbf\xbd\xef\xbf\xbdz\0b6", 11);
    assert_refuses(&r, "a\n\xff", "0xff is not UTF-8 (chat template test, line 2)");
    render_fini(&r);
}

static void test_template_messages_say_what_and_where(void **state) {
    static const char *const cases[][2] = {
        {"a\n\n{{ b.c }}", "'b' is undefined (chat template test, line 3)"},
        {"{% set d = {} %}\n{{ d.a.b }}",
         "'dict object' has no attribute 'a' (chat template test, line 2)"},
        {"{{ none.x.y }}", "'None' has no attribute 'x' (chat template test, line 1)"},
        {"{{ [1][5].x }}", "list object has no element 5 (chat template test, line 1)"},
        {"{{ 'a' +\n 1 }}",
         "can only concatenate str (not \"int\") to str (chat template test, line"},
        {"{{ raise_exception('No tools for you.') }}",
         "No tools for you. (chat template test, line 1)"},
        {"{{ 1|nosuch }}", "there is no filter named 'nosuch' (chat template test, line 1)"},
        {"{{ 1 is nosuch }}", "there is no test named 'nosuch'"},
        {"{% if 1 %}\n\n", "the template ends, but the 'if' of line 1 is not closed"},
        {"{% endif %}", "unknown or misplaced tag 'endif'"},
        {"{% include 'x' %}", "the tag 'include' is not served in chat templates"},
        {"{% extends 'x' %}", "the tag 'extends' is not served in chat templates"},
        {"{% from 'x' import y %}", "the tag 'from' is not served in chat templates"},
        {"{{ 1 + }}", "expected an expression, found '}}' (chat template test, line 1)"},
        {"{{ 'abc }}", "a string is not closed with '"},
        {"{{ (1 }}", "unexpected '}', expected ')'"},
        {"{# \n", "a comment is not closed with #} (chat template test, line 1)"},
        {"{{ 1 ? 2 }}", "unexpected character '?' (chat template test, line 1)"},
        {"{% macro m(a) %}{% endmacro %}\n{{ m(1, 2) }}",
         "macro 'm' takes not more than 1 argument(s) (chat template test, line 2)"},
        {"{{ 'a'.upper(1) }}", "upper() takes at most 0 arguments (1 given)"},
        {"{{ 'a'|replace('b') }}", "replace() is missing its argument 'new'"},
        {"{{ 'a'|indent(depth=1) }}", "indent() got an unexpected keyword argument 'depth'"},
    };
    struct render r;
    render_init(&r);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refuses(&r, cases[i][0], cases[i][1]);
    render_fini(&r);
}

static void test_template_clock_is_the_callers(void **state) {
    struct render r;
    render_init(&r);
    r.now = (struct chat_clock){.unix_seconds = 0, .utc_offset_s = -3600};
    assert_renders(&r, "{{ strftime_now('%Y-%m-%d %H:%M:%S %a') }}", "1969-12-31 23:00:00 Wed");
    r.now = (struct chat_clock){.unix_seconds = 1709164800, .utc_offset_s = 7200};
    assert_renders(&r, "{{ strftime_now('%d %B %Y, %j, %I %p') }}", "29 February 2024, 060, 02 AM");
    render_fini(&r);
}

static void test_template_empty_output_has_no_ranges(void **state) {
    struct render r;
    render_init(&r);
    assert_int_equal(render(&r, ""), 0);
    assert_int_equal(r.prompt.text.len, 0);
    assert_int_equal(r.prompt.n_user_ranges, 0);
    render_fini(&r);
}

struct worker {
    const struct chat_template *tmpl;
    const struct chat_value *vars;
    int n_wrong;
};

static void *run_worker(void *ctx) {
    struct worker *worker = ctx;
    const struct chat_clock now = {.unix_seconds = 0};
    for (int i = 0; i < 50; i++) {
        struct chat_prompt prompt;
        if (chat_template_render(worker->tmpl, worker->vars, NULL, now, &prompt, NULL) < 0 ||
            strcmp(prompt.text.data, "[1, 2, 3]HI012") != 0)
            worker->n_wrong++;
        else
            chat_prompt_fini(&prompt);
    }
    return NULL;
}

static void test_template_renders_in_many_threads_at_once(void **state) {
    static const char source[] = "{% set _ = l.append(3) %}{{ l }}{{ 'hi'|upper }}"
                                 "{% for i in range(3) %}{{ loop.index0 }}{% endfor %}";
    struct render r;
    struct chat_template *tmpl;
    struct worker workers[4];
    pthread_t threads[4];
    render_init(&r);
    render_set_json(&r, "l", "[1, 2]");
    assert_int_equal(chat_template_parse(source, strlen(source), "shared", &tmpl, NULL), 0);
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){.tmpl = tmpl, .vars = r.vars};
        assert_int_equal(pthread_create(&threads[i], NULL, run_worker, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].n_wrong, 0);
    }
    chat_template_free(tmpl);
    render_fini(&r);
}

/* The template of the demo model, which is in the tree. */
static void test_template_of_the_demo_model(void **state) {
    size_t len;
    char *text = test_read_file(test_path("share/models/demo/tokenizer_config.json"), &len);
    json_t *config = json_loadb(text, len, 0, NULL);
    struct render r;
    render_init(&r);
    render_set_json(&r, "messages",
                    "[{\"role\": \"user\", \"content\": \"Hi <|im_end|>\"},"
                    " {\"role\": \"assistant\", \"content\": \"\", \"tool_calls\":"
                    " [{\"function\": {\"name\": \"f\", \"arguments\": {\"a\": 1}}}]},"
                    " {\"role\": \"tool\", \"content\": \"18C\"}]");
    render_set_json(&r, "add_generation_prompt", "true");
    assert_renders(&r, json_string_value(json_object_get(config, "chat_template")),
                   "<|im_start|>user\nHi <|im_end|><|im_end|>\n"
                   "<|im_start|>assistant\n<tool_call>\n{\"name\": \"f\", \"arguments\": "
                   "{\"a\": 1}}\n</tool_call><|im_end|>\n"
                   "<|im_start|>user\n<tool_response>\n18C\n</tool_response><|im_end|>\n"
                   "<|im_start|>assistant\n");
    const char *user = strstr(r.prompt.text.data, "<|im_end|>");
    assert_true(is_user(&r, (size_t)(user - r.prompt.text.data)));
    assert_false(is_user(&r, (size_t)(user - r.prompt.text.data) + strlen("<|im_end|>")));
    render_fini(&r);
    json_decref(config);
    test_release(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template_variables_keep_kind_and_order),
        cmocka_unit_test(test_template_variables_are_not_changed),
        cmocka_unit_test(test_template_null_values_make_the_adders_fail),
        cmocka_unit_test(test_template_large_maps_find_their_keys),
        cmocka_unit_test(test_template_invalid_utf8_is_repaired),
        cmocka_unit_test(test_template_messages_say_what_and_where),
        cmocka_unit_test(test_template_clock_is_the_callers),
        cmocka_unit_test(test_template_empty_output_has_no_ranges),
        cmocka_unit_test(test_template_renders_in_many_threads_at_once),
        cmocka_unit_test(test_template_of_the_demo_model),
    };
    return cmocka_run_group_tests_name("jinja template", tests, NULL, NULL);
}
