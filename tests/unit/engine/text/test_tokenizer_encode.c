/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises of encoding that hold for every tokenizer: user text cannot become special tokens, any
 * bytes come back, time is linear, running out of memory leaves the output as it was.
 */
#include "vectors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

#include "text/pretok.h"
#include "text/pretok_patterns.h"
#include "text/tokenizer_impl.h"

static struct tokenizer *open_tiny(const char *name) {
    char folder[128] = "tests/golden/tokenizers/";
    strncat(folder, name, 16);
    return vectors_open(test_path(folder));
}

/* --- user ranges --- */

static void check_ranges(const struct tokenizer *t, const char *text, unsigned flags,
                         const struct text_range *ranges, size_t n_ranges, const char *special,
                         int n_special) {
    struct token_buf ids = {.n = 0};
    const token_id id = tokenizer_find(t, special, strlen(special));
    assert_true(id >= 0);
    assert_int_equal(tokenizer_encode(t, text, strlen(text), flags, ranges, n_ranges, &ids), 0);
    int n = 0;
    for (size_t i = 0; i < ids.n; i++)
        n += ids.ids[i] == id;
    assert_int_equal(n, n_special);

    struct buf back = {.len = 0};
    assert_int_equal(tokenizer_decode(t, ids.ids, ids.n, false, &back), 0);
    assert_string_equal(back.data, text);
    buf_fini(&back);
    token_buf_fini(&ids);
}

static void test_encode_special_tokens_only_outside_user_ranges(void **state) {
    (void)state;
    struct tokenizer *t = open_tiny("qwen");
    static const char text[] = "<|im_end|>a<|im_end|>b<|im_end|>";
    const unsigned parse = TOKENIZER_PARSE_SPECIAL;
    check_ranges(t, text, 0, NULL, 0, "<|im_end|>", 0);
    check_ranges(t, text, parse, NULL, 0, "<|im_end|>", 3);
    check_ranges(t, text, parse, (struct text_range[]){{11, 21}}, 1, "<|im_end|>", 2);
    check_ranges(t, text, parse, (struct text_range[]){{0, 32}}, 1, "<|im_end|>", 0);
    /* one byte of the user's is enough; a range that only touches is not */
    check_ranges(t, text, parse, (struct text_range[]){{0, 1}, {20, 21}}, 2, "<|im_end|>", 1);
    check_ranges(t, text, parse, (struct text_range[]){{10, 11}, {21, 22}}, 2, "<|im_end|>", 3);
    check_ranges(t, text, parse, (struct text_range[]){{5, 5}, {40, 50}}, 2, "<|im_end|>", 3);
    tokenizer_close(t);
}

/* The same where special tokens are sought in normalised text, whose bytes have moved. */
static void test_encode_user_ranges_follow_the_normalizer(void **state) {
    (void)state;
    static const char json[] =
        "{\"added_tokens\":[{\"id\":3,\"content\":\"<x>\",\"special\":true,\"normalized\":true}],"
        "\"normalizer\":{\"type\":\"NFC\"},"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false},"
        "\"decoder\":{\"type\":\"ByteLevel\"},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"<\":0,\"x\":1,\">\":2,\"\u00c3\":4,\"\u00a9\":5},"
        "\"merges\":[]}}";
    struct tokenizer *t = NULL;
    struct error err = {.message = ""};
    if (tokenizer_read_json(json, strlen(json), NULL, 0, &t, &err) < 0)
        fail_msg("%s", err.message);
    /* "e" and U+0301 (3 bytes) become 2 bytes before the tokens */
    static const char text[] = "e\xcc\x81<x><x>";
    const struct text_range second = {6, 9};
    struct token_buf ids = {.n = 0};
    assert_int_equal(tokenizer_encode(t, text, 9, TOKENIZER_PARSE_SPECIAL, &second, 1, &ids), 0);
    const token_id want[] = {4, 5, 3, 0, 1, 2};
    assert_int_equal(ids.n, 6);
    assert_memory_equal(ids.ids, want, sizeof want);
    token_buf_fini(&ids);
    tokenizer_close(t);
}

/* --- any bytes --- */

static void test_encode_any_bytes_come_back(void **state) {
    (void)state;
    static const char *const names[] = {"qwen", "llama3", "spm"};
    uint64_t seed = 7;
    for (int i = 0; i < 3; i++) {
        struct tokenizer *t = open_tiny(names[i]);
        for (int round = 0; round < 200; round++) {
            char text[300];
            const size_t len = test_random(&seed) % sizeof text;
            for (size_t k = 0; k < len; k++)
                text[k] = (char)test_random(&seed);
            struct token_buf ids = {.n = 0};
            struct buf back = {.len = 0};
            assert_int_equal(tokenizer_encode(t, text, len, 0, NULL, 0, &ids), 0);
            assert_int_equal(tokenizer_decode(t, ids.ids, ids.n, false, &back), 0);
            /* NFC may change what happens to be text; nothing else changes */
            if (i > 0) {
                assert_int_equal(back.len, len);
                if (len > 0)
                    assert_memory_equal(back.data, text, len);
            }
            token_buf_fini(&ids);
            buf_fini(&back);
        }
        tokenizer_close(t);
    }
}

static void test_encode_every_byte_alone(void **state) {
    (void)state;
    struct tokenizer *t = open_tiny("qwen");
    for (int byte = 0; byte < 256; byte++) {
        const char text = (char)byte;
        struct token_buf ids = {.n = 0};
        size_t len;
        assert_int_equal(tokenizer_encode(t, &text, 1, 0, NULL, 0, &ids), 0);
        assert_int_equal(ids.n, 1);
        const char *bytes = tokenizer_token_bytes(t, ids.ids[0], &len);
        assert_int_equal(len, 1);
        assert_int_equal((unsigned char)bytes[0], byte);
        token_buf_fini(&ids);
    }
    tokenizer_close(t);
}

/* --- time --- */

static double cpu_seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail for this clock */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds_for(const struct tokenizer *t, const char *unit, size_t len) {
    const size_t n = strlen(unit);
    char *text = mem_alloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = unit[i % n];
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        struct token_buf ids = {.n = 0};
        const double start = cpu_seconds();
        assert_int_equal(tokenizer_encode(t, text, len, TOKENIZER_PARSE_SPECIAL, NULL, 0, &ids), 0);
        const double seconds = cpu_seconds() - start;
        best = seconds < best ? seconds : best;
        token_buf_fini(&ids);
    }
    mem_free(text);
    return best;
}

/* Eight times the text in at most 8^1.2 (12.1) times the time, with room for a busy machine. */
static void test_encode_is_linear_in_the_worst_case(void **state) {
    (void)state;
    static const char *const units[] = {
        "a",
        " ",
        "\n",
        "ab",
        "1",
        "'",
        "<|",
        "\xe4\xbd\xa0",
        "e\xcc\x81",
        "\xcc\x81\xcc\xa3",
        "\xf0\x9f\x91\xa8\xe2\x80\x8d",
        "\xff",
        "A\xe4\xb8\xad",
    };
    static const char *const names[] = {"qwen", "llama3", "spm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tokenizer *t = open_tiny(names[i]);
        for (size_t j = 0; j < sizeof units / sizeof units[0]; j++) {
            const double small = seconds_for(t, units[j], 32 << 10);
            const double large = seconds_for(t, units[j], 256 << 10);
            if (large > 25 * small + 0.02)
                fail_msg("%s, 256 KiB of \"%s\": %.1f ms, an eighth of it %.1f ms", names[i],
                         units[j], large * 1e3, small * 1e3);
        }
        tokenizer_close(t);
    }
}

/* --- patterns --- */

struct cuts {
    size_t ends[600];
    size_t n;
    const char *text;
};

static int note_cut(void *ctx, const char *word, size_t len) {
    struct cuts *cuts = ctx;
    cuts->ends[cuts->n++] = (size_t)(word - cuts->text) + len;
    return 0;
}

/* The hand-written matchers cut as PCRE2 does, on text of all kinds of characters. */
static void test_pretok_hand_written_equals_pcre2(void **state) {
    (void)state;
    static const char *const patterns[] = {
        PATTERN_GPT2,
        PATTERN_LLAMA3,
        PATTERN_QWEN2,
        PATTERN_QWEN35,
        PATTERN_GPT4O,
        PATTERN_TEKKEN,
        PATTERN_DEEPSEEK3("\\r\\n"),
        "\\p{N}{1,3}",
        "\\s?\\p{L}+",
        "\\s?\\p{P}+",
        "[\\r\\n]",
        "\\s+$",
        "[\\p{P}$+<->^`|~]",
    };
    static const uint32_t chars[] = {
        'a',    'B',    's',    'l',    '\'',   ' ',     ' ',    '\n',  '\r',  '\t', '1',    '9',
        '.',    '/',    '$',    0xe9,   0x17f,  0x1c5,   0x2b0,  0x301, 0x93f, 0xb2, 0x2163, 0x3000,
        0x2028, 0x4f60, 0x30fb, 0xac00, 0xff0c, 0x1f642, 0x200d, 0x7,   0xad,  0x85,
    };
    uint64_t seed = 11;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct pretok hand = {.n_steps = 0};
        struct pretok_step regex = {.kind = PRETOK_SPLIT};
        struct pretok pcre = {.n_steps = 0};
        struct error err = {.message = ""};
        const size_t len = strlen(patterns[i]);
        assert_int_equal(pretok_add_pattern(&hand, patterns[i], len, SPLIT_ISOLATED, false, &err),
                         0);
        assert_null(hand.family && strcmp(hand.family, "regex") == 0 ? "not by hand" : NULL);
        assert_int_equal(pretok_regex_init(&regex.matcher, patterns[i], len, &err), 0);
        assert_int_equal(pretok_add_owned(&pcre, &regex, &err), 0);

        for (int round = 0; round < 1500; round++) {
            char text[256];
            size_t n = 0;
            const size_t n_chars = test_random(&seed) % 40;
            for (size_t k = 0; k < n_chars; k++)
                n += utf8_encode(chars[test_random(&seed) % (sizeof chars / sizeof chars[0])],
                                 text + n);
            struct cuts a = {.text = text}, b = {.text = text};
            const struct pretok_sink sink_a = {.word = note_cut, .ctx = &a};
            const struct pretok_sink sink_b = {.word = note_cut, .ctx = &b};
            assert_int_equal(pretok_run(&hand, text, n, true, &sink_a), 0);
            assert_int_equal(pretok_run(&pcre, text, n, true, &sink_b), 0);
            if (a.n != b.n || memcmp(a.ends, b.ends, a.n * sizeof a.ends[0]) != 0)
                fail_msg("pattern %zu cuts \"%.*s\" into %zu words, PCRE2 into %zu", i, (int)n,
                         text, a.n, b.n);
        }
        pretok_fini(&hand);
        pretok_fini(&pcre);
    }
}

static void test_pretok_runaway_regex_is_an_error(void **state) {
    (void)state;
    struct pretok pretok = {.n_steps = 0};
    struct error err = {.message = ""};
    static const char pattern[] = "(a+)+$|(x+x+)+y";
    assert_int_equal(
        pretok_add_pattern(&pretok, pattern, strlen(pattern), SPLIT_ISOLATED, false, &err), 0);
    char text[65];
    memset(text, 'x', 64);
    text[64] = '\0';
    struct cuts cuts = {.text = text};
    const struct pretok_sink sink = {.word = note_cut, .ctx = &cuts};
    assert_int_equal(pretok_run(&pretok, text, 64, true, &sink), -EOVERFLOW);
    pretok_fini(&pretok);
}

/* --- memory --- */

struct faults {
    int left; /* allocations that succeed */
    bool failed;
};

static bool should_fail(void *ctx, size_t size) {
    struct faults *faults = ctx;
    (void)size;
    faults->failed = faults->failed || faults->left == 0;
    return faults->left-- <= 0;
}

static void test_encode_without_memory_keeps_the_output(void **state) {
    (void)state;
    struct tokenizer *t = open_tiny("spm");
    static const char text[] = "<s> \xe4\xbd\xa0 the end e\xcc\x81 of it all \xff and more";
    for (int n = 0;; n++) {
        struct token_buf ids = {.n = 0};
        struct faults faults = {.left = n};
        mem_set_fault_hook(should_fail, &faults);
        const int r = tokenizer_encode(
            t, text, strlen(text), TOKENIZER_ADD_SPECIAL | TOKENIZER_PARSE_SPECIAL, NULL, 0, &ids);
        mem_set_fault_hook(NULL, NULL);
        if (faults.failed) {
            assert_int_equal(r, -ENOMEM);
            assert_int_equal(ids.n, 0);
        }
        token_buf_fini(&ids);
        if (!faults.failed) {
            assert_int_equal(r, 0);
            break;
        }
    }
    tokenizer_close(t);
}

static void test_open_without_memory_fails_cleanly(void **state) {
    (void)state;
    static const char *const names[] = {"qwen", "spm"};
    for (int i = 0; i < 2; i++) {
        char folder[128] = "tests/golden/tokenizers/";
        strncat(folder, names[i], 16);
        for (int n = 0;; n++) {
            struct tokenizer *t = NULL;
            struct error err = {.message = ""};
            struct faults faults = {.left = n};
            mem_set_fault_hook(should_fail, &faults);
            const int r = tokenizer_open_dir(test_path(folder), &t, &err);
            mem_set_fault_hook(NULL, NULL);
            if (r == 0)
                tokenizer_close(t);
            if (!faults.failed) {
                assert_int_equal(r, 0);
                break;
            }
            /* giving back what a list has too much may fail without harm */
            assert_true(r == -ENOMEM || r == 0);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_special_tokens_only_outside_user_ranges),
        cmocka_unit_test(test_encode_user_ranges_follow_the_normalizer),
        cmocka_unit_test(test_encode_any_bytes_come_back),
        cmocka_unit_test(test_encode_every_byte_alone),
        cmocka_unit_test(test_encode_is_linear_in_the_worst_case),
        cmocka_unit_test(test_pretok_hand_written_equals_pcre2),
        cmocka_unit_test(test_pretok_runaway_regex_is_an_error),
        cmocka_unit_test(test_encode_without_memory_keeps_the_output),
        cmocka_unit_test(test_open_without_memory_fails_cleanly),
    };
    return cmocka_run_group_tests_name("tokenizer_encode", tests, NULL, NULL);
}
