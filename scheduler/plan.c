/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan - which sequences the next step computes, and how much of each.
 *
 *   1. make room: each decode of the step that needs a block gets one, preempting if it must
 *   2. decodes, one token each
 *   3. prefills, in order of admission, a chunk each
 *   4. admit waiting sequences, unless somebody was preempted just now
 *   5. what is left of the budget: decodes that step 2 left out
 *
 * Blocks are taken before anything is put into the batch, so nobody in the batch can become a
 * victim. Prefills never need a victim: admission promised them their blocks.
 */
#include "core.h"

#include "budget.h"
#include "share.h"

struct planner {
    struct core *core;
    struct budget budget;
    uint64_t now_us;
    struct list *next_decode; /* first of the ring that got no token; the head: all did */
    bool preempted;
};

/* The batch. */

static enum batch_rows rows_of(const struct seq *seq, uint32_t n) {
    if (seq->scores && seq->n_scored < seq->n_prompt)
        return seq->n_computed < seq->n_scored ? BATCH_ROWS_NONE : BATCH_ROWS_ALL;
    return n == seq_need(seq) && seq->max_length > seq->n_prompt ? BATCH_ROWS_LAST
                                                                 : BATCH_ROWS_NONE;
}

static float *logits_out(const struct core *core, const struct seq *seq, enum batch_rows rows) {
    float *out = seq->request->prompt_logits_out;
    return out && rows == BATCH_ROWS_ALL ? out + (size_t)seq->n_computed * core->options.n_vocab
                                         : NULL;
}

/* Puts the next n tokens of seq into the batch. */
static void serve(struct planner *planner, struct seq *seq, uint32_t n) {
    struct core *core = planner->core;
    struct batch *batch = &core->batch;
    const uint32_t first = batch->n_tokens;
    const enum batch_rows rows = rows_of(seq, n);
    INVARIANT(n > 0 && n <= planner->budget.tokens);

    for (uint32_t i = 0; i < n; i++) {
        core->batch_tokens[first + i] = seq->tokens[seq->n_computed + i];
        core->batch_positions[first + i] = seq->n_computed + i;
    }
    core->batch_seqs[batch->n_seqs] = (struct batch_seq){
        .first = first,
        .n_tokens = n,
        .n_context = seq->n_computed,
        .n_prompt = seq->n_prompt,
        .block_table = seq->blocks,
        .n_blocks = seq->n_blocks,
        .slot = seq->slot,
        .rows = rows,
        .sample = n == seq_need(seq) && seq->max_length > seq->n_prompt,
        .params = &seq->request->sampling,
        .history = seq->tokens,
        .n_history = seq->n_tokens,
        .logits_out = logits_out(core, seq, rows),
    };
    core->planned[batch->n_seqs++] = seq;
    batch->n_tokens += n;
    planner->budget.tokens -= n;
    if (rows == BATCH_ROWS_ALL)
        planner->budget.score_rows -= n;
    seq->in_step = true;
}

/* Decodes. */

/* A block for the next token of seq, unless seq itself has to give way. */
static void make_room(struct planner *planner, struct seq *seq) {
    struct core *core = planner->core;

    while (core_unreserved(core) == 0) {
        struct seq *victim = policy_victim(core);
        INVARIANT(victim); /* alone it has the whole pool, and seq_create saw that it fits */
        core_preempt(core, victim);
        planner->preempted = true;
        if (victim == seq)
            return;
    }
    core_grow(core, seq);
}

static bool needs_block(const struct core *core, const struct seq *seq) {
    return seq->n_tokens > seq->n_blocks * core->options.block_size;
}

/*
 * Step 1. A victim may stand anywhere in the ring, also where the walk is about to go; so after a
 * preemption the walk begins again, and passes over those that have room by now.
 */
static void make_room_for_decodes(struct planner *planner) {
    struct core *core = planner->core;
    uint32_t n = 0;
    struct list *node = core->decoding.next;

    while (node != &core->decoding && n < planner->budget.tokens) {
        struct seq *seq = list_entry(node, struct seq, link);
        const uint64_t n_preemptions = core->counters.preemptions;
        if (needs_block(core, seq))
            make_room(planner, seq);
        const bool restart = core->counters.preemptions != n_preemptions;
        node = restart ? core->decoding.next : node->next;
        n = restart ? 0 : n + 1;
    }
}

/* Steps 2 and 5: from planner->next_decode on, while more than `keep` tokens are left. */
static void serve_decodes(struct planner *planner, uint32_t keep) {
    struct core *core = planner->core;
    struct list *node = planner->next_decode;

    for (; node != &core->decoding && planner->budget.tokens > keep; node = node->next)
        serve(planner, list_entry(node, struct seq, link), 1);
    planner->next_decode = node;
}

/* Who got nothing is served first next time: the head of the ring moves in front of it. */
static void turn_ring(struct planner *planner) {
    struct list *head = &planner->core->decoding;
    if (planner->next_decode == head || planner->next_decode == head->next)
        return;
    list_remove(head);
    list_insert_between(head, planner->next_decode->prev, planner->next_decode);
}

/* Prefills. */

static uint32_t chunk_of(const struct planner *planner, const struct seq *seq) {
    const uint32_t most = planner->core->options.prefill_chunk;
    uint32_t n = seq_need(seq);

    if (n > planner->budget.tokens)
        n = planner->budget.tokens;
    if (most > 0 && n > most)
        n = most;
    if (seq->scores && seq->n_scored < seq->n_prompt) {
        /* Rows given before a preemption are computed again without the head. */
        const uint32_t limit = seq->n_computed < seq->n_scored ? seq->n_scored - seq->n_computed
                                                               : planner->budget.score_rows;
        if (n > limit)
            n = limit;
    }
    return n;
}

static void prefill(struct planner *planner, struct seq *seq) {
    struct core *core = planner->core;

    share_catch_up(core, seq);
    const uint32_t n = chunk_of(planner, seq);
    if (n == 0 || share_is_in_flight(core, seq))
        return;

    share_announce(core, seq);
    while (seq->n_blocks < core_blocks_for(core, seq->n_computed + n)) {
        core_unreserve(core, seq, 1);
        core_grow(core, seq);
    }
    serve(planner, seq, n);
}

static void serve_prefills(struct planner *planner) {
    struct core *core = planner->core;
    for (struct list *node = core->prefilling.next;
         node != &core->prefilling && planner->budget.tokens > 0; node = node->next)
        prefill(planner, list_entry(node, struct seq, link));
}

/* Admission. */

/*
 * The whole sequence must fit, and afterwards each running one must still find one more block:
 * so an admission leads to a preemption in block_size steps at the earliest. Alone it always fits.
 */
static bool fits(const struct core *core, uint32_t n_blocks) {
    return (uint64_t)n_blocks + core_n_running(core) <= core_unreserved(core);
}

/*
 * Has seq, refused before, no chance yet? What it needs shrinks by at most one block for each one
 * that others published or took from the cache since. Only saves looking its prefix up in every
 * step while it waits for room; removing this changes nothing else.
 */
static bool is_hopeless(const struct core *core, const struct seq *seq) {
    const struct refusal *refusal = &core->refusal;
    if (refusal->seq != seq)
        return false;
    const uint64_t n_better = core_n_prefix_events(core) - refusal->n_prefix_events;
    return refusal->need > n_better && !fits(core, refusal->need - (uint32_t)n_better);
}

static bool admit(struct planner *planner, struct seq *seq) {
    struct core *core = planner->core;
    if (is_hopeless(core, seq))
        return false;

    share_begin(core, seq);
    const struct match match = share_match(core, seq);
    const uint32_t total = core_blocks_for(core, seq->n_tokens);
    const uint32_t need = total - match.n + match.n_free;
    if (!fits(core, need)) {
        core->refusal = (struct refusal){
            .seq = seq,
            .need = need,
            .n_prefix_events = core_n_prefix_events(core),
        };
        return false;
    }
    core->refusal.seq = NULL;
    if (seq->scheduled_us == 0 && core->options.prefix_caching && !seq->scores)
        core->counters.prefix_queries += seq->n_prompt;
    core_start(core, seq, total - match.n, planner->now_us);
    share_take(core, seq, &match);
    prefill(planner, seq);
    return true;
}

/* Step 4. The first in the order blocks those behind it: nobody is overtaken for ever. */
static void admit_waiting(struct planner *planner) {
    struct core *core = planner->core;
    core->admission_blocked = planner->preempted;
    if (planner->preempted) /* the freed blocks would go to a newcomer, and so on in circles */
        return;

    while (!core->admission_blocked && core->waiting.n > 0 && core->n_free_slots > 0 &&
           planner->budget.tokens > 0)
        core->admission_blocked = !admit(planner, waiting_peek(&core->waiting));
}

const struct batch *core_plan(struct core *core, uint64_t now_us) {
    INVARIANT(core->batch.n_seqs == 0);

    const bool prefill_waits =
        core->n_prefilling > 0 || (core->waiting.n > 0 && core->n_free_slots > 0);
    struct planner planner = {
        .core = core,
        .budget = budget_begin(&core->options, core->n_decoding, prefill_waits, core->n_plans),
        .now_us = now_us,
    };
    core->n_plans++;

    make_room_for_decodes(&planner);
    planner.next_decode = core->decoding.next;
    serve_decodes(&planner, planner.budget.prefill);
    serve_prefills(&planner);
    admit_waiting(&planner);
    serve_decodes(&planner, 0);
    turn_ring(&planner);

    core->batch.tokens = core->batch_tokens;
    core->batch.positions = core->batch_positions;
    core->batch.seqs = core->batch_seqs;
    if (core->batch.n_seqs == 0 && core->waiting.n + core_n_running(core) > 0)
        core->counters.stalls++;
    return &core->batch;
}
