/* SPDX-License-Identifier: Apache-2.0 */
/* The workers: every item once, results visible, idle without CPU. */
#define _DEFAULT_SOURCE /* getrusage */
#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

#include "cpu/workers.h"
#include "support.h"

enum { MAX_ITEMS = 1000 };

struct count_ctx {
    uint32_t n_threads;
    uint32_t seen[MAX_ITEMS]; /* plain: TSan proves that workers_for orders the writes */
    atomic_bool bad_worker;
};

static void count_item(void *arg, uint32_t item, uint32_t worker) {
    struct count_ctx *ctx = arg;
    ctx->seen[item]++;
    if (worker >= ctx->n_threads)
        atomic_store(&ctx->bad_worker, true);
}

static void sleep_us(long us) {
    const struct timespec pause = {.tv_nsec = us * 1000};
    nanosleep(&pause, NULL);
}

static void test_workers_for_runs_every_item_exactly_once(void **state) {
    for (uint32_t n_threads = 1; n_threads <= 5; n_threads++) {
        struct workers *workers;
        assert_int_equal(workers_create(n_threads, &workers, NULL), 0);
        assert_int_equal(workers_n_threads(workers), n_threads);

        struct count_ctx ctx = {.n_threads = n_threads};
        uint32_t n_runs = 0;
        for (uint32_t n_items = 0; n_items < 300; n_items++, n_runs++)
            workers_for(workers, n_items, count_item, &ctx);
        for (uint32_t i = 0; i < 300; i++)
            assert_int_equal(ctx.seen[i], 299 - i); /* jobs with more than i items */
        assert_false(atomic_load(&ctx.bad_worker));
        workers_destroy(workers);
    }
}

/* Gaps longer than the spin put everybody to sleep between the jobs; none may stay asleep. */
static void test_workers_for_wakes_workers_that_sleep(void **state) {
    struct workers *workers;
    assert_int_equal(workers_create(3, &workers, NULL), 0);

    struct count_ctx ctx = {.n_threads = 3};
    uint64_t seed = 7;
    for (int run = 0; run < 200; run++) {
        workers_for(workers, 8, count_item, &ctx);
        sleep_us((long)(test_random(&seed) % 60));
    }
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(ctx.seen[i], 200);
    workers_destroy(workers);
}

static void slow_item(void *arg, uint32_t item, uint32_t worker) {
    atomic_uint *n_done = arg;
    sleep_us(item == 0 ? 20000 : 10);
    atomic_fetch_add(n_done, 1);
}

/* One slow item outlasts the caller's spin: it must sleep, wake, and have waited for all. */
static void test_workers_for_returns_after_the_slowest_item(void **state) {
    struct workers *workers;
    assert_int_equal(workers_create(4, &workers, NULL), 0);

    for (uint32_t run = 1; run <= 5; run++) {
        atomic_uint n_done = 0;
        workers_for(workers, 40, slow_item, &n_done);
        assert_int_equal(atomic_load(&n_done), 40);
    }
    workers_destroy(workers);
}

static double cpu_seconds(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static void test_workers_idle_uses_no_cpu(void **state) {
    struct workers *workers;
    assert_int_equal(workers_create(4, &workers, NULL), 0);
    struct count_ctx ctx = {.n_threads = 4};
    workers_for(workers, 100, count_item, &ctx);

    sleep_us(20000);
    const double before = cpu_seconds();
    sleep_us(300000);
    assert_true(cpu_seconds() - before < 0.02);
    workers_destroy(workers);
}

static void test_workers_create_refuses_a_count_outside_its_range(void **state) {
    struct workers *workers = NULL;
    struct error err = {0};
    assert_int_equal(workers_create(0, &workers, &err), -EINVAL);
    assert_string_equal(err.param, "threads");
    assert_int_equal(workers_create(100000, &workers, &err), -EINVAL);
    assert_null(workers);
    workers_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_workers_for_runs_every_item_exactly_once),
        cmocka_unit_test(test_workers_for_wakes_workers_that_sleep),
        cmocka_unit_test(test_workers_for_returns_after_the_slowest_item),
        cmocka_unit_test(test_workers_idle_uses_no_cpu),
        cmocka_unit_test(test_workers_create_refuses_a_count_outside_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
