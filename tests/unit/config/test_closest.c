/* SPDX-License-Identifier: Apache-2.0 */
/* closest: what somebody meant, and when nothing is meant. */
#include "support.h"

#include <string.h>

#include "kvasir/options.h"

static const char *const names[] = {"host", "port", "max-model-len", "max-num-seqs", "threads"};

static const char *closest(const char *word) {
    return options_closest(word, names, sizeof names / sizeof names[0]);
}

static void test_closest_finds_slips_of_the_fingers(void **state) {
    assert_string_equal(closest("prot"), "port");  /* swapped */
    assert_string_equal(closest("pot"), "port");   /* left out */
    assert_string_equal(closest("porrt"), "port"); /* doubled */
    assert_string_equal(closest("poet"), "port");  /* another */
    assert_string_equal(closest("max-modellen"), "max-model-len");
    assert_string_equal(closest("max_num_seqs"), "max-num-seqs");
}

static void test_closest_far_words_give_nothing(void **state) {
    assert_null(closest("x"));
    assert_null(closest(""));
    assert_null(closest("temperature"));
    assert_null(closest("zzzz"));
    char word[500];
    memset(word, 'p', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(closest(word));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closest_finds_slips_of_the_fingers),
        cmocka_unit_test(test_closest_far_words_give_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
