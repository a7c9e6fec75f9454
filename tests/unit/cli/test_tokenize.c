/* SPDX-License-Identifier: Apache-2.0 */
/* kvasir tokenize with the demo model: text in and ids out, and back; only the result on stdout. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

enum { MAX_OUTPUT = 1 << 14 };

static const char *read_file(const char *name) {
    static char text[2][MAX_OUTPUT];
    static int next;
    next = 1 - next;
    FILE *file = fopen(scratch_path(name), "rb");
    assert_non_null(file);
    text[next][fread(text[next], 1, MAX_OUTPUT - 1, file)] = '\0';
    (void)fclose(file); /* only read */
    return text[next];
}

static void redirect(const char *path, int flags, int to) {
    const int fd = open(path, flags, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(127);
}

/* Runs kvasir tokenize MODEL with two more words (or NULL) on the input; the exit status. */
static int tokenize(const char *model, const char *word, const char *word2, const char *input) {
    const char *binary = getenv("KVASIR_BINARY");
    if (!binary)
        fail_msg("KVASIR_BINARY is not set; run the suite with meson test");
    scratch_write("in", input);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        redirect(scratch_path("in"), O_RDONLY, STDIN_FILENO);
        redirect(scratch_path("out"), O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
        redirect(scratch_path("err"), O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
        (void)execl(binary, binary, "tokenize", model, word, word2,
                    (char *)NULL); /* returns only if it failed */
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check(const char *word, const char *word2, const char *input, const char *want) {
    assert_int_equal(tokenize(test_path("share/models/demo"), word, word2, input), 0);
    assert_string_equal(read_file("out"), want);
    assert_string_equal(read_file("err"), "");
}

static int setup(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    return 0;
}

static int teardown(void **state) {
    scratch_destroy();
    return 0;
}

/* 1605 "Hello", 220 " ", 5113 <|im_end|>, from the reference */
static void test_tokenize_standard_input_is_one_text(void **state) {
    check(NULL, NULL, "Hello <|im_end|>", "[1605,220,5113]\n");
    check(NULL, NULL, "", "[]\n");
}

static void test_tokenize_special_tokens_are_text_if_not_parsed(void **state) {
    assert_int_equal(
        tokenize(test_path("share/models/demo"), "--no-parse-special", NULL, "<|im_end|>"), 0);
    assert_null(strstr(read_file("out"), "5113"));
    check("--decode", NULL, read_file("out"), "<|im_end|>\n");
}

static void test_tokenize_json_lines_gives_a_line_a_text(void **state) {
    scratch_write("texts.json", "[\"Hello\", \"\", \"<|im_end|>\\n\"]");
    assert_int_equal(tokenize(test_path("share/models/demo"), "--json-lines",
                              scratch_path("texts.json"), "not read"),
                     0);
    assert_string_equal(read_file("out"), "[1605]\n[]\n[5113,198]\n");
}

static void test_tokenize_decode_reads_a_line_an_array(void **state) {
    check("--decode", NULL, "[1605]\n\n[5113, 220 ,1605]\n", "Hello\n<|im_end|> Hello\n");
}

static void test_tokenize_decode_refuses_what_is_no_id(void **state) {
    assert_int_equal(
        tokenize(test_path("share/models/demo"), "--decode", NULL, "[1605]\n[99999999]\n"), 1);
    assert_non_null(strstr(read_file("err"), "line 2 of standard input"));
    assert_int_equal(tokenize(test_path("share/models/demo"), "--decode", NULL, "[-1]"), 1);
    assert_int_equal(tokenize(test_path("share/models/demo"), "--decode", NULL, "1605"), 1);
}

static void test_tokenize_folder_with_tokenizer_json_is_enough(void **state) {
    assert_int_equal(
        tokenize(test_path("tests/golden/tokenizers/spm"), "--add-special-tokens", NULL, "the"), 0);
    assert_string_equal(read_file("out"), "[1,266]\n");
}

static void test_tokenize_says_what_is_wrong(void **state) {
    assert_int_equal(tokenize("/nonexistent", NULL, NULL, ""), 1);
    assert_string_equal(read_file("out"), "");
    assert_non_null(strstr(read_file("err"), "/nonexistent"));
    assert_int_equal(tokenize(test_path("share/models/demo"), "--nonsense", NULL, ""), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenize_standard_input_is_one_text),
        cmocka_unit_test(test_tokenize_special_tokens_are_text_if_not_parsed),
        cmocka_unit_test(test_tokenize_json_lines_gives_a_line_a_text),
        cmocka_unit_test(test_tokenize_decode_reads_a_line_an_array),
        cmocka_unit_test(test_tokenize_decode_refuses_what_is_no_id),
        cmocka_unit_test(test_tokenize_folder_with_tokenizer_json_is_enough),
        cmocka_unit_test(test_tokenize_says_what_is_wrong),
    };
    return cmocka_run_group_tests_name("cli_tokenize", tests, setup, teardown);
}
