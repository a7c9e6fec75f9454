/* SPDX-License-Identifier: Apache-2.0 */
/* budget: who gets in, who waits, and that what was taken is given back. */
#include "budget.h"
#include "support.h"

struct waiter {
    struct budget_claim claim;
    int n_granted;
};

static void on_granted(struct budget_claim *claim) {
    ((struct waiter *)(void *)claim)->n_granted++;
}

static void test_takes_all_or_nothing(void **state) {
    (void)state;
    struct budget budget;
    budget_init(&budget, 100);
    assert_true(budget_take(&budget, 60));
    assert_false(budget_take(&budget, 41));
    assert_int_equal(budget.n_refused, 1);
    assert_true(budget_take(&budget, 40));
    assert_false(budget_has_room(&budget, 1));
    budget_give(&budget, 100);
    assert_int_equal(budget.used, 0);
}

static void test_claims_wait_their_turn(void **state) {
    (void)state;
    struct budget budget;
    struct waiter waiters[3] = {0};
    budget_init(&budget, 100);
    budget_claim_begin(&budget, &waiters[0].claim, 70, on_granted);
    budget_claim_begin(&budget, &waiters[1].claim, 70, on_granted);
    budget_claim_begin(&budget, &waiters[2].claim, 10, on_granted); /* fits, but is not next */
    assert_int_equal(waiters[0].n_granted, 1);
    assert_int_equal(waiters[1].n_granted, 0);
    assert_int_equal(waiters[2].n_granted, 0);
    assert_true(budget_claim_waits(&waiters[1].claim));

    budget_claim_end(&budget, &waiters[0].claim);
    assert_int_equal(waiters[1].n_granted, 1);
    assert_int_equal(waiters[2].n_granted, 1);
    assert_int_equal(budget.used, 80);
    budget_claim_end(&budget, &waiters[1].claim);
    budget_claim_end(&budget, &waiters[2].claim);
    budget_claim_end(&budget, &waiters[2].claim); /* again: nothing */
    assert_int_equal(budget.used, 0);
}

static void test_one_claim_moves_in_a_full_budget(void **state) {
    (void)state;
    struct budget budget;
    struct waiter waiters[2] = {0};
    budget_init(&budget, 100);
    assert_true(budget_take(&budget, 100));
    budget_claim_begin(&budget, &waiters[0].claim, 50, on_granted);
    budget_claim_begin(&budget, &waiters[1].claim, 50, on_granted);
    assert_int_equal(waiters[0].n_granted, 1);
    assert_int_equal(waiters[1].n_granted, 0);
    assert_false(budget_take(&budget, 1));
    budget_claim_end(&budget, &waiters[0].claim);
    assert_int_equal(waiters[1].n_granted, 1);
    budget_claim_end(&budget, &waiters[1].claim);
    budget_give(&budget, 100);
    assert_int_equal(budget.used, 0);
}

static void test_who_stops_waiting_lets_others_pass(void **state) {
    (void)state;
    struct budget budget;
    struct waiter waiters[3] = {0};
    budget_init(&budget, 100);
    budget_claim_begin(&budget, &waiters[0].claim, 70, on_granted);
    budget_claim_begin(&budget, &waiters[1].claim, 70, on_granted);
    budget_claim_begin(&budget, &waiters[2].claim, 30, on_granted);
    budget_claim_end(&budget, &waiters[1].claim);
    assert_int_equal(waiters[1].n_granted, 0);
    assert_int_equal(waiters[2].n_granted, 1);
    budget_claim_end(&budget, &waiters[0].claim);
    budget_claim_end(&budget, &waiters[2].claim);
    assert_int_equal(budget.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_takes_all_or_nothing),
        cmocka_unit_test(test_claims_wait_their_turn),
        cmocka_unit_test(test_one_claim_moves_in_a_full_budget),
        cmocka_unit_test(test_who_stops_waiting_lets_others_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
