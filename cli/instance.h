/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance - a model brought to life: files, tokenizer, template, engine, scheduler, in the order
 * in which each needs the one before. `serve` and `eval` use the same one.
 */
#ifndef KVASIR_CLI_INSTANCE_H
#define KVASIR_CLI_INSTANCE_H

#include "kvasir/chat.h"
#include "kvasir/engine.h"
#include "kvasir/error.h"
#include "kvasir/model.h"
#include "kvasir/scheduler.h"
#include "kvasir/tokenizer.h"

#include "sizing.h"

/* Options that every command has which runs a model. */
struct instance_options {
    const char *model; /* folder, file or org/name; NULL: the demo model */
    int dtype;         /* enum compute_dtype */
    int kv_dtype;      /* enum kv_dtype */
    int quantize;      /* enum weight_quantize */
    uint32_t threads;
    uint64_t kv_memory;
    uint32_t max_model_len;
    uint32_t max_num_seqs;
    uint32_t max_num_batched_tokens;
    uint32_t block_size;
    uint32_t prefill_chunk;
    bool prefix_caching;
    int policy; /* enum scheduler_policy */
    uint32_t max_queued_requests;
    uint64_t max_queued_tokens;
};

struct instance {
    struct model *model;
    struct tokenizer *tokenizer;
    struct chat_template *chat_template; /* NULL: the model has none */
    struct engine *engine;
    struct scheduler *scheduler;
    struct sizing sizing;
    struct sizing_facts facts;
    uint64_t load_us;
    char name[256]; /* what the model is called unless an option says otherwise */
};

/* Where outputs are signalled; and the progress of loading, 0 .. 1, on the calling thread. */
struct instance_hooks {
    void (*notify)(void *ctx);
    void *notify_ctx;
    void (*on_progress)(void *ctx, double fraction);
    void *progress_ctx;
};

/* Everything or nothing: after a failure ret_instance is empty. Any thread, once per instance. */
int instance_open(const struct instance_options *options, const struct instance_hooks *hooks,
                  struct instance *ret_instance, struct error *reterr) KV_MUST_CHECK;

/* Stops the scheduler first. An empty instance is fine. */
void instance_close(struct instance *instance);

#endif
