/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval - how well a model predicts given tokens: mean negative log-likelihood, perplexity, and the
 * raw logits on request. It goes through the scheduler and the engine as serving does, so that
 * what is measured is what is served.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/file.h"
#include "kvasir/json_pull.h"
#include "kvasir/mem.h"

#include "cli.h"
#include "command_options.h"
#include "instance.h"

/* --- the prompts --- */

/* One run of ids, and what came of it. */
struct prompt {
    token_id *ids;
    uint32_t n;
    seq_id id; /* while it runs */
    bool done;
    double nll; /* sum over the scored tokens */
    uint32_t n_scored;
    float *logits; /* [n, n_vocab] while it runs, when they are wanted */
};

struct prompts {
    struct prompt *items;
    size_t n;
    size_t cap;
};

static void prompts_fini(struct prompts *prompts) {
    for (size_t i = 0; i < prompts->n; i++) {
        mem_free(prompts->items[i].ids);
        mem_free(prompts->items[i].logits);
    }
    mem_free(prompts->items);
    *prompts = (struct prompts){.items = NULL};
}

/* Takes a copy of the ids. */
static int prompts_add(struct prompts *prompts, const token_id *ids, size_t n) {
    if (prompts->n == prompts->cap) {
        const size_t cap = prompts->cap ? prompts->cap * 2 : 16;
        struct prompt *items = mem_realloc(prompts->items, cap * sizeof *items);
        if (!items)
            return -ENOMEM;
        prompts->items = items;
        prompts->cap = cap;
    }
    token_id *copy = mem_alloc_array(n, sizeof *copy);
    if (!copy)
        return -ENOMEM;
    if (n > 0)
        memcpy(copy, ids, n * sizeof *copy);
    prompts->items[prompts->n++] = (struct prompt){.ids = copy, .n = (uint32_t)n};
    return 0;
}

/* One member "ids" of a prompt object. */
static int read_ids(struct json_pull *p, struct token_buf *scratch) {
    size_t cap = 0;
    scratch->n = 0;
    json_enter_array(p);
    while (json_next_item(p)) {
        if (scratch->n == cap) {
            cap = cap ? cap * 2 : 256;
            token_id *ids = mem_realloc(scratch->ids, cap * sizeof *ids);
            if (!ids)
                return -ENOMEM;
            scratch->ids = ids;
        }
        const int64_t id = json_take_int(p);
        if (id < 0 || id > INT32_MAX)
            json_fail(p, "token id out of range");
        scratch->ids[scratch->n++] = (token_id)id;
    }
    return 0;
}

static int read_prompt(struct json_pull *p, struct token_buf *scratch, struct prompts *prompts) {
    struct json_str key;
    int r = 0;
    json_enter_object(p);
    while (json_next_key(p, &key)) {
        if (!json_is(key, "ids")) {
            (void)json_skip(p); /* other members are not ours */
            continue;
        }
        const int added = read_ids(p, scratch);
        if (r == 0)
            r = added < 0 ? added : prompts_add(prompts, scratch->ids, scratch->n);
    }
    return r;
}

/* {"prompts":[{"ids":[...]},...]} */
static int load_ids(const char *path, struct prompts *prompts, struct error *reterr) {
    char *text;
    size_t len;
    int r = file_read(path, (size_t)1 << 30, &text, &len, reterr);
    if (r < 0)
        return r;

    struct token_buf scratch = {.ids = NULL};
    struct json_pull p;
    struct json_str key;
    json_pull_init(&p, text, len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        if (!json_is(key, "prompts")) {
            (void)json_skip(&p); /* other members are not ours */
            continue;
        }
        json_enter_array(&p);
        while (json_next_item(&p)) {
            const int added = read_prompt(&p, &scratch, prompts);
            r = r < 0 ? r : added;
        }
    }
    if (r == 0)
        r = json_pull_end(&p, path, reterr);
    else
        (void)error_set(reterr, r, "%s: no memory", path);
    if (r == 0 && prompts->n == 0)
        r = error_set(reterr, -EINVAL, "%s: has no member \"prompts\" with a prompt in it", path);
    token_buf_fini(&scratch);
    mem_free(text);
    return r;
}

/* The text in pieces of at most max_len tokens. */
static int load_text(const char *path, const struct instance *instance, struct prompts *prompts,
                     struct error *reterr) {
    char *text;
    size_t len;
    int r = file_read(path, (size_t)1 << 30, &text, &len, reterr);
    if (r < 0)
        return r;

    struct token_buf ids = {.ids = NULL};
    r = tokenizer_encode(instance->tokenizer, text, len, TOKENIZER_ADD_SPECIAL, NULL, 0, &ids);
    const size_t max_len = instance->sizing.max_model_len;
    for (size_t at = 0; r == 0 && at < ids.n; at += max_len)
        r = prompts_add(prompts, ids.ids + at, ids.n - at < max_len ? ids.n - at : max_len);
    if (r < 0)
        (void)error_set(reterr, r, "%s: no memory", path);
    else if (prompts->n == 0)
        r = error_set(reterr, -EINVAL, "%s: has no tokens", path);
    token_buf_fini(&ids);
    mem_free(text);
    return r;
}

/* --- the run --- */

/* The scheduler's notify wakes the waiting thread. */
struct bell {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool rung;
};

static void bell_ring(void *ctx) {
    struct bell *bell = ctx;
    (void)pthread_mutex_lock(&bell->mutex); /* plain mutexes do not fail */
    bell->rung = true;
    (void)pthread_cond_signal(&bell->cond);
    (void)pthread_mutex_unlock(&bell->mutex);
}

static void bell_wait(struct bell *bell) {
    (void)pthread_mutex_lock(&bell->mutex); /* plain mutexes do not fail */
    while (!bell->rung)
        (void)pthread_cond_wait(&bell->cond, &bell->mutex);
    bell->rung = false;
    (void)pthread_mutex_unlock(&bell->mutex);
}

struct run {
    struct instance *instance;
    struct prompts *prompts;
    struct bell *bell;
    FILE *logits; /* NULL: not wanted */
    const char *logits_path;
    uint32_t n_vocab;
    size_t next;      /* prompt to submit */
    size_t n_written; /* prompts whose logits are in the file; they go in order */
    size_t n_done;
};

/* Logits held in memory at once; one prompt is always let in. */
static const uint64_t MAX_LOGITS_BYTES = (uint64_t)1 << 30;

static uint64_t logits_bytes(const struct run *run, const struct prompt *prompt) {
    return (uint64_t)prompt->n * run->n_vocab * sizeof(float);
}

static int submit(struct run *run, struct prompt *prompt, struct error *reterr) {
    if (run->logits) {
        prompt->logits = mem_alloc((size_t)logits_bytes(run, prompt));
        if (!prompt->logits)
            return error_set(reterr, -ENOMEM, "no memory for the logits of %" PRIu32 " tokens",
                             prompt->n);
    }
    struct scheduler_request *request =
        scheduler_request_create(prompt->ids, prompt->n, /* max_bytes= */ 0);
    if (!request)
        return error_set(reterr, -ENOMEM, "no memory for a request");

    request->sampling = sampling_defaults();
    request->sampling.temperature = 0;
    request->max_tokens = 0;
    request->score_prompt = true;
    request->prompt_logits_out = prompt->logits;
    return scheduler_submit(run->instance->scheduler, request, &prompt->id, reterr);
}

/* Submits while the logits of what runs fit the limit. */
static int submit_more(struct run *run, struct error *reterr) {
    uint64_t held = 0;
    for (size_t i = run->n_written; i < run->next; i++)
        held += run->logits ? logits_bytes(run, &run->prompts->items[i]) : 0;

    const size_t max_running = 4 * (size_t)run->instance->sizing.max_num_seqs;
    while (run->next < run->prompts->n && run->next - run->n_done < max_running) {
        struct prompt *prompt = &run->prompts->items[run->next];
        const uint64_t more = run->logits ? logits_bytes(run, prompt) : 0;
        if (held > 0 && held + more > MAX_LOGITS_BYTES)
            return 0;

        const int r = submit(run, prompt, reterr);
        if (r < 0)
            return error_prefix(reterr, r, "prompt %zu", run->next);
        held += more;
        run->next++;
    }
    return 0;
}

static struct prompt *find_prompt(struct run *run, seq_id id) {
    for (size_t i = run->n_written; i < run->next; i++)
        if (run->prompts->items[i].id == id)
            return &run->prompts->items[i];
    return NULL;
}

static int take_event(struct run *run, const struct scheduler_event *event, struct error *reterr) {
    struct prompt *prompt = find_prompt(run, event->id);
    INVARIANT(prompt);
    for (uint32_t i = 0; i < event->n_scores; i++) {
        if (event->first_score + i + 1 >= prompt->n)
            continue; /* the last row predicts what is not there */
        prompt->nll -= (double)event->scores[i].logprob;
        prompt->n_scored++;
    }
    if (event->finish == FINISH_ERROR)
        return error_set(reterr, event->error_code, "%s", event->error);
    if (event->finish != FINISH_NONE) {
        prompt->done = true;
        run->n_done++;
    }
    return 0;
}

/* Writes the logits of the prompts that are done, in their order, and frees them. */
static int write_logits(struct run *run, struct error *reterr) {
    while (run->n_written < run->next && run->prompts->items[run->n_written].done) {
        struct prompt *prompt = &run->prompts->items[run->n_written];
        const size_t n_bytes = (size_t)logits_bytes(run, prompt);
        if (run->logits && fwrite(prompt->logits, 1, n_bytes, run->logits) != n_bytes)
            return error_set(reterr, -errno, "%s: cannot be written: %s", run->logits_path,
                             strerror(errno));
        mem_free(prompt->logits);
        prompt->logits = NULL;
        run->n_written++;
    }
    return 0;
}

static int take_outputs(struct run *run, struct error *reterr) {
    int r = 0;
    struct scheduler_output *output = scheduler_take_ready(run->instance->scheduler);
    while (output) {
        struct scheduler_output *next = output->next;
        for (uint32_t i = 0; r == 0 && i < output->n_events; i++)
            r = take_event(run, &output->events[i], reterr);
        scheduler_output_free(output);
        output = next;
    }
    return r;
}

/* The safetensors header: 8 bytes of length, then JSON padded with spaces to a multiple of 8. */
static int write_header(struct run *run, struct error *reterr) {
    struct buf json;
    uint64_t at = 0;
    buf_init(&json, 0);
    buf_append_char(&json, '{');
    for (size_t i = 0; i < run->prompts->n; i++) {
        const struct prompt *prompt = &run->prompts->items[i];
        const uint64_t end = at + logits_bytes(run, prompt);
        buf_printf(&json,
                   "%s\"logits.%zu\":{\"dtype\":\"F32\",\"shape\":[%" PRIu32 ",%" PRIu32
                   "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
                   i ? "," : "", i, prompt->n, run->n_vocab, at, end);
        at = end;
    }
    buf_append_char(&json, '}');
    while (json.len % 8)
        buf_append_char(&json, ' ');

    unsigned char len[8];
    for (int i = 0; i < 8; i++)
        len[i] = (unsigned char)((uint64_t)json.len >> (8 * i));
    const bool written = !buf_failed(&json) && fwrite(len, 1, 8, run->logits) == 8 &&
                         fwrite(json.data, 1, json.len, run->logits) == json.len;
    buf_fini(&json);
    return written ? 0
                   : error_set(reterr, -EIO, "%s: cannot be written: %s", run->logits_path,
                               strerror(errno));
}

static int run_prompts(struct run *run, struct error *reterr) {
    int r = run->logits ? write_header(run, reterr) : 0;
    if (r == 0)
        r = submit_more(run, reterr);
    while (r == 0 && run->n_done < run->prompts->n) {
        bell_wait(run->bell);
        r = take_outputs(run, reterr);
        if (r == 0)
            r = write_logits(run, reterr);
        if (r == 0)
            r = submit_more(run, reterr);
    }
    return r;
}

static void print_result(const struct prompts *prompts, bool json) {
    double nll = 0;
    uint64_t n_scored = 0;
    for (size_t i = 0; i < prompts->n; i++) {
        nll += prompts->items[i].nll;
        n_scored += prompts->items[i].n_scored;
    }
    const double mean = n_scored ? nll / (double)n_scored : 0;
    (void)printf(json ? "{\"tokens\":%" PRIu64 ",\"mean_nll\":%.9g,\"perplexity\":%.9g}\n"
                      : "tokens      %" PRIu64 "\nmean NLL    %.6f\nperplexity  %.4f\n",
                 n_scored, mean, exp(mean)); /* main checks standard output */
}

static int check_ids(const struct prompts *prompts, const struct instance *instance,
                     struct error *reterr) {
    const uint32_t n_vocab = model_info(instance->model)->n_vocab;
    for (size_t i = 0; i < prompts->n; i++) {
        if (prompts->items[i].n == 0)
            return error_set(reterr, -EINVAL, "prompt %zu: has no ids", i);
        for (uint32_t k = 0; k < prompts->items[i].n; k++)
            if ((uint32_t)prompts->items[i].ids[k] >= n_vocab)
                return error_set(reterr, -EINVAL,
                                 "prompt %zu: id %" PRId32 " at %" PRIu32
                                 " is not in the vocabulary of %" PRIu32,
                                 i, prompts->items[i].ids[k], k, n_vocab);
    }
    return 0;
}

/* Runs the prompts and prints the result; the instance is open. */
static int eval_prompts(const struct eval_options *options, struct instance *instance,
                        struct bell *bell, struct prompts *prompts, struct error *reterr) {
    struct run run = {
        .instance = instance,
        .prompts = prompts,
        .bell = bell,
        .logits_path = options->logits,
        .n_vocab = model_info(instance->model)->n_vocab,
    };
    int r = check_ids(prompts, instance, reterr);
    if (r < 0)
        return r;

    if (options->logits) {
        run.logits = fopen(options->logits, "wb");
        if (!run.logits)
            return error_set(reterr, -errno, "%s: cannot be written: %s", options->logits,
                             strerror(errno));
    }
    r = run_prompts(&run, reterr);
    if (run.logits && fclose(run.logits) != 0 && r == 0)
        r = error_set(reterr, -errno, "%s: cannot be written: %s", options->logits,
                      strerror(errno));
    if (r == 0)
        print_result(prompts, options->json);
    if (r < 0) {
        /* What still runs writes into the logits of prompts: end it before they are freed. */
        scheduler_stop(instance->scheduler);
        instance->scheduler = NULL;
    }
    return r;
}

static struct instance_options instance_options_of(const struct eval_options *options) {
    return (struct instance_options){
        .model = options->model,
        .dtype = options->dtype,
        .kv_dtype = options->kv_cache_dtype,
        .quantize = options->quantize,
        .threads = options->threads,
        .block_size = options->block_size,
        .max_num_batched_tokens = options->chunk,
        .prefill_chunk = options->chunk,
        .prefix_caching = false, /* every prompt starts fresh */
    };
}

/* Ids are read first: the longest prompt is then the context, whatever the model was made for. */
static int eval(const struct eval_options *options, struct error *reterr) {
    struct bell bell = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    const struct instance_hooks hooks = {.notify = bell_ring, .notify_ctx = &bell};
    struct instance_options instance_options = instance_options_of(options);
    struct prompts prompts = {.items = NULL};
    struct instance instance = {.model = NULL};
    if (!options->text == !options->ids)
        return error_set(reterr, -EINVAL, "give one of --text FILE and --ids FILE.json");

    int r = options->ids ? load_ids(options->ids, &prompts, reterr) : 0;
    for (size_t i = 0; i < prompts.n; i++)
        if (prompts.items[i].n >= instance_options.max_model_len)
            instance_options.max_model_len = prompts.items[i].n + 1;
    if (r == 0)
        r = instance_open(&instance_options, &hooks, &instance, reterr);
    if (r == 0 && options->text)
        r = load_text(options->text, &instance, &prompts, reterr);
    if (r == 0)
        r = eval_prompts(options, &instance, &bell, &prompts, reterr);
    instance_close(&instance);
    prompts_fini(&prompts);
    return r;
}

int cmd_eval(int argc, char **argv) {
    struct eval_options values;
    struct options options;
    int status;
    if (!cli_begin(&eval_option_table, argc, argv, &values, &options, &status))
        return status;

    struct error error = {.message = ""};
    const int r = eval(&values, &error);
    if (r < 0)
        status = cli_fail("eval", &error);
    else
        status = CLI_DONE;
    if (r == -EINVAL && !values.text == !values.ids)
        status = CLI_USAGE;
    options_fini(&options);
    return status;
}
