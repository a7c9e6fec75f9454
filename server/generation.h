/* SPDX-License-Identifier: Apache-2.0 */
/*
 * generation - one generating request from its body to its last event.
 *
 *   parse (loop, or pool when the body is large) -> encode (pool) -> submit (loop) ->
 *   events of the scheduler (loop) -> text and JSON -> the exchange
 *
 * A generation has one choice per sequence: prompts times n. It lives in its exchange's arena and
 * holds a reference to the exchange until generation_end. What differs between the endpoints is in
 * a struct gen_api: how the body is read and how choices are written.
 *
 * Loop thread, except gen_prepare.c's job, which has the generation to itself while it runs.
 */
#ifndef KVASIR_SERVER_GENERATION_H
#define KVASIR_SERVER_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "kvasir/buf.h"
#include "kvasir/list.h"
#include "kvasir/scheduler.h"
#include "kvasir/server.h"

#include "budget.h"
#include "gen_request.h"
#include "seq_map.h"
#include "span.h"

struct exchange;
struct generation;
struct server;

/* The token ids of one prompt, and its text if it is needed again (echo). */
struct encoded_prompt {
    struct token_buf ids;
    struct buf text;
};

/* Log-probabilities as JSON list items, since the last chunk (stream) or all (whole). */
struct logprob_items {
    struct buf tokens; /* chat: the whole entries */
    struct buf values; /* completions only, as the next two */
    struct buf tops;
    struct buf offsets;
    uint32_t n;
};

/* One sequence of a generation, and its place in the response. */
struct choice {
    struct seq_entry entry; /* server::sequences, while it runs */
    struct generation *gen;
    const struct encoded_prompt *prompt;
    uint32_t index; /* in the response */
    uint32_t max_tokens;
    struct detokenizer *detok;

    struct buf delta;    /* text since the last chunk; whole: all of it */
    struct buf id_items; /* return_token_ids: ids as JSON items, as delta */
    struct logprob_items logprobs;
    struct buf prompt_scores; /* prompt_logprobs, first choice of a prompt: a token_score and its
                                 tops each; JSON is made of them with the response */
    uint32_t n_scored;        /* prompt rows whose score was taken */
    uint64_t text_offset;     /* characters, of the next logprobs entry */

    uint32_t n_generated, n_cached, n_preemptions;
    uint64_t scheduled_us, first_token_us, last_token_us; /* 0: not yet */
    enum finish_reason finish;
    token_id stop_token; /* TOKEN_NONE: none */
    int stop_index;      /* of the stop string; -1: none */
    int error_code;      /* with FINISH_ERROR: a negative errno, see exchange_reject */
    const char *error;   /* its sentence; in the exchange's arena */
    bool started;        /* stream: its first chunk was written */
};

struct gen_api {
    enum gen_endpoint endpoint;
    const char *id_prefix;
    const char *object;
    const char *chunk_object;
    int (*parse)(const json_t *root, const struct gen_context *context, struct gen_request *request,
                 struct error *reterr);
    /* Members of a choice object, braces included. */
    void (*write_first)(struct buf *out, const struct choice *choice); /* NULL: no such chunk */
    void (*write_chunk)(struct buf *out, const struct choice *choice); /* delta and logprobs */
    void (*write_end)(struct buf *out, const struct choice *choice);
    void (*write_whole)(struct buf *out, const struct choice *choice);
    /* logprob NULL: the first prompt token has none. */
    void (*add_logprob)(struct choice *choice, token_id token, const float *logprob,
                        const struct token_logprob *top, uint32_t n_top);
};

/* REPLYING: all choices have ended, and a job writes the whole response. */
enum gen_phase { GEN_PREPARING, GEN_RUNNING, GEN_REPLYING, GEN_ENDED };

struct generation {
    struct exchange *x;
    const struct gen_api *api;
    struct list link; /* server::generations, from start to end */
    enum gen_phase phase;

    struct gen_request request;
    struct arena scratch;      /* what the request has only until its prompts are ids */
    size_t n_scratch_charged;  /* of the budget, for a request parsed on the loop */
    struct budget_claim claim; /* on the budget, for one that the job parses */
    struct encoded_prompt *prompts;
    uint32_t n_prompts;

    struct scheduler_load reserved; /* places in the scheduler's queue, until it is submitted */
    struct choice *choices;
    uint32_t n_choices;
    uint32_t n_open; /* not finished */

    struct list dirty_link; /* linked while events wait to be sent */
    struct buf out;         /* server-sent events of this wake-up */
    struct buf head;        /* what every chunk begins with */
    bool begun;             /* the response has begun (stream) */
    size_t n_prompt_bytes;  /* sent so far in which a prompt was given back (stream) */
    uint64_t last_sent_us;
    bool shutting_down; /* abort_all came while it was prepared */

    char id[64];
    int64_t created;
    const char *model;

    struct buf reply; /* the whole response, if it is large */
    uv_work_t work;   /* the job of gen_prepare.c, later the one that writes the reply */
    int job_result;
    struct error job_error;
};

/* ---- for the handlers and the server ---- */

/* Takes over the exchange: answers it in the end. */
void generation_start(struct exchange *x, const struct gen_api *api);

/* The scheduler has outputs: hands them to their choices and sends what came of it. */
void generation_take_outputs(struct server *server);

void generation_abort_all(struct server *server); /* the drain's time is over */
void generation_tick(struct server *server);      /* keep-alive comments, once a second */
uint32_t generation_n_running(const struct server *server);

/* ---- between the files of this module ---- */

/* Body to request (JSON); then request to ids. Any thread. */
int gen_prepare_parse(struct generation *gen, struct error *reterr) KV_MUST_CHECK;
int gen_prepare_encode(struct generation *gen, struct error *reterr) KV_MUST_CHECK;

/* Holds places in the scheduler's queue for what is known of the request so far, instead of those
 * held before. An enum scheduler_refusal. */
int gen_reserve(struct generation *gen, struct error *reterr) KV_MUST_CHECK;
void gen_release(struct generation *gen); /* gives them back */

/* Makes the choices and hands their sequences to the scheduler: all of them or none. */
int gen_submit(struct generation *gen, struct error *reterr) KV_MUST_CHECK;

/* One event of the scheduler. True if the choice has ended with it. -ENOMEM ends it with an
 * error. */
bool choice_take_event(struct choice *choice, const struct scheduler_event *event);
void choice_fini(struct choice *choice);
const char *choice_finish_name(const struct choice *choice);
bool choice_has_news(const struct choice *choice); /* something for a chunk */
void choice_clear_news(struct choice *choice);     /* it was written */

/* The list of prompt_logprobs that the choice shows. */
void gen_write_prompt_logprobs(struct buf *out, const struct choice *choice);
void gen_write_usage(struct buf *out, const struct generation *gen);
void gen_write_stop_reason(struct buf *out, const struct choice *choice);
void gen_write_float(struct buf *out, float value);
void gen_write_ids(struct buf *out, const token_id *ids, size_t n);

#endif
