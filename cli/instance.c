/* SPDX-License-Identifier: Apache-2.0 */
#include "instance.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "kvasir/clock.h"
#include "kvasir/hub.h"
#include "kvasir/machine.h"

#include "cli.h"

/* Where the model lies and what it is called: the demo, a path, or org/name in the local cache. */
static int find_model(const char *name, struct hub_model *ret_found, struct error *reterr) {
    if (name)
        return hub_resolve(name, ret_found, reterr);
    ret_found->name[0] = '\0';
    return demo_model_path(ret_found->path, sizeof ret_found->path, reterr);
}

static struct engine_options engine_options_of(const struct instance_options *options,
                                               const struct sizing *sizing) {
    return (struct engine_options){
        .dtype = (enum compute_dtype)options->dtype,
        .kv_dtype = (enum kv_dtype)options->kv_dtype,
        .quantize = (enum weight_quantize)options->quantize,
        .n_threads = sizing->n_threads,
        .block_size = sizing->block_size,
        .n_blocks = sizing->n_blocks,
        .max_model_len = sizing->max_model_len,
        .max_num_seqs = sizing->max_num_seqs,
        .max_batch_tokens = sizing->max_num_batched_tokens,
    };
}

struct scratch_question {
    const struct model *model;
    const struct instance_options *options;
    uint32_t max_model_len;
};

static uint64_t answer_scratch(void *ctx, uint32_t max_num_seqs, uint32_t max_num_batched_tokens,
                               uint32_t n_threads) {
    const struct scratch_question *q = ctx;
    const struct sizing sizing = {
        .n_threads = n_threads,
        .block_size = 16,
        .n_blocks = 1,
        .max_model_len = q->max_model_len,
        .max_num_seqs = max_num_seqs,
        .max_num_batched_tokens = max_num_batched_tokens,
    };
    const struct engine_options options = engine_options_of(q->options, &sizing);
    return engine_scratch_bytes(q->model, &options);
}

static int derive_sizes(const struct instance_options *options, struct instance *instance,
                        struct error *reterr) {
    const struct model_info *info = model_info(instance->model);
    struct scratch_question question = {
        .model = instance->model,
        .options = options,
        .max_model_len = options->max_model_len ? options->max_model_len : info->max_position,
    };
    const struct sizing_wish wish = {
        .kv_memory = options->kv_memory,
        .max_model_len = options->max_model_len,
        .max_num_seqs = options->max_num_seqs,
        .max_num_batched_tokens = options->max_num_batched_tokens,
        .block_size = options->block_size,
        .n_threads = options->threads,
    };
    struct machine machine;
    int r = machine_read("", &machine, reterr);
    if (r < 0)
        return r;

    const struct sizing none = {.n_threads = 1, .block_size = 16};
    const struct engine_options engine_options = engine_options_of(options, &none);
    instance->facts = (struct sizing_facts){
        .n_cores = machine.n_usable_cpus,
        .free_bytes = machine.memory_free,
        .weight_bytes = engine_weight_bytes(instance->model, &engine_options),
        .kv_bytes_per_token =
            engine_kv_bytes_per_token(instance->model, (enum kv_dtype)options->kv_dtype),
        .max_position = info->max_position,
        .scratch_bytes = answer_scratch,
        .scratch_ctx = &question,
    };
    r = sizing_derive(&wish, &instance->facts, &instance->sizing, reterr);
    instance->facts.scratch_bytes = NULL; /* the question ends with this function */
    instance->facts.scratch_ctx = NULL;
    return r;
}

static int open_text(struct instance *instance, struct error *reterr) {
    const struct model_info *info = model_info(instance->model);
    int r = model_open_tokenizer(instance->model, &instance->tokenizer, reterr);
    if (r < 0 || !info->chat_template)
        return r;

    r = chat_template_parse(info->chat_template, info->chat_template_len, "chat_template",
                            &instance->chat_template, reterr);
    return r < 0 ? error_prefix(reterr, r, "%s", info->path) : 0;
}

static int open_engine(const struct instance_options *options, const struct instance_hooks *hooks,
                       struct instance *instance, struct error *reterr) {
    struct engine_options engine_options = engine_options_of(options, &instance->sizing);
    engine_options.on_progress = hooks->on_progress;
    engine_options.progress_ctx = hooks->progress_ctx;
    return engine_open(instance->model, &engine_options, &instance->engine, reterr);
}

static int start_scheduler(const struct instance_options *options,
                           const struct instance_hooks *hooks, struct instance *instance,
                           struct error *reterr) {
    const struct sizing *sizing = &instance->sizing;
    struct scheduler_options scheduler_options = {
        .step = engine_step,
        .engine = instance->engine,
        .rope_class = engine_rope_class,
        .n_vocab = engine_info(instance->engine)->n_vocab,
        .block_size = sizing->block_size,
        .n_blocks = sizing->n_blocks,
        .max_model_len = sizing->max_model_len,
        .max_num_seqs = sizing->max_num_seqs,
        .max_num_batched_tokens = sizing->max_num_batched_tokens,
        .prefill_chunk = options->prefill_chunk,
        .prefix_caching = options->prefix_caching,
        .policy = (enum scheduler_policy)options->policy,
        .max_queued_requests = options->max_queued_requests,
        .max_queued_tokens = options->max_queued_tokens,
        .notify = hooks->notify,
        .notify_ctx = hooks->notify_ctx,
    };
    if (getrandom(scheduler_options.hash_key, sizeof scheduler_options.hash_key, 0) < 0)
        return error_set(reterr, -errno, "no random key for the prefix cache: %s", strerror(errno));
#ifndef NDEBUG
    scheduler_options.check_invariants = true;
#endif
    return scheduler_start(&scheduler_options, &instance->scheduler, reterr);
}

int instance_open(const struct instance_options *options, const struct instance_hooks *hooks,
                  struct instance *ret_instance, struct error *reterr) {
    struct instance instance = {.model = NULL};
    const uint64_t start_us = clock_now_us();
    struct hub_model found;

    int r = find_model(options->model, &found, reterr);
    if (r < 0)
        return r;

    r = model_open(found.path, &instance.model, reterr);
    if (r < 0)
        goto close;
    r = derive_sizes(options, &instance, reterr);
    if (r < 0)
        goto close;
    r = open_engine(options, hooks, &instance, reterr);
    if (r < 0)
        goto close;
    r = open_text(&instance, reterr);
    if (r < 0)
        goto close;
    r = start_scheduler(options, hooks, &instance, reterr);
    if (r < 0)
        goto close;

    (void)snprintf(instance.name, sizeof instance.name, "%s",
                   found.name[0] ? found.name : model_info(instance.model)->name); /* cut is fine */
    instance.load_us = clock_now_us() - start_us;
    *ret_instance = instance;
    return 0;

close:
    instance_close(&instance);
    return r;
}

void instance_close(struct instance *instance) {
    scheduler_stop(instance->scheduler);
    engine_close(instance->engine);
    chat_template_free(instance->chat_template);
    tokenizer_close(instance->tokenizer);
    model_close(instance->model);
    *instance = (struct instance){.model = NULL};
}
