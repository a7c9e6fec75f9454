/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vocabularies of GGUF files against the ids of shared/tokenizers/gguf-vocab: 46 texts each. The
 * files of LLaMA 3 and Qwen2 are not there, but their texts and ids are: the tokenizer.json of the
 * same family serves for them.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/tokenizer.h"

#include "load/gguf.h"
#include "text/tokenizer_gguf.h"

static const char separator[] = "\n__ggml_vocab_test__\n";

enum { N_TEXTS = 46, MAX_PATH = 4096 };

static struct tokenizer *open_gguf(const char *path) {
    struct error err = {.message = ""};
    struct gguf *gguf = NULL;
    struct tokenizer *tokenizer = NULL;
    if (gguf_open(path, &gguf, &err) < 0 || tokenizer_open_gguf(gguf, &tokenizer, &err) < 0)
        fail_msg("%s", err.message);
    gguf_close(gguf);
    return tokenizer;
}

static void check_text(const struct tokenizer *tokenizer, const char *text, size_t len,
                       char *ids_line) {
    struct token_buf ids = {.n = 0};
    assert_int_equal(tokenizer_encode(tokenizer, text, len, TOKENIZER_PARSE_SPECIAL, NULL, 0, &ids),
                     0);
    size_t n = 0;
    for (char *rest = ids_line, *end; *rest; rest = end) {
        const long want = strtol(rest, &end, 10);
        if (end == rest)
            break;
        if (n >= ids.n || ids.ids[n] != want)
            fail_msg("\"%.*s\": id %zu of %zu is %d, expected %ld", (int)len, text, n, ids.n,
                     n < ids.n ? (int)ids.ids[n] : -1, want);
        n++;
    }
    if (n != ids.n)
        fail_msg("\"%.*s\": %zu ids, expected %zu", (int)len, text, ids.n, n);
    token_buf_fini(&ids);
}

static void check_vectors(const struct tokenizer *tokenizer, const char *name) {
    char file[256];
    size_t texts_len, ids_len;
    (void)snprintf(file, sizeof file, "tokenizers/gguf-vocab/ggml-vocab-%s.gguf.inp", name);
    char *texts = test_read_file(test_shared_path(file), &texts_len);
    (void)snprintf(file, sizeof file, "tokenizers/gguf-vocab/ggml-vocab-%s.gguf.out", name);
    char *ids = test_read_file(test_shared_path(file), &ids_len);

    int n = 0;
    char *line = ids;
    for (char *text = texts; text && n < N_TEXTS; n++) {
        char *end = strstr(text, separator);
        char *line_end = strchr(line, '\n');
        assert_non_null(line_end);
        *line_end = '\0';
        check_text(tokenizer, text, end ? (size_t)(end - text) : strlen(text), line);
        line = line_end + 1;
        text = end ? end + strlen(separator) : NULL;
    }
    assert_int_equal(n, N_TEXTS);
    test_release(texts);
    test_release(ids);
}

static void check_file(const char *name, const char *kind, token_id bos, bool adds_bos) {
    char file[256];
    (void)snprintf(file, sizeof file, "tokenizers/gguf-vocab/ggml-vocab-%s.gguf", name);
    struct tokenizer *tokenizer = open_gguf(test_shared_path(file));
    assert_string_equal(tokenizer_kind(tokenizer), kind);
    assert_int_equal(tokenizer_bos(tokenizer), bos);
    assert_int_equal(tokenizer_adds_bos(tokenizer), adds_bos);
    check_vectors(tokenizer, name);
    tokenizer_close(tokenizer);
}

static void test_gguf_gpt2_matches_reference(void **state) {
    (void)state;
    check_file("gpt-2", "byte-level BPE, gpt2", 50256, false);
}

static void test_gguf_deepseek_llm_matches_reference(void **state) {
    (void)state;
    check_file("deepseek-llm", "byte-level BPE, deepseek-llm", 100000, true);
}

static void test_gguf_deepseek_coder_matches_reference(void **state) {
    (void)state;
    check_file("deepseek-coder", "byte-level BPE, deepseek-coder", 32013, true);
}

static void test_gguf_llama_spm_matches_reference(void **state) {
    (void)state;
    check_file("llama-spm", "SentencePiece BPE", 1, true);
}

static void check_json_family(const char *folder, const char *name) {
    char file[256];
    char dir[MAX_PATH];
    struct tokenizer *tokenizer = NULL;
    struct error err = {.message = ""};
    (void)snprintf(file, sizeof file, "tokenizers/%s/tokenizer.json", folder);
    const char *path = test_shared_path(file);
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strlen(path) - strlen("/tokenizer.json")), path);
    if (tokenizer_open_dir(dir, &tokenizer, &err) < 0)
        fail_msg("%s", err.message);
    check_vectors(tokenizer, name);
    tokenizer_close(tokenizer);
}

static void test_json_llama3_matches_gguf_vectors(void **state) {
    (void)state;
    check_json_family("llama3_2", "llama-bpe");
}

static void test_json_qwen_matches_gguf_vectors(void **state) {
    (void)state;
    check_json_family("qwen3", "qwen2");
}

static void test_gguf_wordpiece_is_refused_by_name(void **state) {
    (void)state;
    struct error err = {.message = ""};
    struct gguf *gguf = NULL;
    struct tokenizer *tokenizer = NULL;
    assert_int_equal(
        gguf_open(test_shared_path("tokenizers/gguf-vocab/ggml-vocab-bert-bge.gguf"), &gguf, &err),
        0);
    assert_int_equal(tokenizer_open_gguf(gguf, &tokenizer, &err), -ENOTSUP);
    assert_non_null(strstr(err.message, "\"bert\""));
    assert_string_equal(err.param, "tokenizer.ggml.model");
    gguf_close(gguf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_gpt2_matches_reference),
        cmocka_unit_test(test_gguf_deepseek_llm_matches_reference),
        cmocka_unit_test(test_gguf_deepseek_coder_matches_reference),
        cmocka_unit_test(test_gguf_llama_spm_matches_reference),
        cmocka_unit_test(test_json_llama3_matches_gguf_vectors),
        cmocka_unit_test(test_json_qwen_matches_gguf_vectors),
        cmocka_unit_test(test_gguf_wordpiece_is_refused_by_name),
    };
    return cmocka_run_group_tests_name("tokenizer_gguf", tests, NULL, NULL);
}
