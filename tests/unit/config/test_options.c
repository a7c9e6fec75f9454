/* SPDX-License-Identifier: Apache-2.0 */
/* options: the command line, the environment, precedence, and the texts made of the table. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/serve_options.h"

#include "scratch.h"

enum { MAX_WORDS = 16 };

/* One reading of serve's table; words and environment end with NULL. */
struct outcome {
    struct serve_options values;
    struct options options;
    struct error error;
    int r;
};

static void read_serve(struct outcome *outcome, const char *const *words,
                       const char *const *environment) {
    char *argv[MAX_WORDS] = {(char *)(uintptr_t) "serve"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    *outcome = (struct outcome){.r = 0};
    outcome->r =
        options_read(&serve_option_table, argc, argv, (char *const *)(uintptr_t)environment,
                     &outcome->values, &outcome->options, &outcome->error);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_WORDS ((const char *const[]){NULL})

static void check_refused(const char *const *words, const char *const *environment,
                          const char *message) {
    struct outcome outcome;
    read_serve(&outcome, words, environment);
    assert_int_equal(outcome.r, -EINVAL);
    assert_string_equal(outcome.error.message, message);
    options_fini(&outcome.options);
}

static void test_options_without_arguments_are_the_defaults(void **state) {
    struct outcome outcome;
    read_serve(&outcome, NO_WORDS, NULL);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.options.request, OPTIONS_RUN);
    assert_null(outcome.values.model);
    assert_string_equal(outcome.values.host, "127.0.0.1");
    assert_int_equal(outcome.values.port, 8000);
    assert_int_equal(outcome.values.keep_alive_timeout_us, 75000000);
    assert_int_equal(outcome.values.max_body, 16 << 20);
    assert_int_equal(outcome.values.threads, 0);
    assert_int_equal(outcome.values.block_size, 16);
    assert_true(outcome.values.enable_prefix_caching);
    options_fini(&outcome.options);
}

static void test_options_command_line_takes_both_forms(void **state) {
    struct outcome outcome;
    read_serve(&outcome,
               WORDS("--port", "9000", "--host=::1", "path/to/model", "--max_num_seqs=4",
                     "--no-enable-prefix-caching", "--served-model-name", "a,b",
                     "--served-model-name=c", "--kv-memory=1.5GiB"),
               NULL);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.values.port, 9000);
    assert_string_equal(outcome.values.host, "::1");
    assert_string_equal(outcome.values.model, "path/to/model");
    assert_int_equal(outcome.values.max_num_seqs, 4);
    assert_false(outcome.values.enable_prefix_caching);
    assert_int_equal(outcome.values.served_model_name.n, 3);
    assert_string_equal(outcome.values.served_model_name.items[2], "c");
    assert_int_equal(outcome.values.kv_memory, 1536ull << 20);
    assert_int_equal(outcome.options.sources[0], OPTION_ARGUMENT);
    options_fini(&outcome.options);
}

static void test_options_last_value_and_double_dash(void **state) {
    struct outcome outcome;
    read_serve(&outcome, WORDS("--port=1", "--port=2", "--", "--model"), NULL);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.values.port, 2);
    assert_string_equal(outcome.values.model, "--model");
    options_fini(&outcome.options);
}

static void test_options_errors_name_place_expected_found_and_closest(void **state) {
    check_refused(WORDS("--prot", "9"), NULL, "unknown option --prot; did you mean --port?");
    check_refused(WORDS("--zzzzzz"), NULL, "unknown option --zzzzzz");
    check_refused(WORDS("-p", "9"), NULL, "unknown option -p: options are written with two dashes");
    check_refused(WORDS("--no-enable-prefix-cachin"), NULL,
                  "unknown option --no-enable-prefix-cachin; did you mean "
                  "--no-enable-prefix-caching?");
    check_refused(WORDS("--no-port"), NULL,
                  "--no-port: expected --port with a value, which is no switch");
    check_refused(WORDS("--port=80a"), NULL,
                  "--port: expected a number from 0 to 65535, found \"80a\"");
    check_refused(WORDS("--port"), NULL, "--port: expected a value (N), found the end of the line");
    check_refused(WORDS("--port", "--host"), NULL, "--port: expected a value (N), found --host");
    check_refused(WORDS("--port="), NULL, "--port: expected a number from 0 to 65535, found \"\"");
    check_refused(WORDS("--dtype=half"), NULL,
                  "--dtype: expected one of auto, float32, bfloat16, float16, found \"half\"");
    check_refused(WORDS("--no-enable-prefix-caching=true"), NULL,
                  "--no-enable-prefix-caching: takes no value");
    check_refused(WORDS("a", "b"), NULL,
                  "expected kvasir serve [MODEL] [options], found one argument too many: b");
    check_refused(NO_WORDS, WORDS("KVASIR_PORT=x"),
                  "KVASIR_PORT: expected a number from 0 to 65535, found \"x\"");
}

static void test_options_environment_is_below_the_command_line(void **state) {
    struct outcome outcome;
    read_serve(&outcome, WORDS("--port=2"),
               WORDS("PATH=/bin", "KVASIR_PORT=1", "KVASIR_MAX_MODEL_LEN=77",
                     "KVASIR_HOST=", "KVASIR_PORTS=x"));
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.values.port, 2);
    assert_int_equal(outcome.values.max_model_len, 77);
    assert_string_equal(outcome.values.host, "127.0.0.1"); /* empty is unset */
    options_fini(&outcome.options);
}

static void test_options_file_is_below_the_environment(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    scratch_write("c.yaml", "port: 1\nmax-model-len: 2\nmax_num_seqs: 3\n"
                            "served-model-name: [x, y]\n");
    char variable[4200];
    (void)snprintf(variable, sizeof variable, "KVASIR_CONFIG=%s", scratch_path("c.yaml"));
    struct outcome outcome;
    read_serve(&outcome, WORDS("--max-num-seqs=30", "--served-model-name=z"),
               WORDS(variable, "KVASIR_MAX_MODEL_LEN=20"));
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.values.port, 1);
    assert_int_equal(outcome.values.max_model_len, 20);
    assert_int_equal(outcome.values.max_num_seqs, 30);
    assert_int_equal(outcome.values.served_model_name.n, 1);
    assert_string_equal(outcome.values.served_model_name.items[0], "z");
    options_fini(&outcome.options);
    scratch_destroy();
}

static void test_options_help_wins_over_errors(void **state) {
    struct outcome outcome;
    read_serve(&outcome, WORDS("--nonsense", "--help"), NULL);
    assert_int_equal(outcome.r, 0);
    assert_int_equal(outcome.options.request, OPTIONS_HELP);
    options_fini(&outcome.options);

    struct buf text = {.data = NULL};
    options_help(&serve_option_table, &text);
    for (size_t i = 0; i < serve_option_table.n_rows; i++)
        assert_non_null(strstr(text.data, serve_option_table.rows[i].name));
    assert_non_null(strstr(text.data, "KVASIR_MAX_MODEL_LEN"));
    buf_fini(&text);
}

/* --print-config must give a file that gives the same values again. */
static void test_options_printed_configuration_reads_back(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    struct outcome first;
    read_serve(&first,
               WORDS("--print-config", "a \"strange\": #name", "--port=0", "--drain-timeout=0",
                     "--kv-memory=3GiB", "--served-model-name=m,n o", "--log-format=json",
                     "--no-access-log"),
               NULL);
    assert_int_equal(first.r, 0);
    assert_int_equal(first.options.request, OPTIONS_PRINT_CONFIG);
    struct buf printed = {.data = NULL};
    options_print(&serve_option_table, &first.values, &first.options, &printed);
    assert_non_null(strstr(printed.data, "port: 0  # command line\n"));
    assert_non_null(strstr(printed.data, "host: 127.0.0.1  # default\n"));
    assert_non_null(strstr(printed.data, "# allowed-hosts: (not set)\n"));
    scratch_write("c.yaml", printed.data);

    struct outcome second;
    read_serve(&second, WORDS("--check-config", "--config", scratch_path("c.yaml")), NULL);
    if (second.r < 0)
        fail_msg("%s", second.error.message);
    assert_int_equal(second.options.request, OPTIONS_CHECK_CONFIG);
    for (size_t i = 0; i < serve_option_table.n_rows; i++) {
        struct buf a = {.data = NULL};
        struct buf b = {.data = NULL};
        option_format(&serve_option_table.rows[i], &first.values, &a);
        option_format(&serve_option_table.rows[i], &second.values, &b);
        assert_int_equal(a.len, b.len);
        if (a.len > 0)
            assert_string_equal(a.data, b.data);
        buf_fini(&a);
        buf_fini(&b);
    }
    buf_fini(&printed);
    options_fini(&first.options);
    options_fini(&second.options);
    scratch_destroy();
}

/* Lets *ctx allocations pass, then fails. */
static bool fail_after(void *ctx, size_t size) {
    int *left = ctx;
    return (*left)-- <= 0;
}

static void test_options_every_allocation_may_fail(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    scratch_write("c.yaml", "host: a-name\nserved-model-name: [x, y]\n");
    int n = 0;
    struct outcome outcome = {.r = -ENOMEM};
    while (outcome.r == -ENOMEM && n < 100) {
        int left = n++;
        mem_set_fault_hook(fail_after, &left);
        read_serve(&outcome, WORDS("model", "--config", scratch_path("c.yaml")), NULL);
        mem_set_fault_hook(NULL, NULL);
        options_fini(&outcome.options);
    }
    assert_int_equal(outcome.r, 0);
    assert_true(n > 1);
    scratch_destroy();
}

/* What would break the texts or a lookup: rows without help, without a metavar, doubled names. */
static void test_options_serve_table_is_well_formed(void **state) {
    const struct option_table *table = &serve_option_table;
    assert_true(table->n_rows <= OPTIONS_MAX_ROWS);
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct option *row = &table->rows[i];
        assert_non_null(row->help);
        assert_true(strlen(row->name) < 40);
        assert_true(row->type == OPTION_BOOL || (row->type == OPTION_CHOICE) == !row->metavar);
        assert_true((row->type == OPTION_CHOICE) == (row->choices != NULL));
        assert_true(row->offset < table->values_size);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(row->name, table->rows[j].name);
            assert_int_not_equal(row->offset, table->rows[j].offset);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_without_arguments_are_the_defaults),
        cmocka_unit_test(test_options_command_line_takes_both_forms),
        cmocka_unit_test(test_options_last_value_and_double_dash),
        cmocka_unit_test(test_options_errors_name_place_expected_found_and_closest),
        cmocka_unit_test(test_options_environment_is_below_the_command_line),
        cmocka_unit_test(test_options_file_is_below_the_environment),
        cmocka_unit_test(test_options_help_wins_over_errors),
        cmocka_unit_test(test_options_printed_configuration_reads_back),
        cmocka_unit_test(test_options_every_allocation_may_fail),
        cmocka_unit_test(test_options_serve_table_is_well_formed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
