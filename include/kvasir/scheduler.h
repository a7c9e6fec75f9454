/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduler - sequences in, tokens out: continuous batching over paged KV blocks.
 *
 * scheduler_start makes the engine thread, which plans a step, lets the engine compute it, and
 * hands the outputs over. The caller's thread (the loop, or a test) only submits, cancels and
 * takes what is ready; nothing here waits for a step. One caller thread at a time.
 *
 * Ids cross the threads; pointers only when the object moves: submit takes the request,
 * take_ready gives the outputs away.
 */
#ifndef KVASIR_SCHEDULER_H
#define KVASIR_SCHEDULER_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"
#include "kvasir/error.h"
#include "kvasir/sampling.h"
#include "kvasir/types.h"

struct batch;       /* kvasir/batch.h: who only submits and takes events never sees one */
struct step_result; /* the same */
struct scheduler;

enum scheduler_policy { POLICY_FCFS, POLICY_PRIORITY };

struct scheduler_options {
    /* The engine: engine_step with its engine, or a fake. Called on the engine thread only. */
    int (*step)(void *engine, const struct batch *batch, struct step_result *ret_result);
    void *engine;
    uint64_t (*rope_class)(const void *engine, uint32_t length); /* NULL: always 0 */
    uint32_t n_vocab;

    uint32_t block_size;
    uint32_t n_blocks;
    uint32_t max_model_len;
    uint32_t max_num_seqs; /* >= 1 */
    uint32_t
        max_num_batched_tokens; /* >= 1; below max_num_seqs it limits the sequences of a step */
    uint32_t prefill_chunk;     /* most prompt tokens of one sequence in a step; 0: no limit */
    bool prefix_caching;
    enum scheduler_policy policy;
    uint64_t hash_key[2]; /* secret of this process for the prefix hashes */

    /* What may wait behind the sequences that the next plan can start; 0: no limit. */
    uint32_t max_queued_requests;
    uint64_t max_queued_tokens; /* prompt tokens */

    bool check_invariants; /* run the full check after every step (tests, debug builds) */

    /* Called on the engine thread when outputs became ready; must only signal. May be NULL. */
    void (*notify)(void *ctx);
    void *notify_ctx;
};

/*
 * One sequence to generate. What its fields point to lives in its arena, which moves with it; the
 * prompt has memory of its own, because it becomes the sequence's history and grows.
 * Made by scheduler_request_create; submit takes it (also when it fails).
 */
struct scheduler_request {
    struct arena arena; /* owns this struct and all below but the prompt */
    token_id *prompt;   /* owned; NULL once the scheduler has it */
    uint32_t n_prompt;  /* >= 1 */
    uint32_t cap_prompt;
    struct sampling_params sampling; /* its stop ids end the sequence: the model's and the
                                        request's */
    uint32_t max_tokens; /* >= 1, tokens to generate; 0: score the prompt only (echo, eval) */
    int32_t priority;    /* lower goes first (POLICY_PRIORITY) */
    uint64_t cache_salt; /* tenant, adapter and salt, already hashed: blocks are shared only
                            between equal salts */
    bool score_prompt;   /* prompt_logprobs: a score for every prompt token but the first; such a
                            request does not read the prefix cache */
    float *prompt_logits_out; /* NULL, or [n_prompt, n_vocab] f32 to fill (eval); the caller's,
                                 valid until the final output was taken */
};

/* So much work: sequences, and the prompt tokens of all of them. */
struct scheduler_load {
    uint32_t n_requests;
    uint64_t n_tokens;
};

/* What a refusal means. Each is one negative errno, so that it travels like any other result. */
enum scheduler_refusal {
    SCHEDULER_INVALID = -EINVAL,     /* an empty prompt, a token id outside the vocabulary; or more
                                        at once than could ever run and wait together */
    SCHEDULER_TOO_LONG = -E2BIG,     /* the prompt does not fit into max_model_len */
    SCHEDULER_TOO_LARGE = -ENOSPC,   /* ... nor into the KV pool */
    SCHEDULER_QUEUE_FULL = -EAGAIN,  /* now; it would be taken when less is waiting */
    SCHEDULER_STOPPING = -ESHUTDOWN, /* no request is taken any more */
    SCHEDULER_NO_MEMORY = -ENOMEM,
};

enum finish_reason {
    FINISH_NONE, /* still running */
    FINISH_STOP,
    FINISH_LENGTH,
    FINISH_CANCELLED,
    FINISH_ERROR,
};

/* What the model says of one token of a prompt, given those before it. */
struct token_score {
    token_id token;
    float logprob; /* natural log, raw logits */
    uint32_t rank; /* number of logits >= its logit, itself included */
    uint32_t n_top;
    const struct token_logprob *top; /* n_top, best first */
};

/* One event of one sequence. Lives in its scheduler_output. */
struct scheduler_event {
    seq_id id;
    token_id token; /* TOKEN_NONE: no new token (prompt scores only, or an end without one) */
    enum finish_reason finish;
    token_id stop_token; /* with FINISH_STOP: that id, which is also `token`; else TOKEN_NONE */
    float logprob;       /* valid if asked for */
    uint32_t rank;
    uint32_t n_top;
    const struct token_logprob *top; /* n_top, best first */

    /* Scores of the prompt tokens of this step's chunk: rows [first_score, +n_scores) of the
     * prompt; the score of row i is that of prompt token i + 1. */
    const struct token_score *scores;
    uint32_t first_score;
    uint32_t n_scores;

    uint32_t n_cached_tokens; /* prompt tokens that came from the prefix cache */
    uint32_t n_preemptions;
    uint64_t scheduled_us; /* first admitted to a step */
    uint64_t produced_us;  /* end of the step that gave this event */
    int error_code;        /* with FINISH_ERROR: -EIO (the engine), -ENOMEM, -EINVAL (the request:
                              its own masks left no token) */
    const char *error;     /* with FINISH_ERROR: one sentence */
};

/* The events of one step. Free with scheduler_output_free, on the taking thread. */
struct scheduler_output {
    struct scheduler_output *next; /* older first */
    struct scheduler_event *events;
    uint32_t n_events;
    /* private: room reserved behind the struct, in the same allocation */
    uint32_t cap_events;
    uint32_t n_tops, cap_tops;
    uint32_t n_scores, cap_scores;
    struct token_logprob *tops;
    struct token_score *scores;
};

/* Bounds of scheduler_stats::steps_by_tokens: 1, 8, 16, 32, ... doubling to 16384 tokens. */
enum { SCHEDULER_STEP_BOUNDS = 13 };

/* A snapshot for /metrics and for people. Counters only grow; gauges are of the last step. */
struct scheduler_stats {
    uint32_t n_running, n_waiting;
    uint64_t waiting_tokens;
    uint32_t blocks_total, blocks_free, blocks_cached; /* free: never hashed or forgotten; cached:
                                                          evictable, still findable */
    uint64_t steps, preemptions, stalls;
    uint64_t prompt_tokens_computed, prompt_tokens_cached, generated_tokens;
    uint64_t prefix_queries, prefix_hits;                   /* in tokens, as vLLM counts */
    uint64_t step_tokens;                                   /* sum of batch sizes */
    uint64_t steps_by_tokens[SCHEDULER_STEP_BOUNDS + 1];    /* by batch size, at most the bound;
                                                               the last: above all */
    uint64_t schedule_ns, forward_ns, sample_ns, output_ns; /* sums over all steps */
    uint64_t last_step_end_us;                              /* 0: none yet */
    bool stepping;                                          /* a step is being computed */
};

/* Starts the engine thread. -ENOMEM, -EINVAL (param names the option as on the command line),
 * -EAGAIN (no thread). */
int scheduler_start(const struct scheduler_options *options, struct scheduler **ret_scheduler,
                    struct error *reterr) KV_MUST_CHECK;

/* Cancels what is left, ends the thread, frees everything. NULL is fine. */
void scheduler_stop(struct scheduler *scheduler);

/* A request whose arena is limited to max_bytes (0: no limit), with a copy of the prompt and all
 * else zero: fill at least sampling (sampling_defaults) and max_tokens. NULL without memory. */
struct scheduler_request *scheduler_request_create(const token_id *prompt, uint32_t n_prompt,
                                                   size_t max_bytes);
void scheduler_request_free(struct scheduler_request *request);

/*
 * Admission. One rule decides whether work is let in, before and after it is prepared: what waits,
 * what is submitted and what is reserved may exceed the limits of the queue only by as many
 * sequences as the next plan can start.
 *
 * scheduler_reserve holds places for work that is still being prepared (tokenised), so that too
 * much of it is refused before the effort; n_tokens may be an estimate, and so it alone refuses
 * nothing while nobody else is waiting. Give the places back with scheduler_release, or hand them
 * in with scheduler_submit_all. An enum scheduler_refusal; its message names the limit.
 */
int scheduler_reserve(struct scheduler *scheduler, const struct scheduler_load *load,
                      struct error *reterr) KV_MUST_CHECK;
void scheduler_release(struct scheduler *scheduler, const struct scheduler_load *load);

/*
 * Takes n requests, all or none: on success gives their ids, in order. Takes the requests and the
 * reserved places (NULL: none) in every case. An enum scheduler_refusal; the message has the
 * numbers, and param is "prompt" where a prompt is at fault by itself.
 */
int scheduler_submit_all(struct scheduler *scheduler, struct scheduler_request *const *requests,
                         uint32_t n, const struct scheduler_load *reserved, seq_id *ret_ids,
                         struct error *reterr) KV_MUST_CHECK;

/* One request, without a reservation. */
int scheduler_submit(struct scheduler *scheduler, struct scheduler_request *request, seq_id *ret_id,
                     struct error *reterr) KV_MUST_CHECK;

/* Ends a sequence in any phase; unknown or finished ids are ignored. Its blocks are free before
 * the next step; it still gives one final event (FINISH_CANCELLED). */
void scheduler_cancel(struct scheduler *scheduler, seq_id id);

/* The outputs of all steps since the last call, oldest first; NULL if none. Never waits. */
struct scheduler_output *scheduler_take_ready(struct scheduler *scheduler);
void scheduler_output_free(struct scheduler_output *output); /* one, not the chain */

void scheduler_stats(const struct scheduler *scheduler, struct scheduler_stats *ret_stats);

#endif
