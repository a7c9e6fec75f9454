/* SPDX-License-Identifier: Apache-2.0 */
/* arena: alignment, ceiling, growth, and one release. */
#include "support.h"

#include <string.h>

#include "kvasir/arena.h"
#include "kvasir/mem.h"

static void test_arena_alloc_is_aligned_and_disjoint(void **state) {
    struct arena arena;
    arena_init(&arena, /* max_bytes= */ 0);
    unsigned char *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        blocks[i] = arena_alloc(&arena, i + 1);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)i, i + 1);
    }
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(blocks[i][0], i);
        assert_int_equal(blocks[i][i], i);
    }
    arena_fini(&arena);
}

static void test_arena_limit_refuses_and_keeps_what_was_given(void **state) {
    struct arena arena;
    arena_init(&arena, /* max_bytes= */ 64);
    char *first = arena_alloc(&arena, 40); /* rounded to 48 */
    assert_non_null(first);
    assert_int_equal(arena_used(&arena), 48);

    assert_null(arena_alloc(&arena, 17)); /* 32 more would be 80 */
    assert_int_equal(arena_used(&arena), 48);
    assert_non_null(arena_alloc(&arena, 16));
    assert_null(arena_alloc(&arena, 1));
    arena_fini(&arena);
}

static void test_arena_alloc_huge_size_is_refused(void **state) {
    struct arena arena = {.head = NULL};
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX / 2 + 1));
    assert_null(arena_alloc_zero(&arena, SIZE_MAX / 2, 3));
    assert_int_equal(arena_used(&arena), 0);
    arena_fini(&arena);
}

static void test_arena_alloc_zero_is_zero_after_reuse(void **state) {
    struct arena arena = {.head = NULL};
    memset(arena_alloc(&arena, 500), 0xff, 500);
    arena_fini(&arena);

    const unsigned char *bytes = arena_alloc_zero(&arena, 100, 5);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(bytes[i], 0);
    arena_fini(&arena);
}

static void test_arena_dup_adds_the_nul(void **state) {
    struct arena arena = {.head = NULL};
    const char *copy = arena_dup(&arena, "abcdef", 3);
    assert_string_equal(copy, "abc");
    assert_string_equal(arena_dup(&arena, "", 0), "");
    arena_fini(&arena);
}

static bool always_fail(void *ctx, size_t size) {
    return true;
}

static void test_arena_alloc_without_memory_is_null(void **state) {
    struct arena arena = {.head = NULL};
    mem_set_fault_hook(always_fail, NULL);
    char *block = arena_alloc(&arena, 8);
    mem_set_fault_hook(NULL, NULL);
    assert_null(block);
    assert_int_equal(arena_used(&arena), 0);
    assert_non_null(arena_alloc(&arena, 8));
    arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_alloc_is_aligned_and_disjoint),
        cmocka_unit_test(test_arena_limit_refuses_and_keeps_what_was_given),
        cmocka_unit_test(test_arena_alloc_huge_size_is_refused),
        cmocka_unit_test(test_arena_alloc_zero_is_zero_after_reuse),
        cmocka_unit_test(test_arena_dup_adds_the_nul),
        cmocka_unit_test(test_arena_alloc_without_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
