/* SPDX-License-Identifier: Apache-2.0 */
/* utf8: the edges of RFC 3629, and a round trip through every scalar value. */
#include "support.h"

#include <string.h>

#include "kvasir/utf8.h"

static void test_utf8_every_scalar_value_survives_a_round_trip(void **state) {
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp == 0xd800)
            cp = 0xe000; /* surrogates are no scalar values */
        char bytes[4];
        const size_t n = utf8_encode(cp, bytes);
        uint32_t back;
        if (utf8_sequence(bytes, n) != n || utf8_decode(bytes, n, &back) != n || back != cp)
            fail_msg("U+%04X does not survive", (unsigned)cp);
        for (size_t cut = 1; cut < n; cut++) {
            if (utf8_sequence(bytes, cut) != 0 || !utf8_is_incomplete(bytes, cut))
                fail_msg("U+%04X cut to %zu bytes is not incomplete", (unsigned)cp, cut);
        }
    }
}

static void test_utf8_invalid_sequences_are_refused(void **state) {
    const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x80", 1}, /* a continuation alone */
        {"\xbf", 1},
        {"\xc0\x80", 2}, /* overlong */
        {"\xc1\xbf", 2},
        {"\xe0\x80\x80", 3},
        {"\xe0\x9f\xbf", 3},
        {"\xf0\x8f\xbf\xbf", 4},
        {"\xed\xa0\x80", 3}, /* surrogates */
        {"\xed\xbf\xbf", 3},
        {"\xf4\x90\x80\x80", 4}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", 4},
        {"\xff", 1},
        {"\xc3(", 2}, /* the continuation is missing */
        {"\xe4\xb8(", 3},
        {"\xf0\x9f\x98(", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t cp;
        assert_int_equal(utf8_sequence(cases[i].bytes, cases[i].len), 0);
        assert_int_equal(utf8_decode(cases[i].bytes, cases[i].len, &cp), 0);
        assert_int_equal(cp, 0xfffd);
        assert_false(utf8_valid(cases[i].bytes, cases[i].len));
        assert_false(utf8_is_incomplete(cases[i].bytes, cases[i].len));
    }
}

static void test_utf8_valid_reads_whole_texts(void **state) {
    const char *text = "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80";
    assert_true(utf8_valid(text, strlen(text)));
    assert_true(utf8_valid("", 0));
    assert_false(utf8_valid(text, strlen(text) - 1));
    assert_false(utf8_is_incomplete("", 0));
    assert_false(utf8_is_incomplete("a", 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_every_scalar_value_survives_a_round_trip),
        cmocka_unit_test(test_utf8_invalid_sequences_are_refused),
        cmocka_unit_test(test_utf8_valid_reads_whole_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
