/* SPDX-License-Identifier: Apache-2.0 */
#include "prefix.h"
#include "pool.h"
#include "support.h"

enum { BLOCK = 4, N_BLOCKS = 8 };

static const token_id ABCD[BLOCK] = {1, 2, 3, 4};
static const token_id EFGH[BLOCK] = {5, 6, 7, 8};

static int setup(void **state) {
    static struct prefix prefix;
    *state = &prefix;
    return prefix_init(&prefix, N_BLOCKS, BLOCK, (const uint64_t[]){3, 4});
}

static int teardown(void **state) {
    prefix_fini(*state);
    return 0;
}

static uint32_t find(const struct prefix *prefix, const struct prefix_place *place,
                     const token_id *tokens) {
    return prefix_find(prefix, place, prefix_digest(prefix, place, tokens), tokens);
}

/* Publishes and moves place behind the block. */
static void publish(struct prefix *prefix, struct prefix_place *place, uint32_t block,
                    const token_id *tokens) {
    const struct digest digest = prefix_digest(prefix, place, tokens);
    prefix_publish(prefix, block, place, digest, tokens);
    prefix_advance(place, block, digest);
}

static void test_prefix_published_chain_is_found_block_by_block(void **state) {
    struct prefix *prefix = *state;
    const struct prefix_place root = prefix_begin(prefix, (struct prefix_root){.salt = 9});
    struct prefix_place place = root;
    publish(prefix, &place, 3, ABCD);
    const struct prefix_place behind_abcd = place;
    publish(prefix, &place, 5, EFGH);

    assert_int_equal(find(prefix, &root, ABCD), 3);
    assert_int_equal(find(prefix, &behind_abcd, EFGH), 5);
    assert_int_equal(find(prefix, &root, EFGH), BLOCK_NONE);
    assert_int_equal(find(prefix, &behind_abcd, ABCD), BLOCK_NONE);
    assert_int_equal(prefix->entries[3].n_children, 1);
}

static void test_prefix_other_salt_or_rope_class_finds_nothing(void **state) {
    struct prefix *prefix = *state;
    struct prefix_place place =
        prefix_begin(prefix, (struct prefix_root){.salt = 9, .rope_class = 1});
    publish(prefix, &place, 0, ABCD);

    const struct prefix_root others[] = {{.salt = 8, .rope_class = 1}, {.salt = 9}};
    for (int i = 0; i < 2; i++) {
        const struct prefix_place other = prefix_begin(prefix, others[i]);
        assert_int_equal(find(prefix, &other, ABCD), BLOCK_NONE);
    }
}

static void test_prefix_colliding_digests_are_told_apart(void **state) {
    struct prefix *prefix = *state;
    const struct prefix_place root = prefix_begin(prefix, (struct prefix_root){.salt = 1});
    const struct prefix_place other = prefix_begin(prefix, (struct prefix_root){.salt = 2});
    const struct prefix_place behind = {.block = 7, .root = root.root};
    const struct digest digest = {.lo = 11, .hi = 12}; /* of all of them, say */

    prefix_publish(prefix, 0, &root, digest, ABCD);
    prefix_publish(prefix, 1, &root, digest, EFGH);
    prefix_publish(prefix, 2, &other, digest, ABCD);
    assert_int_equal(prefix_find(prefix, &root, digest, ABCD), 0);
    assert_int_equal(prefix_find(prefix, &root, digest, EFGH), 1);
    assert_int_equal(prefix_find(prefix, &other, digest, ABCD), 2);
    assert_int_equal(prefix_find(prefix, &other, digest, EFGH), BLOCK_NONE);
    assert_int_equal(prefix_find(prefix, &behind, digest, ABCD), BLOCK_NONE);
}

static void test_prefix_forgotten_blocks_are_gone_and_their_ids_usable(void **state) {
    struct prefix *prefix = *state;
    const struct prefix_place root = prefix_begin(prefix, (struct prefix_root){.salt = 0});
    struct prefix_place place = root;
    publish(prefix, &place, 2, ABCD);
    publish(prefix, &place, 4, EFGH);

    prefix_forget(prefix, 4);
    assert_int_equal(prefix->entries[2].n_children, 0);
    prefix_forget(prefix, 2);
    assert_int_equal(find(prefix, &root, ABCD), BLOCK_NONE);
    assert_int_equal(prefix->n_published, 0);

    place = root;
    publish(prefix, &place, 4, ABCD);
    assert_int_equal(find(prefix, &root, ABCD), 4);
}

static void test_prefix_digest_depends_on_the_key(void **state) {
    struct prefix *prefix = *state;
    struct prefix other;
    assert_int_equal(prefix_init(&other, N_BLOCKS, BLOCK, (const uint64_t[]){3, 5}), 0);
    const struct prefix_place here = prefix_begin(prefix, (struct prefix_root){.salt = 0});
    const struct prefix_place there = prefix_begin(&other, (struct prefix_root){.salt = 0});

    assert_true(here.digest.lo != there.digest.lo && here.digest.hi != there.digest.hi);
    assert_true(prefix_digest(prefix, &here, ABCD).lo != prefix_digest(&other, &here, ABCD).lo);
    prefix_fini(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_prefix_published_chain_is_found_block_by_block, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_prefix_other_salt_or_rope_class_finds_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_prefix_colliding_digests_are_told_apart, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_prefix_forgotten_blocks_are_gone_and_their_ids_usable,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_prefix_digest_depends_on_the_key, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
