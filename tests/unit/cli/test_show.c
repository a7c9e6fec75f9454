/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show: the whole text and the whole object for one made-up model.
 */
#include <stdio.h>
#include <string.h>

#include "kvasir/json_pull.h"
#include "show.h"
#include "support.h"

static const struct model_info info = {
    .path = "/models/\"m\".gguf",
    .name = "\"m\"",
    .format = "gguf",
    .family = "qwen2",
    .architecture = "qwen2",
    .n_params = 1500000000,
    .weight_bytes = 1024 * 1024 + 640,
    .types = {{"Q4_K", 1024 * 1024, 12}, {"F32", 640, 1}},
    .n_types = 2,
    .n_vocab = 1000,
    .n_layers = 3,
    .hidden_size = 64,
    .intermediate_size = 80,
    .n_heads = 4,
    .n_kv_heads = 2,
    .head_dim = 16,
    .sliding_window = 24,
    .max_position = 4096,
    .rope = "default, theta 10000",
    .kv_values_per_token = 192,
    .bos = TOKEN_NONE,
    .eos = {7, 9},
    .n_eos = 2,
    .generation_defaults = {.temperature = 0.5f, .top_p = 1, .top_k = 20, .repetition_penalty = 1},
    .has_generation_defaults = true,
};

static void print(const struct show_model *model, bool json, char ret_text[4096]) {
    FILE *out = tmpfile();
    assert_non_null(out);
    assert_int_equal(show_print(model, json, out), 0);
    rewind(out);
    ret_text[fread(ret_text, 1, 4095, out)] = '\0';
    (void)fclose(out); /* only read */
}

static void test_show_for_people(void **state) {
    char text[4096];
    const struct show_model model = {.info = &info, .tokenizer_kind = "byte-level BPE, qwen2"};

    print(&model, /* json= */ false, text);
    assert_string_equal(text, "\"m\"\n"
                              "  path            /models/\"m\".gguf\n"
                              "  format          gguf, qwen2 (family qwen2)\n"
                              "  parameters      1.50 B\n"
                              "  weights         1.00 MiB: Q4_K 1.00 MiB in 12 tensors, F32 640 B "
                              "in 1 tensor\n"
                              "  layers          3 of width 64, inner width 80\n"
                              "  attention       4 heads, 2 key-value heads of 16, sliding window "
                              "of 24 tokens\n"
                              "  vocabulary      1000, output head of its own\n"
                              "  context         4096 tokens\n"
                              "  rope            default, theta 10000\n"
                              "  KV per token    768 B as float32, 384 B as float16, 384 B as "
                              "bfloat16\n"
                              "  tokenizer       byte-level BPE, qwen2\n"
                              "  chat template   none\n"
                              "  end tokens      7, 9\n"
                              "  sampling        temperature 0.5, top_p 1, top_k 20, min_p 0, "
                              "repetition_penalty 1\n");
}

static void test_show_for_programs(void **state) {
    char text[4096];
    const struct show_model model = {.info = &info, .tokenizer_reason = "no tokenizer.json"};

    print(&model, /* json= */ true, text);
    assert_string_equal(
        text, "{\"name\":\"\\\"m\\\"\",\"path\":\"/models/\\\"m\\\".gguf\",\"format\":\"gguf\","
              "\"architecture\":\"qwen2\",\"family\":\"qwen2\",\"parameters\":1500000000,"
              "\"weight_bytes\":1049216,\"weight_bytes_by_type\":{\"Q4_K\":1048576,\"F32\":640},"
              "\"vocab_size\":1000,\"num_hidden_layers\":3,\"hidden_size\":64,"
              "\"intermediate_size\":80,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
              "\"head_dim\":16,\"sliding_window\":24,\"tied_embeddings\":false,"
              "\"context_length\":4096,\"rope\":\"default, theta 10000\","
              "\"kv_bytes_per_token\":{\"float32\":768,\"float16\":384,\"bfloat16\":384},"
              "\"tokenizer\":null,\"chat_template\":false,\"bos_token_id\":null,"
              "\"eos_token_ids\":[7,9],\"generation_defaults\":{\"temperature\":0.5,\"top_p\":1,"
              "\"top_k\":20,\"min_p\":0,\"repetition_penalty\":1}}\n");

    struct json_pull json;
    struct error error;
    json_pull_init(&json, text, strlen(text));
    (void)json_skip(&json); /* only the status counts */
    assert_int_equal(json_pull_end(&json, "show", &error), 0);
}

static void test_show_without_a_tokenizer_says_why(void **state) {
    char text[4096];
    const struct show_model model = {.info = &info, .tokenizer_reason = "no tokenizer.json"};

    print(&model, /* json= */ false, text);
    assert_non_null(strstr(text, "\n  tokenizer       cannot be read: no tokenizer.json\n"));
}

static void test_show_to_a_full_disk_is_an_error(void **state) {
    const struct show_model model = {.info = &info, .tokenizer_kind = "x"};
    FILE *out = fopen("/dev/full", "wb");
    if (!out)
        skip();
    assert_int_equal(setvbuf(out, NULL, _IONBF, 0), 0);
    assert_true(show_print(&model, /* json= */ false, out) < 0);
    (void)fclose(out); /* it failed already */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show_for_people),
        cmocka_unit_test(test_show_for_programs),
        cmocka_unit_test(test_show_without_a_tokenizer_says_why),
        cmocka_unit_test(test_show_to_a_full_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
