/* SPDX-License-Identifier: Apache-2.0 */
/* Strings with origins: searching against the obvious search, and parts of mixed strings. */
#include "support.h"

#include <string.h>

#include "jinja/str.h"

static size_t find_slowly(const struct str *s, size_t from, size_t to, const struct str *needle,
                          bool last) {
    size_t found = SIZE_MAX;
    for (size_t at = from; at + needle->len <= to; at++) {
        if (memcmp(s->bytes + at, needle->bytes, needle->len) != 0)
            continue;
        found = at;
        if (!last)
            break;
    }
    return found;
}

/* Few letters and repeated parts, so that long needles occur and nearly occur. */
static const struct str *random_text(struct arena *arena, uint64_t *seed, size_t max_len) {
    char text[512];
    const size_t len = test_random(seed) % max_len;
    const size_t period = 1 + test_random(seed) % 9;
    for (size_t i = 0; i < len; i++)
        text[i] = i < period || test_random(seed) % 40 == 0 ? (char)('a' + test_random(seed) % 2)
                                                            : text[i - period];
    return str_copy(arena, text, len, /* user= */ false);
}

static void test_str_find_finds_what_the_obvious_search_finds(void **state) {
    struct arena arena;
    uint64_t seed = 7;
    int n_found = 0;
    arena_init(&arena, 0);
    for (int i = 0; i < 20000; i++) {
        const struct str *s = random_text(&arena, &seed, 400);
        const struct str *needle = random_text(&arena, &seed, 60);
        if (s->len > 40 && test_random(&seed) % 2 == 0) {
            const size_t at = test_random(&seed) % (s->len - 35);
            needle = str_part(&arena, s, at, at + 17 + test_random(&seed) % 18);
        }
        const size_t from = s->len ? test_random(&seed) % s->len : 0;
        const size_t first = find_slowly(s, from, s->len, needle, false);
        n_found += needle->len > 16 && first != SIZE_MAX;
        assert_int_equal(str_find(s, from, s->len, needle), first);
        assert_int_equal(str_rfind(s, from, s->len, needle),
                         find_slowly(s, from, s->len, needle, true));
    }
    assert_true(n_found > 3000);
    arena_fini(&arena);
}

/* Random parts of a string of random pieces keep each byte's origin. */
static void test_str_parts_keep_origins(void **state) {
    struct arena arena;
    uint64_t seed = 3;
    arena_init(&arena, 0);
    for (int i = 0; i < 2000; i++) {
        struct strb b = {.arena = &arena};
        bool origins[256];
        size_t len = 0;
        while (len < 200) {
            const bool user = test_random(&seed) % 2;
            const size_t n = 1 + test_random(&seed) % 9;
            strb_append(&b, "xxxxxxxxx", n, user);
            for (size_t k = 0; k < n; k++)
                origins[len++] = user;
        }
        const struct str *s = strb_take(&b);
        const size_t from = test_random(&seed) % len;
        const size_t to = from + test_random(&seed) % (len - from + 1);
        const struct str *part = str_part(&arena, s, from, to);
        const struct str *twice = str_concat(&arena, part, str_concat(&arena, part, s));
        assert_int_equal(part->len, to - from);
        for (size_t k = 0; k < part->len; k++) {
            assert_int_equal(str_user_at(part, k), origins[from + k]);
            assert_int_equal(str_user_at(twice, part->len + k), origins[from + k]);
        }
        for (size_t k = 0; k < s->len; k++)
            assert_int_equal(str_user_at(twice, part->len * 2 + k), origins[k]);
        assert_false(str_user_at(part, part->len));
    }
    arena_fini(&arena);
}

static void test_str_offsets_count_code_points(void **state) {
    struct arena arena;
    arena_init(&arena, 0);
    const char text[] = "a\xc3\xa9\xe4\xb8\x96\xf0\x9f\x98\x80z";
    const struct str *s = str_copy(&arena, text, sizeof text - 1, /* user= */ true);
    const size_t offsets[] = {0, 1, 3, 6, 10, 11, 11};
    assert_int_equal(s->n_chars, 5);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++)
        assert_int_equal(str_offset(s, i), offsets[i]);
    assert_int_equal(str_part(&arena, s, 1, 6)->n_chars, 2);
    arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str_find_finds_what_the_obvious_search_finds),
        cmocka_unit_test(test_str_parts_keep_origins),
        cmocka_unit_test(test_str_offsets_count_code_points),
    };
    return cmocka_run_group_tests_name("jinja str", tests, NULL, NULL);
}
