/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"
#include "support.h"

enum { N_BLOCKS = 6 };

static int setup(void **state) {
    static struct pool pool;
    *state = &pool;
    return pool_init(&pool, N_BLOCKS);
}

static int teardown(void **state) {
    pool_fini(*state);
    return 0;
}

static void assert_free_list(const struct pool *pool, const uint32_t *blocks, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(pool_peek_free(pool, i), blocks[i]);
    assert_int_equal(pool_peek_free(pool, n), BLOCK_NONE);
    assert_int_equal(pool->n_free, n);
}

static void test_pool_new_gives_blocks_in_ascending_order(void **state) {
    struct pool *pool = *state;
    for (uint32_t i = 0; i < N_BLOCKS; i++)
        assert_int_equal(pool_alloc(pool), i);
    assert_int_equal(pool->n_free, 0);
    assert_int_equal(pool_peek_free(pool, 0), BLOCK_NONE);
}

static void test_pool_unhashed_go_to_the_head_and_hashed_to_the_tail(void **state) {
    struct pool *pool = *state;
    for (uint32_t i = 0; i < 5; i++)
        (void)pool_alloc(pool); /* 0 .. 4, in order */
    for (uint32_t i = 0; i < 3; i++)
        pool_set_hashed(pool, i, true);

    /* A sequence of five blocks, three of them published, freed tail first. */
    for (uint32_t i = 5; i-- > 0;)
        pool_unref(pool, i);
    assert_free_list(pool, (const uint32_t[]){3, 4, 5, 2, 1, 0}, 6);
    assert_int_equal(pool->n_cached, 3);
}

static void test_pool_ref_takes_a_cached_block_out_of_the_list(void **state) {
    struct pool *pool = *state;
    const uint32_t block = pool_alloc(pool);
    pool_set_hashed(pool, block, true);
    pool_unref(pool, block);
    assert_free_list(pool, (const uint32_t[]){1, 2, 3, 4, 5, 0}, 6);

    pool_ref(pool, block);
    pool_ref(pool, block);
    assert_free_list(pool, (const uint32_t[]){1, 2, 3, 4, 5}, 5);
    assert_int_equal(pool->blocks[block].n_refs, 2);
    assert_int_equal(pool->n_cached, 0);

    pool_unref(pool, block);
    assert_int_equal(pool->n_free, 5);
    pool_unref(pool, block);
    assert_int_equal(pool->n_free, 6);
}

static void test_pool_cached_blocks_are_taken_last_and_oldest_first(void **state) {
    struct pool *pool = *state;
    for (uint32_t i = 0; i < 3; i++) {
        (void)pool_alloc(pool);
        pool_set_hashed(pool, i, true);
    }
    pool_unref(pool, 1);
    pool_unref(pool, 0);
    pool_unref(pool, 2);
    assert_free_list(pool, (const uint32_t[]){3, 4, 5, 1, 0, 2}, 6);

    pool_ref(pool, 1); /* a hit makes it the youngest */
    pool_unref(pool, 1);
    assert_free_list(pool, (const uint32_t[]){3, 4, 5, 0, 2, 1}, 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pool_new_gives_blocks_in_ascending_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_pool_unhashed_go_to_the_head_and_hashed_to_the_tail,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_pool_ref_takes_a_cached_block_out_of_the_list, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_pool_cached_blocks_are_taken_last_and_oldest_first,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
