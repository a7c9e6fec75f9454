/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share - which blocks a sequence takes from others, leaves to others, or waits for.
 *
 * The index (prefix.h) knows what is published. This file knows what a sequence may publish and
 * take, and lets one join another whose prefill is still running: it takes block by block what
 * that one publishes, and waits while the next block is being computed in the same step.
 *
 * Engine thread only. Invariants 3, 6 and 7 of the README.
 */
#ifndef KVASIR_SHARE_H
#define KVASIR_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "prefix.h"

struct core;
struct seq;

/* Published blocks behind what a sequence has; their ids are in core::matched. */
struct match {
    uint32_t n;                /* blocks */
    uint32_t n_free;           /* those that nobody holds: taking them uses up free blocks */
    struct prefix_place place; /* behind the last one */
};

/* Puts seq, which has computed nothing, at the root of its prefixes. */
void share_begin(struct core *core, struct seq *seq);

/* Looks only. O(blocks found). */
struct match share_match(const struct core *core, const struct seq *seq);

/* Takes the matched blocks into the table of seq: so many tokens need not be computed. */
void share_take(struct core *core, struct seq *seq, const struct match *match);

/* Takes what others published since the last step, and gives up what was reserved for it. */
void share_catch_up(struct core *core, struct seq *seq);

/*
 * Is somebody in the batch being planned computing the block that seq needs next? Then seq waits
 * for the next step. It cannot wait in vain: each step decides anew, and it waits only when
 * another sequence advances in that step; if that one goes away, seq computes the block itself.
 */
bool share_is_in_flight(struct core *core, struct seq *seq);

/* Tells the others of this batch which block seq computes, if it is one that it will publish. */
void share_announce(struct core *core, struct seq *seq);

/* Publishes the blocks of seq that became full. */
void share_publish(struct core *core, struct seq *seq);

/* Takes what only seq holds of its chain out of the index. */
void share_forget(struct core *core, struct seq *seq);

#endif
