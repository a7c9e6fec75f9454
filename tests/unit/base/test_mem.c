/* SPDX-License-Identifier: Apache-2.0 */
/* mem: checked products, the fault hook, and the big mappings. */
#include "support.h"

#include <string.h>

#include "kvasir/mem.h"

static void test_mem_size_arithmetic_detects_overflow(void **state) {
    size_t result;
    assert_true(size_add(3, 4, &result));
    assert_int_equal(result, 7);
    assert_true(size_add(SIZE_MAX, 0, &result));
    assert_false(size_add(SIZE_MAX, 1, &result));
    assert_true(size_mul(0, SIZE_MAX, &result));
    assert_int_equal(result, 0);
    assert_true(size_mul(SIZE_MAX / 2, 2, &result));
    assert_false(size_mul(SIZE_MAX / 2 + 1, 2, &result));
    assert_false(size_mul(SIZE_MAX, SIZE_MAX, &result));
}

static void test_mem_zero_bytes_give_a_pointer(void **state) {
    void *plain = mem_alloc(0);
    void *zeroed = mem_alloc_zero(0, 8);
    assert_non_null(plain);
    assert_non_null(zeroed);
    assert_ptr_not_equal(plain, zeroed);
    mem_free(plain);
    mem_free(zeroed);
    mem_free(NULL);
}

static void test_mem_alloc_array_overflow_is_null(void **state) {
    assert_null(mem_alloc_array(SIZE_MAX / 4, 8));
    void *array = mem_alloc_array(4, 8);
    assert_non_null(array);
    mem_free(array);
}

static void test_mem_dup_string_copies_and_terminates(void **state) {
    char *copy = mem_dup_string("abcdef", 3);
    assert_string_equal(copy, "abc");
    mem_free(copy);
}

/* Lets *ctx allocations pass, then fails. */
static bool fail_after(void *ctx, size_t size) {
    int *left = ctx;
    return (*left)-- <= 0;
}

static void test_mem_fault_hook_fails_every_kind(void **state) {
    int left = 1;
    mem_set_fault_hook(fail_after, &left);
    void *first = mem_alloc(8);
    void *second = mem_alloc(8);
    void *zeroed = mem_alloc_zero(1, 8);
    void *grown = mem_realloc(first, 16);
    void *mapped = mem_map(4096);
    char *copied = mem_dup_string("a", 1);
    mem_set_fault_hook(NULL, NULL);

    assert_non_null(first);
    assert_null(second);
    assert_null(zeroed);
    assert_null(grown);
    assert_null(mapped);
    assert_null(copied);
    mem_free(first);
}

static void test_mem_map_is_zeroed_and_aligned(void **state) {
    const size_t sizes[] = {1, 4096, 5000, 2 << 20, (2 << 20) + 1, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned char *bytes = mem_map(sizes[i]);
        assert_non_null(bytes);
        const size_t alignment = sizes[i] >= 2 << 20 ? 2 << 20 : 4096;
        assert_int_equal((uintptr_t)bytes % alignment, 0);
        assert_int_equal(bytes[0], 0);
        assert_int_equal(bytes[sizes[i] - 1], 0);
        memset(bytes, 1, sizes[i]);
        mem_unmap(bytes, sizes[i]);
    }
    assert_null(mem_map(0));
    mem_unmap(NULL, 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mem_size_arithmetic_detects_overflow),
        cmocka_unit_test(test_mem_zero_bytes_give_a_pointer),
        cmocka_unit_test(test_mem_alloc_array_overflow_is_null),
        cmocka_unit_test(test_mem_dup_string_copies_and_terminates),
        cmocka_unit_test(test_mem_fault_hook_fails_every_kind),
        cmocka_unit_test(test_mem_map_is_zeroed_and_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
