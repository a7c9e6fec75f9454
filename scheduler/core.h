/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core - the scheduler without a thread, a clock or an engine.
 *
 *     core_add, core_cancel        sequences in
 *     core_plan                    gives the batch of the next step
 *     core_apply                   takes what the step gave, gives events
 *
 * The same calls with the same arguments give the same results: time is an argument, and nothing
 * is random. Whoever drives it (runner.c, the simulation) alternates plan and apply; add and
 * cancel may come in between. Engine thread only.
 */
#ifndef KVASIR_CORE_H
#define KVASIR_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/batch.h"
#include "kvasir/list.h"
#include "kvasir/scheduler.h"
#include "policy.h"
#include "pool.h"
#include "prefix.h"
#include "seq.h"

/* What only grows; scheduler_stats has the words. */
struct core_counters {
    uint64_t steps, preemptions, stalls;
    uint64_t prompt_tokens_computed, prompt_tokens_cached; /* a token counts once, in one */
    uint64_t generated_tokens;
    uint64_t prefix_queries, prefix_hits;
    uint64_t step_tokens;
    uint64_t blocks_published, blocks_taken; /* to and from the prefix index */
    uint64_t steps_by_tokens[SCHEDULER_STEP_BOUNDS + 1];
    uint64_t duplicate_blocks; /* computed although they were there; given back at once */
};

/* A block that this step computes: the digest says which one. */
struct in_flight {
    struct digest digest;
    uint64_t plan; /* valid only if this is core::n_plans */
};

/* The last admission that failed for want of blocks; see is_hopeless in plan.c. */
struct refusal {
    const struct seq *seq; /* NULL: none; else still waiting */
    uint32_t need;         /* free blocks, then */
    uint64_t n_prefix_events;
};

struct core {
    struct scheduler_options options;
    struct pool pool;
    struct prefix prefix;
    uint32_t n_reserved; /* sum of seq::n_reserved; <= pool.n_free */

    struct waiting waiting;
    struct refusal refusal;
    bool admission_blocked; /* the last plan left a free slot for want of blocks */
    struct list prefilling; /* seq::link, in order of admission: more than one token behind */
    struct list decoding;   /* seq::link, a ring: served from the front, see plan.c */
    struct list ended;      /* seq::link, final event not yet given */
    struct list finished;   /* seq::link, to be taken by core_take_finished */
    uint32_t n_prefilling, n_decoding, n_ended;
    uint64_t next_serial;

    uint32_t *tables;     /* [max_num_seqs, table_len]: the block tables by slot */
    uint32_t table_len;   /* blocks of the longest possible sequence */
    uint32_t *matched;    /* [table_len], scratch of the admission */
    uint32_t *free_slots; /* a stack */
    uint32_t n_free_slots;

    /* The step in the making; planned[i] is the sequence of batch_seqs[i]. */
    struct batch batch;
    struct seq **planned;
    struct batch_seq *batch_seqs;
    token_id *batch_tokens;
    uint32_t *batch_positions;
    struct in_flight *in_flight; /* [n_in_flight], open addressing, a power of two */
    uint32_t n_in_flight;
    uint64_t n_plans;

    struct core_counters counters;
    uint32_t *recount; /* [3, n_blocks], scratch of core_check; NULL unless check_invariants */
};

/* -EINVAL names the option in reterr->param; -ENOMEM. */
int core_create(const struct scheduler_options *options, struct core **ret_core,
                struct error *reterr) KV_MUST_CHECK;

/* Frees everything, sequences included; those give no event. NULL is fine. */
void core_destroy(struct core *core);

/* Takes a sequence of seq_create. It cannot fail: one that finds no memory ends with an error. */
void core_add(struct core *core, struct seq *seq);

/* Ends a live sequence in any phase; its final event comes with the next core_apply. */
void core_cancel(struct core *core, struct seq *seq);

/* True if a plan would not be empty, or an event is due. */
bool core_has_work(const struct core *core);

/*
 * The batch of the next step, lent until core_apply; n_seqs is 0 if there is nothing to compute.
 * O(changes + sequences of the step).
 */
const struct batch *core_plan(struct core *core, uint64_t now_us);

/* An output with room for all that core_apply can give now; NULL without memory. */
struct scheduler_output *core_output_create(const struct core *core);

/* One in reserve, with room for no more than the errors of a step; NULL without memory. */
struct scheduler_output *core_spare_output_create(const struct core *core);

/*
 * Takes what the planned step gave (NULL if it was empty) and writes events into output. step_rc
 * is what the engine returned: below 0 the sequences of the batch end with an error; -ENOMEM: the
 * step was not computed, for want of a better output than the spare one. Ends for which there is
 * no room come with the next one.
 */
void core_apply(struct core *core, const struct step_result *result, int step_rc, uint64_t now_us,
                struct scheduler_output *output);

/* Moves the sequences whose final event was given to the end of list; the caller destroys them. */
void core_take_finished(struct core *core, struct list *list);

/* Sequences that the next plan could start beside those that run. */
uint32_t core_n_startable(const struct core *core);

/* Gauges and counters; times are the runner's. */
void core_stats(const struct core *core, struct scheduler_stats *stats);

/*
 * Proves the numbered invariants of the README. -EFAULT with the number and what was found.
 * Needs options.check_invariants. O(everything).
 */
int core_check(const struct core *core, struct error *reterr) KV_MUST_CHECK;

/* For plan.c and apply.c. */

static inline uint32_t core_blocks_for(const struct core *core, uint32_t n_tokens) {
    return n_tokens / core->options.block_size + (n_tokens % core->options.block_size != 0);
}

static inline uint32_t core_n_running(const struct core *core) {
    return core->n_prefilling + core->n_decoding;
}

/* Blocks that are free and promised to nobody. */
static inline uint32_t core_unreserved(const struct core *core) {
    return core->pool.n_free - core->n_reserved;
}

/* Blocks published, taken or exchanged so far: what can change the match of a waiting one. */
static inline uint64_t core_n_prefix_events(const struct core *core) {
    return core->counters.blocks_published + core->counters.blocks_taken +
           core->counters.duplicate_blocks;
}

/* Takes a free block for seq (evicting what it cached) and appends it to its table. */
void core_grow(struct core *core, struct seq *seq);

/* Gives up n blocks that were promised to seq. */
void core_unreserve(struct core *core, struct seq *seq, uint32_t n);

/* A running sequence goes back to waiting, without blocks; nothing of its output is lost. */
void core_preempt(struct core *core, struct seq *seq);

/* A waiting sequence becomes a running one, with a slot and the promise of n_reserved blocks. */
void core_start(struct core *core, struct seq *seq, uint32_t n_reserved, uint64_t now_us);

/* A running sequence that has caught up takes its place among the decoding ones. */
void core_start_decoding(struct core *core, struct seq *seq);

/* Ends a sequence: it gives everything back and waits in core::ended for its event. */
void core_end(struct core *core, struct seq *seq, enum finish_reason finish);

/* Ends a sequence with FINISH_ERROR; text is a constant. */
void core_fail(struct core *core, struct seq *seq, int code, const char *text);

/* An ended sequence whose final event was given. */
void core_retire(struct core *core, struct seq *seq);

#endif
