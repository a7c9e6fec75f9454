/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"
#include "seq.h"
#include "support.h"

enum { N = 200 };

static struct scheduler_request requests[N];
static struct seq seqs[N];

static void init_seqs(uint64_t seed) {
    for (uint32_t i = 0; i < N; i++) {
        requests[i] = (struct scheduler_request){.priority = (int32_t)(test_random(&seed) % 5) - 2};
        seqs[i] = (struct seq){.serial = i, .n_tokens = 3, .request = &requests[i]};
    }
}

static void test_policy_fcfs_looks_at_arrival_only(void **state) {
    (void)state;
    init_seqs(1);
    requests[0].priority = 5;
    requests[1].priority = -5;
    assert_true(policy_before(POLICY_FCFS, &seqs[0], &seqs[1]));
    assert_true(policy_before(POLICY_PRIORITY, &seqs[1], &seqs[0]));
    requests[0].priority = -5;
    assert_true(policy_before(POLICY_PRIORITY, &seqs[0], &seqs[1]));
}

static void test_waiting_gives_the_first_of_the_order_also_after_removals(void **state) {
    (void)state;
    uint64_t random = 7;
    init_seqs(2);
    struct waiting waiting = {.policy = POLICY_PRIORITY};
    assert_int_equal(waiting_reserve(&waiting, N), 0);

    bool is_waiting[N];
    for (uint32_t i = 0; i < N; i++) {
        waiting_push(&waiting, &seqs[(i * 77) % N]); /* 77 and 200 have no common factor */
        is_waiting[i] = true;
    }
    assert_int_equal(waiting.n_tokens, 3 * N);
    for (uint32_t i = 0; i < N / 3; i++) { /* cancels, anywhere */
        const uint32_t gone = (uint32_t)(test_random(&random) % N);
        if (is_waiting[gone])
            waiting_remove(&waiting, &seqs[gone]);
        is_waiting[gone] = false;
    }
    while (waiting.n > 0) {
        struct seq *first = waiting_peek(&waiting);
        for (uint32_t i = 0; i < N; i++)
            assert_false(is_waiting[i] && policy_before(POLICY_PRIORITY, &seqs[i], first));
        is_waiting[first - seqs] = false;
        waiting_remove(&waiting, first);
    }
    for (uint32_t i = 0; i < N; i++)
        assert_false(is_waiting[i]);
    assert_int_equal(waiting.n_tokens, 0);
    assert_null(waiting_peek(&waiting));
    waiting_fini(&waiting);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_fcfs_looks_at_arrival_only),
        cmocka_unit_test(test_waiting_gives_the_first_of_the_order_also_after_removals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
