/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Components in every form: each line of variants.jsonl names a tiny tokenizer and the members of
 * its tokenizer.json that differ, with texts and the reference's ids. And what is not served is
 * refused by name.
 */
#include "vectors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "text/tokenizer_impl.h"

static struct json_str member(struct json_str object, struct json_str name) {
    struct json_str found = {.bytes = "", .len = 0};
    struct json_pull p;
    struct json_str key;
    json_pull_init(&p, object.bytes, object.len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        const struct json_str value = json_skip(&p);
        if (key.len == name.len && memcmp(key.bytes, name.bytes, name.len) == 0)
            found = value;
    }
    return found;
}

/* The object base with the members of changes in the place of its own; "model" member by member. */
static void merge_objects(struct json_str base, struct json_str changes, bool deep,
                          struct buf *out) {
    struct json_pull p;
    struct json_str key;
    const char *comma = "{";
    json_pull_init(&p, base.bytes, base.len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        const struct json_str value = json_skip(&p);
        const struct json_str change = member(changes, key);
        buf_printf(out, "%s\"%.*s\":", comma, (int)key.len, key.bytes);
        if (change.len > 0 && deep && json_is(key, "model"))
            merge_objects(value, change, false, out);
        else
            buf_append(out, change.len ? change.bytes : value.bytes,
                       change.len ? change.len : value.len);
        comma = ",";
    }
    buf_append_char(out, '}');
}

static struct tokenizer *open_variant(struct json_str base, struct json_str parts, int number) {
    char path[128];
    (void)snprintf(path, sizeof path, "tests/golden/tokenizers/%.*s/tokenizer.json", (int)base.len,
                   base.bytes);
    size_t len;
    char *file = test_read_file(test_path(path), &len);
    struct buf json = {.len = 0};
    struct tokenizer *tokenizer = NULL;
    struct error err = {.message = ""};

    merge_objects((struct json_str){.bytes = file, .len = len}, parts, true, &json);
    if (tokenizer_read_json(json.data, json.len, NULL, 0, &tokenizer, &err) < 0)
        fail_msg("variant %d: %s", number, err.message);
    buf_fini(&json);
    test_release(file);
    return tokenizer;
}

enum { MAX_TEXTS = 64 };

static void check_variant(void *ctx, const char *json, size_t len) {
    int *number = ctx;
    struct json_str base = {.len = 0}, parts = {.len = 0};
    struct buf texts[MAX_TEXTS] = {{.len = 0}};
    struct token_buf ids = {.n = 0};
    struct json_pull p;
    struct json_str key;
    struct tokenizer *tokenizer = NULL;
    int n_texts = 0, n_ids = 0;
    char name[32];

    (void)snprintf(name, sizeof name, "variant %d", ++*number);
    json_pull_init(&p, json, len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) { /* in the order base, parts, texts, ids */
        if (json_is(key, "base"))
            base = json_take_string(&p);
        if (json_is(key, "parts")) {
            parts = json_skip(&p);
            tokenizer = open_variant(base, parts, *number);
        }
        if (json_is(key, "texts"))
            for (json_enter_array(&p); json_next_item(&p) && n_texts < MAX_TEXTS; n_texts++)
                json_unescape(json_take_string(&p), &texts[n_texts]);
        if (json_is(key, "ids"))
            for (json_enter_array(&p); json_next_item(&p); n_ids++) {
                vectors_take_ids(&p, &ids);
                vectors_check(tokenizer, name, texts[n_ids].data ? texts[n_ids].data : "",
                              texts[n_ids].len, TOKENIZER_PARSE_SPECIAL | TOKENIZER_ADD_SPECIAL,
                              &ids);
            }
    }
    struct error err = {.message = ""};
    assert_int_equal(json_pull_end(&p, "variant", &err), 0);
    assert_int_equal(n_ids, n_texts);
    for (int i = 0; i < n_texts; i++)
        buf_fini(&texts[i]);
    token_buf_fini(&ids);
    tokenizer_close(tokenizer);
}

static void test_tokenizer_variants_match_reference(void **state) {
    (void)state;
    int number = 0;
    assert_int_equal(
        vectors_lines(test_path("tests/golden/tokenizers/variants.jsonl"), check_variant, &number),
        49);
}

/* --- refusals --- */

static void check_refused(const char *json, int code, const char *word, const char *param) {
    struct tokenizer *tokenizer = NULL;
    struct error err = {.message = "", .param = ""};
    const int r = tokenizer_read_json(json, strlen(json), NULL, 0, &tokenizer, &err);
    if (r >= 0)
        tokenizer_close(tokenizer);
    assert_int_equal(r, code);
    if (!strstr(err.message, word))
        fail_msg("\"%s\" does not say \"%s\"", err.message, word);
    assert_string_equal(err.param, param);
}

#define TINY_MODEL                                                                                 \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]"

static void test_tokenizer_json_other_models_are_refused_by_name(void **state) {
    (void)state;
    check_refused("{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", -ENOTSUP, "WordPiece",
                  "model.type");
    check_refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", -ENOTSUP, "Unigram",
                  "model.type");
    check_refused("{}", -EINVAL, "no model", "model");
}

static void test_tokenizer_json_unknown_components_are_refused_by_name(void **state) {
    (void)state;
    check_refused("{\"normalizer\":{\"type\":\"Lowercase\"}," TINY_MODEL "}}", -ENOTSUP,
                  "Lowercase", "normalizer");
    check_refused("{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," TINY_MODEL "}}", -ENOTSUP,
                  "UnicodeScripts", "pre_tokenizer");
    check_refused("{\"decoder\":{\"type\":\"CTC\"}," TINY_MODEL "}}", -ENOTSUP, "CTC", "decoder");
    check_refused("{" TINY_MODEL ",\"dropout\":0.1}}", -ENOTSUP, "dropout", "model");
    check_refused("{" TINY_MODEL ",\"end_of_word_suffix\":\"</w>\"}}", -ENOTSUP,
                  "end_of_word_suffix", "model");
}

static void test_tokenizer_json_broken_files_name_the_part(void **state) {
    (void)state;
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}",
                  -EINVAL, "merge 0", "");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}", -EINVAL,
                  "model.merges", "");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}",
                  -EINVAL, "two pieces have the id 0", "model.vocab");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":16777216},\"merges\":[]}}",
                  -EINVAL, "16777216", "");
    check_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":16777215},\"merges\":[]}}",
                  -EINVAL, "16777215", "");
    check_refused("{" TINY_MODEL "}", -EINVAL, "tokenizer.json", "");
    check_refused("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},"
                  "\"behavior\":\"Isolated\"}," TINY_MODEL "}}",
                  -EINVAL, "not a regular expression", "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_variants_match_reference),
        cmocka_unit_test(test_tokenizer_json_other_models_are_refused_by_name),
        cmocka_unit_test(test_tokenizer_json_unknown_components_are_refused_by_name),
        cmocka_unit_test(test_tokenizer_json_broken_files_name_the_part),
    };
    return cmocka_run_group_tests_name("tokenizer_variants", tests, NULL, NULL);
}
