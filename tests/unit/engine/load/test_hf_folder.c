/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders: shards by their index, and nothing that lies outside the folder, whatever an index or
 * a link says.
 */
/* symlink and realpath are not in strict C17. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvasir/mem.h"
#include "load/hf_folder.h"
#include "scratch.h"
#include "support.h"

static int set_up(void **state) {
    (void)scratch_create();
    return 0;
}

static int tear_down(void **state) {
    scratch_destroy();
    return 0;
}

/* Writes a file of one F32 tensor. */
static void write_weights(const char *file, const char *tensor) {
    char header[128], bytes[8 + 128 + 4] = {0};
    const int n =
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", tensor);

    scratch_write(file, NULL); /* makes its folder */
    bytes[0] = (char)n;
    memcpy(bytes + 8, header, (size_t)n);
    FILE *out = fopen(scratch_path(file), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, (size_t)n + 12, out), n + 12);
    assert_int_equal(fclose(out), 0);
}

/* Reads the weights of a folder of the scratch folder. */
static int read_weights(const char *name, size_t *ret_n, struct error *ret_error) {
    struct hf_folder folder;
    struct tensor_dir dir = {.items = NULL};
    *ret_error = (struct error){.message = ""};
    assert_int_equal(hf_folder_open(scratch_path(name), &folder, ret_error), 0);

    const int r = hf_folder_weights(&folder, &dir, ret_error);
    *ret_n = dir.n;
    tensor_dir_fini(&dir);
    return r;
}

static void test_hf_folder_single_file(void **state) {
    struct error error;
    size_t n;

    write_weights("m/model.safetensors", "a");
    assert_int_equal(read_weights("m", &n, &error), 0);
    assert_int_equal(n, 1);
}

static void test_hf_folder_shards_by_index(void **state) {
    struct error error;
    size_t n;

    write_weights("m/one.safetensors", "a");
    write_weights("m/two.safetensors", "b");
    scratch_write("m/model.safetensors.index.json",
                  "{\"metadata\":{\"total_size\":8},\"weight_map\":"
                  "{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    assert_int_equal(read_weights("m", &n, &error), 0);
    assert_int_equal(n, 2);
}

static void test_hf_folder_index_that_does_not_fit_is_refused(void **state) {
    static const struct {
        const char *index;
        int code;
        const char *text;
    } cases[] = {
        {"{\"weight_map\":{\"a\":\"one.safetensors\",\"c\":\"two.safetensors\"}}", -EINVAL,
         "tensor 'c' should be in two.safetensors but is in no shard"},
        {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}", -ENOENT, "gone.safetensors"},
        {"{\"weight_map\":{}}", -EINVAL, "names no file"},
        {"{}", -EINVAL, "names no file"},
        {"{\"weight_map\":{\"a\":1}}", -EINVAL, "expected a string"},
        {"{\"weight_map\":[]}", -EINVAL, "expected an object"},
        {"[]", -EINVAL, "expected an object"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\"}", -EINVAL, "index.json"},
        {"{\"weight_map\":{\"a\":\"one.safetensors\"}} {}", -EINVAL, "something follows"},
        {"", -EINVAL, "expected an object"},
    };
    write_weights("m/one.safetensors", "a");
    write_weights("m/two.safetensors", "b");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error error;
        size_t n;
        scratch_write("m/model.safetensors.index.json", cases[i].index);
        const int r = read_weights("m", &n, &error);
        if (r != cases[i].code || !strstr(error.message, cases[i].text))
            fail_msg("%s: %d, %s", cases[i].index, r, error.message);
    }
}

static void test_hf_folder_same_tensor_in_two_shards_is_refused(void **state) {
    struct error error;
    size_t n;

    write_weights("m/one.safetensors", "a");
    write_weights("m/two.safetensors", "a");
    scratch_write("m/model.safetensors.index.json",
                  "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    assert_int_equal(read_weights("m", &n, &error), -EINVAL);
    assert_non_null(strstr(error.message, "'a' is there twice"));
}

static void test_hf_folder_evil_shard_names_are_refused(void **state) {
    /* As they stand in the JSON string. */
    static const char *const names[] = {
        "../secret.safetensors",
        "../../etc/passwd",
        "../../../../../../../../etc/passwd",
        "..",
        ".",
        "",
        "/etc/passwd",
        "/",
        "//etc/passwd",
        "./one.safetensors",
        "sub/../../secret.safetensors",
        "sub/../one.safetensors",
        "sub//one.safetensors",
        "sub/./one.safetensors",
        "sub/",
        "sub/..",
        "one.safetensors/",
        "one.safetensors/..",
        "..\\\\secret.safetensors",
        "..\\\\..\\\\windows\\\\system32",
        "C:\\\\secret",
        "C:secret",
        "\\\\\\\\host\\\\share",
        "\\u002e\\u002e/secret.safetensors",
        "\\u002e\\u002e\\u002fsecret.safetensors",
        "one.safetensors\\u0000.txt",
        "\\u0000",
        "%2e%2e/secret.safetensors",
        "..%2fsecret.safetensors",
        "\\u2025/secret.safetensors",
        "\\uff0e\\uff0e/secret.safetensors",
        "..\\u2215secret.safetensors",
        "~/secret",
        "~root/secret",
        "$HOME/secret",
        "one.safetensors;id",
        "|id",
        "`id`",
        "one\\nsafetensors",
        " one.safetensors",
        "one.safetensors ",
        "file:///etc/passwd",
        "http://host/one.safetensors",
        ".../one.safetensors",
        "link.safetensors",
        "linked/secret.safetensors",
        "self",
    };
    write_weights("m/one.safetensors", "a");
    write_weights("secret.safetensors", "a");
    write_weights("m/sub/one.safetensors", "a");
    assert_int_equal(symlink("../secret.safetensors", scratch_path("m/link.safetensors")), 0);
    assert_int_equal(symlink("..", scratch_path("m/linked")), 0);
    assert_int_equal(symlink("self", scratch_path("m/self")), 0);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char index[256];
        struct error error;
        size_t n;
        (void)snprintf(index, sizeof index, "{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
        scratch_write("m/model.safetensors.index.json", index);

        const int r = read_weights("m", &n, &error);
        if (r == 0 || n != 0 || !error.message[0])
            fail_msg("%s: %d, %zu tensors, %s", names[i], r, n, error.message);
    }
    scratch_write("m/model.safetensors.index.json",
                  "{\"weight_map\":{\"a\":\"sub/one.safetensors\"}}");
    struct error error;
    size_t n;
    assert_int_equal(read_weights("m", &n, &error), 0);
}

static void test_hf_folder_links_out_of_an_ordinary_folder_are_refused(void **state) {
    struct hf_folder folder;
    struct error error;
    char *text;
    size_t len;
    scratch_write("outside.json", "{}");
    scratch_write("m/", NULL);
    assert_int_equal(symlink("../outside.json", scratch_path("m/config.json")), 0);

    assert_int_equal(hf_folder_open(scratch_path("m"), &folder, &error), 0);
    assert_int_equal(hf_folder_read(&folder, "config.json", 100, &text, &len, &error), -EINVAL);
    assert_non_null(strstr(error.message, "leads out of"));
}

static void test_hf_folder_links_of_a_hub_cache_are_followed_within_it(void **state) {
    struct hf_folder folder;
    struct error error;
    char *text;
    size_t len;
    scratch_write("outside.json", "{}");
    scratch_write("hub/models--org--name/blobs/b1", "{\"x\":1}");
    scratch_write("hub/models--org--name/snapshots/abc/", NULL);
    assert_int_equal(
        symlink("../../blobs/b1", scratch_path("hub/models--org--name/snapshots/abc/config.json")),
        0);
    assert_int_equal(symlink("../../../../outside.json",
                             scratch_path("hub/models--org--name/snapshots/abc/evil.json")),
                     0);

    assert_int_equal(
        hf_folder_open(scratch_path("hub/models--org--name/snapshots/abc"), &folder, &error), 0);
    assert_string_equal(folder.name, "org/name");
    assert_int_equal(hf_folder_read(&folder, "config.json", 100, &text, &len, &error), 0);
    assert_string_equal(text, "{\"x\":1}");
    mem_free(text);
    assert_int_equal(hf_folder_read(&folder, "evil.json", 100, &text, &len, &error), -EINVAL);
}

static void test_hf_folder_without_weights_says_what_is_read(void **state) {
    struct error error;
    size_t n;

    scratch_write("m/pytorch_model.bin", "x");
    assert_int_equal(read_weights("m", &n, &error), -ENOENT);
    assert_non_null(strstr(error.message, "has neither model.safetensors nor"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hf_folder_single_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hf_folder_shards_by_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hf_folder_index_that_does_not_fit_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hf_folder_same_tensor_in_two_shards_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hf_folder_evil_shard_names_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_hf_folder_links_out_of_an_ordinary_folder_are_refused,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hf_folder_links_of_a_hub_cache_are_followed_within_it,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hf_folder_without_weights_says_what_is_read, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
