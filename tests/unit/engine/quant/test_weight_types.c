/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoders against the zoo: random blocks of every type, decoded by the reference; every bit
 * must be equal. tests/golden/quant says where it comes from.
 */
#include <stdio.h>
#include <string.h>

#include "kvasir/json_pull.h"
#include "kvasir/mem.h"
#include "load/gguf.h"
#include "load/tensor.h"
#include "load/tensor_dir.h"
#include "quant/half.h"
#include "sha256.h"
#include "support.h"

static const char *const served[] = {"F32",  "F16",  "BF16", "Q8_0", "Q4_0", "Q4_1",
                                     "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"};
enum { N_SERVED = sizeof served / sizeof *served };

static void test_sha256_of_known_texts(void **state) {
    char hex[65];

    sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* The sum that zoo.json gives for a type. */
static void golden_sum(const char *json_text, size_t len, const char *type, char ret_hex[65]) {
    struct json_pull json;
    struct json_str key;

    ret_hex[0] = '\0';
    json_pull_init(&json, json_text, len);
    json_enter_object(&json);
    while (json_next_key(&json, &key)) {
        const bool is_wanted = json_is(key, type);
        if (json_peek(&json) != JSON_OBJECT) {
            (void)json_skip(&json);
            continue;
        }
        json_enter_object(&json);
        while (json_next_key(&json, &key)) {
            const bool is_sum = json_is(key, "sha256_f32");
            const struct json_str value = json_skip(&json);
            if (is_wanted && is_sum) {
                assert_int_equal(value.len, 66);
                memcpy(ret_hex, value.bytes + 1, 64);
                ret_hex[64] = '\0';
            }
        }
    }
}

static void test_zoo_every_served_type_decodes_to_the_reference_bits(void **state) {
    struct gguf *zoo;
    struct error error;
    size_t len;
    char *json = test_read_file(test_path("tests/golden/quant/zoo.json"), &len);
    assert_int_equal(gguf_open(test_path("tests/golden/quant/zoo.gguf"), &zoo, &error), 0);

    for (size_t i = 0; i < N_SERVED; i++) {
        char name[32], expected[65], found[65];
        (void)snprintf(name, sizeof name, "zoo.%s", served[i]); /* fits */
        const struct stored_tensor *tensor = tensor_dir_find(gguf_tensors(zoo), name);
        assert_non_null(tensor);
        assert_string_equal(tensor->type_name, served[i]);

        const struct weight_type_info *info = weight_type_info(tensor->type);
        assert_non_null(info);
        const size_t n = tensor->shape[0] * tensor->shape[1];
        assert_int_equal(n / info->block_len * info->block_bytes, tensor->n_bytes);

        float *out = mem_alloc_array(n, sizeof *out);
        assert_non_null(out);
        info->dequantize(tensor->data, out, n);
        sha256_hex(out, n * sizeof *out, found);
        golden_sum(json, len, served[i], expected);
        assert_string_equal(found, expected);
        mem_free(out);
    }
    gguf_close(zoo);
    test_release(json);
}

static void test_decoders_take_blocks_on_any_byte(void **state) {
    struct gguf *zoo;
    struct error error;
    assert_int_equal(gguf_open(test_path("tests/golden/quant/zoo.gguf"), &zoo, &error), 0);

    for (size_t i = 0; i < N_SERVED; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "zoo.%s", served[i]); /* fits */
        const struct stored_tensor *tensor = tensor_dir_find(gguf_tensors(zoo), name);
        const struct weight_type_info *info = weight_type_info(tensor->type);
        const size_t n = tensor->shape[1];
        const size_t n_bytes = n / info->block_len * info->block_bytes;
        char *shifted = mem_alloc(n_bytes + 1);
        float expected[512], found[512];
        assert_non_null(shifted);
        assert_int_equal(n, 512);

        memcpy(shifted + 1, tensor->data, n_bytes);
        info->dequantize(tensor->data, expected, n);
        info->dequantize(shifted + 1, found, n);
        assert_memory_equal(found, expected, sizeof expected);
        mem_free(shifted);
    }
    gguf_close(zoo);
}

static void test_zoo_names_and_sizes_of_types_that_are_not_served(void **state) {
    struct gguf *zoo;
    struct error error;
    assert_int_equal(gguf_open(test_path("tests/golden/quant/zoo.gguf"), &zoo, &error), 0);

    /* Each tensor is called zoo.<type>, so the file checks the table. */
    const struct tensor_dir *dir = gguf_tensors(zoo);
    assert_int_equal(dir->n, 26);
    for (size_t i = 0; i < dir->n; i++) {
        const struct weight_type_info *layout = weight_type_layout(dir->items[i].type);
        assert_non_null(layout);
        assert_string_equal(dir->items[i].name + strlen("zoo."), layout->name);
        assert_int_equal(dir->items[i].n_bytes, 8 * 512 / layout->block_len * layout->block_bytes);
    }
    gguf_close(zoo);
}

static void test_weight_type_info_of_unserved_types_is_null(void **state) {
    uint32_t n_served = 0;
    for (uint32_t type = 0; type < 200; type++)
        n_served += weight_type_info(type) != NULL;
    assert_int_equal(n_served, N_SERVED);

    static const uint32_t removed[] = {4, 5, 31, 32, 33, 36, 37, 38, 43, 47, 48, 97, UINT32_MAX};
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
        assert_null(weight_type_layout(removed[i]));
}

static void test_half_of_every_exponent(void **state) {
    assert_true(half_to_float(0x0000) == 0.0f);
    assert_int_equal(float_bits(half_to_float(0x8000)), 0x80000000u);
    assert_true(half_to_float(0x0001) == 0x1p-24f);
    assert_true(half_to_float(0x03ff) == 0x1p-14f - 0x1p-24f);
    assert_true(half_to_float(0x0400) == 0x1p-14f);
    assert_true(half_to_float(0x3c00) == 1.0f);
    assert_true(half_to_float(0xc000) == -2.0f);
    assert_true(half_to_float(0x7bff) == 65504.0f);
    assert_int_equal(float_bits(half_to_float(0x7c00)), 0x7f800000u);
    assert_int_equal(float_bits(half_to_float(0xfc00)), 0xff800000u);
    assert_true(half_to_float(0x7e00) != half_to_float(0x7e00));
    for (uint32_t i = 0; i < 0x7c00; i++)
        assert_true(half_to_float((uint16_t)i) < half_to_float((uint16_t)(i + 1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_of_known_texts),
        cmocka_unit_test(test_zoo_every_served_type_decodes_to_the_reference_bits),
        cmocka_unit_test(test_decoders_take_blocks_on_any_byte),
        cmocka_unit_test(test_zoo_names_and_sizes_of_types_that_are_not_served),
        cmocka_unit_test(test_weight_type_info_of_unserved_types_is_null),
        cmocka_unit_test(test_half_of_every_exponent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
