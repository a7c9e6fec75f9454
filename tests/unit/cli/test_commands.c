/* SPDX-License-Identifier: Apache-2.0 */
/* The program as people run it: exit statuses, and what goes to which stream. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.h"

enum { MAX_OUTPUT = 1 << 17 };

/* One run: its exit status and both streams, NUL-terminated. */
struct run {
    int status;
    char out[MAX_OUTPUT];
    char err[MAX_OUTPUT];
};

static void redirect(const char *path, int flags, int to) {
    const int fd = open(path, flags, 0600);
    if (fd < 0 || dup2(fd, to) < 0)
        _exit(127);
}

/* Runs argv[0] with argv; its standard output goes to the file out. Returns the exit status. */
static int spawn(char *const *argv, const char *out, const char *err) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        redirect("/dev/null", O_RDONLY, STDIN_FILENO);
        redirect(out, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
        redirect(err, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
        (void)execv(argv[0], argv); /* returns only if it failed */
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void read_stream(const char *name, char *text) {
    FILE *file = fopen(scratch_path(name), "rb");
    assert_non_null(file);
    text[fread(text, 1, MAX_OUTPUT - 1, file)] = '\0';
    (void)fclose(file); /* only read */
}

static const char *binary(void) {
    const char *path = getenv("KVASIR_BINARY");
    if (!path)
        fail_msg("KVASIR_BINARY is not set; run the suite with meson test");
    return path;
}

static struct run *kvasir(const char *const *words) {
    static struct run run;
    char *argv[16] = {(char *)(uintptr_t)binary()};
    for (int i = 0; words[i]; i++)
        argv[i + 1] = (char *)(uintptr_t)words[i];

    run.status = spawn(argv, scratch_path("out"), scratch_path("err"));
    read_stream("out", run.out);
    read_stream("err", run.err);
    return &run;
}

#define KVASIR(...) kvasir((const char *const[]){__VA_ARGS__, NULL})

static int setup(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    return 0;
}

static int teardown(void **state) {
    scratch_destroy();
    return 0;
}

static void test_cli_version_names_the_build(void **state) {
    const struct run *run = KVASIR("--version");
    assert_int_equal(run->status, 0);
    assert_memory_equal(run->out, "kvasir ", 7);
    assert_non_null(strstr(run->out, "\ncompiler: "));
    assert_non_null(strstr(run->out, "\ninstruction set: "));
    assert_string_equal(run->err, "");
}

static void test_cli_help_goes_to_standard_output(void **state) {
    const struct run *run = KVASIR("--help");
    assert_int_equal(run->status, 0);
    assert_non_null(strstr(run->out, "commands:"));
    assert_string_equal(run->err, "");
}

static void test_cli_bad_usage_is_status_2_and_says_nothing_on_standard_output(void **state) {
    const char *const cases[][4] = {
        {NULL},
        {"sevre", NULL},
        {"--nonsense", NULL},
        {"help", "--nonsense", NULL},
        {"help", "nonsense", NULL},
        {"help", "a", "b", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct run *run = kvasir(cases[i]);
        if (run->status != 2 || run->out[0] != '\0' || run->err[0] == '\0')
            fail_msg("case %zu: status %d, out '%s', err '%s'", i, run->status, run->out, run->err);
        assert_memory_equal(run->err, "kvasir", 6);
    }
}

static void test_cli_unknown_command_suggests(void **state) {
    assert_non_null(strstr(KVASIR("hepl")->err, "did you mean help?"));
}

/* Every command that help lists explains itself, and refuses what it does not know. */
static void test_cli_every_command_has_help_and_refuses_unknown_options(void **state) {
    static char list[MAX_OUTPUT];
    (void)snprintf(list, sizeof list, "%s", KVASIR("help")->out); /* same size */
    char *line = strstr(list, "commands:\n");
    assert_non_null(line);
    unsigned n_commands = 0;
    for (line += strlen("commands:\n"); line[0] == ' '; line = strchr(line, '\n') + 1) {
        char name[64];
        assert_int_equal(sscanf(line, " %63s", name), 1);
        n_commands++;

        const struct run *help = KVASIR(name, "--help");
        char usage[128];
        (void)snprintf(usage, sizeof usage, "usage: kvasir %s ", name); /* fits */
        assert_int_equal(help->status, 0);
        assert_memory_equal(help->out, usage, strlen(usage));
        assert_string_equal(help->err, "");

        const struct run *refused = KVASIR(name, "--no-such-option");
        assert_int_equal(refused->status, 2);
        assert_string_equal(refused->out, "");
        assert_non_null(strstr(refused->err, "unknown option --no-such-option"));
    }
    assert_true(n_commands >= 1);
}

static void test_cli_result_that_cannot_be_written_is_a_failure(void **state) {
    if (access("/dev/full", W_OK) != 0)
        skip();
    char *argv[] = {(char *)(uintptr_t)binary(), (char *)(uintptr_t) "--version", NULL};
    assert_int_equal(spawn(argv, "/dev/full", scratch_path("err")), 1);
    static char err[MAX_OUTPUT];
    read_stream("err", err);
    assert_non_null(strstr(err, "standard output"));
}

/* docs/options.md is made of the tables: make docs. */
static void test_cli_documentation_is_in_step_with_the_tables(void **state) {
    size_t len;
    char *page = test_read_file(test_path("docs/options.md"), &len);
    const struct run *run = KVASIR("help", "--markdown");
    assert_int_equal(run->status, 0);
    if (strcmp(page, run->out) != 0)
        fail_msg("docs/options.md is out of step with the option tables: run make docs");
    test_release(page);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_cli_version_names_the_build),
        CASE(test_cli_help_goes_to_standard_output),
        CASE(test_cli_bad_usage_is_status_2_and_says_nothing_on_standard_output),
        CASE(test_cli_unknown_command_suggests),
        CASE(test_cli_every_command_has_help_and_refuses_unknown_options),
        CASE(test_cli_result_that_cannot_be_written_is_a_failure),
        CASE(test_cli_documentation_is_in_step_with_the_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
