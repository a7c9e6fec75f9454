/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox - the only bridge between the caller's thread and the engine thread.
 *
 *     down: sequences submitted, ids cancelled, stop        up: outputs
 *
 * One mutex, held for a few pointer moves: nothing under it allocates memory (but a chunk of ids
 * now and then), computes or copies. Owns what is in transit, and the table from ids to
 * sequences, so that a cancel needs no memory and an id that has ended is recognised.
 */
#ifndef KVASIR_MAILBOX_H
#define KVASIR_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvasir/error.h"
#include "kvasir/list.h"
#include "kvasir/scheduler.h"

struct seq;

enum { MAIL_CHUNK = 1024, MAIL_MAX_CHUNKS = 1024 };

struct queue_load {
    uint32_t n_requests;
    uint64_t n_tokens;
};

/* One live id. Id = generation << 32 | index; a slot's generation is that of its present id. */
struct mail_slot {
    struct seq *seq; /* only the engine thread looks into it, but for the mailbox's links */
    uint32_t generation;
    uint32_t next_free;
    bool cancelled; /* once is enough */
};

struct mailbox {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t mail_arrived;
    struct list inbox;   /* seq::mail_link, in order of arrival */
    struct list cancels; /* seq::cancel_link */
    bool stopping;

    struct scheduler_output *outputs; /* oldest first */
    struct scheduler_output **outputs_end;

    struct mail_slot *chunks[MAIL_MAX_CHUNKS];
    uint32_t n_chunks;
    uint32_t free_id; /* head of the free ids; NO_ID: none */

    /* For the queue limits. What the core has not yet planned counts as in the inbox. */
    struct queue_load max;      /* 0: no limit */
    struct queue_load new;      /* submitted, and not yet seen by a plan */
    struct queue_load received; /* the part of it that the engine thread has */
    struct queue_load waiting;  /* in the core, as it last said */
    uint32_t free_slots;        /* there: so many more sequences may run */
    atomic_uint_fast64_t n_new; /* new.n_requests and .n_tokens, for stats without the lock */
    atomic_uint_fast64_t n_new_tokens;
};

/* What the engine thread takes at once. The lists are heads that the taker owns. */
struct mail {
    struct list added;     /* seq::mail_link */
    struct list cancelled; /* seq::cancel_link; all were added, now or before */
    bool stopping;
};

/* free_slots: how many sequences may run. */
int mailbox_init(struct mailbox *mailbox, const struct queue_load *max, uint32_t free_slots)
    KV_MUST_CHECK;

/* Both threads are done with it. Frees what is still inside. */
void mailbox_fini(struct mailbox *mailbox);

/* Caller's thread. */

/* Takes the sequence on success. -EAGAIN, -ESHUTDOWN, -ENOMEM as scheduler_submit. */
int mailbox_submit(struct mailbox *mailbox, struct seq *seq, seq_id *ret_id, struct error *reterr)
    KV_MUST_CHECK;
void mailbox_cancel(struct mailbox *mailbox, seq_id id);
void mailbox_stop(struct mailbox *mailbox);
struct scheduler_output *mailbox_take_outputs(struct mailbox *mailbox);

/* Engine thread. */

/* Takes what came; with wait, sleeps until something did. */
void mailbox_receive(struct mailbox *mailbox, bool wait, struct mail *ret_mail);

/* How much waits in the core after a plan, which has seen all that was received before it. */
void mailbox_report_queue(struct mailbox *mailbox, const struct queue_load *waiting,
                          uint32_t free_slots);

/*
 * Hands an output up (NULL: none) and ends the ids of the finished sequences (seq::link).
 * Afterwards no cancel can reach them.
 */
void mailbox_publish(struct mailbox *mailbox, struct scheduler_output *output,
                     const struct list *finished);

/* Any thread, without the lock: what was submitted and not yet seen by a plan. */
struct queue_load mailbox_new(const struct mailbox *mailbox);

#endif
