/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"

struct fake_engine {
    struct fake_engine_options options;
    uint64_t *kv;            /* [n_blocks, block_size]: what was computed in the slot; 0: nothing */
    struct row_output *rows; /* [max_batch_tokens] */
    uint64_t n_steps;
    uint64_t n_tokens;
    char complaint[160];
};

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rope_class(const struct fake_engine_options *options, uint32_t length) {
    return options->rope_length > 0 ? length / options->rope_length % 2 : 0;
}

uint64_t fake_engine_rope_class(const void *engine, uint32_t length) {
    const struct fake_engine *fake = engine;
    return rope_class(&fake->options, length);
}

/* What a slot holds: stands for the key and value of one token. Never 0. */
static uint64_t content(const struct fake_engine_options *options, token_id token,
                        uint32_t position, uint32_t n_prompt) {
    const uint32_t length = position + 1 > n_prompt ? position + 1 : n_prompt;
    return mix(((uint64_t)(uint32_t)token << 32 | position) * 0x9e3779b97f4a7c15u +
               rope_class(options, length)) |
           1;
}

/* The whole context, slot by slot: stands for attention. */
static uint64_t fold(uint64_t state, uint64_t slot) {
    return (state ^ slot) * 0x9e3779b97f4a7c15u + (state >> 29);
}

static uint64_t history_state(const struct fake_engine_options *options, const token_id *history,
                              uint32_t n_history, uint32_t n_prompt) {
    uint64_t state = 0;
    for (uint32_t p = 0; p < n_history; p++)
        state = fold(state, content(options, history[p], p, n_prompt));
    return state;
}

/* The token behind a context of n_history tokens. */
static token_id next_token(const struct fake_engine_options *options, uint64_t state,
                           uint32_t n_history, uint32_t n_prompt) {
    const uint64_t h = mix(state);
    if (options->nan_every > 0 && mix(h ^ 1) % options->nan_every == 0)
        return TOKEN_NONE;
    if (options->nan_at > 0 && n_history - n_prompt + 1 == options->nan_at)
        return TOKEN_NONE;
    if (options->script) {
        const uint32_t i = n_history - n_prompt; /* wraps in the prompt: nobody asks there */
        return i < options->n_script ? options->script[i] : options->eos;
    }
    if (options->eos_every == 0)
        return (token_id)(h % options->n_vocab);
    if (mix(h ^ 2) % options->eos_every == 0)
        return options->eos;
    const token_id token = (token_id)(h % (options->n_vocab - 1));
    return token < options->eos ? token : token + 1; /* any but eos */
}

static float logprob(uint64_t state, token_id token) {
    return -(float)(mix(state ^ (uint64_t)(uint32_t)token << 17) % 4096) / 256.0f;
}

static float logit(uint64_t state, token_id token) {
    return (float)(mix(state + (uint64_t)(uint32_t)token) % 4096) / 128.0f - 16.0f;
}

token_id fake_engine_next(const struct fake_engine_options *options, const token_id *history,
                          uint32_t n_history, uint32_t n_prompt) {
    return next_token(options, history_state(options, history, n_history, n_prompt), n_history,
                      n_prompt);
}

float fake_engine_logprob(const struct fake_engine_options *options, const token_id *history,
                          uint32_t n_history, uint32_t n_prompt, token_id token) {
    return logprob(history_state(options, history, n_history, n_prompt), token);
}

float fake_engine_logit(const struct fake_engine_options *options, const token_id *history,
                        uint32_t n_history, uint32_t n_prompt, token_id token) {
    return logit(history_state(options, history, n_history, n_prompt), token);
}

struct fake_engine *fake_engine_create(const struct fake_engine_options *options) {
    struct fake_engine *engine = mem_alloc_zero(1, sizeof *engine);
    if (!engine)
        return NULL;

    const size_t n_slots = (size_t)options->n_blocks * options->block_size;
    engine->options = *options;
    engine->kv = mem_alloc_zero(n_slots, sizeof *engine->kv);
    engine->rows = mem_alloc_zero(options->max_batch_tokens, sizeof *engine->rows);
    if (!engine->kv || !engine->rows) {
        fake_engine_destroy(engine);
        return NULL;
    }
    return engine;
}

void fake_engine_destroy(struct fake_engine *engine) {
    if (!engine)
        return;
    mem_free(engine->kv);
    mem_free(engine->rows);
    mem_free(engine);
}

uint64_t fake_engine_tokens_computed(const struct fake_engine *engine) {
    return engine->n_tokens;
}

const char *fake_engine_complaint(const struct fake_engine *engine) {
    return engine->complaint[0] ? engine->complaint : NULL;
}

/* What is wrong with sequence i of the batch, or NULL. */
static const char *fault_of(const struct fake_engine *engine, const struct batch *batch, uint32_t i,
                            uint32_t first) {
    const struct batch_seq *seq = &batch->seqs[i];
    const uint64_t end = (uint64_t)seq->n_context + seq->n_tokens;

    if (seq->n_tokens == 0 || seq->first != first || seq->first + seq->n_tokens > batch->n_tokens)
        return "its slice is not the next one of the batch";
    if ((uint64_t)seq->n_blocks * engine->options.block_size < end)
        return "its table does not cover its tokens";
    if (end > seq->n_history || seq->n_prompt > seq->n_history)
        return "its history is shorter than its tokens";
    if (seq->rows != BATCH_ROWS_NONE && !seq->params)
        return "it wants rows without parameters";
    if (seq->sample && (seq->rows == BATCH_ROWS_NONE || end != seq->n_history))
        return "it is sampled before it is computed";
    for (uint32_t b = 0; b < seq->n_blocks; b++)
        if (seq->block_table[b] >= engine->options.n_blocks)
            return "a block is outside the pool";
    for (uint32_t t = 0; t < seq->n_tokens; t++)
        if (batch->positions[first + t] != seq->n_context + t ||
            batch->tokens[first + t] != seq->history[seq->n_context + t])
            return "its positions or tokens are not those behind its context";
    return NULL;
}

static int check_batch(struct fake_engine *engine, const struct batch *batch) {
    uint32_t first = 0;
    const char *fault =
        batch->n_tokens > engine->options.max_batch_tokens ? "too many tokens" : NULL;
    uint32_t i = 0;

    for (; !fault && i < batch->n_seqs; i++) {
        fault = fault_of(engine, batch, i, first);
        first += batch->seqs[i].n_tokens;
    }
    if (!fault && first != batch->n_tokens)
        fault = "the slices are not the whole batch";
    if (!fault)
        return 0;
    (void)snprintf(engine->complaint, sizeof engine->complaint, "step %llu, sequence %u: %s",
                   (unsigned long long)engine->n_steps, i, fault); /* it fits */
    return -EINVAL;
}

static uint64_t *slot_of(const struct fake_engine *engine, const struct batch_seq *seq,
                         uint32_t position) {
    const uint32_t block_size = engine->options.block_size;
    const size_t block = seq->block_table[position / block_size];
    return &engine->kv[block * block_size + position % block_size];
}

static void write_kv(struct fake_engine *engine, const struct batch *batch) {
    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        const struct batch_seq *seq = &batch->seqs[i];
        for (uint32_t t = 0; t < seq->n_tokens; t++) {
            const uint32_t p = seq->n_context + t;
            *slot_of(engine, seq, p) =
                content(&engine->options, batch->tokens[seq->first + t], p, seq->n_prompt);
        }
    }
}

static bool contains(const token_id *ids, uint32_t n, token_id id) {
    uint32_t i = 0;
    while (i < n && ids[i] != id)
        i++;
    return i < n;
}

/* Are only stop ids allowed, while min_tokens forbids them? */
static bool allows_nothing(const struct batch_seq *seq) {
    const struct sampling_params *params = seq->params;
    uint32_t n_masked = 0;
    if (seq->n_history - seq->n_prompt < params->min_tokens)
        while (n_masked < params->n_allowed_ids &&
               contains(params->stop_ids, params->n_stop_ids, params->allowed_ids[n_masked]))
            n_masked++;
    return params->n_allowed_ids > 0 && n_masked == params->n_allowed_ids;
}

static void fill_row(const struct fake_engine *engine, const struct batch_seq *seq, uint32_t index,
                     uint32_t t, uint64_t state, struct row_output *row) {
    const struct fake_engine_options *options = &engine->options;
    const uint32_t n_history = seq->n_context + t + 1;
    const token_id next = next_token(options, state, n_history, seq->n_prompt);

    *row = (struct row_output){.seq = index, .row = t, .token = next, .rank = 1};
    row->problem = next == TOKEN_NONE ? ROW_NOT_FINITE : ROW_OK;
    row->sampled = n_history == seq->n_history;
    if (!row->sampled)
        row->token = seq->history[n_history];
    else if (row->problem == ROW_OK && allows_nothing(seq)) {
        row->problem = ROW_NOTHING_ALLOWED;
        row->token = TOKEN_NONE;
    }
    row->logprob = logprob(state, row->token);
    for (; row->n_top < seq->params->n_top && row->n_top < options->n_vocab; row->n_top++) {
        const token_id token = (token_id)((row->token + row->n_top) % options->n_vocab);
        row->top[row->n_top] =
            (struct token_logprob){.token = token, .logprob = logprob(state, token)};
    }
    if (seq->logits_out)
        for (uint32_t v = 0; v < options->n_vocab; v++)
            seq->logits_out[(size_t)t * options->n_vocab + v] = logit(state, (token_id)v);
}

/* The wanted rows of one sequence; gives the number of rows so far. */
static uint32_t head(struct fake_engine *engine, const struct batch *batch, uint32_t index,
                     uint32_t n_rows) {
    const struct batch_seq *seq = &batch->seqs[index];
    if (seq->rows == BATCH_ROWS_NONE)
        return n_rows;

    const uint32_t first_row = seq->rows == BATCH_ROWS_ALL ? 0 : seq->n_tokens - 1;
    uint64_t state = 0;
    for (uint32_t p = 0; p < seq->n_context + seq->n_tokens; p++) {
        state = fold(state, *slot_of(engine, seq, p));
        if (p >= seq->n_context + first_row)
            fill_row(engine, seq, index, p - seq->n_context, state, &engine->rows[n_rows++]);
    }
    return n_rows;
}

static void sleep_us(uint64_t us) {
    const struct timespec time = {
        .tv_sec = (time_t)(us / 1000000),
        .tv_nsec = (long)(us % 1000000 * 1000),
    };
    if (us > 0)
        (void)nanosleep(&time, NULL); /* a shorter sleep does no harm */
}

int fake_engine_step(void *engine, const struct batch *batch, struct step_result *ret_result) {
    struct fake_engine *fake = engine;
    const struct fake_engine_options *options = &fake->options;
    const uint64_t begin_ns = clock_now_ns();

    fake->n_steps++;
    const int r = check_batch(fake, batch);
    if (r < 0)
        return r;
    if (options->fail_step_every > 0 && fake->n_steps % options->fail_step_every == 0)
        return -EIO;

    write_kv(fake, batch);
    uint32_t n_rows = 0;
    for (uint32_t i = 0; i < batch->n_seqs; i++)
        n_rows = head(fake, batch, i, n_rows);
    sleep_us(options->step_us + options->token_us * batch->n_tokens);

    fake->n_tokens += batch->n_tokens;
    *ret_result = (struct step_result){
        .rows = fake->rows,
        .n_rows = n_rows,
        .forward_ns = clock_now_ns() - begin_ns,
    };
    return 0;
}
