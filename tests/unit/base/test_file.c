/* SPDX-License-Identifier: Apache-2.0 */
/* file: whole files, and names that must not lead out of a folder. */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvasir/file.h"
#include "kvasir/mem.h"

#include "scratch.h"

static int setup(void **state) {
    (void)scratch_create(); /* the path is asked for by name */
    return 0;
}

static int teardown(void **state) {
    scratch_destroy();
    return 0;
}

static void test_file_map_shows_the_bytes(void **state) {
    scratch_write("a", "hello");
    struct file_map map;
    struct error error;
    assert_int_equal(file_map_open(scratch_path("a"), &map, &error), 0);
    assert_int_equal(map.size, 5);
    assert_memory_equal(map.data, "hello", 5);
    file_map_release(&map, map.data, map.size);
    assert_memory_equal(map.data, "hello", 5);
    file_map_close(&map);
    file_map_close(&map);
}

static void test_file_map_open_names_what_is_wrong(void **state) {
    scratch_write("empty", "");
    struct file_map map;
    struct error error = {.message = ""};
    assert_int_equal(file_map_open(scratch_path("none"), &map, &error), -ENOENT);
    assert_non_null(strstr(error.message, "/none"));
    assert_int_equal(file_map_open(scratch_path("empty"), &map, &error), -EINVAL);
    assert_non_null(strstr(error.message, "empty"));
    assert_int_equal(file_map_open(scratch_path("."), &map, &error), -EISDIR);
    assert_int_equal(file_map_open("/dev/null", &map, &error), -EINVAL);
}

static void test_file_read_obeys_its_ceiling(void **state) {
    scratch_write("a", "hello");
    char *data;
    size_t len;
    struct error error = {.message = ""};
    assert_int_equal(file_read(scratch_path("a"), 5, &data, &len, &error), 0);
    assert_int_equal(len, 5);
    assert_string_equal(data, "hello");
    mem_free(data);

    assert_int_equal(file_read(scratch_path("a"), 4, &data, &len, &error), -EFBIG);
    assert_non_null(strstr(error.message, "5 bytes"));
}

static bool always_fail(void *ctx, size_t size) {
    return true;
}

static void test_file_read_without_memory_is_an_error(void **state) {
    scratch_write("a", "hello");
    char *data;
    size_t len;
    struct error error;
    mem_set_fault_hook(always_fail, NULL);
    const int r = file_read(scratch_path("a"), 5, &data, &len, &error);
    mem_set_fault_hook(NULL, NULL);
    assert_int_equal(r, -ENOMEM);
}

static void test_file_join_beneath_accepts_plain_names(void **state) {
    scratch_write("model/sub/a-1_B.txt", "x");
    char path[4096];
    struct error error = {.message = ""};
    const char *dir = scratch_path("model");
    assert_int_equal(file_join_beneath(dir, dir, "sub/a-1_B.txt", path, sizeof path, &error), 0);
    assert_string_equal(path, scratch_path("model/sub/a-1_B.txt"));
    assert_int_equal(file_join_beneath(dir, dir, "sub/none", path, sizeof path, &error), -ENOENT);
    assert_int_equal(file_join_beneath(dir, dir, "sub/a-1_B.txt", path, 10, &error), -ENAMETOOLONG);
}

static void test_file_join_beneath_refuses_evil_names(void **state) {
    scratch_write("secret", "x");
    scratch_write("model/a", "x");
    const char *const names[] = {
        "",
        "..",
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "./a",
        "a/.",
        "sub//a",
        "a/",
        "..\\secret",
        "a\\b",
        "a b",
        "a\nb",
        "a%2fb",
        "a:b",
        "~",
        "~root",
        "$HOME",
        "a\xff",
        "model/..",
        ".",
        "/",
        "//",
        "a/./b",
        "*",
        "a?",
        "a;b",
        "\xe2\x80\xa5",
        "a|b",
        "a'b",
        "..//a",
        "../../../a",
        "a/..",
        "C:a",
        "\\\\host\\a",
        "a\tb",
        "\x7f",
        "a\"b",
        "{a}",
        "a,b",
    };
    const char *dir = scratch_path("model");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4096];
        struct error error = {.message = ""};
        const int r = file_join_beneath(dir, dir, names[i], path, sizeof path, &error);
        if (r != -EINVAL)
            fail_msg("'%s' gives %d", names[i], r);
    }
}

static void test_file_join_beneath_follows_links_inside_the_root_only(void **state) {
    scratch_write("secret", "x");
    scratch_write("hub/blobs/abc", "x");
    scratch_write("hub/snapshots/1/", NULL);
    assert_int_equal(symlink("../../blobs/abc", scratch_path("hub/snapshots/1/inside")), 0);
    assert_int_equal(symlink("../../../secret", scratch_path("hub/snapshots/1/outside")), 0);
    assert_int_equal(symlink("/etc/passwd", scratch_path("hub/snapshots/1/absolute")), 0);

    char root[4096];
    char dir[4096];
    (void)snprintf(root, sizeof root, "%s", scratch_path("hub"));           /* fits */
    (void)snprintf(dir, sizeof dir, "%s", scratch_path("hub/snapshots/1")); /* fits */
    char path[4096];
    struct error error = {.message = ""};
    assert_int_equal(file_join_beneath(root, dir, "inside", path, sizeof path, &error), 0);
    assert_int_equal(file_join_beneath(dir, dir, "inside", path, sizeof path, &error), -EINVAL);
    assert_int_equal(file_join_beneath(root, dir, "outside", path, sizeof path, &error), -EINVAL);
    assert_int_equal(file_join_beneath(root, dir, "absolute", path, sizeof path, &error), -EINVAL);
}

/* A folder whose name only begins like the root's is outside of it. */
static void test_file_join_beneath_compares_whole_names(void **state) {
    scratch_write("model/a", "x");
    scratch_write("model-2/b", "x");
    assert_int_equal(symlink("../model-2/b", scratch_path("model/b")), 0);
    char path[4096];
    struct error error = {.message = ""};
    const char *dir = scratch_path("model");
    assert_int_equal(file_join_beneath(dir, dir, "b", path, sizeof path, &error), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_file_map_shows_the_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_map_open_names_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_read_obeys_its_ceiling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_read_without_memory_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_join_beneath_accepts_plain_names, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_file_join_beneath_refuses_evil_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_join_beneath_follows_links_inside_the_root_only,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_join_beneath_compares_whole_names, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
