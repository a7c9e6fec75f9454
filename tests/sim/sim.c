/* SPDX-License-Identifier: Apache-2.0 */
#include "sim.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core.h"
#include "fake_engine.h"
#include "kvasir/mem.h"
#include "support.h"

enum { MAX_REQUESTS = 48, MAX_BLOCKS = 96, MAX_LENGTH = 512, MAX_PROMPT = 512, STREAMS = 3 };

/* Rates, one in so many; 0: never. */
struct trouble {
    uint32_t cancel;        /* of requests */
    uint32_t cancel_twice;  /* of cancels */
    uint32_t score;         /* of requests: prompt scores */
    uint32_t logits;        /* of requests: prompt logits */
    uint32_t alloc_failure; /* of allocations */
    bool pressure;          /* short prompts and long answers: they all grow at once */
};

/* One request, what it must give, and what it gave so far. */
struct client {
    struct scheduler_request *request; /* until submitted; seq owns it then */
    struct seq *seq;                   /* NULL before it is submitted and after its end */
    uint64_t arrival_tick;
    uint64_t cancel_tick; /* UINT64_MAX: never */
    bool cancel_in_step;  /* between plan and apply */
    bool cancelled;

    token_id history[MAX_LENGTH + MAX_PROMPT]; /* the prompt and the tokens that came */
    uint32_t n_prompt, n_history, max_tokens, min_tokens;
    bool stops_at_eos;
    bool score;
    uint32_t n_scored;
    float *logits;

    bool ended;
    bool in_step;         /* of the batch being computed */
    uint64_t served_tick; /* last one that computed something of it, or admitted it */
    uint32_t n_preemptions;
};

struct sim {
    uint64_t random; /* state of test_random */
    uint64_t seed;
    struct scheduler_options options;
    struct fake_engine_options fake;
    struct trouble trouble;
    struct fake_engine *engine;
    struct core *core;
    struct client *clients;
    uint32_t n_clients;
    uint64_t tick;
    bool step_failed; /* the present one */
    uint64_t alloc_random;
    uint32_t n_left_out;      /* ticks in which a sequence that fits was not admitted */
    uint32_t n_broken;        /* requests that did not end well */
    uint64_t n_prompt_tokens; /* of those that did */
    uint64_t salt_of_block[MAX_BLOCKS];
    struct sim_report *report;
};

KV_PRINTF(2, 3)
static bool wrong(struct sim *sim, const char *fmt, ...) {
    if (sim->report->failure[0])
        return false; /* the first reason is the one to read */
    char what[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args); /* a cut message is fine */
    va_end(args);
    (void)snprintf(sim->report->failure, sizeof sim->report->failure, "seed %llu, tick %llu: %s",
                   (unsigned long long)sim->seed, (unsigned long long)sim->tick, what);
    return false;
}

/* Random choices. */

static uint32_t below(struct sim *sim, uint32_t n) {
    return n ? (uint32_t)(test_random(&sim->random) % n) : 0;
}

static uint32_t between(struct sim *sim, uint32_t least, uint32_t most) {
    return least + below(sim, most - least + 1);
}

static bool one_in(struct sim *sim, uint32_t n) {
    return n > 0 && below(sim, n) == 0;
}

/* Many short, few long: the exponent is uniform, as good as log-normal for this purpose. */
static uint32_t skewed(struct sim *sim, uint32_t most) {
    uint32_t bits = 0;
    while (1u << bits < most)
        bits++;
    const uint32_t ceiling = 1u << below(sim, bits + 1);
    return between(sim, 1, ceiling < most ? ceiling : most);
}

/* A whole number of blocks, one token more, one less: where off-by-one errors live. */
static uint32_t at_block_edge(struct sim *sim, uint32_t most) {
    const uint32_t block_size = sim->options.block_size;
    const uint32_t n_blocks = between(sim, 1, most / block_size + 1);
    const uint32_t n = n_blocks * block_size + below(sim, 3);
    return n <= 2 ? 1 : n - 1 < most ? n - 1 : most;
}

/* One configuration. */

static void choose_options(struct sim *sim) {
    const uint32_t block_size = 1u << below(sim, 5);
    const uint32_t n_blocks = one_in(sim, 3) ? between(sim, 1, 8) : between(sim, 8, MAX_BLOCKS);
    const uint32_t max_num_seqs = skewed(sim, 12);
    const uint32_t budget = one_in(sim, 3) ? between(sim, 1, 4) : skewed(sim, 96);
    const uint32_t n_slots = n_blocks * block_size;

    sim->options = (struct scheduler_options){
        .step = fake_engine_step,
        .n_vocab = one_in(sim, 2) ? 50 : 3,
        .block_size = block_size,
        .n_blocks = n_blocks,
        .max_model_len = between(sim, 8,
                                 n_slots < 32    ? 40
                                 : n_slots > 230 ? 240
                                                 : n_slots + 10),
        .max_num_seqs = max_num_seqs,
        .max_num_batched_tokens = budget,
        .prefill_chunk = one_in(sim, 2) ? between(sim, 1, 40) : 0,
        .prefix_caching = !one_in(sim, 8),
        .policy = one_in(sim, 3) ? POLICY_PRIORITY : POLICY_FCFS,
        .hash_key = {test_random(&sim->random), test_random(&sim->random)},
        .check_invariants = true,
    };
    sim->fake = (struct fake_engine_options){
        .n_vocab = sim->options.n_vocab,
        .n_blocks = n_blocks,
        .block_size = block_size,
        .max_batch_tokens = budget,
        .eos = 1,
        .eos_every = one_in(sim, 2) ? 30 : 0,
        .nan_every = one_in(sim, 4) ? 150 : 0,
        .fail_step_every = one_in(sim, 8) ? between(sim, 20, 60) : 0,
        .rope_length = one_in(sim, 4) ? between(sim, 4, 100) : 0,
    };
    if (sim->fake.rope_length > 0)
        sim->options.rope_class = fake_engine_rope_class;
    sim->trouble = (struct trouble){
        .cancel = one_in(sim, 3) ? 3 : 0,
        .cancel_twice = 2,
        .score = one_in(sim, 3) ? 3 : 0,
        .logits = one_in(sim, 6) ? 4 : 0,
        .alloc_failure = one_in(sim, 12) ? 8 : 0,
        .pressure = one_in(sim, 3),
    };
}

/* Requests. */

/* Prompts are cut from few streams, so that prefixes are shared at all lengths. */
static void fill_prompt(struct sim *sim, struct client *client) {
    uint64_t stream = sim->seed ^ (uint64_t)below(sim, STREAMS) << 32;
    const uint32_t n_shared = one_in(sim, 4) ? below(sim, client->n_prompt) : client->n_prompt;

    for (uint32_t i = 0; i < client->n_prompt; i++) {
        uint64_t *source = i < n_shared ? &stream : &sim->random;
        client->history[i] = (token_id)(test_random(source) % sim->options.n_vocab);
    }
    client->n_history = client->n_prompt;
}

/* The next turn of a talk: an earlier prompt, and what the model answers to it. */
static void continue_talk(struct sim *sim, struct client *client, const struct client *earlier) {
    if (client->n_prompt <= earlier->n_prompt)
        return;
    memcpy(client->history, earlier->history, earlier->n_prompt * sizeof *client->history);
    for (uint32_t n = earlier->n_prompt; n < client->n_prompt; n++) {
        const token_id next = fake_engine_next(&sim->fake, client->history, n, earlier->n_prompt);
        client->history[n] = next == TOKEN_NONE ? 0 : next;
    }
}

static uint32_t choose_length(struct sim *sim, uint32_t most) {
    return one_in(sim, 3) ? at_block_edge(sim, most) : skewed(sim, most);
}

static bool make_client(struct sim *sim, struct client *client, uint64_t arrival_tick) {
    const uint32_t longest = sim->options.max_model_len;
    client->n_prompt = choose_length(sim, one_in(sim, 12) ? longest + 8 : longest);
    client->max_tokens = one_in(sim, 12) ? 0 : choose_length(sim, longest);
    if (sim->trouble.pressure) {
        client->n_prompt = between(sim, 1, longest / 4);
        client->max_tokens = between(sim, longest / 2, longest);
    }
    client->stops_at_eos = !one_in(sim, 4);
    client->min_tokens = one_in(sim, 4) ? below(sim, 8) : 0;
    client->score = one_in(sim, sim->trouble.score);
    client->arrival_tick = arrival_tick;
    client->cancel_tick =
        one_in(sim, sim->trouble.cancel) ? arrival_tick + skewed(sim, 100) - 1 : UINT64_MAX;
    client->cancel_in_step = one_in(sim, 2);
    fill_prompt(sim, client);
    if (client != sim->clients && one_in(sim, 4))
        continue_talk(sim, client, client - 1 - below(sim, (uint32_t)(client - sim->clients)));

    client->request = scheduler_request_create(client->history, client->n_prompt, 0);
    if (!client->request)
        return wrong(sim, "no memory for a request");
    if (one_in(sim, sim->trouble.logits)) {
        client->logits =
            mem_alloc_zero((size_t)client->n_prompt * sim->options.n_vocab, sizeof(float));
        if (!client->logits)
            return wrong(sim, "no memory for logits");
    }
    struct scheduler_request *request = client->request;
    request->max_tokens = client->max_tokens;
    request->sampling.stop_ids = &sim->fake.eos;
    request->sampling.n_stop_ids = client->stops_at_eos;
    request->sampling.min_tokens = client->min_tokens;
    request->sampling.n_top = one_in(sim, 4) ? between(sim, 1, 5) : 0;
    request->priority = (int32_t)below(sim, 3) - 1;
    request->cache_salt = below(sim, 2);
    request->score_prompt = client->score;
    request->prompt_logits_out = client->logits;
    return true;
}

static bool make_clients(struct sim *sim) {
    sim->n_clients = skewed(sim, MAX_REQUESTS);
    sim->clients = mem_alloc_zero(sim->n_clients, sizeof *sim->clients);
    if (!sim->clients)
        return wrong(sim, "no memory for clients");

    const uint32_t spread = one_in(sim, 2) ? 0 : skewed(sim, 40); /* ticks between arrivals */
    uint64_t tick = 0;
    for (uint32_t i = 0; i < sim->n_clients; i++) {
        if (!make_client(sim, &sim->clients[i], tick))
            return false;
        tick += spread ? below(sim, 2 * spread) : 0;
    }
    return true;
}

/* What must be. */

static bool should_be_refused(const struct sim *sim, const struct client *client) {
    const uint64_t slots = (uint64_t)sim->options.n_blocks * sim->options.block_size;
    return client->n_prompt + (client->max_tokens > 0) > sim->options.max_model_len ||
           client->n_prompt > slots;
}

static uint32_t longest_history(const struct sim *sim, const struct client *client) {
    const uint32_t slots = sim->options.n_blocks * sim->options.block_size;
    uint32_t longest = client->n_prompt + client->max_tokens;
    if (longest > sim->options.max_model_len)
        longest = sim->options.max_model_len;
    return longest < slots + 1 ? longest : slots + 1;
}

/* Why a client that was not cancelled ends after what it has now; FINISH_NONE: it must not. */
static enum finish_reason expected_finish(const struct sim *sim, const struct client *client) {
    const uint32_t n_generated = client->n_history - client->n_prompt;
    if (n_generated > 0 && client->stops_at_eos && n_generated >= client->min_tokens &&
        client->history[client->n_history - 1] == sim->fake.eos)
        return FINISH_STOP;
    return client->n_history >= longest_history(sim, client) ? FINISH_LENGTH : FINISH_NONE;
}

static token_id next_of(const struct sim *sim, const struct client *client, uint32_t n_history) {
    return fake_engine_next(&sim->fake, client->history, n_history, client->n_prompt);
}

/* May it end with an error now? Only for the reasons that this schedule injects. */
static bool may_fail(const struct sim *sim, const struct client *client) {
    if (sim->trouble.alloc_failure > 0 || (sim->step_failed && client->in_step))
        return true;
    if (sim->fake.nan_every == 0 || !client->in_step)
        return false;
    /* Scored prompt rows go through the head as well, and each of them can hold a NaN. */
    const uint32_t first = client->score || client->logits ? 1 : client->n_history;
    for (uint32_t n = first; n <= client->n_history; n++)
        if (next_of(sim, client, n) == TOKEN_NONE)
            return true;
    return false;
}

/* Events. */

static struct client *client_of(struct sim *sim, seq_id id) {
    return id < sim->n_clients ? &sim->clients[id] : NULL;
}

static bool check_scores(struct sim *sim, struct client *client,
                         const struct scheduler_event *event) {
    if (event->n_scores == 0)
        return true;
    if (!client->score || event->first_score != client->n_scored)
        return wrong(sim, "client %u: scores from row %u, expected from %u", (unsigned)event->id,
                     event->first_score, client->n_scored);
    for (uint32_t i = 0; i < event->n_scores; i++) {
        const uint32_t row = client->n_scored + i;
        const struct token_score *score = &event->scores[i];
        if (row + 1 >= client->n_prompt || score->token != client->history[row + 1] ||
            score->logprob != fake_engine_logprob(&sim->fake, client->history, row + 1,
                                                  client->n_prompt, score->token))
            return wrong(sim, "client %u: the score of row %u is not its own", (unsigned)event->id,
                         row);
    }
    client->n_scored += event->n_scores;
    sim->report->n_scores += event->n_scores;
    return true;
}

static bool check_token(struct sim *sim, struct client *client,
                        const struct scheduler_event *event) {
    if (event->token == TOKEN_NONE)
        return true;
    const token_id expected = next_of(sim, client, client->n_history);
    if (event->token != expected || expected_finish(sim, client) != FINISH_NONE)
        return wrong(sim, "client %u: token %d behind %u, expected %d", (unsigned)event->id,
                     event->token, client->n_history, expected);
    if (event->logprob != fake_engine_logprob(&sim->fake, client->history, client->n_history,
                                              client->n_prompt, event->token))
        return wrong(sim, "client %u: a logprob of another row", (unsigned)event->id);
    client->history[client->n_history++] = event->token;
    sim->report->n_tokens++;
    return true;
}

/* All prompt logits are there when a request that wanted them ends well. */
static bool check_logits(struct sim *sim, const struct client *client) {
    for (uint32_t row = 0; client->logits && row < client->n_prompt; row++) {
        const token_id v = (token_id)(row % sim->options.n_vocab);
        const float logit = client->logits[(size_t)row * sim->options.n_vocab + (uint32_t)v];
        if (logit != fake_engine_logit(&sim->fake, client->history, row + 1, client->n_prompt, v))
            return wrong(sim, "the logits of prompt row %u are not its own", row);
    }
    return true;
}

static bool check_finish(struct sim *sim, struct client *client,
                         const struct scheduler_event *event) {
    const enum finish_reason expected = expected_finish(sim, client);
    struct sim_report *report = sim->report;

    switch (event->finish) {
    case FINISH_NONE:
        if (expected != FINISH_NONE && event->token != TOKEN_NONE)
            return wrong(sim, "client %u goes on behind its end", (unsigned)event->id);
        return true;
    case FINISH_CANCELLED:
        if (!client->cancelled)
            return wrong(sim, "client %u was not cancelled", (unsigned)event->id);
        report->n_cancelled++;
        sim->n_broken++;
        break;
    case FINISH_ERROR:
        if (!event->error || !may_fail(sim, client))
            return wrong(sim, "client %u ends with: %s", (unsigned)event->id, event->error);
        report->n_errors++;
        sim->n_broken++;
        break;
    default:
        if (event->finish != expected)
            return wrong(sim, "client %u: finish %d, expected %d", (unsigned)event->id,
                         event->finish, expected);
        if (client->score && client->n_scored != client->n_prompt - 1)
            return wrong(sim, "client %u ends with %u of %u scores", (unsigned)event->id,
                         client->n_scored, client->n_prompt - 1);
        if (!check_logits(sim, client))
            return false;
        report->n_stopped += event->finish == FINISH_STOP;
        report->n_length += event->finish == FINISH_LENGTH;
        sim->n_prompt_tokens += client->n_prompt;
        break;
    }
    client->ended = true;
    client->seq = NULL;
    return true;
}

static bool check_event(struct sim *sim, const struct scheduler_event *event) {
    struct client *client = client_of(sim, event->id);
    if (!client || client->ended || !client->request)
        return wrong(sim, "an event of %llu, which is not running", (unsigned long long)event->id);
    if (event->token != TOKEN_NONE && client->cancelled)
        return wrong(sim, "client %u gets a token after its cancel", (unsigned)event->id);
    if (event->finish == FINISH_STOP ? event->stop_token != sim->fake.eos
                                     : event->stop_token != TOKEN_NONE)
        return wrong(sim, "client %u: stop token %d", (unsigned)event->id, event->stop_token);
    if (event->n_cached_tokens >= client->n_prompt || event->n_preemptions < client->n_preemptions)
        return wrong(sim, "client %u: %u tokens cached, %u preemptions", (unsigned)event->id,
                     event->n_cached_tokens, event->n_preemptions);
    client->n_preemptions = event->n_preemptions;
    if (event->finish != FINISH_NONE)
        sim->report->n_cached_tokens += event->n_cached_tokens;
    return check_scores(sim, client, event) && check_token(sim, client, event) &&
           check_finish(sim, client, event);
}

/* One tick. */

static bool prove(struct sim *sim) {
    struct error error = {.message = ""};
    return core_check(sim->core, &error) == 0 ? true : wrong(sim, "%s", error.message);
}

static bool submit(struct sim *sim, struct client *client) {
    struct error error = {.message = ""};
    const bool refuse = should_be_refused(sim, client);
    mem_set_fault_hook(NULL, NULL); /* this part is the caller's thread, and may be refused */
    const int r = seq_create(&sim->options, client->request, &client->seq, &error);

    sim->report->n_requests++;
    if ((r < 0) != refuse || (r < 0 && r != SCHEDULER_TOO_LONG && r != SCHEDULER_TOO_LARGE))
        return wrong(sim, "a prompt of %u: %d, %s", client->n_prompt, r, error.message);
    if (r < 0) {
        scheduler_request_free(client->request);
        client->ended = true;
        sim->report->n_refused++;
        return true;
    }
    client->seq->id = (seq_id)(client - sim->clients);
    client->served_tick = sim->tick;
    return true;
}

static bool fail_some(void *ctx, size_t size) {
    struct sim *sim = ctx;
    (void)size;
    return test_random(&sim->alloc_random) % sim->trouble.alloc_failure == 0;
}

static void arm_faults(struct sim *sim) {
    if (sim->trouble.alloc_failure > 0)
        mem_set_fault_hook(fail_some, sim);
}

static bool arrivals(struct sim *sim) {
    for (uint32_t i = 0; i < sim->n_clients; i++) {
        struct client *client = &sim->clients[i];
        if (client->arrival_tick != sim->tick)
            continue;
        if (!submit(sim, client))
            return false;
        arm_faults(sim);
        if (client->seq)
            core_add(sim->core, client->seq);
    }
    return true;
}

static void cancels(struct sim *sim, bool in_step) {
    for (uint32_t i = 0; i < sim->n_clients; i++) {
        struct client *client = &sim->clients[i];
        if (!client->seq || client->cancel_tick != sim->tick || client->cancel_in_step != in_step)
            continue;
        client->cancelled = true;
        core_cancel(sim->core, client->seq);
        if (one_in(sim, sim->trouble.cancel_twice))
            core_cancel(sim->core, client->seq);
    }
}

/* The first of the order among the running: it must never be preempted. */
static struct seq *first_running(const struct sim *sim) {
    struct seq *first = NULL;
    for (uint32_t i = 0; i < sim->n_clients; i++) {
        struct seq *seq = sim->clients[i].seq;
        if (seq && seq_is_running(seq) &&
            (!first || policy_before(sim->options.policy, seq, first)))
            first = seq;
    }
    return first;
}

/* Sequences of different salts must not touch the same block, not even to read it. */
static bool check_salts(struct sim *sim) {
    for (uint32_t i = 0; i < sim->n_clients; i++) {
        const struct seq *seq = sim->clients[i].seq;
        for (uint32_t b = 0; seq && seq_is_running(seq) && b < seq->n_blocks; b++) {
            const uint64_t salt = seq->request->cache_salt + 1; /* 0: nobody has it */
            uint64_t *owner = &sim->salt_of_block[seq->blocks[b]];
            if (*owner != 0 && *owner != salt)
                return wrong(sim, "block %u serves two salts", seq->blocks[b]);
            *owner = salt;
        }
    }
    memset(sim->salt_of_block, 0, sizeof sim->salt_of_block);
    return true;
}

/* Nothing but the budget and the running decodes keeps the first waiting one from its place. */
static const struct seq *admissible(const struct sim *sim) {
    const struct core *core = sim->core;
    const struct seq *seq = waiting_peek(&core->waiting);
    if (!seq || core->n_free_slots == 0 || core->n_prefilling > 0)
        return NULL;
    const uint32_t need = core_blocks_for(core, seq->n_tokens) + 2 * core_n_running(core);
    return need <= core_unreserved(core) ? seq : NULL;
}

/* Then it is admitted in this step or the next, however many sequences decode. */
static bool check_admission(struct sim *sim, const struct seq *candidate,
                            uint64_t n_preemptions_before) {
    const bool left_out = candidate && candidate->state == SEQ_WAITING &&
                          sim->core->counters.preemptions == n_preemptions_before;
    sim->n_left_out = left_out ? sim->n_left_out + 1 : 0;
    return sim->n_left_out <= 2 ? true : wrong(sim, "a sequence that fits is not admitted");
}

/*
 * A decoding sequence has its turn after all others had theirs, whatever the budget. Twice the
 * length of a round, because sequences come and go, and two steps for the alternation at 1.
 */
static uint64_t patience(const struct sim *sim) {
    const uint32_t budget = sim->options.max_num_batched_tokens;
    const uint32_t per_step = budget > 1 ? budget - 1 - budget / 4 : 1;
    return 2 * (2 * (uint64_t)sim->options.max_num_seqs / (per_step ? per_step : 1) + 2);
}

static bool check_plan(struct sim *sim, const struct batch *batch) {
    for (uint32_t i = 0; i < sim->n_clients; i++)
        sim->clients[i].in_step = false;
    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        struct client *client = client_of(sim, sim->core->planned[i]->id);
        if (!client || client->ended || client->in_step)
            return wrong(sim, "the batch has a sequence that ended, or one twice");
        client->in_step = true;
        client->served_tick = sim->tick;
        if (sim->options.prefill_chunk > 0 && batch->seqs[i].n_tokens > sim->options.prefill_chunk)
            return wrong(sim, "a chunk of %u tokens", batch->seqs[i].n_tokens);
    }
    for (uint32_t i = 0; i < sim->n_clients; i++) {
        struct client *client = &sim->clients[i];
        if (!client->seq)
            continue;
        sim->report->n_held += client->seq->state == SEQ_PREFILLING && !client->in_step;
        if (client->seq->state != SEQ_DECODING)
            client->served_tick = sim->tick;
        if (sim->tick - client->served_tick > patience(sim))
            return wrong(sim, "client %u decodes and was not served for %llu ticks", i,
                         (unsigned long long)(sim->tick - client->served_tick));
    }
    return true;
}

static bool apply(struct sim *sim, const struct step_result *result, int r) {
    mem_set_fault_hook(NULL, NULL); /* the runner waits until there is memory for this one */
    struct scheduler_output *output = core_output_create(sim->core);
    if (!output)
        return wrong(sim, "no memory for an output");
    arm_faults(sim);
    core_apply(sim->core, r < 0 ? NULL : result, r, sim->tick + 1, output);
    mem_set_fault_hook(NULL, NULL);

    bool ok = true;
    for (uint32_t i = 0; i < output->n_events && ok; i++)
        ok = check_event(sim, &output->events[i]);
    scheduler_output_free(output);

    struct list finished;
    list_init(&finished);
    core_take_finished(sim->core, &finished);
    list_for_each (node, &finished) {
        struct seq *seq = list_entry(node, struct seq, link);
        struct client *client = client_of(sim, seq->id);
        if (ok && !client->ended)
            ok = wrong(sim, "client %u ended without an event", (unsigned)seq->id);
        list_remove(node);
        seq_destroy(seq);
    }
    return ok && prove(sim);
}

static bool run_tick(struct sim *sim) {
    if (!arrivals(sim))
        return false;
    cancels(sim, /* in_step= */ false);
    if (!core_has_work(sim->core))
        return true;

    struct seq *first = first_running(sim);
    const struct seq *candidate = admissible(sim);
    const uint64_t n_preemptions = sim->core->counters.preemptions;
    const struct batch *batch = core_plan(sim->core, sim->tick + 1);
    mem_set_fault_hook(NULL, NULL);
    if (first && !seq_is_running(first))
        return wrong(sim, "the first running sequence was preempted");
    if (!prove(sim) || !check_plan(sim, batch) || !check_salts(sim) ||
        !check_admission(sim, candidate, n_preemptions))
        return false;

    struct step_result result = {.n_rows = 0};
    const int r = batch->n_seqs > 0 ? fake_engine_step(sim->engine, batch, &result) : 0;
    sim->step_failed = r < 0;
    if (fake_engine_complaint(sim->engine))
        return wrong(sim, "the engine refuses the batch: %s", fake_engine_complaint(sim->engine));
    cancels(sim, /* in_step= */ true);
    return apply(sim, &result, r);
}

/* The end. */

static bool all_ended(const struct sim *sim) {
    for (uint32_t i = 0; i < sim->n_clients; i++)
        if (!sim->clients[i].ended)
            return false;
    return true;
}

/* Ticks that a scheduler without any parallelism would need, several times over. */
static uint64_t last_tick(const struct sim *sim) {
    uint64_t ticks = 1000 + sim->clients[sim->n_clients - 1].arrival_tick;
    for (uint32_t i = 0; i < sim->n_clients; i++)
        ticks += 8 * (uint64_t)longest_history(sim, &sim->clients[i]);
    return ticks;
}

static bool run(struct sim *sim) {
    const uint64_t last = last_tick(sim);
    while (!all_ended(sim)) {
        if (sim->tick > last)
            return wrong(sim, "not all ended in %llu ticks", (unsigned long long)last);
        if (!run_tick(sim))
            return false;
        sim->tick++;
    }
    const struct core_counters *counters = &sim->core->counters;
    sim->report->n_ticks += sim->tick;
    if (sim->n_broken == 0 &&
        counters->prompt_tokens_computed + counters->prompt_tokens_cached != sim->n_prompt_tokens)
        return wrong(sim, "%llu prompt tokens computed and %llu cached, not %llu together",
                     (unsigned long long)counters->prompt_tokens_computed,
                     (unsigned long long)counters->prompt_tokens_cached,
                     (unsigned long long)sim->n_prompt_tokens);
    sim->report->n_preemptions += sim->core->counters.preemptions;
    sim->report->n_duplicate_blocks += sim->core->counters.duplicate_blocks;
    if (core_has_work(sim->core) || sim->core->pool.n_free != sim->core->pool.n_blocks)
        return wrong(sim, "all ended, and %u of %u blocks are free", sim->core->pool.n_free,
                     sim->core->pool.n_blocks);
    return true;
}

bool sim_run(uint64_t seed, struct sim_report *report) {
    struct sim sim = {.seed = seed, .random = seed, .alloc_random = ~seed, .report = report};
    struct error error = {.message = ""};

    choose_options(&sim);
    sim.engine = fake_engine_create(&sim.fake);
    sim.options.engine = sim.engine;
    bool ok = sim.engine && core_create(&sim.options, &sim.core, &error) == 0;
    if (!ok)
        (void)wrong(&sim, "no core: %s", error.message);
    ok = ok && make_clients(&sim) && run(&sim);

    mem_set_fault_hook(NULL, NULL);
    for (uint32_t i = 0; i < sim.n_clients; i++) {
        if (sim.clients[i].arrival_tick > sim.tick && !sim.clients[i].ended)
            scheduler_request_free(sim.clients[i].request);
        mem_free(sim.clients[i].logits);
    }
    mem_free(sim.clients);
    core_destroy(sim.core);
    fake_engine_destroy(sim.engine);
    return ok;
}
