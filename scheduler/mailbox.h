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

#define MAIL_NO_WAIT 0
#define MAIL_WAIT UINT64_MAX /* until something comes */

struct admission_limits {
    struct scheduler_load max_queued; /* 0: no limit */
    uint32_t max_running;
};

/* What the core says of its queue. */
struct queue_report {
    struct scheduler_load waiting;
    uint32_t n_startable; /* sequences that the next plan could start beside those that run */
};

/* One live id. Id = generation << 32 | index; a slot's generation is that of its present id. */
struct mail_slot {
    struct seq *seq; /* only the engine thread looks into it, but for the mailbox's links */
    uint32_t generation;
    uint32_t next_free;
    uint32_t n_prompt; /* of seq */
    uint64_t delivery; /* the number of the receive that takes it out of the inbox */
    bool cancelled;    /* once is enough */
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
    uint32_t n_free_ids;
    uint64_t n_deliveries; /* calls of mailbox_receive */

    /* For admission. What the core has not yet planned counts as in the inbox. */
    struct admission_limits limits;
    struct scheduler_load reserved; /* being prepared by the caller */
    struct scheduler_load new;      /* submitted, not cancelled, and not yet seen by a plan */
    struct scheduler_load received; /* the part of it that the engine thread has */
    struct queue_report core;       /* as it last said */
    atomic_uint_fast64_t n_new;     /* new.n_requests and .n_tokens, for stats without the lock */
    atomic_uint_fast64_t n_new_tokens;
};

/* What the engine thread takes at once. The lists are heads that the taker owns. */
struct mail {
    struct list added;     /* seq::mail_link */
    struct list cancelled; /* seq::cancel_link; all were added, now or before */
    bool stopping;
};

int mailbox_init(struct mailbox *mailbox, const struct admission_limits *limits) KV_MUST_CHECK;

/* Both threads are done with it. Frees what is still inside. */
void mailbox_fini(struct mailbox *mailbox);

/* Caller's thread. */

/* As scheduler_reserve and scheduler_release. */
int mailbox_reserve(struct mailbox *mailbox, const struct scheduler_load *load,
                    struct error *reterr) KV_MUST_CHECK;
void mailbox_release(struct mailbox *mailbox, const struct scheduler_load *load);

/*
 * Takes the sequences on the list (seq::mail_link), whose load is given, all or none; the reserved
 * places (NULL: none) in every case. -EINVAL, -EAGAIN, -ESHUTDOWN, -ENOMEM as scheduler_submit_all.
 */
int mailbox_submit(struct mailbox *mailbox, struct list *seqs, const struct scheduler_load *load,
                   const struct scheduler_load *reserved, seq_id *ret_ids, struct error *reterr)
    KV_MUST_CHECK;

/* One that is still in the inbox gives its place in the queue back at once. */
void mailbox_cancel(struct mailbox *mailbox, seq_id id);
void mailbox_stop(struct mailbox *mailbox);
struct scheduler_output *mailbox_take_outputs(struct mailbox *mailbox);

/* Engine thread. */

/* Takes what came; if nothing did, sleeps until something does, for at most so long. */
void mailbox_receive(struct mailbox *mailbox, uint64_t max_wait_us, struct mail *ret_mail);

/* How the core's queue stands after a plan, which has seen all that was received before it. */
void mailbox_report_queue(struct mailbox *mailbox, const struct queue_report *report);

/*
 * Hands an output up (NULL: none), says how the queue stands with it (who sees an end finds its
 * place free), and ends the ids of the finished sequences (seq::link): no cancel can reach them
 * afterwards.
 */
void mailbox_publish(struct mailbox *mailbox, struct scheduler_output *output,
                     const struct queue_report *report, const struct list *finished);

/* Any thread, without the lock: what was submitted and not yet seen by a plan. */
struct scheduler_load mailbox_new(const struct mailbox *mailbox);

#endif
