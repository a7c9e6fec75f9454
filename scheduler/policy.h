/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy - who goes first, and who gives way.
 *
 * A policy is an order of sequences. Waiting ones stand in a heap in that order, so a preempted
 * sequence finds its old place again without a rule of its own. Engine thread only.
 */
#ifndef KVASIR_POLICY_H
#define KVASIR_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/error.h"
#include "kvasir/scheduler.h"

struct core;
struct seq;

/* Binary heap, the first in the order at [0]. */
struct waiting {
    struct seq **heap;
    uint32_t n, cap;
    uint64_t n_tokens; /* tokens to compute, all together */
    enum scheduler_policy policy;
};

/* True if a goes before b: by priority (if the policy says so), then by arrival. */
bool policy_before(enum scheduler_policy policy, const struct seq *a, const struct seq *b);

/*
 * Room for n sequences, so that a push of one of them cannot fail; -ENOMEM. Called with the
 * number of all live sequences when one more arrives: a preemption must not need memory.
 */
int waiting_reserve(struct waiting *waiting, uint32_t n) KV_MUST_CHECK;
void waiting_fini(struct waiting *waiting);
void waiting_push(struct waiting *waiting, struct seq *seq);   /* O(log n); O(1) in FCFS order */
void waiting_remove(struct waiting *waiting, struct seq *seq); /* O(log n) */
struct seq *waiting_peek(const struct waiting *waiting);       /* NULL if empty */

/*
 * The running sequence that loses least when its blocks are taken: see the definition. NULL if
 * only the first of the order is left, which is never a victim.
 */
struct seq *policy_victim(const struct core *core);

#endif
