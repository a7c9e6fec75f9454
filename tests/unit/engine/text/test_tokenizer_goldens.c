/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The published tokenizers of shared/tokenizers against the ids that the reference gives, and the
 * texts of shared/oracle: exact ids, exact text.
 */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/json_pull.h"
#include "kvasir/tokenizer.h"

static struct tokenizer *open_shared(const char *folder) {
    struct tokenizer *tokenizer = NULL;
    struct error err = {.message = ""};
    char file[128];
    (void)snprintf(file, sizeof file, "%s/tokenizer.json", folder);
    const char *path = test_shared_path(file);
    char dir[4096];
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strlen(path) - strlen("/tokenizer.json")), path);
    if (tokenizer_open_dir(dir, &tokenizer, &err) < 0)
        fail_msg("%s", err.message);
    return tokenizer;
}

static void take_ids(struct json_pull *p, struct token_buf *out, token_id *room, size_t max) {
    *out = (struct token_buf){.ids = room};
    json_enter_array(p);
    while (json_next_item(p)) {
        const int64_t id = json_take_int(p);
        assert_true(out->n < max);
        room[out->n++] = (token_id)id;
    }
}

static void assert_ids(const char *name, const char *text, const struct token_buf *got,
                       const struct token_buf *want) {
    bool equal = got->n == want->n;
    for (size_t i = 0; i < got->n && equal; i++)
        equal = got->ids[i] == want->ids[i];
    if (equal)
        return;
    size_t i = 0;
    while (i < got->n && i < want->n && got->ids[i] == want->ids[i])
        i++;
    fail_msg("%s, text \"%.60s\": %zu ids, expected %zu; first difference at %zu: %d, expected %d",
             name, text, got->n, want->n, i, i < got->n ? (int)got->ids[i] : -1,
             i < want->n ? (int)want->ids[i] : -1);
}

enum { MAX_IDS = 1 << 16 };

struct golden {
    struct json_str tokenizer;
    struct buf text, decoded;
    struct token_buf ids, ids_special;
    token_id room[2][MAX_IDS];
};

static void read_golden(const char *line, size_t len, struct golden *g) {
    struct json_pull p;
    struct json_str key;
    json_pull_init(&p, line, len);
    json_enter_object(&p);
    buf_clear(&g->text);
    buf_clear(&g->decoded);
    while (json_next_key(&p, &key)) {
        if (json_is(key, "tokenizer"))
            g->tokenizer = json_take_string(&p);
        else if (json_is(key, "text"))
            json_unescape(json_take_string(&p), &g->text);
        else if (json_is(key, "decoded"))
            json_unescape(json_take_string(&p), &g->decoded);
        else if (json_is(key, "ids"))
            take_ids(&p, &g->ids, g->room[0], MAX_IDS);
        else if (json_is(key, "ids_special"))
            take_ids(&p, &g->ids_special, g->room[1], MAX_IDS);
        else
            (void)json_skip(&p);
    }
    struct error err;
    assert_int_equal(json_pull_end(&p, "golden", &err), 0);
}

static void check_golden(const struct tokenizer *tokenizer, const char *name,
                         const struct golden *g) {
    struct token_buf ids = {.n = 0};
    struct token_buf special = {.n = 0};
    struct buf decoded = {.len = 0};
    const char *text = g->text.data ? g->text.data : "";

    assert_int_equal(
        tokenizer_encode(tokenizer, text, g->text.len, TOKENIZER_PARSE_SPECIAL, NULL, 0, &ids), 0);
    assert_ids(name, text, &ids, &g->ids);
    assert_int_equal(tokenizer_encode(tokenizer, text, g->text.len,
                                      TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_SPECIAL, NULL, 0,
                                      &special),
                     0);
    assert_ids(name, text, &special, &g->ids_special);
    assert_int_equal(tokenizer_decode(tokenizer, g->ids.ids, g->ids.n, false, &decoded), 0);
    assert_int_equal(decoded.len, g->decoded.len);
    if (decoded.len > 0)
        assert_memory_equal(decoded.data, g->decoded.data, decoded.len);

    token_buf_fini(&ids);
    token_buf_fini(&special);
    buf_fini(&decoded);
}

static void check_goldens_of(const char *name) {
    char folder[64];
    (void)snprintf(folder, sizeof folder, "tokenizers/%s", name);
    struct tokenizer *tokenizer = open_shared(folder);
    size_t len;
    char *lines = test_read_file(test_shared_path("tokenizers/goldens.jsonl"), &len);
    static struct golden golden;
    int n = 0;

    for (char *line = lines; line < lines + len;) {
        char *end = strchr(line, '\n');
        if (!end)
            end = lines + len;
        read_golden(line, (size_t)(end - line), &golden);
        if (json_is(golden.tokenizer, name)) {
            check_golden(tokenizer, name, &golden);
            n++;
        }
        line = end + 1;
    }
    assert_int_equal(n, 108);
    buf_fini(&golden.text);
    buf_fini(&golden.decoded);
    test_release(lines);
    tokenizer_close(tokenizer);
}

static void test_tokenizer_qwen3_matches_reference(void **state) {
    (void)state;
    check_goldens_of("qwen3");
}

static void test_tokenizer_llama3_matches_reference(void **state) {
    (void)state;
    check_goldens_of("llama3_2");
}

static void test_tokenizer_deepseek_v3_matches_reference(void **state) {
    (void)state;
    check_goldens_of("deepseek_v3");
}

static void test_tokenizer_llama2_matches_reference(void **state) {
    (void)state;
    check_goldens_of("llama2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_qwen3_matches_reference),
        cmocka_unit_test(test_tokenizer_llama3_matches_reference),
        cmocka_unit_test(test_tokenizer_deepseek_v3_matches_reference),
        cmocka_unit_test(test_tokenizer_llama2_matches_reference),
    };
    return cmocka_run_group_tests_name("tokenizer_goldens", tests, NULL, NULL);
}
