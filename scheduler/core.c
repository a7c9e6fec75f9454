/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"

static int check_options(const struct scheduler_options *options, struct error *reterr) {
    if (!options->step)
        return error_set_param(reterr, -EINVAL, "step", "no engine was given");
    if (options->n_vocab == 0 || options->n_vocab > INT32_MAX)
        return error_set_param(reterr, -EINVAL, "n_vocab", "must be 1 .. 2^31-1, is %u",
                               options->n_vocab);
    if (options->block_size == 0 || options->block_size > 256)
        return error_set_param(reterr, -EINVAL, "block-size", "must be 1 .. 256, is %u",
                               options->block_size);
    if (options->n_blocks == 0 || options->n_blocks >= BLOCK_NONE)
        return error_set_param(reterr, -EINVAL, "kv-memory", "must make 1 .. 2^32-2 blocks, not %u",
                               options->n_blocks);
    if (options->max_model_len == 0 || options->max_model_len > INT32_MAX)
        return error_set_param(reterr, -EINVAL, "max-model-len", "must be 1 .. 2^31-1, is %u",
                               options->max_model_len);
    if (options->max_num_seqs == 0 || options->max_num_seqs > 1u << 20)
        return error_set_param(reterr, -EINVAL, "max-num-seqs", "must be 1 .. 2^20, is %u",
                               options->max_num_seqs);
    if (options->max_num_batched_tokens == 0)
        return error_set_param(reterr, -EINVAL, "max-num-batched-tokens", "must be at least 1");
    return 0;
}

/* Everything a step needs is allocated here; plan and apply allocate nothing but token room. */
static int alloc_step(struct core *core) {
    const size_t n_seqs = core->options.max_num_seqs;
    const size_t n_tokens = core->options.max_num_batched_tokens;

    core->tables = mem_alloc_zero(n_seqs * core->table_len, sizeof *core->tables);
    core->matched = mem_alloc_array(core->table_len, sizeof *core->matched);
    core->free_slots = mem_alloc_array(n_seqs, sizeof *core->free_slots);
    core->planned = mem_alloc_array(n_seqs, sizeof(struct seq *));
    core->batch_seqs = mem_alloc_array(n_seqs, sizeof *core->batch_seqs);
    core->batch_tokens = mem_alloc_array(n_tokens, sizeof *core->batch_tokens);
    core->batch_positions = mem_alloc_array(n_tokens, sizeof *core->batch_positions);
    core->n_in_flight = 2;
    while (core->n_in_flight < 2 * n_seqs)
        core->n_in_flight *= 2;
    core->in_flight = mem_alloc_zero(core->n_in_flight, sizeof *core->in_flight);
    if (core->options.check_invariants)
        core->recount = mem_alloc_zero(3 * (size_t)core->options.n_blocks, sizeof *core->recount);

    const bool ok = core->tables && core->matched && core->free_slots && core->planned &&
                    core->batch_seqs && core->batch_tokens && core->batch_positions &&
                    core->in_flight && (core->recount || !core->options.check_invariants);
    return ok ? 0 : -ENOMEM;
}

int core_create(const struct scheduler_options *options, struct core **ret_core,
                struct error *reterr) {
    int r = check_options(options, reterr);
    if (r < 0)
        return r;

    struct core *core = mem_alloc_zero(1, sizeof *core);
    if (!core)
        return error_set(reterr, -ENOMEM, "out of memory for the scheduler");

    core->options = *options;
    core->waiting.policy = options->policy;
    list_init(&core->prefilling);
    list_init(&core->decoding);
    list_init(&core->ended);
    list_init(&core->finished);
    const uint32_t longest = core_blocks_for(core, options->max_model_len);
    core->table_len = longest < options->n_blocks ? longest : options->n_blocks;

    r = pool_init(&core->pool, options->n_blocks);
    if (r == 0)
        r = prefix_init(&core->prefix, options->n_blocks, options->block_size, options->hash_key);
    if (r == 0)
        r = alloc_step(core);
    if (r < 0) {
        core_destroy(core);
        return error_set(reterr, r, "out of memory for the records of %u blocks and %u sequences",
                         options->n_blocks, options->max_num_seqs);
    }

    /* Slot 0 on top, so that a lone sequence always runs in slot 0. */
    for (uint32_t i = 0; i < options->max_num_seqs; i++)
        core->free_slots[i] = options->max_num_seqs - 1 - i;
    core->n_free_slots = options->max_num_seqs;
    *ret_core = core;
    return 0;
}

static void destroy_all(struct list *list) {
    list_for_each (node, list) {
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, link));
    }
}

void core_destroy(struct core *core) {
    if (!core)
        return;

    destroy_all(&core->prefilling);
    destroy_all(&core->decoding);
    destroy_all(&core->ended);
    destroy_all(&core->finished);
    for (uint32_t i = 0; i < core->waiting.n; i++)
        seq_destroy(core->waiting.heap[i]);
    waiting_fini(&core->waiting);
    pool_fini(&core->pool);
    prefix_fini(&core->prefix);
    mem_free(core->tables);
    mem_free(core->matched);
    mem_free(core->free_slots);
    mem_free(core->planned);
    mem_free(core->batch_seqs);
    mem_free(core->batch_tokens);
    mem_free(core->batch_positions);
    mem_free(core->in_flight);
    mem_free(core->recount);
    mem_free(core);
}

bool core_has_work(const struct core *core) {
    return core->waiting.n + core->n_ended + core_n_running(core) > 0;
}

/* Blocks. */

void core_grow(struct core *core, struct seq *seq) {
    INVARIANT(seq->n_blocks < core->table_len);

    const uint32_t block = pool_alloc(&core->pool);
    if (core->pool.blocks[block].hashed) {
        prefix_forget(&core->prefix, block);
        pool_set_hashed(&core->pool, block, false);
    }
    seq->blocks[seq->n_blocks++] = block;
}

void core_unreserve(struct core *core, struct seq *seq, uint32_t n) {
    INVARIANT(n <= seq->n_reserved && n <= core->n_reserved);

    seq->n_reserved -= n;
    core->n_reserved -= n;
}

/* Tail first: a prefix is useful only from its start, so the tail must be evicted before it. */
static void release_blocks(struct core *core, struct seq *seq) {
    while (seq->n_blocks > 0)
        pool_unref(&core->pool, seq->blocks[--seq->n_blocks]);
    core_unreserve(core, seq, seq->n_reserved);
    seq->n_published = 0;
}

/* Where a sequence is. */

void core_add(struct core *core, struct seq *seq) {
    INVARIANT(seq->state == SEQ_NEW);

    seq->serial = core->next_serial++;
    const uint32_t n_live = core->waiting.n + core_n_running(core);
    if (waiting_reserve(&core->waiting, n_live + 1) < 0) {
        core_fail(core, seq, -ENOMEM, "There is not enough memory for the queue.");
        return;
    }
    seq->state = SEQ_WAITING;
    waiting_push(&core->waiting, seq);
}

void core_start(struct core *core, struct seq *seq, uint32_t n_reserved, uint64_t now_us) {
    INVARIANT(seq->state == SEQ_WAITING && core->n_free_slots > 0);

    waiting_remove(&core->waiting, seq);
    seq->slot = core->free_slots[--core->n_free_slots];
    seq->blocks = core->tables + (size_t)seq->slot * core->table_len;
    seq->n_reserved = n_reserved;
    core->n_reserved += n_reserved;
    seq->state = SEQ_PREFILLING;
    list_push_back(&core->prefilling, &seq->link);
    core->n_prefilling++;
    if (seq->scheduled_us == 0)
        seq->scheduled_us = now_us;
}

void core_start_decoding(struct core *core, struct seq *seq) {
    INVARIANT(seq->state == SEQ_PREFILLING);

    list_remove(&seq->link);
    core->n_prefilling--;
    seq->state = SEQ_DECODING;
    list_push_back(&core->decoding, &seq->link);
    core->n_decoding++;
}

static void leave_running(struct core *core, struct seq *seq) {
    INVARIANT(seq_is_running(seq) && !seq->in_step);

    list_remove(&seq->link);
    if (seq->state == SEQ_DECODING)
        core->n_decoding--;
    else
        core->n_prefilling--;
    release_blocks(core, seq);
    core->free_slots[core->n_free_slots++] = seq->slot;
    seq->blocks = NULL;
}

void core_preempt(struct core *core, struct seq *seq) {
    leave_running(core, seq);
    seq->n_computed = 0;
    seq->n_preemptions++;
    seq->state = SEQ_WAITING;
    waiting_push(&core->waiting, seq);
    core->counters.preemptions++;
}

void core_end(struct core *core, struct seq *seq, enum finish_reason finish) {
    INVARIANT(seq->state != SEQ_ENDED && finish != FINISH_NONE);

    if (core->refusal.seq == seq)
        core->refusal.seq = NULL;
    if (seq->state == SEQ_WAITING)
        waiting_remove(&core->waiting, seq);
    else if (seq_is_running(seq))
        leave_running(core, seq);
    seq->state = SEQ_ENDED;
    seq->finish = finish;
    list_push_back(&core->ended, &seq->link);
    core->n_ended++;
}

void core_fail(struct core *core, struct seq *seq, int code, const char *text) {
    seq->error_code = code;
    seq->error = text;
    core_end(core, seq, FINISH_ERROR);
}

void core_cancel(struct core *core, struct seq *seq) {
    if (seq->in_step)
        seq->cancelled = true; /* the step reads its blocks: it ends when that is over */
    else if (seq->state != SEQ_ENDED)
        core_end(core, seq, FINISH_CANCELLED);
}

void core_retire(struct core *core, struct seq *seq) {
    INVARIANT(seq->state == SEQ_ENDED);

    list_remove(&seq->link);
    core->n_ended--;
    list_push_back(&core->finished, &seq->link);
}

void core_take_finished(struct core *core, struct list *list) {
    list_for_each (node, &core->finished) {
        list_remove(node);
        list_push_back(list, node);
    }
}

uint32_t core_n_startable(const struct core *core) {
    return core->waiting.n > 0 && core->admission_blocked ? 0 : core->n_free_slots;
}

void core_stats(const struct core *core, struct scheduler_stats *stats) {
    const struct core_counters *counters = &core->counters;

    stats->n_running = core_n_running(core);
    stats->n_waiting = core->waiting.n;
    stats->waiting_tokens = core->waiting.n_tokens;
    stats->blocks_total = core->pool.n_blocks;
    stats->blocks_free = core->pool.n_free - core->pool.n_cached;
    stats->blocks_cached = core->pool.n_cached;
    stats->steps = counters->steps;
    stats->preemptions = counters->preemptions;
    stats->stalls = counters->stalls;
    stats->prompt_tokens_computed = counters->prompt_tokens_computed;
    stats->prompt_tokens_cached = counters->prompt_tokens_cached;
    stats->generated_tokens = counters->generated_tokens;
    stats->prefix_queries = counters->prefix_queries;
    stats->prefix_hits = counters->prefix_hits;
    stats->step_tokens = counters->step_tokens;
    memcpy(stats->steps_by_tokens, counters->steps_by_tokens, sizeof stats->steps_by_tokens);
}
