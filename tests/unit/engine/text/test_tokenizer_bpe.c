/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backtracking against the specification (the heap) on random vocabularies: in natural order, in
 * random order (merges that happen late), with several ways to cut a piece, and from scores.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/clock.h"

#include "text/bpe.h"
#include "text/token_buf.h"

enum { MAX_PIECES = 200, MAX_MERGES = 1000, MAX_LEN = 24, WORD_LEN = 300 };

struct made {
    uint64_t seed;
    uint32_t n_letters;
    char pieces[MAX_PIECES][MAX_LEN + 1];
    uint32_t n_pieces;
    struct {
        uint32_t left, right;
    } merges[MAX_MERGES];
    uint32_t n_merges;
};

static uint32_t below(struct made *m, uint32_t n) {
    return (uint32_t)(test_random(&m->seed) % n);
}

static int find_piece(const struct made *m, const char *piece, size_t len) {
    for (uint32_t i = 0; i < m->n_pieces; i++)
        if (strlen(m->pieces[i]) == len && memcmp(m->pieces[i], piece, len) == 0)
            return (int)i;
    return -1;
}

/* Pieces: the letters, then joins of two earlier pieces; one merge each. */
static void make_pieces(struct made *m, uint32_t n_letters, uint32_t n_joins) {
    m->n_letters = n_letters;
    m->n_pieces = 0;
    m->n_merges = 0;
    for (uint32_t i = 0; i < n_letters; i++)
        (void)snprintf(m->pieces[m->n_pieces++], 2, "%c", 'a' + (char)i);
    for (uint32_t i = 0; i < n_joins; i++) {
        const uint32_t left = below(m, m->n_pieces);
        const uint32_t right = below(m, m->n_pieces);
        char joined[2 * MAX_LEN + 1];
        (void)snprintf(joined, sizeof joined, "%s%s", m->pieces[left], m->pieces[right]);
        if (strlen(joined) > MAX_LEN || find_piece(m, joined, strlen(joined)) >= 0)
            continue;
        memcpy(m->pieces[m->n_pieces++], joined, strlen(joined) + 1);
        m->merges[m->n_merges].left = left;
        m->merges[m->n_merges++].right = right;
    }
}

/* All other ways to cut the pieces in two. */
static void add_all_cuts(struct made *m) {
    m->n_merges = 0;
    for (uint32_t i = m->n_letters; i < m->n_pieces; i++)
        for (size_t cut = 1; cut < strlen(m->pieces[i]); cut++) {
            const int left = find_piece(m, m->pieces[i], cut);
            const int right = find_piece(m, m->pieces[i] + cut, strlen(m->pieces[i]) - cut);
            if (left < 0 || right < 0 || m->n_merges == MAX_MERGES)
                continue;
            m->merges[m->n_merges].left = (uint32_t)left;
            m->merges[m->n_merges++].right = (uint32_t)right;
        }
}

static void shuffle_merges(struct made *m, uint32_t n_swaps) {
    for (uint32_t i = 0; i < n_swaps && m->n_merges > 1; i++) {
        const uint32_t a = below(m, m->n_merges);
        const uint32_t b = below(m, m->n_merges);
        const uint32_t left = m->merges[a].left, right = m->merges[a].right;
        m->merges[a] = m->merges[b];
        m->merges[b].left = left;
        m->merges[b].right = right;
    }
}

static void fill_vocab(const struct made *m, struct vocab *vocab) {
    struct error err;
    for (uint32_t i = 0; i < m->n_pieces; i++)
        assert_int_equal(vocab_set(vocab, i, m->pieces[i], strlen(m->pieces[i]), 0, &err), 0);
}

static void build(const struct made *m, const struct vocab *vocab, const float *scores, bool heap,
                  struct bpe *bpe) {
    const struct bpe_options options = {.bytes = true, .unk = TOKEN_NONE};
    struct error err = {.message = ""};
    assert_int_equal(bpe_init(bpe, vocab, &options, &err), 0);
    for (uint32_t i = 0; i < m->n_merges && !scores; i++) {
        const char *left = m->pieces[m->merges[i].left];
        const char *right = m->pieces[m->merges[i].right];
        assert_int_equal(bpe_add_merge(bpe, vocab, left, strlen(left), right, strlen(right), &err),
                         0);
    }
    if (scores)
        assert_int_equal(bpe_add_scores(bpe, vocab, scores, &err), 0);
    bpe->needs_heap = bpe->needs_heap || heap;
    assert_int_equal(bpe_finish(bpe, vocab, &err), 0);
}

static void compare_words(struct made *m, const struct bpe *fast, const struct bpe *heap,
                          uint64_t case_seed) {
    for (int n = 0; n < 8; n++) {
        char word[WORD_LEN];
        const size_t len = 1 + below(m, WORD_LEN - 1);
        /* letters, or pieces in a row, which come closer to what merging can reach */
        for (size_t i = 0; i < len; i++)
            word[i] = (char)('a' + (char)below(m, m->n_letters));
        for (size_t i = 0; n % 2 && i < len;) {
            const char *piece = m->pieces[below(m, m->n_pieces)];
            for (size_t j = 0; piece[j] && i < len; j++)
                word[i++] = piece[j];
        }
        struct token_buf a = {.n = 0}, b = {.n = 0};
        assert_int_equal(bpe_encode(fast, word, len, &a), 0);
        assert_int_equal(bpe_encode_heap(heap, word, len, &b), 0);
        if (a.n != b.n || memcmp(a.ids, b.ids, a.n * sizeof a.ids[0]) != 0)
            fail_msg("seed %llu: \"%.*s\" gives %zu ids, expected %zu",
                     (unsigned long long)case_seed, (int)len, word, a.n, b.n);
        token_buf_fini(&a);
        token_buf_fini(&b);
    }
}

enum kind { NATURAL, SHUFFLED, ALL_CUTS, ALL_CUTS_SHUFFLED, N_KINDS };

static void run_cases(enum kind kind, int n_cases) {
    static struct made m;
    const char *from = getenv("KVASIR_TEST_SEED");
    const uint64_t first = from ? strtoull(from, NULL, 10) : 1000 * (uint64_t)kind;
    for (uint64_t seed = first; seed < first + (uint64_t)n_cases; seed++) {
        m.seed = seed;
        make_pieces(&m, 1 + below(&m, 3), 5 + below(&m, 60));
        if (kind == ALL_CUTS || kind == ALL_CUTS_SHUFFLED)
            add_all_cuts(&m);
        if (kind == SHUFFLED || kind == ALL_CUTS_SHUFFLED)
            shuffle_merges(&m, 1 + below(&m, 40));

        struct vocab vocab = {.n = 0};
        struct bpe fast, heap;
        fill_vocab(&m, &vocab);
        build(&m, &vocab, NULL, false, &fast);
        build(&m, &vocab, NULL, true, &heap);
        assert_false(fast.needs_heap);
        compare_words(&m, &fast, &heap, seed);
        bpe_fini(&fast);
        bpe_fini(&heap);
        vocab_fini(&vocab);
    }
}

static void test_bpe_encode_natural_order_equals_heap(void **state) {
    (void)state;
    run_cases(NATURAL, 300);
}

static void test_bpe_encode_late_merges_equal_heap(void **state) {
    (void)state;
    run_cases(SHUFFLED, 600);
}

static void test_bpe_encode_all_cuts_equal_heap(void **state) {
    (void)state;
    run_cases(ALL_CUTS, 300);
}

static void test_bpe_encode_all_cuts_late_equal_heap(void **state) {
    (void)state;
    run_cases(ALL_CUTS_SHUFFLED, 600);
}

static void test_bpe_scores_equal_heap(void **state) {
    (void)state;
    static struct made m;
    for (uint64_t seed = 1; seed < 300; seed++) {
        m.seed = seed;
        make_pieces(&m, 1 + below(&m, 3), 5 + below(&m, 60));
        float scores[MAX_PIECES];
        const uint32_t n_scores = seed % 2 ? 1u << 30 : 8; /* distinct, or many ties */
        for (uint32_t i = 0; i < m.n_pieces; i++)
            scores[i] = (float)below(&m, n_scores) - (float)i / 4096.0f * (float)(seed % 2);
        struct vocab vocab = {.n = 0};
        struct bpe fast, heap;
        fill_vocab(&m, &vocab);
        build(&m, &vocab, scores, false, &fast);
        build(&m, &vocab, scores, true, &heap);
        compare_words(&m, &fast, &heap, seed);
        bpe_fini(&fast);
        bpe_fini(&heap);
        vocab_fini(&vocab);
    }
}

/* LLaMA 3 has such merges; by hand: "bc" is made last, and "abc" right after it. */
static void test_bpe_encode_merge_waits_for_its_part(void **state) {
    (void)state;
    static struct made m = {
        .n_letters = 3,
        .pieces = {"a", "b", "c", "abc", "bc"},
        .n_pieces = 5,
        .merges = {{0, 4}, {1, 2}},
        .n_merges = 2,
    };
    struct vocab vocab = {.n = 0};
    struct bpe bpe;
    struct token_buf ids = {.n = 0};
    fill_vocab(&m, &vocab);
    build(&m, &vocab, NULL, false, &bpe);
    assert_int_equal(bpe_encode(&bpe, "babcabcc", 8, &ids), 0);
    assert_int_equal(ids.n, 4);
    assert_int_equal(ids.ids[0], 1);
    assert_int_equal(ids.ids[1], 3);
    assert_int_equal(ids.ids[2], 3);
    assert_int_equal(ids.ids[3], 2);
    token_buf_fini(&ids);
    bpe_fini(&bpe);
    vocab_fini(&vocab);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe_encode_merge_waits_for_its_part),
        cmocka_unit_test(test_bpe_encode_natural_order_equals_heap),
        cmocka_unit_test(test_bpe_encode_late_merges_equal_heap),
        cmocka_unit_test(test_bpe_encode_all_cuts_equal_heap),
        cmocka_unit_test(test_bpe_encode_all_cuts_late_equal_heap),
        cmocka_unit_test(test_bpe_scores_equal_heap),
    };
    return cmocka_run_group_tests_name("tokenizer_bpe", tests, NULL, NULL);
}
