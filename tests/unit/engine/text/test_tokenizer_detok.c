/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of text: what is held back and what is not, stop strings, broken UTF-8; and the
 * answers of the demo model and of every oracle, id by id, as the reference decodes them.
 */
#include "vectors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct fixture {
    struct tokenizer *qwen;
    struct tokenizer *spm;
};

static int setup(void **state) {
    static struct fixture fixture;
    fixture.qwen = vectors_open(test_path("tests/golden/tokenizers/qwen"));
    fixture.spm = vectors_open(test_path("tests/golden/tokenizers/spm"));
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    tokenizer_close(fixture->qwen);
    tokenizer_close(fixture->spm);
    return 0;
}

static struct detokenizer *open_detok(const struct tokenizer *tokenizer, const char *const *stops,
                                      size_t n_stops, bool include_stop) {
    struct detokenizer *detok = NULL;
    struct error err = {.message = ""};
    if (detokenizer_open(tokenizer, true, stops, n_stops, include_stop, &detok, &err) < 0)
        fail_msg("%s", err.message);
    return detok;
}

/* Pushes one id; the text must be exactly this. Returns the stop. */
static int push(struct detokenizer *detok, token_id id, const char *want) {
    struct buf text = {.len = 0};
    int stop;
    assert_int_equal(detokenizer_push(detok, id, &text, &stop), 0);
    assert_string_equal(text.data ? text.data : "", want);
    buf_fini(&text);
    return stop;
}

static int finish(struct detokenizer *detok, const char *want) {
    struct buf text = {.len = 0};
    int stop;
    assert_int_equal(detokenizer_finish(detok, &text, &stop), 0);
    assert_string_equal(text.data ? text.data : "", want);
    buf_fini(&text);
    detokenizer_close(detok);
    return stop;
}

/* The token of a single byte of the byte-level tokenizer. */
static token_id byte_id(const struct tokenizer *tokenizer, unsigned char byte) {
    const char piece = (char)byte;
    const token_id id = tokenizer_find(tokenizer, &piece, 1);
    assert_true(id >= 0);
    return id;
}

/* The token <0xHH> of the SentencePiece one: 3 is <0x00>. */
static token_id raw_id(unsigned char byte) {
    return (token_id)(3 + byte);
}

static void test_detok_holds_incomplete_sequence_only(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    struct detokenizer *detok = open_detok(t, NULL, 0, false);
    assert_int_equal(push(detok, byte_id(t, 'a'), "a"), -1);
    push(detok, byte_id(t, 0xe4), "");
    push(detok, byte_id(t, 0xbd), "");
    push(detok, byte_id(t, 0xa0), "\xe4\xbd\xa0");
    push(detok, byte_id(t, 0xf0), "");
    push(detok, byte_id(t, 'b'),
         "\xef\xbf\xbd"
         "b");
    finish(detok, "");
}

static void test_detok_replaces_one_maximal_subpart_by_one_character(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    struct detokenizer *detok = open_detok(t, NULL, 0, false);
    push(detok, byte_id(t, 0xff), "\xef\xbf\xbd");
    push(detok, byte_id(t, 0x80), "\xef\xbf\xbd");
    push(detok, byte_id(t, 0xf0), ""); /* F0 9F 99 is one subpart */
    push(detok, byte_id(t, 0x9f), "");
    push(detok, byte_id(t, 0x99), "");
    push(detok, byte_id(t, 0xe0), "\xef\xbf\xbd");
    push(detok, byte_id(t, 0x80), "\xef\xbf\xbd\xef\xbf\xbd"); /* E0 80 is two */
    push(detok, byte_id(t, 0xc3), "");
    finish(detok, "\xef\xbf\xbd");
}

static void test_detok_skips_special_tokens(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    const token_id end = tokenizer_find(t, "<|im_end|>", 10);
    assert_true(tokenizer_is_special(t, end));
    struct detokenizer *detok = open_detok(t, NULL, 0, false);
    push(detok, byte_id(t, 0xc3), "");
    push(detok, end, "");
    push(detok, byte_id(t, 0xa9), "\xc3\xa9");
    finish(detok, "");
    struct error err;
    assert_int_equal(detokenizer_open(t, false, NULL, 0, false, &detok, &err), 0);
    push(detok, end, "<|im_end|>");
    push(detok, 1 << 20, "");
    push(detok, -5, "");
    finish(detok, "");
}

static void test_detok_holds_the_longest_tail_that_begins_a_stop(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    const char *const stops[] = {"abcabd", "cx"};
    struct detokenizer *detok = open_detok(t, stops, 2, false);
    push(detok, byte_id(t, 'z'), "z");
    push(detok, byte_id(t, 'a'), "");
    push(detok, byte_id(t, 'b'), "");
    push(detok, byte_id(t, 'c'), "");
    push(detok, byte_id(t, 'a'), "");
    push(detok, byte_id(t, 'b'), "");
    push(detok, byte_id(t, 'c'), "abc"); /* "abc" may still begin one, the first may not */
    push(detok, byte_id(t, 'y'), "abcy");
    push(detok, byte_id(t, 'a'), "");
    finish(detok, "a");
}

static void test_detok_stops_and_returns_nothing_more(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    const char *const stops[] = {"ab", "\n\n"};
    struct detokenizer *detok = open_detok(t, stops, 2, false);
    push(detok, byte_id(t, 'x'), "x");
    push(detok, byte_id(t, '\n'), "");
    assert_int_equal(push(detok, byte_id(t, '\n'), ""), 1);
    push(detok, byte_id(t, 'y'), "");
    finish(detok, "");
}

/* What the last flush makes of a cut character may be the stop string that was asked for. */
static void test_detok_stop_in_the_last_flush_is_a_match(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    const char *const stops[] = {"zz", "x\xef\xbf\xbd"};
    struct detokenizer *detok = open_detok(t, stops, 2, false);
    push(detok, byte_id(t, 'a'), "a");
    push(detok, byte_id(t, 'x'), "");
    push(detok, byte_id(t, 0xc3), "");
    assert_int_equal(finish(detok, ""), 1);

    detok = open_detok(t, stops, 1, false);
    push(detok, byte_id(t, 'z'), "");
    assert_int_equal(finish(detok, "z"), -1);
}

static void test_detok_includes_the_stop_if_asked(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    const char *const stops[] = {"ab"};
    struct detokenizer *detok = open_detok(t, stops, 1, true);
    push(detok, byte_id(t, 'a'), "");
    assert_int_equal(push(detok, byte_id(t, 'b'), "ab"), 0);
    finish(detok, "");
}

static void test_detok_of_stops_that_end_together_the_longest_counts(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    const char *const stops[] = {"b", "ab"};
    struct detokenizer *detok = open_detok(t, stops, 2, false);
    push(detok, byte_id(t, 'a'), "");
    assert_int_equal(push(detok, byte_id(t, 'b'), ""), 1);
    finish(detok, "");
}

static void test_detok_refuses_bad_stops(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->qwen;
    struct detokenizer *detok = NULL;
    struct error err = {.param = ""};
    const char *const empty[] = {""};
    const char *const broken[] = {"\xff"};
    const char *many[17];
    char long_stop[258];
    memset(long_stop, 'a', 257);
    long_stop[257] = '\0';
    const char *const too_long[] = {long_stop};
    for (int i = 0; i < 17; i++)
        many[i] = "a";
    assert_int_equal(detokenizer_open(t, true, empty, 1, false, &detok, &err), -EINVAL);
    assert_string_equal(err.param, "stop");
    assert_int_equal(detokenizer_open(t, true, broken, 1, false, &detok, &err), -EINVAL);
    assert_int_equal(detokenizer_open(t, true, too_long, 1, false, &detok, &err), -EINVAL);
    assert_int_equal(detokenizer_open(t, true, many, 17, false, &detok, &err), -EINVAL);
    detokenizer_close(NULL);
}

static void test_detok_byte_run_is_shown_when_it_is_decided(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->spm;
    const token_id the = tokenizer_find(t, "\xe2\x96\x81the", 6);
    struct detokenizer *detok = open_detok(t, NULL, 0, false);
    push(detok, raw_id('\n'), "");
    push(detok, the, "\n the"); /* a space stays a space: text was before */
    push(detok, raw_id('A'), "");
    push(detok, raw_id(0xff), "\xef\xbf\xbd\xef\xbf\xbd"); /* a broken run: every byte of it */
    push(detok, raw_id('B'), "\xef\xbf\xbd");
    push(detok, the, " the");
    push(detok, raw_id(0xe4), "");
    push(detok, raw_id(0xbd), "");
    finish(detok, "\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_detok_long_byte_run_flows(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->spm;
    struct detokenizer *detok = open_detok(t, NULL, 0, false);
    for (int i = 0; i < 32; i++)
        push(detok, raw_id('x'), "");
    push(detok, raw_id('x'), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    finish(detok, "");
}

static void test_detok_stop_in_a_byte_run_stops_at_once(void **state) {
    const struct tokenizer *t = ((struct fixture *)*state)->spm;
    const char *const stops[] = {"\n"};
    struct detokenizer *detok = open_detok(t, stops, 1, false);
    push(detok, tokenizer_find(t, "\xe2\x96\x81the", 6), " the");
    assert_int_equal(push(detok, raw_id('\n'), ""), 0);
    finish(detok, "");
}

/* --- answers --- */

/* Streams the ids and compares the whole; no push may return broken UTF-8. */
static void check_answer(const struct tokenizer *t, const char *name, const struct token_buf *ids,
                         const struct buf *want) {
    struct detokenizer *detok = open_detok(t, NULL, 0, false);
    struct buf text = {.len = 0};
    int stop;
    for (size_t i = 0; i < ids->n; i++)
        assert_int_equal(detokenizer_push(detok, ids->ids[i], &text, &stop), 0);
    assert_int_equal(detokenizer_finish(detok, &text, &stop), 0);
    if (text.len != want->len || memcmp(text.data, want->data, text.len) != 0)
        fail_msg("%s: \"%s\", expected \"%s\"", name, text.data, want->data);
    detokenizer_close(detok);
    buf_fini(&text);
}

struct answer {
    struct buf text, greedy_text;
    struct token_buf ids, greedy;
    bool add_special;
};

static void read_answer(struct json_pull *p, struct answer *a) {
    struct json_str key;
    json_enter_object(p);
    while (json_next_key(p, &key)) {
        const bool is_text = json_is(key, "text") || json_is(key, "rendered");
        if (is_text && json_peek(p) == JSON_STRING)
            json_unescape(json_take_string(p), &a->text);
        else if (json_is(key, "greedy_text"))
            json_unescape(json_take_string(p), &a->greedy_text);
        else if (json_is(key, "ids") || json_is(key, "prompt_ids"))
            vectors_take_ids(p, &a->ids);
        else if (json_is(key, "greedy") || json_is(key, "greedy_ids"))
            vectors_take_ids(p, &a->greedy);
        else if (json_is(key, "add_special_tokens"))
            a->add_special = json_take_bool(p);
        else
            (void)json_skip(p);
    }
}

/* All answers in the array list of a golden.json; returns their number. */
static int check_answers(const struct tokenizer *t, const char *path, const char *list) {
    size_t len;
    char *json = test_read_file(path, &len);
    struct json_pull p;
    struct json_str key;
    int n = 0;

    json_pull_init(&p, json, len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        if (!json_is(key, list)) {
            (void)json_skip(&p);
            continue;
        }
        for (json_enter_array(&p); json_next_item(&p); n++) {
            struct answer a = {.add_special = false};
            read_answer(&p, &a);
            if (a.text.len > 0)
                vectors_check(
                    t, path, a.text.data, a.text.len,
                    TOKENIZER_PARSE_SPECIAL | (a.add_special ? TOKENIZER_ADD_SPECIAL : 0u), &a.ids);
            check_answer(t, path, &a.greedy, &a.greedy_text);
            buf_fini(&a.text);
            buf_fini(&a.greedy_text);
            token_buf_fini(&a.ids);
            token_buf_fini(&a.greedy);
        }
    }
    struct error err = {.message = ""};
    assert_int_equal(json_pull_end(&p, path, &err), 0);
    test_release(json);
    return n;
}

static void test_detok_demo_answers_match_reference(void **state) {
    (void)state;
    struct tokenizer *t = vectors_open(test_path("share/models/demo"));
    assert_true(check_answers(t, test_path("share/models/demo/golden.json"), "chats") >= 5);
    tokenizer_close(t);
}

static void test_detok_oracle_answers_match_reference(void **state) {
    (void)state;
    static const char *const names[] = {
        "deepseek-v3", "ernie4.5",   "gemma",   "gemma2",        "gemma3",       "glm4",
        "gpt2",        "granite",    "llama",   "llama-bias",    "llama-linear", "llama3-rope",
        "mistral",     "mixtral",    "phi3",    "phi3-longrope", "qwen2",        "qwen2-tied",
        "qwen3",       "qwen3-next", "smollm3", "starcoder2",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char file[128];
        (void)snprintf(file, sizeof file, "oracle/%s/golden.json", names[i]);
        struct tokenizer *t = vectors_open(vectors_shared_dir(file));
        assert_int_equal(check_answers(t, test_shared_path(file), "texts"), 2);
        tokenizer_close(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_detok_holds_incomplete_sequence_only),
        cmocka_unit_test(test_detok_replaces_one_maximal_subpart_by_one_character),
        cmocka_unit_test(test_detok_skips_special_tokens),
        cmocka_unit_test(test_detok_holds_the_longest_tail_that_begins_a_stop),
        cmocka_unit_test(test_detok_stops_and_returns_nothing_more),
        cmocka_unit_test(test_detok_stop_in_the_last_flush_is_a_match),
        cmocka_unit_test(test_detok_includes_the_stop_if_asked),
        cmocka_unit_test(test_detok_of_stops_that_end_together_the_longest_counts),
        cmocka_unit_test(test_detok_refuses_bad_stops),
        cmocka_unit_test(test_detok_byte_run_is_shown_when_it_is_decided),
        cmocka_unit_test(test_detok_long_byte_run_flows),
        cmocka_unit_test(test_detok_stop_in_a_byte_run_stops_at_once),
        cmocka_unit_test(test_detok_demo_answers_match_reference),
        cmocka_unit_test(test_detok_oracle_answers_match_reference),
    };
    return cmocka_run_group_tests_name("tokenizer_detok", tests, setup, teardown);
}
