/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choice - what the scheduler's events make of one sequence: text, log-probabilities, an end.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "exchange.h"
#include "generation.h"
#include "server_state.h"

void choice_fini(struct choice *choice) {
    detokenizer_close(choice->detok);
    buf_fini(&choice->delta);
    buf_fini(&choice->id_items);
    buf_fini(&choice->logprobs.tokens);
    buf_fini(&choice->logprobs.values);
    buf_fini(&choice->logprobs.tops);
    buf_fini(&choice->logprobs.offsets);
    buf_fini(&choice->prompt_scores);
    choice->detok = NULL;
}

bool choice_has_news(const struct choice *choice) {
    return choice->delta.len > 0 || choice->logprobs.n > 0 || choice->id_items.len > 0;
}

void choice_clear_news(struct choice *choice) {
    buf_clear(&choice->delta);
    buf_clear(&choice->id_items);
    buf_clear(&choice->logprobs.tokens);
    buf_clear(&choice->logprobs.values);
    buf_clear(&choice->logprobs.tops);
    buf_clear(&choice->logprobs.offsets);
    choice->logprobs.n = 0;
}

const char *choice_finish_name(const struct choice *choice) {
    switch (choice->finish) {
    case FINISH_STOP:
        return "stop";
    case FINISH_LENGTH:
        return "length";
    case FINISH_CANCELLED:
        return "abort";
    case FINISH_ERROR:
        return "error";
    default:
        return "none";
    }
}

/* JSON has no infinity; -9999 is what clients of OpenAI's API expect in its place. */
void gen_write_float(struct buf *out, float value) {
    if (!isfinite(value))
        value = -9999.0f;
    buf_printf(out, "%.9g", (double)value);
}

void gen_write_ids(struct buf *out, const token_id *ids, size_t n) {
    for (size_t i = 0; i < n; i++)
        buf_printf(out, i ? ",%d" : "%d", ids[i]);
}

void gen_write_stop_reason(struct buf *out, const struct choice *choice) {
    const struct gen_request *request = &choice->gen->request;
    if (choice->stop_index >= 0) {
        const char *stop = request->stops[choice->stop_index];
        buf_append_json_string(out, stop, strlen(stop));
        return;
    }
    /* As in vLLM: an id that the client asked to stop at is named, the model's own end is not. */
    for (uint32_t i = 0; i < request->n_stop_ids; i++) {
        if (choice->stop_token == request->stop_ids[i]) {
            buf_printf(out, "%d", choice->stop_token);
            return;
        }
    }
    buf_append_str(out, "null");
}

/* ---- scores of prompt tokens ---- */

/* The one that is scored for all choices of its prompt. */
static const struct choice *first_of_prompt(const struct choice *choice) {
    return choice - choice->index % (uint32_t)choice->gen->request.n;
}

static void write_prompt_score(struct buf *out, const struct tokenizer *tokenizer, token_id token,
                               float logprob, uint32_t rank) {
    size_t len;
    const char *bytes = tokenizer_token_bytes(tokenizer, token, &len);
    buf_printf(out, "\"%d\":{\"logprob\":", token);
    gen_write_float(out, logprob);
    buf_printf(out, ",\"rank\":%u,\"decoded_token\":", rank);
    buf_append_json_string(out, bytes, len);
    buf_append_char(out, '}');
}

/* vLLM's shape: null for the first token, then one object a token: the token itself and the best
 * ones, by id. */
void gen_write_prompt_logprobs(struct buf *out, const struct choice *choice) {
    const struct generation *gen = choice->gen;
    const struct tokenizer *tokenizer = gen->x->server->service->tokenizer;
    const struct buf *raw = &first_of_prompt(choice)->prompt_scores;

    buf_append_str(out, "[null");
    for (size_t at = 0; at < raw->len;) {
        struct token_score score;
        memcpy(&score, raw->data + at, sizeof score);
        at += sizeof score;
        buf_append_str(out, ",{");
        write_prompt_score(out, tokenizer, score.token, score.logprob, score.rank);
        for (uint32_t i = 0; i < score.n_top; i++) {
            struct token_logprob top;
            memcpy(&top, raw->data + at, sizeof top);
            at += sizeof top;
            if (top.token == score.token)
                continue;
            buf_append_char(out, ',');
            write_prompt_score(out, tokenizer, top.token, top.logprob, i + 1);
        }
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

/* Keeps a score for gen_write_prompt_logprobs: itself, and behind it the wanted ones of its top. */
static void keep_prompt_score(struct choice *choice, const struct token_score *score) {
    const uint32_t wanted = (uint32_t)choice->gen->request.prompt_logprobs;
    struct token_score kept = *score;
    kept.n_top = score->n_top < wanted ? score->n_top : wanted;
    kept.top = NULL; /* goes with the event */
    buf_append(&choice->prompt_scores, &kept, sizeof kept);
    buf_append(&choice->prompt_scores, score->top, kept.n_top * sizeof *score->top);
}

static void take_scores(struct choice *choice, const struct scheduler_event *event) {
    const struct generation *gen = choice->gen;
    for (uint32_t i = 0; i < event->n_scores; i++) {
        const struct token_score *score = &event->scores[i];
        const uint32_t row = event->first_score + i;
        if (row != choice->n_scored)
            continue; /* computed again after a preemption */
        choice->n_scored++;
        if (gen->request.prompt_logprobs >= 0 && first_of_prompt(choice) == choice)
            keep_prompt_score(choice, score);
        if (gen->request.echo && gen->request.n_logprobs >= 0)
            gen->api->add_logprob(choice, score->token, &score->logprob, score->top, score->n_top);
    }
}

/* ---- tokens ---- */

static void note_times(struct choice *choice, const struct scheduler_event *event) {
    struct metrics *metrics = &choice->gen->x->server->metrics;
    if (!choice->first_token_us) {
        choice->first_token_us = event->produced_us;
        histogram_observe(&metrics->ttft,
                          (double)(event->produced_us - choice->gen->x->arrival_us) / 1e6);
    } else {
        histogram_observe(&metrics->itl,
                          (double)(event->produced_us - choice->last_token_us) / 1e6);
    }
    choice->last_token_us = event->produced_us;
}

/* Returns 0 or -ENOMEM; *ret_stop as detokenizer_push. */
static int take_token(struct choice *choice, const struct scheduler_event *event, int *ret_stop) {
    struct generation *gen = choice->gen;
    const struct gen_request *request = &gen->request;
    const bool end_token = event->finish == FINISH_STOP && event->stop_token != TOKEN_NONE;

    choice->n_generated++;
    note_times(choice, event);
    if (request->return_token_ids)
        buf_printf(&choice->id_items, choice->id_items.len ? ",%d" : "%d", event->token);
    if (request->chat_logprobs || request->n_logprobs >= 0)
        gen->api->add_logprob(choice, event->token, &event->logprob, event->top, event->n_top);
    if (end_token && !request->include_stop_str_in_output)
        return 0; /* it ends the text, it is not part of it */
    return detokenizer_push(choice->detok, event->token, &choice->delta, ret_stop);
}

static bool memory_failed(const struct choice *choice) {
    return buf_failed(&choice->delta) || buf_failed(&choice->id_items) ||
           buf_failed(&choice->logprobs.tokens) || buf_failed(&choice->logprobs.values) ||
           buf_failed(&choice->logprobs.tops) || buf_failed(&choice->logprobs.offsets) ||
           buf_failed(&choice->prompt_scores);
}

static void fail(struct choice *choice, int code, const char *message) {
    choice->finish = FINISH_ERROR;
    choice->error_code = code;
    choice->error = message;
}

bool choice_take_event(struct choice *choice, const struct scheduler_event *event) {
    int stop = -1;
    int r = 0;
    if (!choice->scheduled_us)
        choice->scheduled_us = event->scheduled_us;
    choice->n_cached = event->n_cached_tokens;
    choice->n_preemptions = event->n_preemptions;
    if (event->n_scores > 0)
        take_scores(choice, event);
    if (event->token != TOKEN_NONE)
        r = take_token(choice, event, &stop);

    if (event->finish != FINISH_NONE && stop < 0 && r == 0)
        r = detokenizer_finish(choice->detok, &choice->delta, &stop);

    choice->finish = event->finish;
    choice->stop_token = event->stop_token;
    if (stop >= 0) {
        choice->finish = FINISH_STOP;
        choice->stop_token = TOKEN_NONE;
        choice->stop_index = stop;
    }

    if (event->finish == FINISH_ERROR) {
        const char *text =
            event->error ? event->error : "The engine could not compute this sequence.";
        const char *copy = arena_dup(&choice->gen->x->arena, text, strlen(text));
        fail(choice, event->error_code,
             copy ? copy : "The engine could not compute this sequence.");
    } else if (event->finish == FINISH_CANCELLED)
        fail(choice, -ESHUTDOWN, "The server is shutting down."); /* else the id would be unknown */
    else if (r < 0 || memory_failed(choice))
        fail(choice, -ENOMEM, "There is not enough memory to go on with this request.");
    return choice->finish != FINISH_NONE;
}
