/* SPDX-License-Identifier: Apache-2.0 */
/* The whole scheduler with its thread, over the fake engine, as a server would use it. */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "fake_engine.h"
#include "kvasir/clock.h"
#include "kvasir/mem.h"
#include "kvasir/scheduler.h"
#include "stats.h"

enum { BLOCK = 4, BLOCKS = 64, VOCAB = 1000, PATIENCE_US = 20000000 };

struct fixture {
    struct fake_engine_options fake;
    struct scheduler_options options;
    struct fake_engine *engine;
    struct scheduler *scheduler;
};

static struct fixture defaults(void) {
    return (struct fixture){
        .fake = {.n_vocab = VOCAB,
                 .n_blocks = BLOCKS,
                 .block_size = BLOCK,
                 .max_batch_tokens = 64,
                 .eos = 2},
        .options = {.step = fake_engine_step,
                    .n_vocab = VOCAB,
                    .block_size = BLOCK,
                    .n_blocks = BLOCKS,
                    .max_model_len = 128,
                    .max_num_seqs = 8,
                    .max_num_batched_tokens = 64,
                    .prefix_caching = true,
                    .hash_key = {1, 2},
                    .check_invariants = true},
    };
}

static void start(struct fixture *f) {
    f->engine = fake_engine_create(&f->fake);
    assert_non_null(f->engine);
    f->options.engine = f->engine;
    struct error error = {.message = ""};
    assert_int_equal(scheduler_start(&f->options, &f->scheduler, &error), 0);
}

static void stop(struct fixture *f) {
    scheduler_stop(f->scheduler);
    assert_null(fake_engine_complaint(f->engine));
    fake_engine_destroy(f->engine);
}

/* A prompt that depends on seed only. */
static struct scheduler_request *make_request(uint64_t seed, uint32_t n_prompt,
                                              uint32_t max_tokens) {
    token_id prompt[256];
    assert_true(n_prompt <= 256);
    for (uint32_t i = 0; i < n_prompt; i++)
        prompt[i] = (token_id)(test_random(&seed) % VOCAB);
    struct scheduler_request *request = scheduler_request_create(prompt, n_prompt, 0);
    assert_non_null(request);
    request->max_tokens = max_tokens;
    return request;
}

/* Everything that came, event by event, until n sequences have ended. */
struct log {
    struct scheduler_event events[512];
    uint32_t n_events;
    uint32_t n_ended;
};

static void collect(struct fixture *f, struct log *log, uint32_t n_ended) {
    const uint64_t give_up_us = clock_now_us() + PATIENCE_US;
    while (log->n_ended < n_ended) {
        struct scheduler_output *output = scheduler_take_ready(f->scheduler);
        while (output) {
            struct scheduler_output *next = output->next;
            for (uint32_t i = 0; i < output->n_events; i++) {
                assert_true(log->n_events < 512);
                log->events[log->n_events++] = output->events[i];
                log->n_ended += output->events[i].finish != FINISH_NONE;
            }
            scheduler_output_free(output);
            output = next;
        }
        assert_true(clock_now_us() < give_up_us);
        const struct timespec pause = {.tv_nsec = 200000};
        (void)nanosleep(&pause, NULL); /* only to be polite */
    }
}

static void test_scheduler_one_request_gives_the_tokens_of_the_oracle(void **state) {
    (void)state;
    struct fixture f = defaults();
    start(&f);

    struct scheduler_request *request = make_request(7, 10, 20);
    token_id history[32];
    memcpy(history, request->prompt, 10 * sizeof *history);
    seq_id id = 0;
    assert_int_equal(scheduler_submit(f.scheduler, request, &id, NULL), 0);
    struct log log = {.n_events = 0};
    collect(&f, &log, 1);

    assert_int_equal(log.n_events, 20);
    for (uint32_t i = 0; i < 20; i++) {
        const token_id expected = fake_engine_next(&f.fake, history, 10 + i, 10);
        assert_true(log.events[i].id == id);
        assert_int_equal(log.events[i].token, expected);
        assert_int_equal(log.events[i].finish, i == 19 ? FINISH_LENGTH : FINISH_NONE);
        history[10 + i] = expected;
    }
    stop(&f);
}

static void test_scheduler_events_carry_times_and_counts(void **state) {
    (void)state;
    struct fixture f = defaults();
    start(&f);
    seq_id id = 0;
    const uint64_t before_us = clock_now_us();
    assert_int_equal(scheduler_submit(f.scheduler, make_request(7, 10, 1), &id, NULL), 0);
    struct log log = {.n_events = 0};
    collect(&f, &log, 1);
    assert_int_equal(scheduler_submit(f.scheduler, make_request(7, 10, 1), &id, NULL), 0);
    collect(&f, &log, 2);

    assert_in_range(log.events[0].scheduled_us, before_us, log.events[0].produced_us);
    assert_int_equal(log.events[0].n_cached_tokens, 0);
    assert_int_equal(log.events[1].n_cached_tokens, 8);

    struct scheduler_stats stats;
    scheduler_stats(f.scheduler, &stats);
    assert_int_equal(stats.steps, 2);
    assert_int_equal(stats.generated_tokens, 2);
    assert_int_equal(stats.prompt_tokens_computed, 12);
    assert_int_equal(stats.prompt_tokens_cached, 8);
    assert_int_equal(stats.prefix_queries, 20);
    assert_int_equal(stats.prefix_hits, 8);
    assert_int_equal(stats.step_tokens, 12);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    assert_int_equal(stats.blocks_total, BLOCKS);
    assert_int_equal(stats.blocks_free, BLOCKS - 2);
    assert_int_equal(stats.blocks_cached, 2);
    assert_int_equal(stats.stalls, 0);
    assert_false(stats.stepping);
    assert_true(stats.last_step_end_us >= before_us && stats.schedule_ns > 0);
    stop(&f);
}

static void test_scheduler_cancel_frees_the_blocks_and_gives_one_end(void **state) {
    (void)state;
    struct fixture f = defaults();
    f.fake.step_us = 2000;
    f.options.max_num_seqs = 1;
    start(&f);
    seq_id running = 0;
    seq_id queued = 0;
    assert_int_equal(scheduler_submit(f.scheduler, make_request(1, 10, 100), &running, NULL), 0);
    assert_int_equal(scheduler_submit(f.scheduler, make_request(2, 10, 100), &queued, NULL), 0);

    struct scheduler_stats stats = {.n_running = 0};
    while (stats.n_running == 0)
        scheduler_stats(f.scheduler, &stats);
    scheduler_cancel(f.scheduler, queued);
    scheduler_cancel(f.scheduler, running);
    scheduler_cancel(f.scheduler, running);
    scheduler_cancel(f.scheduler, 12345);
    struct log log = {.n_events = 0};
    collect(&f, &log, 2);
    for (uint32_t i = 0; i < log.n_events; i++)
        assert_true(log.events[i].finish == FINISH_NONE ||
                    log.events[i].finish == FINISH_CANCELLED);

    scheduler_stats(f.scheduler, &stats);
    assert_int_equal(stats.blocks_free + stats.blocks_cached, BLOCKS);
    stop(&f);
}

static void test_scheduler_stop_with_work_left_frees_everything(void **state) {
    (void)state;
    struct fixture f = defaults();
    f.fake.step_us = 1000;
    start(&f);
    for (uint32_t i = 0; i < 20; i++) {
        seq_id id = 0;
        assert_int_equal(scheduler_submit(f.scheduler, make_request(i, 20, 60), &id, NULL), 0);
    }
    const struct timespec pause = {.tv_nsec = 5000000};
    (void)nanosleep(&pause, NULL); /* into the first steps, or not; both must be right */
    stop(&f);                      /* the leak check of the sanitizers is the assertion */
}

static void test_scheduler_full_queue_is_eagain_and_moves_on(void **state) {
    (void)state;
    struct fixture f = defaults();
    f.fake.step_us = 3000;
    f.options.max_num_seqs = 1;
    f.options.max_queued_requests = 2;
    start(&f);
    struct error error = {.message = ""};
    seq_id id = 0;
    int r = 0;
    uint32_t n = 0;
    while (r == 0 && n < 10) {
        r = scheduler_submit(f.scheduler, make_request(n, 5, 10), &id, &error);
        n += r == 0;
    }
    assert_int_equal(r, SCHEDULER_QUEUE_FULL);
    assert_non_null(strstr(error.message, "max-queued-requests"));
    assert_int_equal(n, 3);

    struct log log = {.n_events = 0};
    collect(&f, &log, n);
    assert_int_equal(scheduler_submit(f.scheduler, make_request(99, 5, 1), &id, &error), 0);
    collect(&f, &log, n + 1);
    stop(&f);
}

/* Bursts on an idle scheduler, again and again: the slots of those before are free by then. */
static void test_scheduler_bursts_within_the_slots_are_never_refused(void **state) {
    (void)state;
    struct fixture f = defaults();
    f.options.max_queued_requests = 1;
    start(&f);
    struct log log = {.n_events = 0};
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 8; i++) {
            seq_id id = 0;
            struct scheduler_request *request = make_request(i, 5, 1);
            assert_int_equal(scheduler_submit(f.scheduler, request, &id, NULL), 0);
        }
        collect(&f, &log, 8 * (round + 1));
    }
    stop(&f);
}

/* One that is at fault takes the others with it, and none of them was ever there. */
static void test_scheduler_group_with_a_bad_request_leaves_nothing(void **state) {
    (void)state;
    const struct scheduler_load held = {.n_requests = 3};
    struct fixture f = defaults();
    f.options.max_queued_requests = 1;
    f.options.max_num_seqs = 2;
    start(&f);
    struct scheduler_request *requests[3];
    seq_id ids[3];
    struct error error = {.message = ""};
    assert_int_equal(scheduler_reserve(f.scheduler, &held, NULL), 0);
    for (uint32_t i = 0; i < 3; i++)
        requests[i] = make_request(i, i == 1 ? 128 : 5, 1);
    assert_int_equal(scheduler_submit_all(f.scheduler, requests, 3, &held, ids, &error),
                     SCHEDULER_TOO_LONG);
    assert_non_null(strstr(error.message, "128 tokens"));

    for (uint32_t i = 0; i < 3; i++) /* the reserved places are free again */
        requests[i] = make_request(i, 5, 1);
    assert_int_equal(scheduler_submit_all(f.scheduler, requests, 3, NULL, ids, &error), 0);
    struct log log = {.n_events = 0};
    collect(&f, &log, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(log.events[i].id == ids[i]);
    stop(&f);
}

static uint64_t cpu_us(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time); /* cannot fail for this clock */
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000;
}

static void test_scheduler_idle_uses_no_cpu(void **state) {
    (void)state;
    struct fixture f = defaults();
    start(&f);
    seq_id id = 0;
    struct log log = {.n_events = 0};
    assert_int_equal(scheduler_submit(f.scheduler, make_request(1, 10, 5), &id, NULL), 0);
    collect(&f, &log, 1);

    const uint64_t before_us = cpu_us();
    const struct timespec pause = {.tv_nsec = 200000000};
    (void)nanosleep(&pause, NULL); /* a shorter one proves a little less */
    assert_in_range(cpu_us() - before_us, 0, 10000);
    stop(&f);
}

static void count_notify(void *ctx) {
    atomic_fetch_add((atomic_uint *)ctx, 1);
}

/* Everybody at once, a third of them cancelled at odd moments: one end each, right tokens. */
static void test_scheduler_storm_ends_each_exactly_once(void **state) {
    (void)state;
    enum { N = 300 };
    struct fixture f = defaults();
    atomic_uint n_notified = 0;
    f.options.notify = count_notify;
    f.options.notify_ctx = &n_notified;
    f.fake.eos_every = 40;
    start(&f);

    seq_id ids[N];
    enum finish_reason ends[N] = {FINISH_NONE};
    uint64_t random = 11;
    uint32_t n_ended = 0;
    uint32_t n_submitted = 0;
    const uint64_t give_up_us = clock_now_us() + PATIENCE_US;
    while (n_ended < N) {
        assert_true(clock_now_us() < give_up_us);
        if (n_submitted < N) {
            struct scheduler_request *request =
                make_request(n_submitted % 7, 1 + n_submitted % 40, 1 + n_submitted % 50);
            assert_int_equal(scheduler_submit(f.scheduler, request, &ids[n_submitted], NULL), 0);
            n_submitted++;
        }
        if (test_random(&random) % 3 == 0)
            scheduler_cancel(f.scheduler, ids[test_random(&random) % n_submitted]);
        struct scheduler_output *output = scheduler_take_ready(f.scheduler);
        while (output) {
            struct scheduler_output *next = output->next;
            for (uint32_t i = 0; i < output->n_events; i++) {
                uint32_t who = 0;
                while (who < n_submitted && ids[who] != output->events[i].id)
                    who++;
                assert_true(who < n_submitted && ends[who] == FINISH_NONE);
                ends[who] = output->events[i].finish;
                n_ended += ends[who] != FINISH_NONE;
            }
            scheduler_output_free(output);
            output = next;
        }
    }
    struct scheduler_stats stats;
    scheduler_stats(f.scheduler, &stats);
    assert_int_equal(stats.n_running + stats.n_waiting, 0);
    assert_int_equal(stats.blocks_free + stats.blocks_cached, BLOCKS);
    stop(&f);
    /* Outputs may be taken before they are announced; once the thread has ended, they were. */
    assert_true(atomic_load(&n_notified) > 0);
}

static void test_scheduler_bad_options_name_the_option(void **state) {
    (void)state;
    struct fixture f = defaults();
    struct error error = {.message = ""};
    struct scheduler *scheduler = NULL;
    f.options.max_num_seqs = 0;
    assert_int_equal(scheduler_start(&f.options, &scheduler, &error), -EINVAL);
    assert_string_equal(error.param, "max-num-seqs");
    assert_null(scheduler);
    scheduler_stop(NULL);
}

static bool fail_nth(void *ctx, size_t size) {
    uint32_t *left = ctx;
    (void)size;
    return (*left)-- == 0;
}

static void test_scheduler_start_survives_every_allocation_that_fails(void **state) {
    (void)state;
    struct fixture f = defaults();
    int r = -ENOMEM;
    for (uint32_t n = 0; r == -ENOMEM; n++) {
        uint32_t left = n;
        mem_set_fault_hook(fail_nth, &left);
        r = scheduler_start(&f.options, &f.scheduler, NULL);
        mem_set_fault_hook(NULL, NULL); /* the engine thread has nothing to allocate yet */
        assert_true(n < 100);
    }
    assert_int_equal(r, 0);
    scheduler_stop(f.scheduler);
}

/* A writer and a reader of the same stats: what is read was written at one time. */
static void *write_stats(void *arg) {
    struct stats *stats = arg;
    for (uint64_t i = 1; i <= 200000; i++) {
        const struct scheduler_stats value = {
            .n_running = (uint32_t)i, .steps = i, .output_ns = i, .last_step_end_us = i};
        stats_write(stats, &value);
    }
    return NULL;
}

static void test_stats_are_read_whole(void **state) {
    (void)state;
    static struct stats stats;
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_stats, &stats), 0);
    uint64_t last = 0;
    while (last < 200000) {
        struct scheduler_stats seen;
        stats_read(&stats, &seen);
        assert_true(seen.steps >= last);
        assert_true(seen.n_running == seen.steps && seen.output_ns == seen.steps &&
                    seen.last_step_end_us == seen.steps);
        last = seen.steps;
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scheduler_one_request_gives_the_tokens_of_the_oracle),
        cmocka_unit_test(test_scheduler_events_carry_times_and_counts),
        cmocka_unit_test(test_scheduler_cancel_frees_the_blocks_and_gives_one_end),
        cmocka_unit_test(test_scheduler_stop_with_work_left_frees_everything),
        cmocka_unit_test(test_scheduler_full_queue_is_eagain_and_moves_on),
        cmocka_unit_test(test_scheduler_bursts_within_the_slots_are_never_refused),
        cmocka_unit_test(test_scheduler_group_with_a_bad_request_leaves_nothing),
        cmocka_unit_test(test_scheduler_idle_uses_no_cpu),
        cmocka_unit_test(test_scheduler_storm_ends_each_exactly_once),
        cmocka_unit_test(test_scheduler_bad_options_name_the_option),
        cmocka_unit_test(test_scheduler_start_survives_every_allocation_that_fails),
        cmocka_unit_test(test_stats_are_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
