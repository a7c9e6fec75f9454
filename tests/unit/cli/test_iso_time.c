/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvasir/clock.h"

#include "iso_time.h"

static void test_iso_time_reads_moments(void **state) {
    static const struct {
        const char *text;
        int64_t unix_seconds;
        int32_t utc_offset_s;
    } cases[] = {
        {"1970-01-01", 0, 0},
        {"1970-01-01T00:00:01", 1, 0},
        {"1969-12-31 23:59:59", -1, 0},
        {"2025-01-31T12:00:00", 1738324800, 0},
        {"2025-01-31T12:00", 1738324800, 0},
        {"2025-01-31T12:00:00.123456", 1738324800, 0},
        {"2025-01-31T12:00:00Z", 1738324800, 0},
        {"2025-01-31T13:30:00+01:30", 1738324800, 5400},
        {"2025-01-31T07:00:00-05:00", 1738324800, -18000},
        {"2000-02-29", 951782400, 0},
        {"2024-03-01", 1709251200, 0},
        {"2100-03-01", 4107542400, 0},
        {"0001-01-01", -62135596800, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_clock clock = {.unix_seconds = 0};
        assert_int_equal(iso_time_parse(cases[i].text, &clock, NULL), 0);
        assert_int_equal(clock.unix_seconds, cases[i].unix_seconds);
        assert_int_equal(clock.utc_offset_s, cases[i].utc_offset_s);
    }
}

static void test_iso_time_refuses_what_is_none(void **state) {
    static const char *const cases[] = {
        "",
        "now",
        "2025",
        "2025-1-1",
        "2025-13-01",
        "2025-02-29",
        "2025-04-31",
        "2025-00-10",
        "0000-01-01",
        "2025-01-01T",
        "2025-01-01T24:00",
        "2025-01-01T12:60",
        "2025-01-01T12:00:00+1",
        "2025-01-01T12:00:00x",
        "2025-01-01Z",
        " 2025-01-01",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_clock clock;
        struct error error = {.message = ""};
        if (iso_time_parse(cases[i], &clock, &error) != -EINVAL)
            fail_msg("'%s' was taken for a time", cases[i]);
        assert_non_null(strstr(error.message, "2026-01-31T12:00:00"));
    }
}

static void test_iso_time_now_knows_the_zone(void **state) {
    assert_int_equal(setenv("TZ", "XYZ-05:30", 1), 0);
    tzset();
    const struct chat_clock clock = iso_time_now();
    assert_int_equal(clock.utc_offset_s, 19800);
    const int64_t difference = clock_wall_s() - clock.unix_seconds;
    assert_true(difference >= 0 && difference < 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iso_time_reads_moments),
        cmocka_unit_test(test_iso_time_refuses_what_is_none),
        cmocka_unit_test(test_iso_time_now_knows_the_zone),
    };
    return cmocka_run_group_tests_name("iso_time", tests, NULL, NULL);
}
