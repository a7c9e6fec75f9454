/* SPDX-License-Identifier: Apache-2.0 */
#include "mailbox.h"

#include <errno.h>

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

int mailbox_init(struct mailbox *mailbox, const struct queue_load *max, uint32_t free_slots) {
    *mailbox = (struct mailbox){.free_id = NO_ID, .max = *max, .free_slots = free_slots};
    list_init(&mailbox->inbox);
    list_init(&mailbox->cancels);
    mailbox->outputs_end = &mailbox->outputs;

    int r = pthread_mutex_init(&mailbox->lock, NULL);
    if (r != 0)
        return -r;
    r = pthread_cond_init(&mailbox->mail_arrived, NULL);
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
        chunk[i].next_free = i + 1 < MAIL_CHUNK ? first + i + 1 : NO_ID;
    mailbox->chunks[mailbox->n_chunks++] = chunk;
    mailbox->free_id = first;
    return 0;
}

static int take_id(struct mailbox *mailbox, struct seq *seq) {
    if (mailbox->free_id == NO_ID) {
        const int r = add_chunk(mailbox);
        if (r < 0)
            return r;
    }
    const uint32_t index = mailbox->free_id;
    struct mail_slot *slot = slot_at(mailbox, index);
    mailbox->free_id = slot->next_free;
    slot->seq = seq;
    slot->cancelled = false;
    slot->generation++; /* begins at 1, so no id is 0; 2^32 uses of one slot outlast a run */
    seq->id = (uint64_t)slot->generation << 32 | index;
    return 0;
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
}

/* Caller's thread. */

/*
 * What one more request would stand behind. New ones that the next plan can start at once do not
 * queue: a burst on an idle server is not refused, however short the queue may be.
 */
static bool must_queue(const struct mailbox *mailbox) {
    return mailbox->waiting.n_requests > 0 || mailbox->new.n_requests >= mailbox->free_slots;
}

static int check_limits(const struct mailbox *mailbox, const struct seq *seq,
                        struct error *reterr) {
    const struct queue_load *max = &mailbox->max;
    if (mailbox->stopping)
        return error_set(reterr, -ESHUTDOWN, "the scheduler is stopping");
    if (!must_queue(mailbox))
        return 0;

    const uint32_t n_starting = mailbox->waiting.n_requests > 0 ? 0 : mailbox->free_slots;
    const uint32_t n_requests = mailbox->waiting.n_requests + mailbox->new.n_requests - n_starting;
    const uint64_t n_tokens = mailbox->waiting.n_tokens + mailbox->new.n_tokens;
    if (max->n_requests > 0 && n_requests >= max->n_requests)
        return error_set_param(reterr, -EAGAIN, "max_queued_requests",
                               "%u requests are waiting, and no more than %u may", n_requests,
                               max->n_requests);
    if (max->n_tokens > 0 && n_tokens + seq->n_prompt > max->n_tokens)
        return error_set_param(reterr, -EAGAIN, "max_queued_tokens",
                               "%llu prompt tokens are waiting; with the %u of this request they "
                               "would be more than %llu",
                               (unsigned long long)n_tokens, seq->n_prompt,
                               (unsigned long long)max->n_tokens);
    return 0;
}

/* Relaxed: figures for people, which order nothing. */
static void show_new(struct mailbox *mailbox) {
    atomic_store_explicit(&mailbox->n_new, mailbox->new.n_requests, memory_order_relaxed);
    atomic_store_explicit(&mailbox->n_new_tokens, mailbox->new.n_tokens, memory_order_relaxed);
}

struct queue_load mailbox_new(const struct mailbox *mailbox) {
    return (struct queue_load){
        .n_requests = (uint32_t)atomic_load_explicit(&mailbox->n_new, memory_order_relaxed),
        .n_tokens = atomic_load_explicit(&mailbox->n_new_tokens, memory_order_relaxed),
    };
}

static int submit_locked(struct mailbox *mailbox, struct seq *seq, seq_id *ret_id,
                         struct error *reterr) {
    int r = check_limits(mailbox, seq, reterr);
    if (r < 0)
        return r;
    r = take_id(mailbox, seq);
    if (r < 0)
        return error_set(reterr, r, "no room for one more request id");

    mailbox->new.n_requests++;
    mailbox->new.n_tokens += seq->n_prompt;
    show_new(mailbox);
    list_push_back(&mailbox->inbox, &seq->mail_link);
    *ret_id = seq->id; /* from here on the engine thread may end and free seq at any time */
    (void)pthread_cond_signal(&mailbox->mail_arrived); /* cannot fail */
    return 0;
}

int mailbox_submit(struct mailbox *mailbox, struct seq *seq, seq_id *ret_id, struct error *reterr) {
    lock(mailbox);
    const int r = submit_locked(mailbox, seq, ret_id, reterr);
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

void mailbox_receive(struct mailbox *mailbox, bool wait, struct mail *ret_mail) {
    lock(mailbox);
    while (wait && list_empty(&mailbox->inbox) && list_empty(&mailbox->cancels) &&
           !mailbox->stopping)
        (void)pthread_cond_wait(&mailbox->mail_arrived, &mailbox->lock); /* cannot fail */
    take_list(&mailbox->inbox, &ret_mail->added);
    take_list(&mailbox->cancels, &ret_mail->cancelled);
    ret_mail->stopping = mailbox->stopping;
    mailbox->received = mailbox->new;
    unlock(mailbox);
}

void mailbox_report_queue(struct mailbox *mailbox, const struct queue_load *waiting,
                          uint32_t free_slots) {
    lock(mailbox);
    mailbox->new.n_requests -= mailbox->received.n_requests;
    mailbox->new.n_tokens -= mailbox->received.n_tokens;
    mailbox->received = (struct queue_load){.n_requests = 0};
    mailbox->waiting = *waiting;
    mailbox->free_slots = free_slots;
    show_new(mailbox);
    unlock(mailbox);
}

void mailbox_publish(struct mailbox *mailbox, struct scheduler_output *output,
                     const struct list *finished) {
    lock(mailbox);
    list_for_each (node, finished) {
        end_id(mailbox, list_entry(node, struct seq, link));
    }
    if (output) {
        *mailbox->outputs_end = output;
        mailbox->outputs_end = &output->next;
    }
    unlock(mailbox);
}
