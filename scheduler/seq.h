/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seq - one request inside the scheduler: token ids, how far computed, which blocks.
 *
 * A sequence has n_tokens, of which n_computed have their KV in blocks, and it catches up.
 * Prefill and decode are names for how far it is behind, and for the list that this puts it on.
 *
 * Made on the caller's thread by seq_create, moved through the mailbox, then owned by the core
 * (engine thread) until its final event was given.
 */
#ifndef KVASIR_SEQ_H
#define KVASIR_SEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/list.h"
#include "kvasir/scheduler.h"
#include "prefix.h"

enum seq_state {
    SEQ_NEW,        /* not yet in a core */
    SEQ_WAITING,    /* in core::waiting; holds no blocks */
    SEQ_PREFILLING, /* running, in core::prefilling: has more than one token to catch up */
    SEQ_DECODING,   /* running, in core::decoding: gets one token a step */
    SEQ_ENDED,      /* in core::ended, then core::finished; holds nothing */
};

struct seq {
    struct list link; /* the list that state names */
    token_id *tokens; /* prompt then output; owned, grows */
    uint32_t *blocks; /* its row of core::tables; valid only while running */

    uint32_t n_prompt;
    uint32_t n_tokens;   /* prompt and output so far */
    uint32_t n_computed; /* tokens whose KV is in blocks; < n_tokens while waiting or running */
    uint32_t n_blocks;
    uint32_t n_reserved; /* blocks promised at admission and not yet taken */
    uint32_t cap_tokens; /* room in tokens */
    uint32_t max_length; /* n_tokens at which it ends, room clipped to the model and the pool */
    uint32_t slot;       /* valid only while running */

    enum seq_state state;
    enum finish_reason finish; /* set once, on the way to SEQ_ENDED */
    bool cancelled;            /* cancelled while its step is computed: ends when it is applied */
    bool in_step;              /* in the batch between core_plan and core_apply */

    /* The prefix tree: the first n_published blocks are published, the last one is place.block. */
    struct prefix_place place;
    struct digest next_digest; /* of the block behind place; valid only if has_next_digest */
    uint32_t n_published;
    bool has_next_digest;
    bool chain_closed; /* the next block, and so all later ones, must not be shared */

    bool scores;        /* every prompt row goes through the head */
    uint32_t n_scored;  /* prompt rows that did */
    uint32_t n_cached;  /* prompt tokens that were taken from the index instead of computed */
    uint32_t n_reached; /* largest n_computed so far: up to there each token was counted */
    uint32_t n_preemptions;

    seq_id id;
    uint64_t serial;       /* order of arrival in the core */
    uint32_t heap_index;   /* place in core::waiting; valid only while waiting */
    uint64_t scheduled_us; /* first admission; 0: not yet */
    int error_code;        /* with FINISH_ERROR, as in scheduler_event */
    const char *error;     /* with FINISH_ERROR; a constant */

    struct scheduler_request *request; /* owned: sampling, stop ids, priority */

    /* The mailbox's, under its lock. */
    struct list mail_link;   /* mailbox::inbox */
    struct list cancel_link; /* mailbox::cancels */
};

/*
 * Checks the request against the options and makes its sequence, max_tokens clipped to the room.
 * Takes the request only on success. -EINVAL with reterr->param "prompt", -E2BIG, -ENOSPC, -ENOMEM
 * (enum scheduler_refusal). Any thread.
 */
int seq_create(const struct scheduler_options *options, struct scheduler_request *request,
               struct seq **ret_seq, struct error *reterr) KV_MUST_CHECK;

/* Frees the sequence and its request. It must be on no list. NULL is fine. */
void seq_destroy(struct seq *seq);

/* Appends a generated token. -ENOMEM: nothing changed. */
int seq_append(struct seq *seq, token_id token) KV_MUST_CHECK;

static inline uint32_t seq_n_generated(const struct seq *seq) {
    return seq->n_tokens - seq->n_prompt;
}

static inline bool seq_is_running(const struct seq *seq) {
    return seq->state == SEQ_PREFILLING || seq->state == SEQ_DECODING;
}

/* Tokens it has to catch up: 1 is a decode, more a prefill. */
static inline uint32_t seq_need(const struct seq *seq) {
    return seq->n_tokens - seq->n_computed;
}

#endif
