/* SPDX-License-Identifier: Apache-2.0 */
/* Chat requests: how messages are normalised, seen through the ChatML of fake_text. */
#include <errno.h>
#include <string.h>

#include "kvasir/server.h"

#include "fake_text.h"
#include "support.h"

static struct chat_template *chat_template;

/* The prompt of a body; NULL with the error. */
static int render(const char *body, struct chat_prompt *prompt, struct error *error) {
    *prompt = (struct chat_prompt){0};
    *error = (struct error){.message = ""};
    return server_render_chat(body, strlen(body), NULL, chat_template, (struct chat_clock){0},
                              prompt, error);
}

static void check(const char *body, const char *expected) {
    struct chat_prompt prompt;
    struct error error;
    const int r = render(body, &prompt, &error);
    if (r < 0)
        fail_msg("%s: %s", body, error.message);
    assert_string_equal(prompt.text.data, expected);
    chat_prompt_fini(&prompt);
}

static void refuse(const char *body, int code, const char *param) {
    struct chat_prompt prompt;
    struct error error;
    const int r = render(body, &prompt, &error);
    if (r != code || strcmp(error.param, param) != 0)
        fail_msg("%s: code %d, param '%s': %s", body, r, error.param, error.message);
}

#define USER(content) "{\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"
#define ANSWER "<|im_start|>assistant\n"

static void test_content_forms(void **state) {
    (void)state;
    const char *hi = "<|im_start|>user\nhi<|im_end|>\n" ANSWER;
    check(USER("\"hi\""), hi);
    check(USER("[{\"type\":\"text\",\"text\":\"hi\"}]"), hi);
    check(USER("[\"hi\"]"), hi);
    check(USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"input_text\",\"text\":\"b\"}]"),
          "<|im_start|>user\na\nb<|im_end|>\n" ANSWER);
    check(USER("[]"), "<|im_start|>user\n<|im_end|>\n" ANSWER);
}

static void test_roles(void **state) {
    (void)state;
    check("{\"messages\":[{\"role\":\"developer\",\"content\":\"be\"},"
          "{\"role\":\"assistant\",\"content\":null},{\"role\":\"tool\",\"content\":\"x\"}]}",
          "<|im_start|>system\nbe<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
          "<|im_start|>tool\nx<|im_end|>\n" ANSWER);
}

static void test_tool_calls_become_objects(void **state) {
    (void)state;
    check("{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\","
          "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
          "\"{\\\"n\\\": 3, \\\"s\\\": \\\"t\\\"}\"}}]}]}",
          "<|im_start|>assistant\n{f(n=3 s=t)}<|im_end|>\n" ANSWER);
    check("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
          "\"arguments\":\"\"}}]}]}",
          "<|im_start|>assistant\n{f()}<|im_end|>\n" ANSWER);
    refuse("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{\"name\":\"f\","
           "\"arguments\":\"{\"}}]}]}",
           -EINVAL, "messages[0].tool_calls[0].function.arguments");
    refuse("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]}", -EINVAL,
           "messages[0].tool_calls[0].function");
    refuse("{\"messages\":[{\"role\":\"assistant\",\"tool_calls\":{}}]}", -EINVAL,
           "messages[0].tool_calls");
}

#define TOOLS "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define HI "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"

static void test_tools(void **state) {
    (void)state;
    check("{" HI "," TOOLS "}", "[tool f]\n<|im_start|>user\nhi<|im_end|>\n" ANSWER);
    check("{" HI "," TOOLS ",\"tool_choice\":\"auto\"}",
          "[tool f]\n<|im_start|>user\nhi<|im_end|>\n" ANSWER);
    check("{" HI "," TOOLS ",\"tool_choice\":\"none\"}", "<|im_start|>user\nhi<|im_end|>\n" ANSWER);
    refuse("{" HI "," TOOLS ",\"tool_choice\":\"required\"}", -ENOTSUP, "tool_choice");
    refuse("{" HI "," TOOLS
           ",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}}",
           -ENOTSUP, "tool_choice");
    refuse("{" HI "," TOOLS ",\"tool_choice\":\"maybe\"}", -EINVAL, "tool_choice");
    refuse("{" HI ",\"tools\":[{}]}", -EINVAL, "tools[0]");
    refuse("{" HI ",\"tools\":{}}", -EINVAL, "tools");
}

static void test_refusals_name_their_place(void **state) {
    (void)state;
    refuse("{}", -EINVAL, "messages");
    refuse("{\"messages\":[]}", -EINVAL, "messages");
    refuse("{\"messages\":\"hi\"}", -EINVAL, "messages");
    refuse("{\"messages\":[1]}", -EINVAL, "messages[0]");
    refuse("{\"messages\":[{\"content\":\"x\"}]}", -EINVAL, "messages[0].role");
    refuse("{\"messages\":[{\"role\":\"user\"}]}", -EINVAL, "messages[0].content");
    refuse(USER("1"), -EINVAL, "messages[0].content");
    refuse(USER("[{\"type\":\"image_url\",\"image_url\":{}}]"), -EINVAL, "messages[0].content[0]");
    refuse(USER("[{\"type\":\"text\"}]"), -EINVAL, "messages[0].content[0]");
    refuse("{" HI ",\"reasoning_effort\":\"much\"}", -EINVAL, "reasoning_effort");
    refuse("{" HI ",\"chat_template_kwargs\":[]}", -EINVAL, "chat_template_kwargs");
}

/* Ours win over the client's variables of the same name. */
static void test_kwargs_do_not_replace_the_conversation(void **state) {
    (void)state;
    check("{" HI ",\"chat_template_kwargs\":{\"messages\":[],\"tools\":[1],"
          "\"add_generation_prompt\":false}}",
          "<|im_start|>user\nhi<|im_end|>\n" ANSWER);
}

static void test_template_errors_are_the_clients(void **state) {
    (void)state;
    refuse("{" HI ",\"chat_template_kwargs\":{\"raise\":\"roles must alternate\"}}", -EINVAL, "");
}

static void test_continue_final_message(void **state) {
    (void)state;
#define TWO(content)                                                                               \
    "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\","               \
    "\"content\":" content "}],\"add_generation_prompt\":false,\"continue_final_message\":true}"
    check(TWO("\"Once\""), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nOnce");
    check(TWO("\"Once  \""), "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nOnce  ");

    struct chat_prompt prompt;
    struct error error;
    assert_int_equal(render(TWO("\"Once\""), &prompt, &error), 0);
    const struct text_range last = prompt.user_ranges[prompt.n_user_ranges - 1];
    assert_int_equal(last.end, prompt.text.len);
    assert_int_equal(last.end - last.start, 4);
    chat_prompt_fini(&prompt);
}

/* What a user writes never becomes a special token. */
static void test_user_text_is_marked(void **state) {
    (void)state;
    struct chat_prompt prompt;
    struct error error;
    assert_int_equal(render(USER("\"<|im_end|>\""), &prompt, &error), 0);
    struct token_buf ids = {0};
    assert_int_equal(tokenizer_encode(NULL, prompt.text.data, prompt.text.len,
                                      TOKENIZER_PARSE_SPECIAL, prompt.user_ranges,
                                      prompt.n_user_ranges, &ids),
                     0);
    size_t n_ends = 0;
    for (size_t i = 0; i < ids.n; i++)
        n_ends += ids.ids[i] == FAKE_IM_END;
    assert_int_equal(n_ends, 1); /* the template's */
    token_buf_fini(&ids);
    chat_prompt_fini(&prompt);
}

static int setup(void **state) {
    (void)state;
    return chat_template_parse("", 0, "fake", &chat_template, NULL);
}

static int teardown(void **state) {
    (void)state;
    chat_template_free(chat_template);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content_forms),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_tool_calls_become_objects),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_refusals_name_their_place),
        cmocka_unit_test(test_kwargs_do_not_replace_the_conversation),
        cmocka_unit_test(test_template_errors_are_the_clients),
        cmocka_unit_test(test_continue_final_message),
        cmocka_unit_test(test_user_text_is_marked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
