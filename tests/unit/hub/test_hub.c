/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to files: paths first, then the cache where the environment says it is; and which .gguf
 * of several is meant.
 */
/* setenv and symlink are not in strict C17. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvasir/hub.h"
#include "scratch.h"
#include "support.h"

static void clear_environment(void) {
    assert_int_equal(unsetenv("HF_HUB_CACHE"), 0);
    assert_int_equal(unsetenv("HF_HOME"), 0);
    assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
    assert_int_equal(unsetenv("HOME"), 0);
}

/* A cache in the scratch folder with org/chat (a folder model) and org/quants (GGUF files). */
static int set_up(void **state) {
    (void)scratch_create();
    clear_environment();
    assert_int_equal(setenv("HF_HUB_CACHE", scratch_path("cache"), 1), 0);

    scratch_write("cache/models--org--chat/refs/main", "c0ffee");
    scratch_write("cache/models--org--chat/blobs/b", "{}");
    scratch_write("cache/models--org--chat/snapshots/c0ffee/", NULL);
    assert_int_equal(symlink("../../blobs/b",
                             scratch_path("cache/models--org--chat/snapshots/c0ffee/config.json")),
                     0);

    scratch_write("cache/models--org--quants/refs/main", "abc123\n");
#define QUANTS "cache/models--org--quants/snapshots/abc123/"
    scratch_write(QUANTS "m-Q4_K_M.gguf", "x");
    scratch_write(QUANTS "m-Q4_K_S.gguf", "x");
    scratch_write(QUANTS "m-q8_0.gguf", "x");
    scratch_write(QUANTS "m-BF16-00001-of-00002.gguf", "x");
    scratch_write(QUANTS "m-BF16-00002-of-00002.gguf", "x");
    scratch_write(QUANTS "mmproj-m-F16.gguf", "x");
    return 0;
}

static int tear_down(void **state) {
    scratch_destroy();
    return 0;
}

/* path relative to the scratch folder. */
static void expect(const char *name, const char *path, const char *served_name) {
    struct hub_model model;
    struct error error = {.message = ""};

    if (hub_resolve(name, &model, &error) < 0)
        fail_msg("%s: %s", name, error.message);
    assert_string_equal(model.path, scratch_path(path));
    assert_string_equal(model.name, served_name);
}

static void expect_refused(const char *name, int code, const char *text) {
    struct hub_model model;
    struct error error = {.message = ""};
    const int r = hub_resolve(name, &model, &error);

    if (r != code || !strstr(error.message, text))
        fail_msg("%s: expected %d '%s', got %d: %s", name, code, text, r, error.message);
}

static void test_hub_paths_stand_before_names(void **state) {
    scratch_write("m/config.json", "{}");
    scratch_write("one/a.gguf", "x");
    scratch_write("org/chat/config.json", "{}");

    expect(scratch_path("m"), "m", "");
    expect(scratch_path("one/a.gguf"), "one/a.gguf", "");
    expect(scratch_path("one"), "one/a.gguf", "");

    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(scratch_path(".")), 0);
    struct hub_model model;
    struct error error;
    assert_int_equal(hub_resolve("org/chat", &model, &error), 0);
    assert_string_equal(model.path, "org/chat");
    assert_string_equal(model.name, "");
    assert_int_equal(chdir(before), 0);
}

static void test_hub_names_of_the_cache(void **state) {
    expect("org/chat", "cache/models--org--chat/snapshots/c0ffee", "org/chat");
}

static void test_hub_gguf_by_tag_and_default(void **state) {
    expect("org/quants", QUANTS "m-Q4_K_M.gguf", "org/quants");
    expect("org/quants:Q4_K_M", QUANTS "m-Q4_K_M.gguf", "org/quants");
    expect("org/quants:q4_k_s", QUANTS "m-Q4_K_S.gguf", "org/quants");
    expect("org/quants:Q8_0", QUANTS "m-q8_0.gguf", "org/quants");
    expect("org/quants:bf16", QUANTS "m-BF16-00001-of-00002.gguf", "org/quants");
    expect("org/quants:", QUANTS "m-Q4_K_M.gguf", "org/quants");

    expect_refused("org/quants:Q4_K", -EINVAL, "not exactly one .gguf file is 'Q4_K'");
    expect_refused("org/quants:Q6_K", -EINVAL, "choose of: m-BF16-00001-of-00002.gguf, ");
    expect_refused("org/quants:m", -EINVAL, "not exactly one");
    expect_refused("org/quants:F16", -EINVAL, "not exactly one");
    expect_refused("org/chat:Q8_0", -ENOENT, "neither config.json nor a .gguf file");

    assert_int_equal(unlink(scratch_path(QUANTS "m-Q4_K_M.gguf")), 0);
    expect("org/quants", QUANTS "m-q8_0.gguf", "org/quants");
    assert_int_equal(unlink(scratch_path(QUANTS "m-q8_0.gguf")), 0);
    expect_refused("org/quants", -EINVAL, "has several .gguf files");
}

static void test_hub_folder_with_several_gguf_files_lists_them(void **state) {
    scratch_write("many/a-Q4_K_M.gguf", "x");
    scratch_write("many/b-Q8_0.gguf", "x");
    expect_refused(scratch_path("many"), -EINVAL,
                   "give the path of one: a-Q4_K_M.gguf, b-Q8_0.gguf");
    scratch_write("none/README.md", "x");
    expect_refused(scratch_path("none"), -ENOENT, "neither config.json nor a .gguf file");
}

static void test_hub_what_is_not_there_says_how_to_get_it(void **state) {
    expect_refused("org/absent", -ENOENT, "hf download org/absent");
    expect_refused("org/absent:Q8_0", -ENOENT, "hf download org/absent FILE.gguf");
    expect_refused("absent", -ENOENT, "there is no such folder or file");
    expect_refused("/no/such/folder", -ENOENT, "there is no such folder or file");
    expect_refused("org/absent/more", -ENOENT, "there is no such folder or file");
    expect_refused("", -ENOENT, "there is no such folder or file");
    expect_refused("../chat", -ENOENT, "there is no such folder or file");
    expect_refused("org/..", -ENOENT, "there is no such folder or file");
    expect_refused("org/ch at", -ENOENT, "there is no such folder or file");
}

static void test_hub_commit_that_is_none_is_refused(void **state) {
    static const char *const commits[] = {"../../evil", "", "a/b", ".", "..", "a b", "a\n b"};
    for (size_t i = 0; i < sizeof commits / sizeof *commits; i++) {
        scratch_write("cache/models--org--chat/refs/main", commits[i]);
        expect_refused("org/chat", -EINVAL, "does not hold a commit");
    }
    scratch_write("cache/models--org--chat/refs/main", "deadbeef");
    expect_refused("org/chat", -ENOENT, "hf download org/chat");
    assert_int_equal(unlink(scratch_path("cache/models--org--chat/refs/main")), 0);
    expect_refused("org/chat", -ENOENT, "no refs/main");
}

static void test_hub_links_out_of_the_cache_are_refused(void **state) {
    scratch_write("outside.gguf", "x");
    scratch_write("cache/models--org--evil/refs/main", "abc");
    scratch_write("cache/models--org--evil/snapshots/abc/", NULL);
    assert_int_equal(symlink("../../../../outside.gguf",
                             scratch_path("cache/models--org--evil/snapshots/abc/m.gguf")),
                     0);
    expect_refused("org/evil", -EINVAL, "leads out of");
}

static void test_hub_cache_dir_by_the_environment(void **state) {
    static const struct {
        const char *variables[8]; /* name, value, ... */
        const char *path;
    } cases[] = {
        {{"HOME", "/h"}, "/h/.cache/huggingface/hub"},
        {{"HOME", "/h", "XDG_CACHE_HOME", "/x"}, "/x/huggingface/hub"},
        {{"HOME", "/h", "XDG_CACHE_HOME", "/x", "HF_HOME", "/f"}, "/f/hub"},
        {{"HOME", "/h", "HF_HOME", "/f", "HF_HUB_CACHE", "/c"}, "/c"},
        {{"HOME", "/h", "HF_HOME", "~/f"}, "/h/f/hub"},
        {{"HOME", "/h", "HF_HUB_CACHE", ""}, "/h/.cache/huggingface/hub"},
        {{NULL}, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_MAX];
        struct error error;
        clear_environment();
        for (size_t k = 0; k < 8 && cases[i].variables[k]; k += 2)
            assert_int_equal(setenv(cases[i].variables[k], cases[i].variables[k + 1], 1), 0);

        const int r = hub_cache_dir(path, sizeof path, &error);
        assert_int_equal(r, cases[i].path ? 0 : -ENOENT);
        if (r == 0)
            assert_string_equal(path, cases[i].path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hub_paths_stand_before_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hub_names_of_the_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hub_gguf_by_tag_and_default, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hub_folder_with_several_gguf_files_lists_them, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hub_what_is_not_there_says_how_to_get_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hub_commit_that_is_none_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hub_links_out_of_the_cache_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hub_cache_dir_by_the_environment, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
