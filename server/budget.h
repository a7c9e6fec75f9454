/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget - the bytes that all clients together may make the server hold.
 *
 * Counted are bodies being read, what parsing makes of them, and replies that the kernel has not
 * taken. Two ways in: budget_take refuses when there is no room (a body, a reply: the client is
 * told to come back), a claim waits for room (parsing: the body is there already). One claim is
 * granted whatever the room is, so that a budget full of waiting bodies still moves; so the most
 * that is held is max_bytes and one claim. Plain values; loop thread.
 */
#ifndef KVASIR_SERVER_BUDGET_H
#define KVASIR_SERVER_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/list.h"

struct budget {
    size_t max_bytes;
    size_t used; /* above max_bytes only by a claim that was alone */
    uint64_t n_refused;
    /* private */
    struct list waiting; /* budget_claim::link, oldest first */
    uint32_t n_granted;  /* claims that were granted and have not ended */
};

/* Bytes that somebody waits for. Zeroed: not begun. In the caller's storage until it ended. */
struct budget_claim {
    /* private */
    struct list link; /* budget::waiting, while it waits */
    size_t n_bytes;
    bool granted;
    void (*on_granted)(struct budget_claim *claim);
};

void budget_init(struct budget *budget, size_t max_bytes);

/* All of n bytes or none, at once; false is counted as refused. */
bool budget_take(struct budget *budget, size_t n);
bool budget_has_room(const struct budget *budget, size_t n);
void budget_give(struct budget *budget, size_t n); /* what was taken */

/* Calls on_granted when the bytes are there, perhaps before this returns. First come first served. */
void budget_claim_begin(struct budget *budget, struct budget_claim *claim, size_t n_bytes,
                        void (*on_granted)(struct budget_claim *claim));

/* Gives the bytes back, or stops waiting. A claim that was not begun is fine. */
void budget_claim_end(struct budget *budget, struct budget_claim *claim);
bool budget_claim_waits(const struct budget_claim *claim);

#endif
