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

/* A block for the next token of seq; false if seq itself had to give way. */
static bool make_room(struct planner *planner, struct seq *seq) {
    struct core *core = planner->core;

    while (core_unreserved(core) == 0) {
        struct seq *victim = policy_victim(core);
        INVARIANT(victim); /* alone it has the whole pool, and seq_create saw that it fits */
        core_preempt(core, victim);
        planner->preempted = true;
        if (victim == seq)
            return false;
    }
    core_grow(core, seq);
    return true;
}

static bool needs_block(const struct core *core, const struct seq *seq) {
    return seq->n_tokens > seq->n_blocks * core->options.block_size;
}

/*
 * Step 1. A victim may stand anywhere in the ring, also where the walk is about to go, hence the
 * restart: after a preemption it begins again, and those that have room are passed over.
 */
static void make_room_for_decodes(struct planner *planner) {
    struct core *core = planner->core;
    uint32_t n = 0;
    struct list *node = core->decoding.next;

    while (node != &core->decoding && n < planner->budget.tokens) {
        struct seq *seq = list_entry(node, struct seq, link);
        const uint64_t n_preemptions = core->counters.preemptions;
        if (needs_block(core, seq))
            (void)make_room(planner, seq); /* if it gave way itself, the walk restarts as well */
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

/* Prefix sharing. */

/* Blocks found behind what seq has, in core::matched. */
struct match {
    uint32_t n;      /* blocks */
    uint32_t n_free; /* those of them that nobody holds: taking them uses up free blocks */
    struct prefix_place place; /* behind the last one */
};

/* The last token is always computed, for its logits; and of scored rows only those given. */
static uint32_t sharable_tokens(const struct seq *seq) {
    return seq->scores && seq->n_scored < seq->n_prompt ? seq->n_scored : seq->n_tokens - 1;
}

/* May the block behind seq->place come from somebody else? */
static bool could_share_next(const struct core *core, const struct seq *seq, uint32_t index) {
    return seq->reads_cache && (index + 1) * core->options.block_size <= sharable_tokens(seq) &&
           core_block_sharable(core, seq, index);
}

static struct match match_prefix(const struct core *core, const struct seq *seq) {
    struct match match = {.place = seq->place};

    for (uint32_t index = seq->n_published; could_share_next(core, seq, index); index++) {
        const token_id *tokens = seq->tokens + (size_t)index * core->options.block_size;
        const struct digest digest = prefix_digest(&core->prefix, &match.place, tokens);
        const uint32_t block = prefix_find(&core->prefix, &match.place, digest, tokens);
        if (block == BLOCK_NONE)
            break;
        prefix_advance(&match.place, block, digest);
        core->matched[match.n++] = block;
        match.n_free += core->pool.blocks[block].n_refs == 0;
    }
    return match;
}

/* Takes the matched blocks into the table: so many tokens need not be computed. */
static void take_match(struct core *core, struct seq *seq, const struct match *match) {
    const uint32_t n_tokens = match->n * core->options.block_size;

    for (uint32_t i = 0; i < match->n; i++) {
        pool_ref(&core->pool, core->matched[i]);
        seq->blocks[seq->n_blocks++] = core->matched[i];
    }
    seq->place = match->place;
    seq->has_next_digest = false;
    seq->n_published += match->n;
    seq->n_computed += n_tokens;
    if (seq->n_computed > seq->n_reached) { /* else it was there before a preemption */
        const uint32_t n_new = seq->n_computed - seq->n_reached;
        seq->n_cached += n_new;
        seq->n_reached = seq->n_computed;
        core->counters.prompt_tokens_cached += n_new;
        core->counters.prefix_hits += n_new;
    }
}

/* Stands seq at the end of its published blocks, with nothing computed behind them? */
static bool at_place(const struct core *core, const struct seq *seq) {
    return seq->n_computed == seq->n_published * core->options.block_size;
}

/* Blocks that others published since the last step. */
static void share_published(struct core *core, struct seq *seq) {
    if (!at_place(core, seq))
        return;
    const struct match match = match_prefix(core, seq);
    if (match.n == 0)
        return;
    take_match(core, seq, &match);
    core_unreserve(core, seq, match.n);
}

static struct in_flight *in_flight_entry(const struct core *core, struct digest digest) {
    uint32_t i = digest.lo & (core->n_in_flight - 1);
    while (core->in_flight[i].plan == core->n_plans &&
           (core->in_flight[i].digest.lo != digest.lo || core->in_flight[i].digest.hi != digest.hi))
        i = (i + 1) & (core->n_in_flight - 1);
    return &core->in_flight[i];
}

/*
 * Is somebody in this very batch computing the block that seq needs next? Then seq waits for the
 * next step and takes it from there. It cannot wait in vain: each step decides anew, and it waits
 * only when another sequence advances; if that one goes away, seq computes the block itself.
 * A collision of digests would cost one step of waiting, nothing else.
 */
static bool next_is_in_flight(struct core *core, struct seq *seq) {
    return at_place(core, seq) && could_share_next(core, seq, seq->n_published) &&
           in_flight_entry(core, core_next_digest(core, seq))->plan == core->n_plans;
}

/* Tells the others of this batch which block seq is computing, if it is one to be published. */
static void announce(struct core *core, struct seq *seq) {
    const uint32_t index = seq->n_published;
    const bool is_full = (index + 1) * core->options.block_size <= seq->n_tokens;
    const bool is_next = index == seq->n_computed / core->options.block_size;
    if (!core->options.prefix_caching || !is_full || !is_next ||
        !core_block_sharable(core, seq, index))
        return;

    const struct digest digest = core_next_digest(core, seq);
    *in_flight_entry(core, digest) = (struct in_flight){.digest = digest, .plan = core->n_plans};
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

    share_published(core, seq);
    const uint32_t n = chunk_of(planner, seq);
    if (n == 0 || next_is_in_flight(core, seq))
        return;

    announce(core, seq);
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
static bool fits(const struct core *core, const struct seq *seq, const struct match *match) {
    const uint64_t need = core_blocks_for(core, seq->n_tokens) - match->n + match->n_free;
    return need + core_n_running(core) <= core_unreserved(core);
}

static bool admit(struct planner *planner, struct seq *seq) {
    struct core *core = planner->core;

    seq->place = core_root(core, seq);
    const struct match match = match_prefix(core, seq);
    if (!fits(core, seq, &match))
        return false;

    if (seq->scheduled_us == 0 && seq->reads_cache && !seq->scores)
        core->counters.prefix_queries += seq->n_prompt;
    core_start(core, seq, core_blocks_for(core, seq->n_tokens) - match.n, planner->now_us);
    take_match(core, seq, &match);
    prefill(planner, seq);
    return true;
}

/* Step 4. The first in the order blocks those behind it: nobody is overtaken for ever. */
static void admit_waiting(struct planner *planner) {
    struct core *core = planner->core;
    if (planner->preempted) /* the freed blocks would go to a newcomer, and so on in circles */
        return;

    while (core->waiting.n > 0 && core->n_free_slots > 0 && planner->budget.tokens > 0)
        if (!admit(planner, waiting_peek(&core->waiting)))
            break;
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
