/* SPDX-License-Identifier: Apache-2.0 */
/* kvasir render as people run it: the prompt and nothing else, statuses, streams. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

struct run {
    int status;
    char out[4096];
    char err[4096];
};

static void read_file(const char *name, char text[4096]) {
    FILE *file = fopen(scratch_path(name), "rb");
    assert_non_null(file);
    text[fread(text, 1, 4095, file)] = '\0';
    (void)fclose(file); /* only read */
}

static void redirect(const char *name, int to) {
    const int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(127);
}

static struct run run_render(const char *const *words) {
    struct run run = {.status = -1};
    char *argv[12] = {getenv("KVASIR_BINARY"), (char *)(uintptr_t) "render"};
    assert_non_null(argv[0]);
    for (int i = 0; words[i]; i++)
        argv[i + 2] = (char *)(uintptr_t)words[i];
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        redirect("out", STDOUT_FILENO);
        redirect("err", STDERR_FILENO);
        (void)execv(argv[0], argv); /* returns only if it failed */
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    run.status = WEXITSTATUS(status);
    read_file("out", run.out);
    read_file("err", run.err);
    return run;
}

#define RENDER(...) run_render((const char *const[]){__VA_ARGS__, NULL})

static struct run render(const char *source, const char *request) {
    scratch_write("t.jinja", source);
    scratch_write("r.json", request);
    return RENDER("--template", scratch_path("t.jinja"), "--request", scratch_path("r.json"),
                  "--now", "2025-01-31T12:00:00");
}

static void test_render_prints_exactly_the_prompt(void **state) {
    const struct run run =
        render("{{ bos }}{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
               "{{ x is defined }} {{ n }} {{ f }} {{ strftime_now('%d %b %Y') }}\n\n",
               "{\"bos\": \"<s>\", \"messages\": [{\"role\": \"user\", \"content\": \"h\\u00e9\"}],"
               " \"n\": 2, \"f\": 2.0}");
    assert_int_equal(run.status, 0);
    assert_string_equal(run.out, "<s><user>h\xc3\xa9\nFalse 2 2.0 31 Jan 2025\n");
    assert_string_equal(run.err, "");
}

static void test_render_errors_go_to_standard_error_with_status_1(void **state) {
    struct run run = render("a\n{{ raise_exception('No.') }}", "{}");
    assert_int_equal(run.status, 1);
    assert_string_equal(run.out, "");
    assert_non_null(strstr(run.err, "kvasir render: No. (chat template "));
    assert_non_null(strstr(run.err, ", line 2)"));
    run = render("{% if %}", "{}");
    assert_int_equal(run.status, 1);
    assert_string_equal(run.out, "");
    run = render("x", "[1]");
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.err, "r.json: The request body must be a JSON object"));
    run = render("x", "{\"a\": }");
    assert_int_equal(run.status, 1);
    scratch_write("r.json", "{}");
    run = RENDER("--template", scratch_path("absent"), "--request", scratch_path("r.json"));
    assert_int_equal(run.status, 1);
    assert_non_null(strstr(run.err, "absent"));
}

static void test_render_bad_usage_is_status_2(void **state) {
    scratch_write("t.jinja", "x");
    scratch_write("r.json", "{}");
    assert_int_equal(RENDER("--request", scratch_path("r.json")).status, 2);
    assert_int_equal(RENDER("--template", scratch_path("t.jinja")).status, 2);
    const struct run run = RENDER("--template", scratch_path("t.jinja"), "--request",
                                  scratch_path("r.json"), "--now", "today");
    assert_int_equal(run.status, 2);
    assert_string_equal(run.out, "");
    assert_non_null(strstr(run.err, "found 'today'"));
}

static int setup(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    return 0;
}

static int teardown(void **state) {
    scratch_destroy();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render_prints_exactly_the_prompt),
        cmocka_unit_test(test_render_errors_go_to_standard_error_with_status_1),
        cmocka_unit_test(test_render_bad_usage_is_status_2),
    };
    return cmocka_run_group_tests_name("render", tests, setup, teardown);
}
