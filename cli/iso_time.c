/* SPDX-License-Identifier: Apache-2.0 */
#include "iso_time.h"

#include <errno.h>
#include <time.h>

#include "kvasir/clock.h"

/* A text that is read from the left; bad is sticky. */
struct cursor {
    const char *at;
    bool bad;
};

static bool accept(struct cursor *c, char expected) {
    if (*c->at != expected)
        return false;
    c->at++;
    return true;
}

static void expect(struct cursor *c, char expected) {
    if (!accept(c, expected))
        c->bad = true;
}

/* Exactly n digits, whose value is at least low and at most high. */
static int64_t digits(struct cursor *c, int n, int64_t low, int64_t high) {
    int64_t value = 0;
    for (int i = 0; i < n && !c->bad; i++) {
        if (*c->at < '0' || *c->at > '9')
            c->bad = true;
        else
            value = value * 10 + (*c->at++ - '0');
    }
    if (value < low || value > high)
        c->bad = true;
    return c->bad ? low : value;
}

static bool is_leap(int64_t year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar; years 1 to 9999. */
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day) {
    static const int64_t before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    const int64_t past = year - 1;
    const int64_t days = past * 365 + past / 4 - past / 100 + past / 400 + before_month[month - 1] +
                         (month > 2 && is_leap(year) ? 1 : 0) + day - 1;
    return days - 719162; /* of the years 1 to 1969 */
}

static int64_t days_in_month(int64_t year, int64_t month) {
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Z, +HH:MM, -HH:MM or nothing, in seconds. */
static int32_t offset(struct cursor *c) {
    if (accept(c, 'Z') || *c->at == '\0')
        return 0;
    const bool west = accept(c, '-');
    if (!west)
        expect(c, '+');
    const int64_t hours = digits(c, 2, 0, 23);
    expect(c, ':');
    const int64_t seconds = (hours * 60 + digits(c, 2, 0, 59)) * 60;
    return (int32_t)(west ? -seconds : seconds);
}

int iso_time_parse(const char *text, struct chat_clock *ret_clock, struct error *reterr) {
    struct cursor c = {.at = text};
    const int64_t year = digits(&c, 4, 1, 9999);
    expect(&c, '-');
    const int64_t month = digits(&c, 2, 1, 12);
    expect(&c, '-');
    const int64_t day = digits(&c, 2, 1, days_in_month(year, month));
    int64_t seconds = 0;
    int32_t utc_offset_s = 0;
    if (!c.bad && (accept(&c, 'T') || accept(&c, ' '))) {
        seconds = digits(&c, 2, 0, 23) * 3600;
        expect(&c, ':');
        seconds += digits(&c, 2, 0, 59) * 60;
        if (accept(&c, ':'))
            seconds += digits(&c, 2, 0, 59);
        if (accept(&c, '.')) {
            while (*c.at >= '0' && *c.at <= '9')
                c.at++;
        }
        utc_offset_s = offset(&c);
    }
    if (c.bad || *c.at != '\0')
        return error_set_param(reterr, -EINVAL, "now",
                               "expected a time such as 2026-01-31T12:00:00, found '%.64s'", text);
    *ret_clock = (struct chat_clock){
        .unix_seconds = days_since_1970(year, month, day) * 86400 + seconds - utc_offset_s,
        .utc_offset_s = utc_offset_s,
    };
    return 0;
}

/* The same moment read as a local and as a UTC date differs by the zone's offset. */
struct chat_clock iso_time_now(void) {
    const time_t now = (time_t)clock_wall_s();
    struct tm local;
    struct chat_clock clock = {.unix_seconds = (int64_t)now};
    if (localtime_r(&now, &local))
        clock.utc_offset_s =
            (int32_t)(days_since_1970(local.tm_year + 1900, local.tm_mon + 1, local.tm_mday) *
                          86400 +
                      local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec - (int64_t)now);
    return clock;
}
