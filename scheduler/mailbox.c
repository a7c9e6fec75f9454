/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include <errno.h>
#include <time.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"
#include "seq.h"

#define NO_ID UINT32_MAX

static void lock(struct mailbox *mailbox) {
    const int r = pthread_mutex_lock(&mailbox->lock);
    INVARIANT(r == 0);
}

static void unlock(struct mailbox *mailbox) {
    const int r = pthread_mutex_unlock(&mailbox->lock);
    INVARIANT(r == 0);
}

/* Its timed waits are by the monotonic clock, which nobody sets. */
static int init_arrival(pthread_cond_t *arrival) {
    pthread_condattr_t attr;
    int r = pthread_condattr_init(&attr);
    if (r != 0)
        return r;
    r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (r == 0)
        r = pthread_cond_init(arrival, &attr);
    (void)pthread_condattr_destroy(&attr); /* only its value was used */
    return r;
}

int mailbox_init(struct mailbox *mailbox, const struct admission_limits *limits) {
    *mailbox = (struct mailbox){
        .free_id = NO_ID,
        .limits = *limits,
        .core = {.n_startable = limits->max_running},
    };
    list_init(&mailbox->inbox);
    list_init(&mailbox->cancels);
    mailbox->outputs_end = &mailbox->outputs;

    int r = pthread_mutex_init(&mailbox->lock, NULL);
    if (r != 0)
        return -r;
    r = init_arrival(&mailbox->mail_arrived);
    if (r != 0)
        (void)pthread_mutex_destroy(&mailbox->lock); /* nobody holds it */
    return -r;
}

void mailbox_fini(struct mailbox *mailbox) {
    list_for_each (node, &mailbox->cancels) {
        list_remove(node);
    }
    list_for_each (node, &mailbox->inbox) {
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, mail_link));
    }
    while (mailbox->outputs) {
        struct scheduler_output *next = mailbox->outputs->next;
        scheduler_output_free(mailbox->outputs);
        mailbox->outputs = next;
    }
    for (uint32_t i = 0; i < mailbox->n_chunks; i++)
        mem_free(mailbox->chunks[i]);
    (void)pthread_cond_destroy(&mailbox->mail_arrived); /* both threads are done with them */
    (void)pthread_mutex_destroy(&mailbox->lock);
}

/* Ids. */

static struct mail_slot *slot_at(struct mailbox *mailbox, uint32_t index) {
    return &mailbox->chunks[index / MAIL_CHUNK][index % MAIL_CHUNK];
}

/* Chunks, not one array: growing must not copy what a hundred thousand requests have. */
static int add_chunk(struct mailbox *mailbox) {
    if (mailbox->n_chunks == MAIL_MAX_CHUNKS)
        return -EAGAIN;
    struct mail_slot *chunk = mem_alloc_zero(MAIL_CHUNK, sizeof *chunk);
    if (!chunk)
        return -ENOMEM;

    const uint32_t first = mailbox->n_chunks * MAIL_CHUNK;
    for (uint32_t i = 0; i < MAIL_CHUNK; i++)
        chunk[i].next_free = i + 1 < MAIL_CHUNK ? first + i + 1 : mailbox->free_id;
    mailbox->chunks[mailbox->n_chunks++] = chunk;
    mailbox->free_id = first;
    mailbox->n_free_ids += MAIL_CHUNK;
    return 0;
}

static int ensure_ids(struct mailbox *mailbox, uint32_t n) {
    int r = 0;
    while (r == 0 && mailbox->n_free_ids < n)
        r = add_chunk(mailbox);
    return r;
}

static void take_id(struct mailbox *mailbox, struct seq *seq) {
    INVARIANT(mailbox->n_free_ids > 0);

    const uint32_t index = mailbox->free_id;
    struct mail_slot *slot = slot_at(mailbox, index);
    mailbox->free_id = slot->next_free;
    mailbox->n_free_ids--;
    slot->seq = seq;
    slot->n_prompt = seq->n_prompt;
    slot->delivery = mailbox->n_deliveries;
    slot->cancelled = false;
    slot->generation++; /* begins at 1, so no id is 0; 2^32 uses of one slot outlast a run */
    seq->id = (uint64_t)slot->generation << 32 | index;
}

/* The slot of a live id, or NULL. */
static struct mail_slot *slot_of(struct mailbox *mailbox, seq_id id) {
    const uint32_t index = (uint32_t)id;
    if (index / MAIL_CHUNK >= mailbox->n_chunks)
        return NULL;
    struct mail_slot *slot = slot_at(mailbox, index);
    return slot->seq && slot->generation == id >> 32 ? slot : NULL;
}

static void end_id(struct mailbox *mailbox, struct seq *seq) {
    struct mail_slot *slot = slot_of(mailbox, seq->id);
    INVARIANT(slot && slot->seq == seq);

    if (list_linked(&seq->cancel_link)) /* cancelled after the engine thread last looked */
        list_remove(&seq->cancel_link);
    slot->seq = NULL;
    slot->next_free = mailbox->free_id;
    mailbox->free_id = (uint32_t)seq->id;
    mailbox->n_free_ids++;
}

/* Admission. */

static struct scheduler_load sum(struct scheduler_load a, struct scheduler_load b) {
    return (struct scheduler_load){
        .n_requests = a.n_requests + b.n_requests,
        .n_tokens = a.n_tokens + b.n_tokens,
    };
}

static struct scheduler_load difference(struct scheduler_load a, struct scheduler_load b) {
    INVARIANT(a.n_requests >= b.n_requests && a.n_tokens >= b.n_tokens);
    return (struct scheduler_load){
        .n_requests = a.n_requests - b.n_requests,
        .n_tokens = a.n_tokens - b.n_tokens,
    };
}

/* What is left to wait of a load when n sequences of it start; those have its mean length. */
static struct scheduler_load behind(struct scheduler_load load, uint32_t n) {
    if (load.n_requests <= n)
        return (struct scheduler_load){.n_requests = 0};
    const struct scheduler_load starting = {
        .n_requests = n,
        .n_tokens = load.n_tokens / load.n_requests * n,
    };
    return difference(load, starting);
}

static bool exceeds(uint64_t value, uint64_t max) {
    return max > 0 && value > max;
}

/* A server with nothing else to do would have to refuse it as well. */
static int check_possible(const struct admission_limits *limits, const struct scheduler_load *load,
                          struct error *reterr) {
    const struct scheduler_load *max = &limits->max_queued;
    const struct scheduler_load queued = behind(*load, limits->max_running);

    if (exceeds(queued.n_requests, max->n_requests))
        return error_set(reterr, SCHEDULER_INVALID,
                         "A request for %u sequences can never be taken: %u may run (max-num-seqs) "
                         "and %u wait (max-queued-requests).",
                         load->n_requests, limits->max_running, max->n_requests);
    if (exceeds(queued.n_tokens, max->n_tokens))
        return error_set(reterr, SCHEDULER_INVALID,
                         "A request for %u sequences can never be taken: %llu of their prompt "
                         "tokens would have to wait, and %llu may (max-queued-tokens).",
                         load->n_requests, (unsigned long long)queued.n_tokens,
                         (unsigned long long)max->n_tokens);
    return 0;
}

/* Everything that is inside and that no plan has started. */
static struct scheduler_load not_started(const struct mailbox *mailbox) {
    return sum(mailbox->core.waiting, sum(mailbox->new, mailbox->reserved));
}

/*
 * The one rule of admission. What the next plan can start does not queue, so a burst on an idle
 * server is not refused, however short the queue may be.
 */
static int admit(const struct mailbox *mailbox, const struct scheduler_load *load,
                 struct error *reterr) {
    const struct scheduler_load *max = &mailbox->limits.max_queued;
    if (mailbox->stopping)
        return error_set(reterr, SCHEDULER_STOPPING, "The server is shutting down.");

    const uint32_t n_startable = mailbox->core.n_startable;
    const struct scheduler_load before = behind(not_started(mailbox), n_startable);
    const struct scheduler_load after = behind(sum(not_started(mailbox), *load), n_startable);
    if (exceeds(after.n_requests, max->n_requests))
        return error_set(reterr, SCHEDULER_QUEUE_FULL,
                         "The queue is full: %u sequences wait, and with the %u of this request "
                         "they would be more than %u (max-queued-requests).",
                         before.n_requests, load->n_requests, max->n_requests);
    if (exceeds(after.n_tokens, max->n_tokens))
        return error_set(reterr, SCHEDULER_QUEUE_FULL,
                         "The queue is full: %llu prompt tokens wait, and with the %llu of this "
                         "request they would be more than %llu (max-queued-tokens).",
                         (unsigned long long)before.n_tokens, (unsigned long long)load->n_tokens,
                         (unsigned long long)max->n_tokens);
    return 0;
}

/* Caller's thread. */

int mailbox_reserve(struct mailbox *mailbox, const struct scheduler_load *load,
                    struct error *reterr) {
    /* The tokens may be a guess: too many of them make it wait its turn, but are no error. */
    const struct scheduler_load certain = {.n_requests = load->n_requests};
    int r = check_possible(&mailbox->limits, &certain, reterr);
    if (r < 0)
        return r;

    lock(mailbox);
    const bool alone = not_started(mailbox).n_requests == 0;
    r = admit(mailbox, alone ? &certain : load, reterr);
    if (r == 0)
        mailbox->reserved = sum(mailbox->reserved, *load);
    unlock(mailbox);
    return r;
}

void mailbox_release(struct mailbox *mailbox, const struct scheduler_load *load) {
    lock(mailbox);
    mailbox->reserved = difference(mailbox->reserved, *load);
    unlock(mailbox);
}

/* Relaxed: figures for people, which order nothing. */
static void show_new(struct mailbox *mailbox) {
    atomic_store_explicit(&mailbox->n_new, mailbox->new.n_requests, memory_order_relaxed);
    atomic_store_explicit(&mailbox->n_new_tokens, mailbox->new.n_tokens, memory_order_relaxed);
}

struct scheduler_load mailbox_new(const struct mailbox *mailbox) {
    return (struct scheduler_load){
        .n_requests = (uint32_t)atomic_load_explicit(&mailbox->n_new, memory_order_relaxed),
        .n_tokens = atomic_load_explicit(&mailbox->n_new_tokens, memory_order_relaxed),
    };
}

static int submit_locked(struct mailbox *mailbox, struct list *seqs,
                         const struct scheduler_load *load, seq_id *ret_ids, struct error *reterr) {
    int r = admit(mailbox, load, reterr);
    if (r < 0)
        return r;
    r = ensure_ids(mailbox, load->n_requests);
    if (r < 0)
        return error_set(reterr, r, "There is no room for the ids of %u sequences.",
                         load->n_requests);

    uint32_t n = 0;
    list_for_each (node, seqs) {
        struct seq *seq = list_entry(node, struct seq, mail_link);
        take_id(mailbox, seq);
        ret_ids[n++] = seq->id; /* once unlocked, the engine thread may end and free seq */
        list_remove(node);
        list_push_back(&mailbox->inbox, node);
    }
    mailbox->new = sum(mailbox->new, *load);
    show_new(mailbox);
    (void)pthread_cond_signal(&mailbox->mail_arrived); /* cannot fail */
    return 0;
}

int mailbox_submit(struct mailbox *mailbox, struct list *seqs, const struct scheduler_load *load,
                   const struct scheduler_load *reserved, seq_id *ret_ids, struct error *reterr) {
    const int possible = check_possible(&mailbox->limits, load, reterr);

    lock(mailbox);
    if (reserved)
        mailbox->reserved = difference(mailbox->reserved, *reserved);
    const int r = possible < 0 ? possible : submit_locked(mailbox, seqs, load, ret_ids, reterr);
    unlock(mailbox);
    return r;
}

void mailbox_cancel(struct mailbox *mailbox, seq_id id) {
    lock(mailbox);
    struct mail_slot *slot = slot_of(mailbox, id);
    if (slot && !slot->cancelled) {
        slot->cancelled = true;
        list_push_back(&mailbox->cancels, &slot->seq->cancel_link);
        (void)pthread_cond_signal(&mailbox->mail_arrived); /* cannot fail */
        if (slot->delivery == mailbox->n_deliveries) {     /* still in the inbox */
            const struct scheduler_load load = {.n_requests = 1, .n_tokens = slot->n_prompt};
            mailbox->new = difference(mailbox->new, load);
            show_new(mailbox);
        }
    }
    unlock(mailbox);
}

void mailbox_stop(struct mailbox *mailbox) {
    lock(mailbox);
    mailbox->stopping = true;
    (void)pthread_cond_signal(&mailbox->mail_arrived); /* cannot fail */
    unlock(mailbox);
}

struct scheduler_output *mailbox_take_outputs(struct mailbox *mailbox) {
    lock(mailbox);
    struct scheduler_output *outputs = mailbox->outputs;
    mailbox->outputs = NULL;
    mailbox->outputs_end = &mailbox->outputs;
    unlock(mailbox);
    return outputs;
}

/* Engine thread. */

/* All nodes of `from` become those of `to`, an uninitialised head. O(1). */
static void take_list(struct list *from, struct list *to) {
    list_init(to);
    if (list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

static bool is_empty(const struct mailbox *mailbox) {
    return list_empty(&mailbox->inbox) && list_empty(&mailbox->cancels) && !mailbox->stopping;
}

static void wait_for_mail(struct mailbox *mailbox, uint64_t max_wait_us) {
    if (max_wait_us == MAIL_WAIT) {
        while (is_empty(mailbox))
            (void)pthread_cond_wait(&mailbox->mail_arrived, &mailbox->lock); /* cannot fail */
        return;
    }
    const uint64_t end_us = clock_now_us() + max_wait_us;
    const struct timespec end = {
        .tv_sec = (time_t)(end_us / 1000000),
        .tv_nsec = (long)(end_us % 1000000) * 1000,
    };
    int r = 0;
    while (r == 0 && is_empty(mailbox))
        r = pthread_cond_timedwait(&mailbox->mail_arrived, &mailbox->lock, &end);
}

void mailbox_receive(struct mailbox *mailbox, uint64_t max_wait_us, struct mail *ret_mail) {
    lock(mailbox);
    if (max_wait_us != MAIL_NO_WAIT)
        wait_for_mail(mailbox, max_wait_us);
    take_list(&mailbox->inbox, &ret_mail->added);
    take_list(&mailbox->cancels, &ret_mail->cancelled);
    ret_mail->stopping = mailbox->stopping;
    mailbox->received = mailbox->new;
    mailbox->n_deliveries++;
    unlock(mailbox);
}

void mailbox_report_queue(struct mailbox *mailbox, const struct queue_report *report) {
    lock(mailbox);
    mailbox->new = difference(mailbox->new, mailbox->received);
    mailbox->received = (struct scheduler_load){.n_requests = 0};
    mailbox->core = *report;
    show_new(mailbox);
    unlock(mailbox);
}

void mailbox_publish(struct mailbox *mailbox, struct scheduler_output *output,
                     const struct queue_report *report, const struct list *finished) {
    lock(mailbox);
    mailbox->core = *report;
    list_for_each (node, finished) {
        end_id(mailbox, list_entry(node, struct seq, link));
    }
    if (output) {
        *mailbox->outputs_end = output;
        mailbox->outputs_end = &output->next;
    }
    unlock(mailbox);
}
