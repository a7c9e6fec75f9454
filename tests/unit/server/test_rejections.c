/* SPDX-License-Identifier: Apache-2.0 */
/* What the errors of the parts below come to for a client, as a status or inside a stream. */
#include "exchange.h"

#include <errno.h>

#include "kvasir/scheduler.h"
#include "support.h"

static void test_rejections_every_refusal_has_its_status_and_id(void **state) {
    (void)state;
    static const struct {
        int code;
        int status;
        const char *id;
    } expected[] = {
        {SCHEDULER_INVALID, 400, NULL},
        {SCHEDULER_TOO_LONG, 400, "context_length_exceeded"},
        {SCHEDULER_TOO_LARGE, 400, "kv_capacity_exceeded"},
        {SCHEDULER_QUEUE_FULL, 429, "rate_limit_exceeded"},
        {SCHEDULER_STOPPING, 503, "shutting_down"},
        {SCHEDULER_NO_MEMORY, 503, "overloaded"},
        {-EIO, 500, "engine_error"},
        {-EDOM, 500, "internal_error"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const char *id = exchange_error_code(expected[i].code);
        assert_int_equal(exchange_error_status(expected[i].code), expected[i].status);
        assert_string_equal(id ? id : "none", expected[i].id ? expected[i].id : "none");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rejections_every_refusal_has_its_status_and_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
