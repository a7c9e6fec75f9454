/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact ids and exact text, against the reference implementation: the tiny tokenizers of the tree
 * (made by make_vectors.py beside them) and the published ones of shared/tokenizers.
 */
#include "vectors.h"

#include <stdio.h>
#include <string.h>

struct goldens {
    const struct tokenizer *tokenizer;
    const char *name;
    int n;
};

static void check_decoded(const struct tokenizer *tokenizer, const struct token_buf *ids,
                          const struct buf *want) {
    struct buf got = {.len = 0};
    assert_int_equal(tokenizer_decode(tokenizer, ids->ids, ids->n, false, &got), 0);
    assert_int_equal(got.len, want->len);
    if (got.len > 0)
        assert_memory_equal(got.data, want->data, got.len);
    buf_fini(&got);
}

static void check_line(void *ctx, const char *json, size_t len) {
    struct goldens *goldens = ctx;
    struct json_str tokenizer = {.bytes = "", .len = 0};
    struct token_buf ids = {.n = 0}, special = {.n = 0};
    struct buf text = {.len = 0}, decoded = {.len = 0};
    struct json_pull p;
    struct json_str key;
    struct error err = {.message = ""};

    json_pull_init(&p, json, len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        if (json_is(key, "tokenizer"))
            tokenizer = json_take_string(&p);
        else if (json_is(key, "text"))
            json_unescape(json_take_string(&p), &text);
        else if (json_is(key, "decoded"))
            json_unescape(json_take_string(&p), &decoded);
        else if (json_is(key, "ids"))
            vectors_take_ids(&p, &ids);
        else if (json_is(key, "ids_special"))
            vectors_take_ids(&p, &special);
        else
            (void)json_skip(&p);
    }
    assert_int_equal(json_pull_end(&p, "golden", &err), 0);

    if (json_is(tokenizer, goldens->name)) {
        const char *bytes = text.data ? text.data : "";
        vectors_check(goldens->tokenizer, goldens->name, bytes, text.len, TOKENIZER_PARSE_SPECIAL,
                      &ids);
        vectors_check(goldens->tokenizer, goldens->name, bytes, text.len,
                      TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_SPECIAL, &special);
        check_decoded(goldens->tokenizer, &ids, &decoded);
        goldens->n++;
    }
    token_buf_fini(&ids);
    token_buf_fini(&special);
    buf_fini(&text);
    buf_fini(&decoded);
}

static void check_goldens(const char *dir, const char *lines, const char *name, const char *kind,
                          int n) {
    struct tokenizer *tokenizer = vectors_open(dir);
    struct goldens goldens = {.tokenizer = tokenizer, .name = name};
    assert_string_equal(tokenizer_kind(tokenizer), kind);
    (void)vectors_lines(lines, check_line, &goldens); /* the count by name is what matters */
    assert_int_equal(goldens.n, n);
    tokenizer_close(tokenizer);
}

static void check_tiny(const char *name, const char *kind) {
    char folder[64];
    (void)snprintf(folder, sizeof folder, "tests/golden/tokenizers/%s", name);
    check_goldens(test_path(folder), test_path("tests/golden/tokenizers/vectors.jsonl"), name, kind,
                  96);
}

static void check_published(const char *name, const char *kind) {
    char file[64];
    (void)snprintf(file, sizeof file, "tokenizers/%s/tokenizer.json", name);
    const char *dir = vectors_shared_dir(file);
    check_goldens(dir, test_shared_path("tokenizers/goldens.jsonl"), name, kind, 108);
}

static void test_tokenizer_tiny_qwen_matches_reference(void **state) {
    (void)state;
    check_tiny("qwen", "byte-level BPE, qwen2");
}

static void test_tokenizer_tiny_llama3_matches_reference(void **state) {
    (void)state;
    check_tiny("llama3", "byte-level BPE, llama3");
}

static void test_tokenizer_tiny_spm_matches_reference(void **state) {
    (void)state;
    check_tiny("spm", "SentencePiece BPE");
}

static void test_tokenizer_qwen3_matches_reference(void **state) {
    (void)state;
    check_published("qwen3", "byte-level BPE, qwen2");
}

static void test_tokenizer_llama3_matches_reference(void **state) {
    (void)state;
    check_published("llama3_2", "byte-level BPE, llama3");
}

static void test_tokenizer_deepseek_v3_matches_reference(void **state) {
    (void)state;
    check_published("deepseek_v3", "byte-level BPE, deepseek-v3");
}

static void test_tokenizer_llama2_matches_reference(void **state) {
    (void)state;
    check_published("llama2", "SentencePiece BPE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_tiny_qwen_matches_reference),
        cmocka_unit_test(test_tokenizer_tiny_llama3_matches_reference),
        cmocka_unit_test(test_tokenizer_tiny_spm_matches_reference),
        cmocka_unit_test(test_tokenizer_qwen3_matches_reference),
        cmocka_unit_test(test_tokenizer_llama3_matches_reference),
        cmocka_unit_test(test_tokenizer_deepseek_v3_matches_reference),
        cmocka_unit_test(test_tokenizer_llama2_matches_reference),
    };
    return cmocka_run_group_tests_name("tokenizer_goldens", tests, NULL, NULL);
}
