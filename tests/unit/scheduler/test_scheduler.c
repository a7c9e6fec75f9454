/* SPDX-License-Identifier: Apache-2.0 */
/* The whole scheduler with its thread, over the fake engine, as a server would use it. */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "fake_engine.h"
#include "kvasir/clock.h"
#include "kvasir/mem.h"
#include "kvasir/scheduler.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scheduler_one_request_gives_the_tokens_of_the_oracle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
