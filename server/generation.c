/* SPDX-License-Identifier: Apache-2.0 */
#include "generation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/clock.h"

#include "exchange.h"
#include "health.h"
#include "http_response.h"
#include "json_read.h"
#include "server_state.h"
#include "sse.h"

enum {
    PARSE_ON_LOOP_BYTES = 64 << 10, /* beyond, parsing takes more than a millisecond */
    WRITE_ON_LOOP_BYTES = 64 << 10, /* beyond, writing does */
    TICK_MS = 1000,
    FIRST_PING_US = 5000000,
    PING_US = 15000000,
    LEAST_SHARES = 16, /* of max_stream_queue_bytes, for a stream of fewer sequences */
};

/* Why sequences are cancelled, for the counters. */
enum abort_cause { ABORT_DISCONNECT, ABORT_SLOW_READER, ABORT_SHUTDOWN, ABORT_SIBLING_FAILED };

/* ---- the end ---- */

static void on_tick(uv_timer_t *timer) {
    generation_tick(timer->data);
}

/*
 * How fast work is done: a mean that forgets, for Retry-After. What was cancelled or failed says
 * nothing about that, nor does the time in which there was nothing to do.
 */
static void note_finish(struct server *server, uint64_t now_us) {
    const uint64_t since_us = server->last_finish_us > server->work_since_us
                                  ? server->last_finish_us
                                  : server->work_since_us;
    const uint64_t gap = now_us - since_us;
    server->finish_gap_us = server->finish_gap_us ? (server->finish_gap_us * 7 + gap) / 8 : gap;
    server->last_finish_us = now_us;
}

static void count_choice(const struct choice *choice, enum metrics_finish finish) {
    struct generation *gen = choice->gen;
    struct server *server = gen->x->server;
    const uint64_t now = clock_now_us();
    const struct metrics_sequence sequence = {
        .finish = finish,
        .n_prompt = (uint32_t)choice->prompt->ids.n,
        .n_generated = choice->n_generated,
        .max_tokens = choice->max_tokens,
        .n_preemptions = choice->n_preemptions,
        .arrival_us = gen->x->arrival_us,
        .scheduled_us = choice->scheduled_us,
        .first_token_us = choice->first_token_us,
        .last_token_us = choice->last_token_us,
        .now_us = now,
    };
    metrics_count_sequence(&server->metrics, &sequence);
    if (finish == DONE_STOP || finish == DONE_LENGTH)
        note_finish(server, now);
}

/* Cancels what still runs; its blocks are free before the next step. */
static void cancel_open(struct generation *gen, enum abort_cause cause) {
    struct server *server = gen->x->server;
    struct metrics *metrics = &server->metrics;
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        struct choice *choice = &gen->choices[i];
        if (!list_linked(&choice->entry.link))
            continue;
        scheduler_cancel(server->service->scheduler, choice->entry.id);
        seq_map_remove(&server->sequences, &choice->entry);
        choice->finish = FINISH_CANCELLED;
        gen->n_open--;
        count_choice(choice, DONE_ABORT);
        metrics->aborted_by_disconnect += cause == ABORT_DISCONNECT;
        metrics->aborted_by_slow_reader += cause == ABORT_SLOW_READER;
        metrics->aborted_by_shutdown += cause == ABORT_SHUTDOWN;
    }
}

static void fill_access(struct generation *gen) {
    struct access_record *access = &gen->x->access;
    access->generated = true;
    access->response_id = gen->id;
    access->model = gen->model;
    access->stream = gen->request.stream;
    access->n_sequences = gen->n_choices;
    access->prompt_tokens = access->cached_tokens = access->completion_tokens = 0;

    uint64_t decode_us = 0;
    uint64_t n_gaps = 0;
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        const struct choice *choice = &gen->choices[i];
        if (i % (uint32_t)gen->request.n == 0) {
            access->prompt_tokens += choice->prompt->ids.n;
            access->cached_tokens += choice->n_cached;
        }
        access->completion_tokens += choice->n_generated;
        if (choice->n_generated > 1) {
            decode_us += choice->last_token_us - choice->first_token_us;
            n_gaps += choice->n_generated - 1;
        }
    }
    if (gen->n_choices == 0)
        return;
    const struct choice *first = &gen->choices[0];
    const uint64_t arrival = gen->x->arrival_us;
    access->queue_us = first->scheduled_us > arrival ? first->scheduled_us - arrival : 0;
    access->ttft_us = first->first_token_us > arrival ? first->first_token_us - arrival : 0;
    access->tpot_us = n_gaps ? decode_us / n_gaps : 0;
    access->finish = choice_finish_name(first);
}

/* What was held for the body and for parsing it. */
static void give_back_preparation(struct generation *gen) {
    struct budget *budget = &gen->x->server->budget;
    exchange_drop_body(gen->x);
    budget_give(budget, gen->n_scratch_charged);
    gen->n_scratch_charged = 0;
    budget_claim_end(budget, &gen->claim);
}

/* Releases everything but the memory, which is the exchange's. Last: the reference to it. */
static void end(struct generation *gen) {
    INVARIANT(gen->phase != GEN_ENDED);
    struct server *server = gen->x->server;
    gen->phase = GEN_ENDED;
    list_remove(&gen->link);
    if (list_empty(&server->generations))
        (void)uv_timer_stop(&server->stream_timer); /* always succeeds */
    if (list_linked(&gen->dirty_link))
        list_remove(&gen->dirty_link);
    for (uint32_t i = 0; i < gen->n_choices; i++)
        choice_fini(&gen->choices[i]);
    for (uint32_t i = 0; i < gen->n_prompts; i++) {
        token_buf_fini(&gen->prompts[i].ids);
        buf_fini(&gen->prompts[i].text);
    }
    buf_fini(&gen->out);
    buf_fini(&gen->head);
    buf_fini(&gen->reply);
    arena_fini(&gen->scratch);
    give_back_preparation(gen);
    gen_release(gen);
    exchange_unref(gen->x);
}

/* The client is gone (exchange::on_gone). A job on the pool ends the generation when it is back. */
static void on_gone(struct exchange *x) {
    struct generation *gen = x->state;
    if (gen->phase == GEN_PREPARING) {
        x->access.phase = "client gone while its prompt was read";
        if (budget_claim_waits(&gen->claim))
            end(gen);
        return;
    }
    cancel_open(gen, ABORT_DISCONNECT);
    if (!x->access.phase)
        x->access.phase = "client gone";
    fill_access(gen);
    if (gen->phase == GEN_RUNNING)
        end(gen); /* else the job that writes the reply ends it */
}

static void reject(struct generation *gen, int code, const struct error *error) {
    struct exchange *x = gen->x;
    struct metrics *metrics = &x->server->metrics;
    metrics->rejected[REJECT_QUEUE_FULL] += code == -EAGAIN;
    metrics->rejected[REJECT_CONTEXT] += code == -E2BIG;
    metrics->rejected[REJECT_CAPACITY] += code == -ENOSPC;
    metrics->rejected[REJECT_MEMORY] += code == -ENOMEM;
    exchange_reject(x, code, error);
    end(gen);
}

/* It was admitted and cannot go on. Before the first byte that is a status, after it an event. */
static void fail(struct generation *gen, int code, const char *message) {
    struct exchange *x = gen->x;
    fill_access(gen);
    if (!gen->begun) {
        struct error error = {0};
        (void)error_set(&error, code, "%s", message); /* gives the code back */
        exchange_reject(x, code, &error);
        end(gen);
        return;
    }
    x->access.phase = "failed while streaming";
    sse_begin(&gen->out);
    http_error_write_body(&gen->out, message, http_error_type(exchange_error_status(code)), NULL,
                          exchange_error_code(code));
    sse_end(&gen->out);
    x->on_gone = NULL; /* nothing is left to cancel; end() below is the only one */
    exchange_stream_send(x, &gen->out);
    if (!exchange_is_gone(x))
        exchange_stream_end(x); /* and no [DONE]: the stream is not complete */
    end(gen);
}

/* ---- chunks ---- */

void gen_write_usage(struct buf *out, const struct generation *gen) {
    uint64_t n_prompt = 0;
    uint64_t n_cached = 0;
    uint64_t n_generated = 0;
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        if (i % (uint32_t)gen->request.n == 0) {
            n_prompt += gen->choices[i].prompt->ids.n;
            n_cached += gen->choices[i].n_cached;
        }
        n_generated += gen->choices[i].n_generated;
    }
    buf_printf(out,
               "{\"prompt_tokens\":%" PRIu64 ",\"completion_tokens\":%" PRIu64
               ",\"total_tokens\":%" PRIu64 ",\"prompt_tokens_details\":{\"cached_tokens\":%" PRIu64
               "},\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
               n_prompt, n_generated, n_prompt + n_generated, n_cached);
}

static void write_object_head(struct buf *out, const struct generation *gen, const char *object) {
    buf_printf(out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%" PRId64 ",\"model\":", gen->id,
               object, gen->created);
    buf_append_json_string(out, gen->model, strlen(gen->model));
    buf_printf(out, ",\"system_fingerprint\":\"kvasir-%s\"", gen->x->server->options.version);
}

static void begin_chunk(struct generation *gen) {
    if (gen->head.len == 0) {
        sse_begin(&gen->head);
        write_object_head(&gen->head, gen, gen->api->chunk_object);
        buf_append_str(&gen->head, ",\"choices\":[");
    }
    if (buf_failed(&gen->head))
        gen->out.failed = true;
    buf_append(&gen->out, gen->head.data, gen->head.len);
}

/* Behind the list of choices: usage, if it was asked for. */
static void end_chunk(struct generation *gen) {
    if (gen->request.continuous_usage) {
        buf_append_str(&gen->out, ",\"usage\":");
        gen_write_usage(&gen->out, gen);
    } else if (gen->request.include_usage)
        buf_append_str(&gen->out, ",\"usage\":null");
    buf_append_char(&gen->out, '}');
    sse_end(&gen->out);
}

static void add_first_chunk(struct generation *gen, struct choice *choice) {
    choice->started = true;
    if (!gen->api->write_first)
        return;
    begin_chunk(gen);
    gen->api->write_first(&gen->out, choice);
    buf_append_char(&gen->out, ']');
    if (gen->request.return_token_ids) {
        buf_append_str(&gen->out, ",\"prompt_token_ids\":[");
        gen_write_ids(&gen->out, choice->prompt->ids.ids, choice->prompt->ids.n);
        buf_append_char(&gen->out, ']');
    }
    end_chunk(gen);
}

static void add_chunk(struct generation *gen, struct choice *choice) {
    if (!choice->started)
        add_first_chunk(gen, choice);
    if (!choice_has_news(choice))
        return;
    begin_chunk(gen);
    gen->api->write_chunk(&gen->out, choice);
    buf_append_char(&gen->out, ']');
    end_chunk(gen);
    choice_clear_news(choice);
}

static void add_end_chunk(struct generation *gen, const struct choice *choice) {
    begin_chunk(gen);
    gen->api->write_end(&gen->out, choice);
    buf_append_char(&gen->out, ']');
    end_chunk(gen);
}

static void add_last_events(struct generation *gen) {
    if (gen->request.include_usage) {
        begin_chunk(gen);
        buf_append_str(&gen->out, "],\"usage\":");
        gen_write_usage(&gen->out, gen);
        buf_append_char(&gen->out, '}');
        sse_end(&gen->out);
    }
    sse_done(&gen->out);
}

/* The first send begins the response, so that an early failure still has a status of its own. */
static void send_events(struct generation *gen) {
    if (!gen->begun) {
        gen->begun = true;
        exchange_stream_begin(gen->x);
    }
    gen->last_sent_us = clock_now_us();
    exchange_stream_send(gen->x, &gen->out);
}

/* ---- whole responses ---- */

/* Any thread: looks only at the generation, which nothing else changes any more, and at what never
 * changes. */
static void write_whole(const struct generation *gen, struct buf *body) {
    write_object_head(body, gen, gen->api->object);
    buf_append_str(body, ",\"choices\":[");
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        if (i > 0)
            buf_append_char(body, ',');
        gen->api->write_whole(body, &gen->choices[i]);
    }
    buf_append_str(body, "],\"usage\":");
    gen_write_usage(body, gen);
    if (gen->api->endpoint == ENDPOINT_CHAT && gen->request.prompt_logprobs >= 0) {
        buf_append_str(body, ",\"prompt_logprobs\":");
        gen_write_prompt_logprobs(body, &gen->choices[0]);
    }
    if (gen->api->endpoint == ENDPOINT_CHAT && gen->request.return_token_ids) {
        buf_append_str(body, ",\"prompt_token_ids\":[");
        gen_write_ids(body, gen->prompts[0].ids.ids, gen->prompts[0].ids.n);
        buf_append_char(body, ']');
    }
    buf_append_char(body, '}');
}

/* Bytes that write_whole has to read, about. */
static size_t whole_size(const struct generation *gen) {
    size_t size = 0;
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        const struct choice *c = &gen->choices[i];
        size += c->delta.len + c->id_items.len + c->prompt_scores.len + c->logprobs.tokens.len +
                c->logprobs.values.len + c->logprobs.tops.len + c->logprobs.offsets.len;
        if (gen->request.return_token_ids)
            size += c->prompt->ids.n * sizeof(token_id);
    }
    return size;
}

static void send_whole(struct generation *gen) {
    fill_access(gen);
    exchange_reply_json(gen->x, &gen->reply);
    end(gen);
}

static void reply_job(uv_work_t *work) {
    struct generation *gen = work->data;
    write_whole(gen, &gen->reply);
}

static void after_reply_job(uv_work_t *work, int status) {
    struct generation *gen = work->data;
    struct server *server = gen->x->server;
    server->n_jobs--;
    if (status < 0) /* cancelled: it was not written */
        gen->reply.failed = true;
    if (exchange_is_gone(gen->x))
        end(gen);
    else
        send_whole(gen);
    server_maybe_quit(server);
}

static void reply_whole(struct generation *gen) {
    if (whole_size(gen) <= WRITE_ON_LOOP_BYTES) {
        write_whole(gen, &gen->reply);
        send_whole(gen);
        return;
    }
    gen->phase = GEN_REPLYING;
    gen->work.data = gen;
    gen->x->server->n_jobs++;
    /* Fails only without a callback. */
    (void)uv_queue_work(&gen->x->server->loop, &gen->work, reply_job, after_reply_job);
}

/* ---- events ---- */

/* The choice has ended by itself: its sequence is not ours any more. */
static void close_choice(struct choice *choice) {
    struct generation *gen = choice->gen;
    struct server *server = gen->x->server;
    if (choice->stop_index >= 0 || choice->finish == FINISH_ERROR) /* the scheduler may go on */
        scheduler_cancel(server->service->scheduler, choice->entry.id);
    seq_map_remove(&server->sequences, &choice->entry);
    gen->n_open--;
    count_choice(choice, choice->finish == FINISH_STOP     ? DONE_STOP
                         : choice->finish == FINISH_LENGTH ? DONE_LENGTH
                                                           : DONE_ERROR);
}

static void take_event(struct server *server, const struct scheduler_event *event,
                       struct list *dirty) {
    struct seq_entry *entry = seq_map_find(&server->sequences, event->id);
    if (!entry)
        return; /* its client is gone, or it reached a stop string */
    struct choice *choice = list_entry((struct list *)(void *)entry, struct choice, entry);
    struct generation *gen = choice->gen;

    const bool ended = choice_take_event(choice, event);
    if (ended)
        close_choice(choice);
    if (gen->request.stream && choice->finish != FINISH_ERROR) {
        if (choice_has_news(choice) || (ended && !choice->started)) {
            const bool first = !choice->started;
            const size_t before = gen->out.len;
            add_chunk(gen, choice);
            if (first && (gen->request.echo || gen->request.return_token_ids))
                gen->n_prompt_bytes += gen->out.len - before;
        }
        if (ended)
            add_end_chunk(gen, choice);
    }
    if (!list_linked(&gen->dirty_link) && (ended || gen->out.len > 0))
        list_push_back(dirty, &gen->dirty_link);
}

static const struct choice *failed_choice(const struct generation *gen) {
    for (uint32_t i = 0; i < gen->n_choices; i++) {
        if (gen->choices[i].finish == FINISH_ERROR)
            return &gen->choices[i];
    }
    return NULL;
}

/*
 * A reader that does not read: what is queued for it must not grow. Not counted is what a healthy
 * one may find in its queue at any moment: the last write, which may be large by itself (hundreds
 * of choices), and prompts given back. The rest is bounded for each sequence; and a reader that
 * takes nothing at all has a sixth of the time that an unread whole answer has.
 */
static bool is_too_slow(const struct generation *gen, struct conn_backlog backlog) {
    const struct server_options *options = &gen->x->server->options;
    const size_t each = options->max_stream_queue_bytes;
    const size_t n_shares = gen->n_choices > LEAST_SHARES ? gen->n_choices : LEAST_SHARES;
    if (backlog.behind > each * n_shares + gen->n_prompt_bytes)
        return true;
    return backlog.behind > each && backlog.stuck_us > options->write_timeout_us / 6;
}

/* True if its reader was cut off. */
static bool cut_slow_reader(struct generation *gen) {
    struct exchange *x = gen->x;
    const struct conn_backlog backlog = exchange_backlog(x);
    const bool no_room = backlog.behind > 0 && !budget_has_room(&x->server->budget, gen->out.len);
    if (!is_too_slow(gen, backlog) && !no_room)
        return false;
    log_message(&x->server->log, SERVER_LOG_WARNING,
                "request %s: cancelled, its reader is %zu bytes behind and took nothing for %.1f s",
                x->access.request_id, backlog.behind, (double)backlog.stuck_us / 1e6);
    cancel_open(gen, ABORT_SLOW_READER);
    x->access.phase = "reader too slow";
    exchange_abort(x);
    return true;
}

/* One write per connection and wake-up. */
static void flush(struct generation *gen) {
    struct exchange *x = gen->x;
    exchange_ref(x); /* sending may find the client gone, and end the generation */
    const struct choice *failed = failed_choice(gen);
    if (failed) {
        cancel_open(gen, ABORT_SIBLING_FAILED);
        fail(gen, failed->error_code, failed->error);
    } else if (gen->request.stream) {
        if (!cut_slow_reader(gen)) {
            const bool ended = gen->n_open == 0;
            if (ended) {
                add_last_events(gen);
                fill_access(gen);
            }
            send_events(gen);
            if (ended && gen->phase != GEN_ENDED) {
                exchange_stream_end(x);
                end(gen);
            }
        }
    } else if (gen->n_open == 0)
        reply_whole(gen);
    exchange_unref(x);
}

void generation_take_outputs(struct server *server) {
    struct list dirty; /* generation::dirty_link */
    list_init(&dirty);
    struct scheduler_output *output =
        server->service ? scheduler_take_ready(server->service->scheduler) : NULL;
    while (output) {
        struct scheduler_output *next = output->next;
        for (uint32_t i = 0; i < output->n_events; i++)
            take_event(server, &output->events[i], &dirty);
        scheduler_output_free(output);
        output = next;
    }
    while (!list_empty(&dirty)) {
        struct list *link = list_first(&dirty);
        list_remove(link);
        flush(list_entry(link, struct generation, dirty_link));
    }
}

/* ---- the beginning ---- */

static void run(struct generation *gen) {
    struct error error = {0};
    if (gen->shutting_down) {
        reject(gen, -ESHUTDOWN, &(struct error){.message = "The server is shutting down."});
        return;
    }
    const int r = gen_submit(gen, &error);
    if (r < 0) {
        reject(gen, r, &error);
        return;
    }
    gen->phase = GEN_RUNNING;
    gen->last_sent_us = clock_now_us();
    histogram_observe(&gen->x->server->metrics.n_param, (double)gen->request.n);
}

static struct generation *generation_of(uv_work_t *work) {
    return work->data;
}

static void job(uv_work_t *work) {
    struct generation *gen = generation_of(work);
    gen->job_result = 0;
    if (gen->request.n == 0) /* not parsed on the loop: a parsed request has n >= 1 */
        gen->job_result = gen_prepare_parse(gen, &gen->job_error);
    if (gen->job_result == 0)
        gen->job_result = gen_prepare_encode(gen, &gen->job_error);
}

static void after_job(uv_work_t *work, int status) {
    struct generation *gen = generation_of(work);
    struct server *server = gen->x->server;
    server->n_jobs--;
    give_back_preparation(gen);
    if (gen->request.stream)
        exchange_will_stream(gen->x); /* may find the client gone */
    if (exchange_is_gone(gen->x))
        end(gen);
    else if (status < 0 || gen->job_result < 0)
        reject(gen, status < 0 ? -ESHUTDOWN : gen->job_result, &gen->job_error);
    else
        run(gen);
    server_maybe_quit(server);
}

/* Its places in the queue are held from here on: too much is refused before it is tokenised. */
static int parse_now(struct generation *gen, struct error *reterr) {
    if (gen->api->endpoint == ENDPOINT_CHAT && !gen->x->server->service->chat_template)
        return error_set(reterr, -EINVAL,
                         "The model has no chat template; use /v1/completions with a prompt.");
    int r = gen_reserve(gen, reterr);
    if (r < 0 || gen->x->request->body.len > PARSE_ON_LOOP_BYTES)
        return r; /* the job parses it */
    r = gen_prepare_parse(gen, reterr);
    if (r < 0)
        return r;
    if (!budget_take(&gen->x->server->budget, arena_used(&gen->scratch)))
        return -ENOMEM;
    gen->n_scratch_charged = arena_used(&gen->scratch);
    r = gen_reserve(gen, reterr); /* now that the number of its sequences is known */
    exchange_drop_body(gen->x);
    return r;
}

static void start_job(struct generation *gen) {
    struct server *server = gen->x->server;
    gen->work.data = gen;
    server->n_jobs++;
    /* Fails only without a callback. */
    (void)uv_queue_work(&server->loop, &gen->work, job, after_job);
}

static void on_granted(struct budget_claim *claim) {
    start_job(list_entry(claim, struct generation, claim));
}

void generation_start(struct exchange *x, const struct gen_api *api) {
    struct server *server = x->server;
    struct generation *gen = arena_alloc_zero(&x->arena, 1, sizeof *gen);
    if (!gen) {
        exchange_reject(x, -ENOMEM, &(struct error){0});
        return;
    }
    gen->x = x;
    gen->api = api;
    gen->created = clock_wall_s();
    gen->model = server_model_names(server).items[0];
    /* Ours, not the client's request id: two clients may use the same one. */
    unsigned char random[12] = {0};
    (void)uv_random(NULL, NULL, random, sizeof random, 0, NULL); /* only a name */
    struct buf id = {.data = NULL};
    buf_append_str(&id, api->id_prefix);
    for (size_t i = 0; i < sizeof random; i++)
        buf_printf(&id, "%02x", random[i]);
    if (!buf_failed(&id) && id.len < sizeof gen->id)
        memcpy(gen->id, id.data, id.len + 1);
    buf_fini(&id);

    list_push_back(&server->generations, &gen->link);
    exchange_ref(x);
    x->state = gen;
    x->on_gone = on_gone;
    if (!uv_is_active((const uv_handle_t *)&server->stream_timer)) /* cannot fail: open handle */
        (void)uv_timer_start(&server->stream_timer, on_tick, TICK_MS, TICK_MS);

    struct error error = {0};
    const int r = parse_now(gen, &error);
    if (r < 0) {
        reject(gen, r, &error);
        return;
    }
    /* Parsing takes a tree and what is made of it; it waits until there is room for both. */
    if (gen->request.n == 0)
        budget_claim_begin(&server->budget, &gen->claim, 2 * json_read_cost(x->request->body.len),
                           on_granted);
    else
        start_job(gen);
}

/* ---- from the server ---- */

/* Each said once when it begins: what an operator needs to see what hangs. */
static void log_stall(struct server *server) {
    struct scheduler_stats s;
    scheduler_stats(server->service->scheduler, &s);
    if (s.stalls > 0 && !server->empty_plan_logged)
        log_message(&server->log, SERVER_LOG_ERROR,
                    "a step was planned empty with %u running and %u waiting: this is a mistake "
                    "in kvasir, please report it",
                    s.n_running, s.n_waiting);
    server->empty_plan_logged = s.stalls > 0;

    const char *problem = health_problem(server);
    const bool stalled = problem && strcmp(problem, "stalled") == 0;
    if (stalled && !server->stall_logged)
        log_message(&server->log, SERVER_LOG_ERROR,
                    "stalled: no step has ended for a minute; %u running, %u waiting, %" PRIu64
                    " steps so far, %s, blocks: %u free, %u cached, %u in all",
                    s.n_running, s.n_waiting, s.steps,
                    s.stepping ? "inside a step" : "between steps", s.blocks_free, s.blocks_cached,
                    s.blocks_total);
    server->stall_logged = stalled;
}

void generation_tick(struct server *server) {
    const uint64_t now = clock_now_us();
    log_stall(server);
    list_for_each (link, &server->generations) {
        struct generation *gen = list_entry(link, struct generation, link);
        if (gen->phase != GEN_RUNNING || !gen->request.stream ||
            now - gen->last_sent_us < (gen->begun ? PING_US : FIRST_PING_US))
            continue;
        struct exchange *x = gen->x;
        exchange_ref(x);
        sse_comment(&gen->out);
        send_events(gen);
        exchange_unref(x);
    }
}

void generation_abort_all(struct server *server) {
    list_for_each (link, &server->generations) {
        struct generation *gen = list_entry(link, struct generation, link);
        if (gen->phase == GEN_PREPARING) {
            gen->shutting_down = true;
            if (!budget_claim_waits(&gen->claim))
                continue; /* its job ends it */
            reject(gen, -ESHUTDOWN, &(struct error){.message = "The server is shutting down."});
            continue;
        }
        if (gen->phase == GEN_REPLYING)
            continue; /* its reply is about to be sent */
        struct exchange *x = gen->x;
        exchange_ref(x);
        cancel_open(gen, ABORT_SHUTDOWN);
        fail(gen, -ESHUTDOWN, "The server is shutting down.");
        exchange_unref(x);
    }
}

uint32_t generation_n_running(const struct server *server) {
    uint32_t n = 0;
    for (const struct list *link = server->generations.next; link != &server->generations;
         link = link->next)
        n++;
    return n;
}
