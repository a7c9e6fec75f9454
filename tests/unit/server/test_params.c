/* SPDX-License-Identifier: Apache-2.0 */
/* The table of request fields: what each takes at its bounds, and what each refuses. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/server.h"

#include "fake_text.h"
#include "gen_request.h"
#include "json_read.h"
#include "support.h"

struct parsed {
    int code;
    struct error error;
    struct gen_request request;
    struct arena arena;
};

static struct model_info info = {.name = "fake", .n_vocab = FAKE_N_VOCAB};
static const struct service service = {.info = &info, .max_model_len = 512};
static const char *const names[] = {"fake", "alias"};

/* Parses a body given without its braces. */
static void parse(struct parsed *parsed, enum gen_endpoint endpoint, const char *fmt, ...) {
    char text[4096];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text + 1, sizeof text - 2, fmt, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof text - 2);
    text[0] = '{';
    text[n + 1] = '}';

    *parsed = (struct parsed){.code = 0};
    const struct gen_context context = {
        .service = &service,
        .model_names = names,
        .n_model_names = 2,
        .max_n = 16,
        .max_sequences = 1024,
        .arena = &parsed->arena,
    };
    json_t *root;
    parsed->code = json_read(text, (size_t)n + 2, &root, &parsed->error);
    if (parsed->code < 0)
        return;
    parsed->code = params_parse(root, endpoint, &context, &parsed->request, &parsed->error);
    json_decref(root);
}

static int code_of(enum gen_endpoint endpoint, const char *body, struct error *ret_error) {
    struct parsed parsed;
    parse(&parsed, endpoint, "%s", body);
    arena_fini(&parsed.arena);
    *ret_error = parsed.error;
    return parsed.code;
}

static void check(enum gen_endpoint endpoint, const char *name, const char *value, int expected) {
    char body[256];
    struct error error;
    (void)snprintf(body, sizeof body, "\"%s\":%s", name, value); /* short */
    const int code = code_of(endpoint, body, &error);
    if (code != expected)
        fail_msg("%s: code %d, expected %d (%s)", body, code, expected, error.message);
    if (expected != 0 && strcmp(error.param, name) != 0)
        fail_msg("%s: blames '%s'", body, error.param);
}

static const struct {
    const char *name;
    const char *good[6];
    const char *bad[8];
} numbers[] = {
    {"temperature", {"0", "2", "0.7", "null"}, {"-0.001", "2.001", "1e308", "\"1\"", "true", "[]"}},
    {"top_p", {"1", "0.0001", "null"}, {"0", "1.0001", "-1", "\"0.9\""}},
    {"min_p", {"0", "1", "0.5"}, {"-0.1", "1.1"}},
    {"top_k", {"-1", "0", "1", "2147483647", "40.0"}, {"-2", "2147483648", "1.5", "\"4\""}},
    {"repetition_penalty", {"0.01", "1", "2"}, {"0", "-1", "1e7"}},
    {"presence_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
    {"frequency_penalty", {"-2", "2"}, {"-2.1", "2.1"}},
    {"seed",
     {"0", "-1", "9223372036854775807", "-9223372036854775808", "5.0"},
     {"1.5", "\"1\"", "1e300"}},
    {"n", {"1", "16", "null"}, {"0", "17", "-1", "16385", "9223372036854775807"}},
    {"max_tokens", {"1", "2147483647", "32000.0"}, {"-1", "2147483648", "0", "1.5"}},
    {"min_tokens", {"0", "1"}, {"-1", "2147483648"}},
    {"prompt_logprobs", {"0", "20"}, {"-1", "21"}},
    {"priority", {"0", "-5", "2147483647"}, {"2147483648", "\"high\""}},
    {"truncate_prompt_tokens", {"-1", "1", "100"}, {"-2"}},
};

static void test_numbers_at_their_bounds(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        for (size_t k = 0; k < 6 && numbers[i].good[k]; k++) {
            check(ENDPOINT_CHAT, numbers[i].name, numbers[i].good[k], 0);
            if (strcmp(numbers[i].name, "min_tokens") != 0 || numbers[i].good[k][0] == '0')
                check(ENDPOINT_COMPLETIONS, numbers[i].name, numbers[i].good[k], 0);
        }
        for (size_t k = 0; k < 8 && numbers[i].bad[k]; k++) {
            check(ENDPOINT_CHAT, numbers[i].name, numbers[i].bad[k], -EINVAL);
            check(ENDPOINT_COMPLETIONS, numbers[i].name, numbers[i].bad[k], -EINVAL);
        }
    }
}

static void test_booleans(void **state) {
    (void)state;
    static const char *const fields[] = {"stream",
                                         "ignore_eos",
                                         "skip_special_tokens",
                                         "include_stop_str_in_output",
                                         "return_token_ids",
                                         "add_special_tokens"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        check(ENDPOINT_CHAT, fields[i], "true", 0);
        check(ENDPOINT_CHAT, fields[i], "false", 0);
        check(ENDPOINT_CHAT, fields[i], "null", 0);
        check(ENDPOINT_CHAT, fields[i], "1", -EINVAL);
        check(ENDPOINT_CHAT, fields[i], "\"true\"", -EINVAL);
    }
}

static void test_logprobs_have_a_shape_per_endpoint(void **state) {
    (void)state;
    check(ENDPOINT_CHAT, "logprobs", "true", 0);
    check(ENDPOINT_CHAT, "logprobs", "5", -EINVAL);
    check(ENDPOINT_COMPLETIONS, "logprobs", "0", 0);
    check(ENDPOINT_COMPLETIONS, "logprobs", "20", 0);
    check(ENDPOINT_COMPLETIONS, "logprobs", "21", -EINVAL);
    check(ENDPOINT_COMPLETIONS, "logprobs", "true", -EINVAL);
    check(ENDPOINT_CHAT, "top_logprobs", "3", -EINVAL); /* without logprobs */
    struct error error;
    assert_int_equal(code_of(ENDPOINT_CHAT, "\"logprobs\":true,\"top_logprobs\":20", &error), 0);
    assert_int_equal(code_of(ENDPOINT_CHAT, "\"logprobs\":true,\"top_logprobs\":21", &error),
                     -EINVAL);
}

static void test_unsupported_fields_are_named(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *refused;
        const char *passes; /* NULL: only null does */
    } fields[] = {
        {"response_format", "{\"type\":\"json_object\"}", "{\"type\":\"text\"}"},
        {"structured_outputs", "{\"regex\":\"a\"}", NULL},
        {"guided_json", "{}", NULL},
        {"best_of", "2", "1"},
        {"use_beam_search", "true", "false"},
        {"bad_words", "[\"a\"]", "[]"},
        {"logits_processors", "[\"a\"]", "[]"},
        {"return_tokens_as_token_ids", "true", "false"},
        {"spaces_between_special_tokens", "false", "true"},
        {"vllm_xargs", "{\"a\":1}", "{}"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        check(ENDPOINT_CHAT, fields[i].name, fields[i].refused, -ENOTSUP);
        check(ENDPOINT_COMPLETIONS, fields[i].name, fields[i].refused, -ENOTSUP);
        check(ENDPOINT_CHAT, fields[i].name, "null", 0);
        if (fields[i].passes)
            check(ENDPOINT_CHAT, fields[i].name, fields[i].passes, 0);
    }
    check(ENDPOINT_COMPLETIONS, "suffix", "\"x\"", -ENOTSUP);
    check(ENDPOINT_COMPLETIONS, "suffix", "\"\"", 0);
    check(ENDPOINT_COMPLETIONS, "prompt_embeds", "\"AAAA\"", -ENOTSUP);
    check(ENDPOINT_CHAT, "functions", "[{}]", -ENOTSUP);
    check(ENDPOINT_CHAT, "chat_template", "\"{{ x }}\"", -ENOTSUP);
}

static void test_unknown_fields_are_ignored(void **state) {
    (void)state;
    check(ENDPOINT_CHAT, "no_such_field", "{\"a\":[1,2]}", 0);
    check(ENDPOINT_CHAT, "user", "\"u\"", 0);
    check(ENDPOINT_CHAT, "metadata", "{}", 0);
}

static void test_token_ids_are_inside_the_vocabulary(void **state) {
    (void)state;
    static const char *const fields[] = {"stop_token_ids", "allowed_token_ids"};
    for (size_t i = 0; i < 2; i++) {
        check(ENDPOINT_CHAT, fields[i], "[0]", 0);
        check(ENDPOINT_CHAT, fields[i], "[259]", 0);
        check(ENDPOINT_CHAT, fields[i], "[260]", -EINVAL);
        check(ENDPOINT_CHAT, fields[i], "[-1]", -EINVAL);
        check(ENDPOINT_CHAT, fields[i], "[2147483648]", -EINVAL);
        check(ENDPOINT_CHAT, fields[i], "[9223372036854775807]", -EINVAL);
        check(ENDPOINT_CHAT, fields[i], "[1.5]", -EINVAL);
        check(ENDPOINT_CHAT, fields[i], "[\"1\"]", -EINVAL);
        check(ENDPOINT_CHAT, fields[i], "1", -EINVAL);
    }
    check(ENDPOINT_CHAT, "allowed_token_ids", "[]", -EINVAL);
    check(ENDPOINT_CHAT, "stop_token_ids", "[]", 0);
}

static void test_logit_bias(void **state) {
    (void)state;
    check(ENDPOINT_CHAT, "logit_bias", "{\"0\":1,\"259\":-1}", 0);
    check(ENDPOINT_CHAT, "logit_bias", "{}", 0);
    check(ENDPOINT_CHAT, "logit_bias", "{\"260\":1}", -EINVAL);
    check(ENDPOINT_CHAT, "logit_bias", "{\"-1\":1}", -EINVAL);
    check(ENDPOINT_CHAT, "logit_bias", "{\"a\":1}", -EINVAL);
    check(ENDPOINT_CHAT, "logit_bias", "{\"\":1}", -EINVAL);
    check(ENDPOINT_CHAT, "logit_bias", "{\"99999999999999999999999\":1}", -EINVAL);
    check(ENDPOINT_CHAT, "logit_bias", "{\"1\":\"x\"}", -EINVAL);
    check(ENDPOINT_CHAT, "logit_bias", "[]", -EINVAL);

    struct parsed parsed;
    parse(&parsed, ENDPOINT_CHAT, "\"logit_bias\":{\"7\":1000,\"8\":-1000,\"9\":0.5}");
    assert_int_equal(parsed.code, 0);
    assert_int_equal(parsed.request.n_logit_bias, 3);
    for (uint32_t i = 0; i < 3; i++) { /* clamped as in vLLM */
        const struct token_bias bias = parsed.request.logit_bias[i];
        const float expected = bias.token == 7 ? 100.0f : bias.token == 8 ? -100.0f : 0.5f;
        assert_true(bias.bias == expected);
    }
    arena_fini(&parsed.arena);
}

static void test_stop_strings(void **state) {
    (void)state;
    check(ENDPOINT_CHAT, "stop", "\"end\"", 0);
    check(ENDPOINT_CHAT, "stop", "[\"a\",\"b\"]", 0);
    check(ENDPOINT_CHAT, "stop", "[]", 0);
    check(ENDPOINT_CHAT, "stop", "\"\"", -EINVAL);
    check(ENDPOINT_CHAT, "stop", "[\"a\",1]", -EINVAL);
    check(ENDPOINT_CHAT, "stop", "1", -EINVAL);

    struct error error;
    char body[1024] = "\"stop\":[\"a\"";
    for (int i = 1; i < GEN_MAX_STOPS; i++)
        memcpy(body + strlen(body), ",\"a\"", 5);
    const size_t len = strlen(body);
    memcpy(body + len, "]", 2);
    assert_int_equal(code_of(ENDPOINT_CHAT, body, &error), 0);
    memcpy(body + len, ",\"a\"]", 6);
    assert_int_equal(code_of(ENDPOINT_CHAT, body, &error), -EINVAL);

    char text[GEN_MAX_STOP_BYTES + 2] = "";
    memset(text, 'x', GEN_MAX_STOP_BYTES);
    struct parsed parsed;
    parse(&parsed, ENDPOINT_CHAT, "\"stop\":\"%s\"", text);
    assert_int_equal(parsed.code, 0);
    arena_fini(&parsed.arena);
    text[GEN_MAX_STOP_BYTES] = 'x';
    parse(&parsed, ENDPOINT_CHAT, "\"stop\":\"%s\"", text);
    assert_int_equal(parsed.code, -EINVAL);
    arena_fini(&parsed.arena);
}

static void test_fields_that_do_not_go_together(void **state) {
    (void)state;
    struct error error;
    static const struct {
        enum gen_endpoint endpoint;
        const char *body;
        int code;
        const char *param;
    } pairs[] = {
        {ENDPOINT_CHAT, "\"stream_options\":{}", -EINVAL, "stream_options"},
        {ENDPOINT_CHAT, "\"stream\":true,\"stream_options\":{\"include_usage\":true}", 0, ""},
        {ENDPOINT_CHAT, "\"stream\":true,\"stream_options\":{\"include_usage\":1}", -EINVAL,
         "stream_options"},
        {ENDPOINT_CHAT, "\"stream\":true,\"prompt_logprobs\":1", -EINVAL, "prompt_logprobs"},
        {ENDPOINT_CHAT, "\"min_tokens\":5,\"max_tokens\":4", -EINVAL, "min_tokens"},
        {ENDPOINT_CHAT, "\"min_tokens\":5,\"max_tokens\":5", 0, ""},
        {ENDPOINT_CHAT, "\"min_tokens\":5,\"stop\":\"x\"", -ENOTSUP, "min_tokens"},
        {ENDPOINT_CHAT, "\"max_tokens\":0,\"max_completion_tokens\":3", 0, ""},
        {ENDPOINT_CHAT, "\"max_completion_tokens\":0", -EINVAL, "max_completion_tokens"},
        {ENDPOINT_COMPLETIONS, "\"max_tokens\":0", -EINVAL, "max_tokens"},
        {ENDPOINT_COMPLETIONS, "\"max_tokens\":0,\"echo\":true", 0, ""},
        {ENDPOINT_CHAT, "\"max_tokens\":0,\"echo\":true", -EINVAL, "max_tokens"},
        {ENDPOINT_CHAT, "\"continue_final_message\":true", -EINVAL, "continue_final_message"},
        {ENDPOINT_CHAT, "\"continue_final_message\":true,\"add_generation_prompt\":false", 0, ""},
        {ENDPOINT_CHAT, "\"model\":\"other\"", -ENOENT, "model"},
        {ENDPOINT_CHAT, "\"model\":\"alias\"", 0, ""},
        {ENDPOINT_CHAT, "\"model\":1", -EINVAL, "model"},
        {ENDPOINT_CHAT, "\"cache_salt\":\"\"", -EINVAL, "cache_salt"},
        {ENDPOINT_CHAT, "\"cache_salt\":\"s\"", 0, ""},
        {ENDPOINT_CHAT, "\"truncation_side\":\"up\"", -EINVAL, "truncation_side"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const int code = code_of(pairs[i].endpoint, pairs[i].body, &error);
        if (code != pairs[i].code || strcmp(error.param, pairs[i].param) != 0)
            fail_msg("%s: code %d, param '%s' (%s)", pairs[i].body, code, error.param,
                     error.message);
    }
}

static void test_defaults_come_from_the_model(void **state) {
    (void)state;
    struct parsed parsed;
    parse(&parsed, ENDPOINT_CHAT, "\"top_p\":0.5");
    assert_true(parsed.request.temperature == 1.0);
    assert_true(parsed.request.top_p == 0.5);
    assert_int_equal(parsed.request.max_tokens, -1);
    assert_int_equal(parsed.request.seed, -1);

    info.has_generation_defaults = true;
    info.generation_defaults = sampling_defaults();
    info.generation_defaults.temperature = 0.25f;
    info.generation_defaults.top_k = 7;
    parse(&parsed, ENDPOINT_COMPLETIONS, "\"top_p\":0.5,\"top_k\":-1");
    info.has_generation_defaults = false;
    assert_true(parsed.request.temperature == 0.25);
    assert_true(parsed.request.top_p == 0.5);
    assert_int_equal(parsed.request.top_k, -1);
    assert_int_equal(parsed.request.max_tokens, 16);
}

static void test_sampling_of_choices(void **state) {
    (void)state;
    struct parsed parsed;
    parse(&parsed, ENDPOINT_CHAT,
          "\"seed\":5,\"temperature\":0.001,\"top_k\":-1,\"logprobs\":true,\"top_logprobs\":3,"
          "\"prompt_logprobs\":4");
    assert_int_equal(parsed.code, 0);
    const struct sampling_params first = gen_request_sampling(&parsed.request, 0);
    const struct sampling_params second = gen_request_sampling(&parsed.request, 1);
    assert_int_equal(first.seed, 5);
    assert_int_equal(second.seed, 6);
    assert_true(first.temperature == 0.01f);
    assert_int_equal(first.top_k, 0);
    assert_true(first.wants_logprobs);
    assert_int_equal(first.n_top, 4);
    parse(&parsed, ENDPOINT_CHAT, "\"temperature\":0");
    assert_true(gen_request_sampling(&parsed.request, 0).temperature == 0.0f);
}

int main(void) {
    json_read_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_at_their_bounds),
        cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_logprobs_have_a_shape_per_endpoint),
        cmocka_unit_test(test_unsupported_fields_are_named),
        cmocka_unit_test(test_unknown_fields_are_ignored),
        cmocka_unit_test(test_token_ids_are_inside_the_vocabulary),
        cmocka_unit_test(test_logit_bias),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_fields_that_do_not_go_together),
        cmocka_unit_test(test_defaults_come_from_the_model),
        cmocka_unit_test(test_sampling_of_choices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
