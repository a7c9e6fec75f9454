/* SPDX-License-Identifier: Apache-2.0 */
/* The pure core over the fake engine: exact block ids, batches, events; core_check after each. */
#include "core.h"

#include <errno.h>
#include <string.h>

#include "fake_engine.h"
#include "kvasir/mem.h"
#include "support.h"

enum { BLOCK = 4, VOCAB = 100, MAX_SEEN = 512 };

struct seen {
    seq_id id;
    token_id token;
    enum finish_reason finish;
    int error_code;
};

struct rig {
    struct scheduler_options options;
    struct fake_engine_options fake;
    struct fake_engine *engine;
    struct core *core;
    const struct batch *batch; /* of the last plan, until it is applied */
    struct step_result result;
    int step_rc;
    struct seen seen[MAX_SEEN];
    uint32_t n_seen;
    seq_id next_id;
};

static struct rig *rig_new(void) {
    struct rig *rig = mem_alloc_zero(1, sizeof *rig);
    assert_non_null(rig);
    rig->options = (struct scheduler_options){
        .step = fake_engine_step,
        .n_vocab = VOCAB,
        .block_size = BLOCK,
        .n_blocks = 16,
        .max_model_len = 64,
        .max_num_seqs = 4,
        .max_num_batched_tokens = 32,
        .prefix_caching = true,
        .hash_key = {5, 6},
        .check_invariants = true,
    };
    rig->fake = (struct fake_engine_options){.n_vocab = VOCAB, .eos = 0};
    rig->next_id = 1;
    return rig;
}

static void rig_start(struct rig *rig) {
    struct error error = {.message = ""};
    rig->fake.n_blocks = rig->options.n_blocks;
    rig->fake.block_size = rig->options.block_size;
    rig->fake.max_batch_tokens = rig->options.max_num_batched_tokens;
    rig->engine = fake_engine_create(&rig->fake);
    assert_non_null(rig->engine);
    rig->options.engine = rig->engine;
    assert_int_equal(core_create(&rig->options, &rig->core, &error), 0);
}

static void rig_free(struct rig *rig) {
    assert_null(fake_engine_complaint(rig->engine));
    core_destroy(rig->core);
    fake_engine_destroy(rig->engine);
    mem_free(rig);
}

static void check(const struct rig *rig) {
    struct error error = {.message = ""};
    if (core_check(rig->core, &error) < 0)
        fail_msg("%s", error.message);
}

/* Tokens base, base + 1, ...: equal bases share a prefix. */
static struct scheduler_request *request_of(token_id base, uint32_t n_prompt, uint32_t max_tokens) {
    token_id prompt[64];
    for (uint32_t i = 0; i < n_prompt; i++)
        prompt[i] = (base + (token_id)i) % VOCAB;
    struct scheduler_request *request = scheduler_request_create(prompt, n_prompt, 0);
    assert_non_null(request);
    request->max_tokens = max_tokens;
    return request;
}

static struct seq *add_request(struct rig *rig, struct scheduler_request *request) {
    struct seq *seq = NULL;
    struct error error = {.message = ""};
    assert_int_equal(seq_create(&rig->options, request, &seq, &error), 0);
    seq->id = rig->next_id++;
    core_add(rig->core, seq);
    return seq;
}

static struct seq *add(struct rig *rig, token_id base, uint32_t n_prompt, uint32_t max_tokens) {
    return add_request(rig, request_of(base, n_prompt, max_tokens));
}

static void plan(struct rig *rig) {
    rig->batch = core_plan(rig->core, /* now_us= */ 10);
    check(rig);
}

static void compute(struct rig *rig) {
    rig->step_rc = 0;
    rig->result = (struct step_result){.n_rows = 0};
    if (rig->batch->n_seqs > 0)
        rig->step_rc = fake_engine_step(rig->engine, rig->batch, &rig->result);
}

static void apply(struct rig *rig) {
    struct scheduler_output *output = core_output_create(rig->core);
    assert_non_null(output);
    core_apply(rig->core, rig->step_rc < 0 ? NULL : &rig->result, rig->step_rc, 20, output);
    for (uint32_t i = 0; i < output->n_events; i++) {
        const struct scheduler_event *event = &output->events[i];
        assert_true(rig->n_seen < MAX_SEEN);
        rig->seen[rig->n_seen++] = (struct seen){.id = event->id,
                                                 .token = event->token,
                                                 .finish = event->finish,
                                                 .error_code = event->error_code};
        assert_true((event->finish == FINISH_ERROR) == (event->error != NULL));
    }
    scheduler_output_free(output);
    check(rig);

    struct list finished;
    list_init(&finished);
    core_take_finished(rig->core, &finished);
    list_for_each (node, &finished) {
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, link));
    }
}

static void step(struct rig *rig) {
    plan(rig);
    compute(rig);
    apply(rig);
}

static void run_out(struct rig *rig) {
    for (int i = 0; core_has_work(rig->core); i++) {
        assert_true(i < 2000);
        step(rig);
    }
    assert_int_equal(rig->core->pool.n_free, rig->options.n_blocks);
}

static void assert_blocks(const struct seq *seq, const uint32_t *blocks, uint32_t n) {
    assert_int_equal(seq->n_blocks, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(seq->blocks[i], blocks[i]);
}

static void assert_free_list(const struct rig *rig, const uint32_t *blocks, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(pool_peek_free(&rig->core->pool, i), blocks[i]);
}

static uint32_t n_refs(const struct rig *rig, uint32_t block) {
    return rig->core->pool.blocks[block].n_refs;
}

/* The tokens that came for id are those of the oracle, n of them, and it ended so. */
static void assert_answer(const struct rig *rig, seq_id id, token_id base, uint32_t n_prompt,
                          uint32_t n, enum finish_reason finish) {
    token_id history[256];
    uint32_t n_history = n_prompt;
    enum finish_reason end = FINISH_NONE;
    for (uint32_t i = 0; i < n_prompt; i++)
        history[i] = (base + (token_id)i) % VOCAB;
    for (uint32_t i = 0; i < rig->n_seen; i++) {
        const struct seen *seen = &rig->seen[i];
        if (seen->id != id)
            continue;
        assert_int_equal(end, FINISH_NONE); /* nothing behind the end */
        end = seen->finish;
        if (seen->token == TOKEN_NONE)
            continue;
        assert_int_equal(seen->token, fake_engine_next(&rig->fake, history, n_history, n_prompt));
        history[n_history++] = seen->token;
    }
    assert_int_equal(n_history - n_prompt, n);
    assert_int_equal(end, finish);
}

/* Batches and blocks. */

static void test_core_first_prompt_takes_blocks_in_order(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    struct seq *seq = add(rig, 1, 10, 2);

    plan(rig);
    assert_blocks(seq, (const uint32_t[]){0, 1, 2}, 3);
    assert_int_equal(rig->batch->n_seqs, 1);
    assert_int_equal(rig->batch->n_tokens, 10);
    const struct batch_seq *slice = &rig->batch->seqs[0];
    assert_int_equal(slice->n_context, 0);
    assert_int_equal(slice->rows, BATCH_ROWS_LAST);
    assert_true(slice->sample);
    assert_int_equal(slice->slot, 0);
    assert_ptr_equal(slice->history, seq->tokens);
    compute(rig);
    apply(rig);

    assert_int_equal(seq->state, SEQ_DECODING);
    assert_int_equal(seq->n_published, 2);
    plan(rig);
    assert_int_equal(rig->batch->seqs[0].n_context, 10);
    assert_int_equal(rig->batch->seqs[0].n_tokens, 1);
    assert_int_equal(rig->batch->positions[0], 10);
    compute(rig);
    apply(rig);

    /* Freed tail first: the unhashed block 2 to the head, the hashed 1, 0 to the tail. */
    assert_free_list(rig, (const uint32_t[]){2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1, 0},
                     16);
    assert_answer(rig, 1, 1, 10, 2, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_long_prompt_is_cut_and_decodes_go_first(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.max_num_batched_tokens = 8;
    rig->options.prefill_chunk = 6;
    rig_start(rig);
    (void)add(rig, 1, 3, 20);
    step(rig);
    struct seq *late = add(rig, 50, 20, 1);

    plan(rig);
    assert_int_equal(rig->batch->n_seqs, 2);
    assert_int_equal(rig->batch->seqs[0].n_tokens, 1); /* the decode */
    assert_int_equal(rig->batch->seqs[1].n_tokens, 6); /* prefill_chunk, not the 7 left */
    assert_int_equal(rig->batch->seqs[1].rows, BATCH_ROWS_NONE);
    assert_false(rig->batch->seqs[1].sample);
    assert_int_equal(late->n_blocks, 2);
    assert_int_equal(late->n_reserved, 3);
    assert_int_equal(rig->core->n_reserved, 3);
    compute(rig);
    apply(rig);
    assert_int_equal(late->n_computed, 6);
    assert_int_equal(late->n_published, 1);

    run_out(rig);
    assert_answer(rig, 1, 1, 3, 20, FINISH_LENGTH);
    assert_answer(rig, 2, 50, 20, 1, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_second_prompt_shares_the_blocks_of_the_first(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    struct seq *first = add(rig, 1, 10, 20);
    step(rig);
    struct seq *second = add(rig, 1, 11, 2);

    plan(rig);
    assert_blocks(first, (const uint32_t[]){0, 1, 2}, 3);
    assert_blocks(second, (const uint32_t[]){0, 1, 3}, 3);
    assert_int_equal(n_refs(rig, 0), 2);
    assert_int_equal(n_refs(rig, 1), 2);
    assert_int_equal(rig->batch->seqs[1].n_context, 8);
    assert_int_equal(rig->batch->seqs[1].n_tokens, 3);
    compute(rig);
    apply(rig);
    assert_int_equal(rig->core->counters.prompt_tokens_cached, 8);
    assert_int_equal(rig->core->counters.prefix_hits, 8);
    assert_int_equal(rig->core->counters.prefix_queries, 21);

    run_out(rig);
    assert_answer(rig, 1, 1, 10, 20, FINISH_LENGTH);
    assert_answer(rig, 2, 1, 11, 2, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_full_hit_computes_the_last_block_again_and_gives_it_back(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    (void)add(rig, 1, 8, 1);
    run_out(rig);
    assert_free_list(rig, (const uint32_t[]){2, 3}, 2);

    struct seq *again = add(rig, 1, 8, 5);
    plan(rig);
    assert_blocks(again, (const uint32_t[]){0, 2}, 2); /* 1 holds the last token: not taken */
    assert_int_equal(rig->batch->n_tokens, 4);
    compute(rig);
    apply(rig);
    assert_blocks(again, (const uint32_t[]){0, 1}, 2); /* now it is taken, and 2 is free again */
    assert_int_equal(n_refs(rig, 1), 1);
    assert_int_equal(pool_peek_free(&rig->core->pool, 0), 2);
    assert_int_equal(rig->core->counters.duplicate_blocks, 1);

    run_out(rig);
    assert_answer(rig, 2, 1, 8, 5, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_without_caching_nothing_is_shared(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.prefix_caching = false;
    rig_start(rig);
    (void)add(rig, 1, 10, 5);
    (void)add(rig, 1, 10, 5);
    step(rig);
    assert_int_equal(rig->core->counters.step_tokens, 20);
    assert_int_equal(rig->core->prefix.n_published, 0);
    run_out(rig);
    rig_free(rig);
}

/* Live sharing. */

static void test_core_followers_join_a_prefill_in_flight(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.n_blocks = 64;
    rig->options.max_num_batched_tokens = 10;
    rig_start(rig);
    for (int i = 0; i < 4; i++)
        (void)add(rig, 1, 41, 1); /* one prompt of ten blocks and a token, four times, at once */

    plan(rig);
    assert_int_equal(rig->batch->n_seqs, 1); /* the first computes, the others wait for it */
    assert_int_equal(rig->core->n_prefilling, 1);
    compute(rig);
    apply(rig);
    run_out(rig);
    assert_int_equal(fake_engine_tokens_computed(rig->engine), 41 + 3 * 1);
    for (seq_id id = 1; id <= 4; id++)
        assert_answer(rig, id, 1, 41, 1, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_admitted_follower_is_held_and_takes_blocks_as_they_come(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.n_blocks = 64;
    rig->options.prefill_chunk = 8;
    rig_start(rig);
    struct seq *donor = add(rig, 1, 40, 1);
    struct seq *follower = add(rig, 1, 40, 1);

    for (uint32_t i = 0; i < 4; i++) {
        plan(rig);
        assert_int_equal(rig->batch->n_seqs, 1);
        assert_int_equal(follower->state, SEQ_PREFILLING);
        assert_int_equal(follower->n_computed, i * 8); /* what the donor had published */
        assert_int_equal(follower->n_reserved, 10 - 2 * i);
        compute(rig);
        apply(rig);
        assert_int_equal(donor->n_computed, (i + 1) * 8);
    }
    run_out(rig);
    assert_int_equal(fake_engine_tokens_computed(rig->engine), 40 + 4);
    rig_free(rig);
}

static void test_core_follower_goes_on_alone_when_its_donor_is_cancelled(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.n_blocks = 64;
    rig->options.prefill_chunk = 8;
    rig_start(rig);
    struct seq *donor = add(rig, 1, 40, 1);
    struct seq *follower = add(rig, 1, 40, 1);
    step(rig);
    core_cancel(rig->core, donor);

    plan(rig);
    assert_int_equal(rig->batch->n_seqs, 1);
    assert_ptr_equal(rig->core->planned[0], follower);
    assert_int_equal(rig->batch->seqs[0].n_context, 8); /* what the donor left is used */
    compute(rig);
    apply(rig);
    run_out(rig);
    assert_answer(rig, 1, 1, 40, 0, FINISH_CANCELLED);
    assert_answer(rig, 2, 1, 40, 1, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_other_salts_share_nothing(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    struct scheduler_request *a = request_of(1, 12, 4);
    struct scheduler_request *b = request_of(1, 12, 4);
    a->cache_salt = 1;
    b->cache_salt = 2;
    (void)add_request(rig, a);
    (void)add_request(rig, b);
    step(rig);
    assert_int_equal(rig->core->counters.step_tokens, 24);
    run_out(rig);
    assert_int_equal(rig->core->counters.prompt_tokens_cached, 0);
    rig_free(rig);
}

/* A block belongs to the root's rope class, or is not published, and nothing behind it is. */
static void test_core_blocks_of_another_rope_class_are_not_published(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->fake.rope_length = 10; /* lengths 1 .. 9: class 0, 10 .. 19: class 1, 20 ..: 0 */
    rig->options.rope_class = fake_engine_rope_class;
    rig_start(rig);
    struct seq *seq = add(rig, 1, 6, 30);
    for (int i = 0; i < 25; i++)
        step(rig);
    assert_int_equal(seq->n_computed, 30);
    assert_int_equal(seq->n_published, 2); /* 0 .. 7; the next block holds lengths 9 .. 12 */
    run_out(rig);
    assert_answer(rig, 1, 1, 6, 30, FINISH_LENGTH);
    rig_free(rig);
}

/* Admission and preemption. */

/* vllm #45388: two prompts that fit one by one must not both begin and starve each other. */
static void test_core_second_prompt_waits_until_all_of_it_fits(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.max_num_batched_tokens = 8;
    rig_start(rig);
    (void)add(rig, 1, 36, 2);                 /* 9 of 16 blocks, taken in 5 steps */
    struct seq *second = add(rig, 51, 32, 2); /* 8 more do not fit */

    for (int i = 0; i < 5; i++) {
        step(rig);
        assert_int_equal(second->state, SEQ_WAITING);
        assert_int_equal(second->n_blocks, 0);
    }
    run_out(rig);
    assert_int_equal(rig->core->counters.preemptions, 0);
    assert_answer(rig, 1, 1, 36, 2, FINISH_LENGTH);
    assert_answer(rig, 2, 51, 32, 2, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_victim_loses_least_and_is_never_the_first(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.n_blocks = 8;
    rig->options.max_model_len = 32;
    rig_start(rig);
    struct seq *first = add(rig, 1, 3, 26); /* the cheapest, but the oldest */
    struct seq *large = add(rig, 31, 12, 12);
    struct seq *small = add(rig, 61, 5, 12);

    while (rig->core->counters.preemptions == 0)
        step(rig);
    assert_int_equal(small->state, SEQ_WAITING);
    assert_int_equal(small->n_preemptions, 1);
    assert_int_equal(first->state, SEQ_DECODING);
    assert_int_equal(large->state, SEQ_DECODING);

    run_out(rig);
    assert_answer(rig, 1, 1, 3, 26, FINISH_LENGTH);
    assert_answer(rig, 2, 31, 12, 12, FINISH_LENGTH);
    assert_answer(rig, 3, 61, 5, 12, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_preempted_sequence_comes_back_through_the_cache(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    struct seq *seq = add(rig, 1, 10, 10);
    for (int i = 0; i < 5; i++)
        step(rig);
    assert_int_equal(seq->n_computed, 14);
    core_preempt(rig->core, seq);
    check(rig);

    plan(rig);
    assert_blocks(seq, (const uint32_t[]){0, 1, 2, 3}, 4);
    assert_int_equal(rig->batch->seqs[0].n_context, 12);
    assert_int_equal(rig->batch->seqs[0].n_tokens, 3);
    assert_true(rig->batch->seqs[0].sample);
    compute(rig);
    apply(rig);
    run_out(rig);
    assert_answer(rig, 1, 1, 10, 10, FINISH_LENGTH);
    assert_int_equal(rig->core->counters.prompt_tokens_computed, 10);
    assert_int_equal(rig->core->counters.prompt_tokens_cached, 0);
    rig_free(rig);
}

static void test_core_priority_goes_before_arrival(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.policy = POLICY_PRIORITY;
    rig->options.max_num_seqs = 1;
    rig_start(rig);
    const int32_t priorities[] = {2, 0, 1, 0};
    for (int i = 0; i < 4; i++) {
        struct scheduler_request *request = request_of(1 + 20 * i, 3, 1);
        request->priority = priorities[i];
        (void)add_request(rig, request);
    }
    run_out(rig);
    const seq_id order[] = {2, 4, 3, 1};
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(rig->seen[i].id, order[i]);
    rig_free(rig);
}

static void test_core_budget_below_the_sequences_goes_round(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.max_num_batched_tokens = 2;
    rig->options.max_num_seqs = 3;
    rig_start(rig);
    for (int i = 0; i < 3; i++)
        (void)add(rig, 1 + 20 * i, 1, 12);
    uint32_t served[4] = {0};
    for (int i = 0; i < 12; i++) {
        plan(rig);
        assert_true(rig->batch->n_tokens == 2);
        for (uint32_t j = 0; j < rig->batch->n_seqs; j++)
            served[rig->core->planned[j]->id]++;
        compute(rig);
        apply(rig);
    }
    for (int id = 1; id <= 3; id++)
        assert_in_range(served[id], 7, 9);
    run_out(rig);
    rig_free(rig);
}

static void test_core_budget_of_one_token_serves_everybody(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.max_num_batched_tokens = 1;
    rig_start(rig);
    (void)add(rig, 1, 2, 30);
    (void)add(rig, 41, 6, 3);
    for (int i = 0; i < 20; i++)
        step(rig); /* the second needs 6 + 3 turns and has every other one */
    assert_answer(rig, 2, 41, 6, 3, FINISH_LENGTH);
    run_out(rig);
    assert_answer(rig, 1, 1, 2, 30, FINISH_LENGTH);
    rig_free(rig);
}

/* Ends. */

static void test_core_cancel_ends_a_sequence_in_every_phase(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.max_num_seqs = 3;
    rig->options.prefill_chunk = 4;
    rig_start(rig);
    struct seq *decoding = add(rig, 1, 3, 20);
    struct seq *prefilling = add(rig, 21, 12, 20);
    struct seq *preempted = add(rig, 41, 3, 20);
    struct seq *queued = add(rig, 61, 3, 20);
    step(rig);
    assert_int_equal(decoding->state, SEQ_DECODING);
    assert_int_equal(prefilling->state, SEQ_PREFILLING);
    core_preempt(rig->core, preempted);
    assert_int_equal(queued->state, SEQ_WAITING);

    core_cancel(rig->core, queued);
    core_cancel(rig->core, preempted);
    core_cancel(rig->core, prefilling);
    core_cancel(rig->core, decoding);
    core_cancel(rig->core, decoding);             /* twice is once */
    assert_int_equal(rig->core->pool.n_free, 16); /* before the next step */
    plan(rig);
    assert_int_equal(rig->batch->n_seqs, 0);
    compute(rig);
    apply(rig);
    assert_false(core_has_work(rig->core));
    assert_answer(rig, 1, 1, 3, 1, FINISH_CANCELLED);
    assert_answer(rig, 2, 21, 12, 0, FINISH_CANCELLED);
    assert_answer(rig, 3, 41, 3, 1, FINISH_CANCELLED);
    assert_answer(rig, 4, 61, 3, 0, FINISH_CANCELLED);
    rig_free(rig);
}

static void test_core_cancel_between_plan_and_apply_keeps_the_blocks_until_applied(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    struct seq *seq = add(rig, 1, 10, 20);
    plan(rig);
    core_cancel(rig->core, seq);
    assert_int_equal(n_refs(rig, 0), 1); /* the step reads and writes it */
    compute(rig);
    apply(rig);
    assert_int_equal(rig->core->pool.n_free, 16);
    assert_answer(rig, 1, 1, 10, 0, FINISH_CANCELLED); /* the sampled token is not given */
    rig_free(rig);
}

static void test_core_stop_id_ends_it_and_is_its_last_token(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    static const token_id script[] = {7, 9, 7, 8};
    static const token_id stop_ids[] = {3, 9, 8};
    rig->fake.script = script;
    rig->fake.n_script = 4;
    rig_start(rig);
    struct scheduler_request *at_once = request_of(1, 3, 20);
    struct scheduler_request *later = request_of(21, 3, 20);
    struct scheduler_request *never = request_of(41, 3, 6);
    at_once->sampling.stop_ids = later->sampling.stop_ids = stop_ids;
    at_once->sampling.n_stop_ids = later->sampling.n_stop_ids = 3;
    later->sampling.min_tokens = 3; /* the 9 comes too early to count */
    (void)add_request(rig, at_once);
    (void)add_request(rig, later);
    (void)add_request(rig, never);
    run_out(rig);
    assert_answer(rig, 1, 1, 3, 2, FINISH_STOP);
    assert_answer(rig, 2, 21, 3, 4, FINISH_STOP);
    assert_answer(rig, 3, 41, 3, 6, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_scores_come_in_chunks_and_skip_the_cache(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.prefill_chunk = 5;
    rig_start(rig);
    (void)add(rig, 1, 12, 1);
    run_out(rig);

    struct scheduler_request *request = request_of(1, 12, 0);
    request->score_prompt = true;
    request->sampling.n_top = 2;
    const token_id *prompt = request->prompt;
    (void)add_request(rig, request);
    const uint32_t firsts[] = {0, 5, 10};
    const uint32_t counts[] = {5, 5, 1}; /* nothing follows the last prompt token */
    for (int i = 0; i < 3; i++) {
        plan(rig);
        assert_int_equal(rig->batch->seqs[0].rows, BATCH_ROWS_ALL);
        assert_false(rig->batch->seqs[0].sample);
        compute(rig);
        struct scheduler_output *output = core_output_create(rig->core);
        core_apply(rig->core, &rig->result, 0, 20, output);
        assert_int_equal(output->n_events, 1);
        const struct scheduler_event *event = &output->events[0];
        assert_int_equal(event->token, TOKEN_NONE);
        assert_int_equal(event->first_score, firsts[i]);
        assert_int_equal(event->n_scores, counts[i]);
        for (uint32_t s = 0; s < counts[i]; s++) { /* the fake's best begin with the token */
            const struct token_score *score = &event->scores[s];
            const token_id token = prompt[firsts[i] + s + 1];
            assert_int_equal(score->token, token);
            assert_int_equal(score->n_top, 2);
            assert_int_equal(score->top[0].token, token);
            assert_int_equal(score->top[1].token, (token + 1) % VOCAB);
        }
        assert_int_equal(event->finish, i == 2 ? FINISH_LENGTH : FINISH_NONE);
        scheduler_output_free(output);
    }
    rig_free(rig);
}

static void test_core_logits_land_at_their_rows(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.prefill_chunk = 5;
    rig_start(rig);
    float *logits = mem_alloc_zero(12 * VOCAB, sizeof *logits);
    struct scheduler_request *request = request_of(1, 12, 0);
    request->prompt_logits_out = logits;
    (void)add_request(rig, request);
    run_out(rig);

    token_id prompt[12];
    for (int i = 0; i < 12; i++)
        prompt[i] = 1 + i;
    for (uint32_t row = 0; row < 12; row++)
        for (token_id v = 0; v < VOCAB; v += 33)
            assert_true(logits[row * VOCAB + (uint32_t)v] ==
                        fake_engine_logit(&rig->fake, prompt, row + 1, 12, v));
    mem_free(logits);
    rig_free(rig);
}

/* A step of two in which the row of the second is not finite. */
static void test_core_bad_row_ends_its_sequence_only_and_is_not_cached(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    (void)add(rig, 1, 9, 2);
    (void)add(rig, 51, 9, 2);
    plan(rig);
    struct row_output rows[] = {
        {.seq = 0, .row = 8, .token = 5, .sampled = true},
        {.seq = 1, .row = 8, .token = 5, .sampled = true, .problem = ROW_NOT_FINITE},
    };
    rig->result = (struct step_result){.rows = rows, .n_rows = 2};
    rig->step_rc = 0;
    apply(rig);
    assert_int_equal(rig->n_seen, 2);
    assert_int_equal(rig->seen[0].token, 5); /* events of the step, then the ends */
    assert_int_equal(rig->seen[1].id, 2);
    assert_int_equal(rig->seen[1].finish, FINISH_ERROR);
    assert_int_equal(rig->seen[1].error_code, -EIO);
    assert_int_equal(rig->core->prefix.n_published, 2); /* those of the first */
    rig_free(rig);
}

/* The request's own masks left no token: its fault, and its blocks are as good as any. */
static void test_core_nothing_allowed_is_einval_and_keeps_its_blocks(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    (void)add(rig, 1, 8, 9);
    step(rig);
    plan(rig);
    struct row_output rows[] = {{.row = 0, .sampled = true, .token = TOKEN_NONE}};
    rows[0].problem = ROW_NOTHING_ALLOWED;
    rig->result = (struct step_result){.rows = rows, .n_rows = 1};
    apply(rig);
    assert_int_equal(rig->seen[1].finish, FINISH_ERROR);
    assert_int_equal(rig->seen[1].error_code, -EINVAL);
    assert_int_equal(rig->core->prefix.n_published, 2);
    rig_free(rig);
}

/* The engine refuses one slice, of a kind that asks for no rows: the others go on. */
static void test_core_slice_not_computed_ends_its_sequence_only(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.prefill_chunk = 4;
    rig_start(rig);
    (void)add(rig, 1, 9, 2);
    (void)add(rig, 51, 4, 2);
    plan(rig);
    assert_int_equal(rig->batch->seqs[0].rows, BATCH_ROWS_NONE);
    struct row_output rows[] = {
        {.seq = 0, .row = 0, .problem = ROW_NOT_COMPUTED},
        {.seq = 1, .row = 3, .token = 5, .sampled = true},
    };
    rig->result = (struct step_result){.rows = rows, .n_rows = 2};
    rig->step_rc = 0;
    apply(rig);
    assert_int_equal(rig->n_seen, 2);
    assert_int_equal(rig->seen[0].token, 5);
    assert_int_equal(rig->seen[1].id, 1);
    assert_int_equal(rig->seen[1].error_code, -EIO);
    assert_int_equal(rig->core->prefix.n_published, 1); /* that of the other one */
    rig_free(rig);
}

static void test_core_bad_row_behind_good_ones_keeps_the_good_tokens(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->fake.nan_at = 3;
    rig_start(rig);
    (void)add(rig, 1, 9, 8);
    run_out(rig);
    assert_answer(rig, 1, 1, 9, 2, FINISH_ERROR);
    rig_free(rig);
}

static void test_core_failed_step_ends_its_batch_only(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.max_num_seqs = 1;
    rig->fake.fail_step_every = 3;
    rig_start(rig);
    (void)add(rig, 1, 3, 5);
    (void)add(rig, 21, 3, 2);
    run_out(rig);
    assert_answer(rig, 1, 1, 3, 2, FINISH_ERROR);
    assert_answer(rig, 2, 21, 3, 2, FINISH_LENGTH);
    rig_free(rig);
}

static void test_core_missing_or_foreign_token_is_an_error_not_a_crash(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    (void)add(rig, 1, 3, 2);
    (void)add(rig, 21, 3, 2);
    plan(rig);
    struct row_output row = {.seq = 1, .row = 2, .token = VOCAB, .sampled = true};
    rig->result = (struct step_result){.rows = &row, .n_rows = 1};
    rig->step_rc = 0;
    apply(rig);
    assert_int_equal(rig->seen[0].finish, FINISH_ERROR);
    assert_int_equal(rig->seen[1].finish, FINISH_ERROR);
    assert_false(core_has_work(rig->core));
    rig_free(rig);
}

static void test_core_pool_ends_a_lone_sequence_at_its_last_slot(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.n_blocks = 3;
    rig_start(rig);
    (void)add(rig, 1, 5, 60);
    run_out(rig);
    assert_answer(rig, 1, 1, 5, 3 * BLOCK + 1 - 5, FINISH_LENGTH);
    rig_free(rig);
}

static bool fail_all(void *ctx, size_t size) {
    (void)ctx;
    (void)size;
    return true;
}

static void test_core_add_without_memory_ends_with_an_error(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig_start(rig);
    struct seq *seq = NULL;
    assert_int_equal(seq_create(&rig->options, request_of(1, 3, 2), &seq, NULL), 0);
    seq->id = 1;
    mem_set_fault_hook(fail_all, NULL);
    core_add(rig->core, seq);
    assert_null(core_output_create(rig->core));
    mem_set_fault_hook(NULL, NULL);
    run_out(rig);
    assert_answer(rig, 1, 1, 3, 0, FINISH_ERROR);
    assert_int_equal(rig->seen[0].error_code, -ENOMEM);
    rig_free(rig);
}

static void test_core_token_without_memory_ends_its_sequence_with_enomem(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    rig->options.max_model_len = 200;
    rig->options.n_blocks = 64;
    rig_start(rig);
    (void)add(rig, 1, 3, 100);
    while (rig->n_seen < 64) /* the room that it begins with */
        step(rig);
    plan(rig);
    compute(rig);
    struct scheduler_output *output = core_output_create(rig->core);
    mem_set_fault_hook(fail_all, NULL);
    core_apply(rig->core, &rig->result, rig->step_rc, 20, output);
    mem_set_fault_hook(NULL, NULL);
    assert_int_equal(output->n_events, 1);
    assert_int_equal(output->events[0].finish, FINISH_ERROR);
    assert_int_equal(output->events[0].error_code, -ENOMEM);
    assert_int_equal(output->events[0].token, TOKEN_NONE);
    scheduler_output_free(output);
    check(rig);
    rig_free(rig);
}

/* Refusals. */

static int try(const struct rig *rig, uint32_t n_prompt, uint32_t max_tokens, struct error *error) {
    struct scheduler_request *request = request_of(1, n_prompt, max_tokens);
    struct seq *seq = NULL;
    const int r = seq_create(&rig->options, request, &seq, error);
    if (r < 0)
        scheduler_request_free(request);
    else
        seq_destroy(seq);
    return r;
}

static void test_seq_takes_the_memory_of_the_prompt(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    struct scheduler_request *request = request_of(1, 9, 5);
    const token_id *prompt = request->prompt;
    struct seq *seq = NULL;
    assert_int_equal(seq_create(&rig->options, request, &seq, NULL), 0);
    assert_ptr_equal(seq->tokens, prompt);
    assert_null(seq->request->prompt);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(seq_append(seq, 7), 0);
    assert_ptr_equal(seq->tokens, prompt); /* there was room behind it */
    seq_destroy(seq);
    mem_free(rig);
}

static void test_seq_that_can_never_fit_is_refused_with_both_numbers(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    struct error error;
    rig->options.max_model_len = 40;
    assert_int_equal(try(rig, 39, 1, &error), 0);
    assert_int_equal(try(rig, 40, 0, &error), 0); /* nothing to generate: no room needed */
    assert_int_equal(try(rig, 40, 1, &error), SCHEDULER_TOO_LONG);
    assert_string_equal(error.message, "the prompt has 40 tokens, but the context holds 40, of "
                                       "which one must be left for the answer");
    assert_int_equal(try(rig, 41, 0, &error), SCHEDULER_TOO_LONG);

    rig->options.n_blocks = 5;
    assert_int_equal(try(rig, 20, 9, &error), 0);
    assert_int_equal(try(rig, 21, 1, &error), SCHEDULER_TOO_LARGE);
    assert_string_equal(error.message,
                        "the prompt has 21 tokens, but the KV pool holds 20 (5 blocks of 4)");
    mem_free(rig);
}

static void test_seq_with_a_foreign_token_or_none_is_refused(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    struct error error;
    struct seq *seq = NULL;
    const token_id prompt[] = {1, VOCAB, 2};
    struct scheduler_request *request = scheduler_request_create(prompt, 3, 0);
    assert_int_equal(seq_create(&rig->options, request, &seq, &error), -EINVAL);
    assert_string_equal(error.message, "token id 100 at index 1 is outside the vocabulary of 100");
    scheduler_request_free(request);
    assert_int_equal(try(rig, 0, 1, &error), -EINVAL);
    assert_string_equal(error.param, "prompt");
    mem_free(rig);
}

static void test_core_create_names_the_option_that_is_wrong(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    struct error error;
    struct core *core = NULL;
    struct scheduler_options options = rig->options;
    options.block_size = 257;
    assert_int_equal(core_create(&options, &core, &error), -EINVAL);
    assert_string_equal(error.param, "block-size");
    options = rig->options;
    options.max_num_batched_tokens = 0;
    assert_int_equal(core_create(&options, &core, &error), -EINVAL);
    assert_string_equal(error.param, "max-num-batched-tokens");
    assert_null(core);
    mem_free(rig);
}

static bool fail_nth(void *ctx, size_t size) {
    uint32_t *left = ctx;
    (void)size;
    return (*left)-- == 0;
}

static void test_core_create_survives_every_allocation_that_fails(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    int r = -ENOMEM;
    for (uint32_t n = 0; r == -ENOMEM; n++) {
        uint32_t left = n;
        mem_set_fault_hook(fail_nth, &left);
        r = core_create(&rig->options, &rig->core, NULL);
        mem_set_fault_hook(NULL, NULL);
        assert_true(n < 100);
        assert_true(r == 0 || rig->core == NULL);
    }
    assert_int_equal(r, 0);
    core_destroy(rig->core);
    mem_free(rig);
}

static void test_seq_create_survives_every_allocation_that_fails(void **state) {
    (void)state;
    struct rig *rig = rig_new();
    struct scheduler_request *request = request_of(1, 10, 20);
    struct seq *seq = NULL;
    int r = -ENOMEM;
    for (uint32_t n = 0; r == -ENOMEM; n++) {
        uint32_t left = n;
        mem_set_fault_hook(fail_nth, &left);
        r = seq_create(&rig->options, request, &seq, NULL);
        mem_set_fault_hook(NULL, NULL);
        assert_true(n < 10);
    }
    assert_int_equal(r, 0);
    seq_destroy(seq); /* and the request, which it took */
    mem_free(rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_first_prompt_takes_blocks_in_order),
        cmocka_unit_test(test_core_long_prompt_is_cut_and_decodes_go_first),
        cmocka_unit_test(test_core_second_prompt_shares_the_blocks_of_the_first),
        cmocka_unit_test(test_core_full_hit_computes_the_last_block_again_and_gives_it_back),
        cmocka_unit_test(test_core_without_caching_nothing_is_shared),
        cmocka_unit_test(test_core_followers_join_a_prefill_in_flight),
        cmocka_unit_test(test_core_admitted_follower_is_held_and_takes_blocks_as_they_come),
        cmocka_unit_test(test_core_follower_goes_on_alone_when_its_donor_is_cancelled),
        cmocka_unit_test(test_core_other_salts_share_nothing),
        cmocka_unit_test(test_core_blocks_of_another_rope_class_are_not_published),
        cmocka_unit_test(test_core_second_prompt_waits_until_all_of_it_fits),
        cmocka_unit_test(test_core_victim_loses_least_and_is_never_the_first),
        cmocka_unit_test(test_core_preempted_sequence_comes_back_through_the_cache),
        cmocka_unit_test(test_core_priority_goes_before_arrival),
        cmocka_unit_test(test_core_budget_below_the_sequences_goes_round),
        cmocka_unit_test(test_core_budget_of_one_token_serves_everybody),
        cmocka_unit_test(test_core_cancel_ends_a_sequence_in_every_phase),
        cmocka_unit_test(test_core_cancel_between_plan_and_apply_keeps_the_blocks_until_applied),
        cmocka_unit_test(test_core_stop_id_ends_it_and_is_its_last_token),
        cmocka_unit_test(test_core_scores_come_in_chunks_and_skip_the_cache),
        cmocka_unit_test(test_core_logits_land_at_their_rows),
        cmocka_unit_test(test_core_bad_row_ends_its_sequence_only_and_is_not_cached),
        cmocka_unit_test(test_core_nothing_allowed_is_einval_and_keeps_its_blocks),
        cmocka_unit_test(test_core_slice_not_computed_ends_its_sequence_only),
        cmocka_unit_test(test_core_bad_row_behind_good_ones_keeps_the_good_tokens),
        cmocka_unit_test(test_core_failed_step_ends_its_batch_only),
        cmocka_unit_test(test_core_missing_or_foreign_token_is_an_error_not_a_crash),
        cmocka_unit_test(test_core_pool_ends_a_lone_sequence_at_its_last_slot),
        cmocka_unit_test(test_core_add_without_memory_ends_with_an_error),
        cmocka_unit_test(test_core_token_without_memory_ends_its_sequence_with_enomem),
        cmocka_unit_test(test_seq_takes_the_memory_of_the_prompt),
        cmocka_unit_test(test_seq_that_can_never_fit_is_refused_with_both_numbers),
        cmocka_unit_test(test_seq_with_a_foreign_token_or_none_is_refused),
        cmocka_unit_test(test_core_create_names_the_option_that_is_wrong),
        cmocka_unit_test(test_core_create_survives_every_allocation_that_fails),
        cmocka_unit_test(test_seq_create_survives_every_allocation_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
