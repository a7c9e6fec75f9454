/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine thread in trouble: no memory for outputs, a core that plans nothing. The linker puts
 * the functions __wrap_* of this file in front of the real ones.
 */
#include "core.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "fake_engine.h"
#include "kvasir/clock.h"
#include "output.h"
#include "support.h"

enum { VOCAB = 100, BLOCK = 4, BLOCKS = 32, PATIENCE_US = 10000000 };

static atomic_bool no_memory; /* test switches; each test leaves them off */
static atomic_bool no_plan;

struct scheduler_output *__real_output_create(const struct output_room *room);
struct scheduler_output *__wrap_output_create(const struct output_room *room);
const struct batch *__real_core_plan(struct core *core, uint64_t now_us);
const struct batch *__wrap_core_plan(struct core *core, uint64_t now_us);

struct scheduler_output *__wrap_output_create(const struct output_room *room) {
    return atomic_load(&no_memory) ? NULL : __real_output_create(room);
}

const struct batch *__wrap_core_plan(struct core *core, uint64_t now_us) {
    if (!atomic_load(&no_plan))
        return __real_core_plan(core, now_us);
    core->counters.stalls++;
    return &core->batch; /* empty between two plans */
}

struct fixture {
    struct fake_engine *engine;
    struct scheduler *scheduler;
};

static struct fixture start(void) {
    const struct fake_engine_options fake = {
        .n_vocab = VOCAB, .n_blocks = BLOCKS, .block_size = BLOCK, .max_batch_tokens = 64};
    struct fixture f = {.engine = fake_engine_create(&fake)};
    assert_non_null(f.engine);
    const struct scheduler_options options = {
        .step = fake_engine_step,
        .engine = f.engine,
        .n_vocab = VOCAB,
        .block_size = BLOCK,
        .n_blocks = BLOCKS,
        .max_model_len = 64,
        .max_num_seqs = 4,
        .max_num_batched_tokens = 64,
    };
    assert_int_equal(scheduler_start(&options, &f.scheduler, NULL), 0);
    return f;
}

static void stop(struct fixture *f) {
    scheduler_stop(f->scheduler);
    fake_engine_destroy(f->engine);
}

static void submit(struct fixture *f) {
    const token_id prompt[] = {1, 2, 3};
    struct scheduler_request *request = scheduler_request_create(prompt, 3, 0);
    seq_id id;
    assert_non_null(request);
    request->max_tokens = 5;
    assert_int_equal(scheduler_submit(f->scheduler, request, &id, NULL), 0);
}

/* Takes events until one ends a sequence. */
static struct scheduler_event wait_for_end(struct fixture *f) {
    struct scheduler_event end = {.finish = FINISH_NONE};
    const uint64_t give_up_us = clock_now_us() + PATIENCE_US;
    while (end.finish == FINISH_NONE) {
        assert_true(clock_now_us() < give_up_us);
        struct scheduler_output *output = scheduler_take_ready(f->scheduler);
        while (output) {
            struct scheduler_output *next = output->next;
            for (uint32_t i = 0; i < output->n_events; i++)
                if (output->events[i].finish != FINISH_NONE)
                    end = output->events[i];
            scheduler_output_free(output);
            output = next;
        }
    }
    return end;
}

static void pause_ms(long ms) {
    const struct timespec time = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&time, NULL); /* a shorter one proves a little less */
}

static uint64_t cpu_us(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time); /* cannot fail for this clock */
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000;
}

static void test_runner_without_memory_ends_the_step_and_goes_on_later(void **state) {
    (void)state;
    struct fixture f = start();
    submit(&f);
    assert_int_equal(wait_for_end(&f).finish, FINISH_LENGTH);

    atomic_store(&no_memory, true);
    submit(&f); /* told by the spare output */
    const struct scheduler_event end = wait_for_end(&f);
    assert_int_equal(end.finish, FINISH_ERROR);
    assert_int_equal(end.error_code, -ENOMEM);
    assert_non_null(end.error);
    submit(&f); /* waits: there is not even a spare one */
    pause_ms(50);
    assert_null(scheduler_take_ready(f.scheduler));
    atomic_store(&no_memory, false);
    assert_int_equal(wait_for_end(&f).finish, FINISH_LENGTH);
    stop(&f);
}

static void test_runner_without_memory_rests_and_stops(void **state) {
    (void)state;
    struct fixture f = start();
    atomic_store(&no_memory, true);
    submit(&f);
    (void)wait_for_end(&f);
    submit(&f);
    const uint64_t before_us = cpu_us();
    pause_ms(200);
    assert_in_range(cpu_us() - before_us, 0, 20000);
    stop(&f); /* that it comes back is the assertion */
    atomic_store(&no_memory, false);
}

static void test_runner_counts_a_stall_and_does_not_spin(void **state) {
    (void)state;
    struct fixture f = start();
    atomic_store(&no_plan, true);
    submit(&f);
    const uint64_t before_us = cpu_us();
    pause_ms(300);
    assert_in_range(cpu_us() - before_us, 0, 30000);
    struct scheduler_stats stats;
    scheduler_stats(f.scheduler, &stats);
    assert_in_range(stats.stalls, 1, 40);

    atomic_store(&no_plan, false);
    assert_int_equal(wait_for_end(&f).finish, FINISH_LENGTH);
    stop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runner_without_memory_ends_the_step_and_goes_on_later),
        cmocka_unit_test(test_runner_without_memory_rests_and_stops),
        cmocka_unit_test(test_runner_counts_a_stall_and_does_not_spin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
