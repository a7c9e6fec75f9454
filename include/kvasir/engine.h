/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - a model ready to compute: packed weights, physical KV, workers. Open, step, close.
 *
 * All calls on one thread, the engine thread, which is also compute worker 0. A step allocates
 * nothing, and reads nothing of the model's files: once open, they may be replaced or go away.
 * On the CPU the logits of a sequence are bit-identical alone or batched, in one prefill
 * or in chunks, cold or from the prefix cache, preempted or not, with one thread or many.
 */
#ifndef KVASIR_ENGINE_H
#define KVASIR_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/batch.h"
#include "kvasir/error.h"

struct engine;
struct model;

/* Arithmetic of weights and activations; and the type in which K and V are stored. */
enum compute_dtype { COMPUTE_AUTO, COMPUTE_F32, COMPUTE_BF16, COMPUTE_F16 };
enum kv_dtype { KV_AUTO, KV_F32, KV_F16, KV_BF16 };
enum weight_quantize { QUANTIZE_NONE, QUANTIZE_INT8 };

struct engine_options {
    enum compute_dtype dtype;
    enum kv_dtype kv_dtype;
    enum weight_quantize quantize;
    uint32_t n_threads;        /* workers, the engine thread included; >= 1 */
    uint32_t block_size;       /* KV slots per block, 8 .. 256 */
    uint32_t n_blocks;         /* blocks of the KV pool; >= 1 */
    uint32_t max_model_len;    /* longest sequence, tokens */
    uint32_t max_num_seqs;     /* most sequences in a step */
    uint32_t max_batch_tokens; /* most tokens in a step */
    const char *isa; /* NULL: the best this CPU has; else "ref", "avx2", "avx512" (tests) */

    /* Loading progress, 0 .. 1, on the calling thread; may be NULL. */
    void (*on_progress)(void *ctx, double fraction);
    void *progress_ctx;
};

/* What was opened. Strings are constants. */
struct engine_info {
    uint32_t n_vocab;
    uint32_t block_size;
    uint32_t n_blocks;
    uint32_t max_model_len;
    uint32_t n_threads;
    uint64_t kv_bytes_per_token;
    uint64_t weight_bytes; /* resident, as packed */
    uint64_t scratch_bytes;
    const char *isa;   /* "avx512-vnni" */
    const char *dtype; /* what auto became: "bfloat16" */
    const char *kv_dtype;
};

/*
 * Packs the weights of model (lent until engine_close) and reserves everything a step will need.
 * -ENOMEM, -ENOTSUP, -EINVAL with the option's name in reterr->param.
 */
int engine_open(const struct model *model, const struct engine_options *options,
                struct engine **ret_engine, struct error *reterr) KV_MUST_CHECK;
void engine_close(struct engine *engine);

const struct engine_info *engine_info(const struct engine *engine);

/* Bytes of KV per token that engine_open would use for this model and kv_dtype (for sizing). */
uint64_t engine_kv_bytes_per_token(const struct model *model, enum kv_dtype kv_dtype);

/* Bytes of scratch that engine_open would reserve with these options (for sizing). */
uint64_t engine_scratch_bytes(const struct model *model, const struct engine_options *options);

/* Bytes of weights resident once packed (an upper bound, for sizing before opening). */
uint64_t engine_weight_bytes(const struct model *model, const struct engine_options *options);

/*
 * How the KV of a token depends on the length of its sequence (RoPE kinds): blocks may be shared
 * only between tokens of sequences whose lengths have the same class. 0 for every length with
 * ordinary RoPE; longrope has two classes; dynamic NTK one for each length beyond the trained
 * one. Any thread.
 */
uint64_t engine_rope_class(const void *engine, uint32_t length);

/*
 * Computes one batch: writes K and V of its tokens into their blocks, runs the head on the wanted
 * rows, samples. The signature is that of scheduler_options::step, hence the void pointer.
 * A sequence outside the limits given at open (a broken caller) has one row of ROW_NOT_COMPUTED,
 * and nothing of it was written; the others are computed. 0, or -EINVAL when the slices are not a
 * partition of the batch's tokens, or there are too many of either: nothing was written.
 */
int engine_step(void *engine, const struct batch *batch, struct step_result *ret_result);

#endif
