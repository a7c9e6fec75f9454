/* SPDX-License-Identifier: Apache-2.0 */
/* config_file: the YAML that is taken, and everything that is not. */
#include "support.h"

#include <errno.h>
#include <string.h>

#include "kvasir/serve_options.h"

#include "scratch.h"

static int setup(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    return 0;
}

static int teardown(void **state) {
    scratch_destroy();
    return 0;
}

static int read_file(const char *path, struct serve_options *values, struct options *options,
                     struct error *reterr) {
    char *argv[] = {(char *)(uintptr_t) "serve", (char *)(uintptr_t) "--config",
                    (char *)(uintptr_t)path};
    return options_read(&serve_option_table, 3, argv, NULL, values, options, reterr);
}

static void check_accepted(const char *text, uint32_t port) {
    scratch_write("c.yaml", text);
    struct serve_options values;
    struct options options;
    struct error error = {.message = ""};
    if (read_file(scratch_path("c.yaml"), &values, &options, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(values.port, port);
    options_fini(&options);
}

/* The message is that of FILE; expected is what stands behind the path. */
static void check_refused(const char *text, const char *expected) {
    scratch_write("c.yaml", text);
    const char *path = scratch_path("c.yaml");
    struct serve_options values;
    struct options options;
    struct error error = {.message = ""};
    const int r = read_file(path, &values, &options, &error);
    if (r != -EINVAL)
        fail_msg("%s gives %d", text, r);
    assert_memory_equal(error.message, path, strlen(path));
    assert_string_equal(error.message + strlen(path), expected);
    options_fini(&options);
}

static void test_config_file_takes_flat_yaml_and_json(void **state) {
    check_accepted("", 8000);
    check_accepted("# nothing but a comment\n", 8000);
    check_accepted("port: 1\n", 1);
    check_accepted("---\nport: \"2\" # quoted\n...\n", 2);
    check_accepted("{\"port\": 3, \"enable-prefix-caching\": false}", 3);
    check_accepted("served-model-name:\n  - a\n  - b\nport: 4\n", 4);
    check_accepted("{}", 8000);
}

static void test_config_file_errors_name_line_expected_and_found(void **state) {
    check_refused("host: a\nprot: 1\n", " line 2: unknown option prot; did you mean port?");
    check_refused("port: x\n", " line 1: port: expected a number from 0 to 65535, found \"x\"");
    check_refused("port:\n", " line 1: port: expected a number from 0 to 65535, found \"\"");
    check_refused("port: 1\nport: 2\n", " line 2: expected every option once, found port again");
    check_refused("max-body: 1\nmax_body: 2\n",
                  " line 1: max-body: expected a size like 512MiB or 2GB from 1KiB to 1GiB, found "
                  "\"1\"");
    check_refused("enable-prefix-caching: yes\n",
                  " line 1: enable-prefix-caching: expected true or false, found \"yes\"");
}

static void test_config_file_refuses_what_is_not_flat(void **state) {
    check_refused("- port\n", " line 1: expected a mapping (name: value), found something else");
    check_refused("port\n", " line 1: expected a mapping (name: value), found something else");
    check_refused("port: {a: 1}\n", " line 1: expected a value, found a nested mapping");
    check_refused("port: [1]\n", " line 1: expected one value, found a sequence");
    check_refused("served-model-name: [[a]]\n",
                  " line 1: expected texts in the sequence, found something nested");
    check_refused("[a]: 1\n", " line 1: expected an option's name, found something nested");
    check_refused("port: 1\n---\nport: 2\n", " line 2: expected one document, found another");
}

static void test_config_file_refuses_anchors_aliases_and_tags(void **state) {
    check_refused("host: &a b\n", " line 1: expected plain values, found an anchor or alias");
    check_refused("host: *a\n", " line 1: expected plain values, found an anchor or alias");
    check_refused("&a port: 1\n", " line 1: expected plain values, found an anchor or alias");
    check_refused("host: !!str b\n", " line 1: expected plain values, found a tag");
    check_refused("host: !x b\n", " line 1: expected plain values, found a tag");
    check_refused("!!map {port: 1}\n", " line 1: expected plain values, found a tag");
}

static void test_config_file_refuses_broken_yaml(void **state) {
    const char *const texts[] = {"port: [1\n",       "\tport: 1\n",  "port: \"1\n",
                                 "{port: 1",         "host: \xff\n", "%YAML 9.9\n---\nport: 1\n",
                                 "host: \"a\\0b\"\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        scratch_write("c.yaml", texts[i]);
        struct serve_options values;
        struct options options;
        struct error error = {.message = ""};
        const int r = read_file(scratch_path("c.yaml"), &values, &options, &error);
        if (r != -EINVAL)
            fail_msg("text %zu gives %d", i, r);
        assert_non_null(strstr(error.message, "c.yaml line "));
        options_fini(&options);
    }
}

static void test_config_file_has_a_ceiling(void **state) {
    static char text[70000];
    memset(text, '#', sizeof text - 1);
    scratch_write("c.yaml", text);
    struct serve_options values;
    struct options options;
    struct error error = {.message = ""};
    assert_int_equal(read_file(scratch_path("c.yaml"), &values, &options, &error), -EFBIG);
    options_fini(&options);
    assert_int_equal(read_file(scratch_path("none"), &values, &options, &error), -ENOENT);
    options_fini(&options);
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_config_file_takes_flat_yaml_and_json),
        CASE(test_config_file_errors_name_line_expected_and_found),
        CASE(test_config_file_refuses_what_is_not_flat),
        CASE(test_config_file_refuses_anchors_aliases_and_tags),
        CASE(test_config_file_refuses_broken_yaml),
        CASE(test_config_file_has_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
