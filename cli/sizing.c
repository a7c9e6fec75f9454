/* SPDX-License-Identifier: Apache-2.0 */
#include "sizing.h"

#include <errno.h>
#include <inttypes.h>

enum {
    DEFAULT_BLOCK_SIZE = 16,
    DEFAULT_MAX_NUM_SEQS = 128,
    /* On a CPU a step of more tokens gains little and delays every running stream by its length. */
    DEFAULT_MAX_NUM_BATCHED_TOKENS = 256,
    MIN_USEFUL_TOKENS = 256, /* a KV pool below this is not worth starting for */
};

/* Left for the loop, requests and the rest of the machine when the KV memory is derived. */
static const uint64_t HEADROOM = 128u << 20;

void sizing_append_bytes(struct buf *out, uint64_t n_bytes) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)n_bytes;
    size_t unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    buf_printf(out, value < 10 && unit > 0 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static uint32_t or_default(uint32_t wish, uint32_t otherwise) {
    return wish ? wish : otherwise;
}

static uint64_t blocks_for(uint64_t n_tokens, uint32_t block_size) {
    return (n_tokens + block_size - 1) / block_size;
}

/* -ENOMEM with what is needed, what there is, and what to do. */
static int does_not_fit(const struct sizing *s, const struct sizing_facts *facts,
                        struct error *reterr) {
    struct buf need;
    struct buf have;
    buf_init(&need, 0);
    buf_init(&have, 0);
    sizing_append_bytes(&need, s->weight_bytes + s->scratch_bytes +
                                   MIN_USEFUL_TOKENS * facts->kv_bytes_per_token);
    sizing_append_bytes(&have, facts->free_bytes);
    const int r = error_set(
        reterr, -ENOMEM,
        "the model does not fit: weights, working memory and a small KV cache need %s, and %s of "
        "memory is available to this process; use a smaller quantisation of the model (a Q4_K_M "
        "GGUF, or --quantize int8), a lower --max-num-batched-tokens, or a machine or cgroup with "
        "more memory",
        need.data ? need.data : "?", have.data ? have.data : "?");
    buf_fini(&need);
    buf_fini(&have);
    return r;
}

/* How many bytes of KV there may be: what was asked for, or half of what is left. */
static int kv_budget(const struct sizing_wish *wish, const struct sizing_facts *facts,
                     const struct sizing *s, uint64_t *ret_bytes, struct error *reterr) {
    const uint64_t taken = s->weight_bytes + s->scratch_bytes;
    const uint64_t left = facts->free_bytes > taken ? facts->free_bytes - taken : 0;

    if (wish->kv_memory) {
        *ret_bytes = wish->kv_memory;
        return wish->kv_memory <= left ? 0 : does_not_fit(s, facts, reterr);
    }
    if (left < HEADROOM + MIN_USEFUL_TOKENS * facts->kv_bytes_per_token)
        return does_not_fit(s, facts, reterr);
    *ret_bytes = (left - HEADROOM) / 2;
    return 0;
}

/* The longest sequence: what was asked for must fit the pool; what is derived is made to. */
static int choose_length(const struct sizing_wish *wish, const struct sizing_facts *facts,
                         uint64_t pool_tokens, struct sizing *s, struct error *reterr) {
    s->max_model_len = or_default(wish->max_model_len, facts->max_position);
    s->beyond_trained = s->max_model_len > facts->max_position;
    if (s->max_model_len <= pool_tokens)
        return 0;
    if (wish->max_model_len)
        return error_set_param(
            reterr, -ENOMEM, "max-model-len",
            "--max-model-len %" PRIu32 ": the KV cache holds %" PRIu64
            " tokens; give it more with --kv-memory, or ask for a shorter length",
            wish->max_model_len, pool_tokens);
    s->max_model_len = (uint32_t)pool_tokens;
    return pool_tokens > 0 ? 0
                           : error_set_param(reterr, -ENOMEM, "kv-memory",
                                             "--kv-memory: less than one block of KV cache");
}

int sizing_derive(const struct sizing_wish *wish, const struct sizing_facts *facts,
                  struct sizing *ret_sizing, struct error *reterr) {
    struct sizing s = {
        .n_threads = or_default(wish->n_threads, facts->n_cores),
        .block_size = or_default(wish->block_size, DEFAULT_BLOCK_SIZE),
        .max_num_seqs = or_default(wish->max_num_seqs, DEFAULT_MAX_NUM_SEQS),
        .max_num_batched_tokens =
            or_default(wish->max_num_batched_tokens, DEFAULT_MAX_NUM_BATCHED_TOKENS),
        .weight_bytes = facts->weight_bytes,
    };
    s.scratch_bytes = facts->scratch_bytes(facts->scratch_ctx, s.max_num_seqs,
                                           s.max_num_batched_tokens, s.n_threads);
    uint64_t budget = 0;
    int r = kv_budget(wish, facts, &s, &budget, reterr);
    if (r < 0)
        return r;

    const uint64_t block_bytes = s.block_size * facts->kv_bytes_per_token;
    uint64_t n_blocks = budget / block_bytes;
    r = choose_length(wish, facts, n_blocks * s.block_size, &s, reterr);
    if (r < 0)
        return r;

    /* More than every sequence at full length can never be used at once. */
    const uint64_t most = s.max_num_seqs * blocks_for(s.max_model_len, s.block_size);
    if (!wish->kv_memory && n_blocks > most)
        n_blocks = most;
    if (n_blocks > INT32_MAX)
        n_blocks = INT32_MAX;
    s.n_blocks = (uint32_t)n_blocks;
    s.kv_bytes = n_blocks * block_bytes;
    *ret_sizing = s;
    return 0;
}

void sizing_describe(const struct sizing *s, const struct sizing_facts *facts, struct buf *out) {
    const uint64_t tokens = (uint64_t)s->n_blocks * s->block_size;

    buf_append_str(out, "memory: weights ");
    sizing_append_bytes(out, s->weight_bytes);
    buf_append_str(out, ", KV cache ");
    sizing_append_bytes(out, s->kv_bytes);
    buf_append_str(out, ", working memory ");
    sizing_append_bytes(out, s->scratch_bytes);
    buf_append_str(out, " of ");
    sizing_append_bytes(out, facts->free_bytes);
    buf_append_str(out, " available\n");
    buf_printf(out,
               "KV cache: %" PRIu64 " tokens in %" PRIu32 " blocks of %" PRIu32 "; carries %" PRIu64
               " sequences of %" PRIu32 " tokens, or %" PRIu32 " of %" PRIu64 "\n",
               tokens, s->n_blocks, s->block_size, tokens / s->max_model_len, s->max_model_len,
               s->max_num_seqs, tokens / s->max_num_seqs);
    buf_printf(out,
               "steps: at most %" PRIu32 " sequences and %" PRIu32 " tokens, on %" PRIu32
               " threads\n",
               s->max_num_seqs, s->max_num_batched_tokens, s->n_threads);
    if (s->beyond_trained)
        buf_printf(
            out, "note: the model was trained for %" PRIu32 " tokens, %" PRIu32 " were asked for\n",
            facts->max_position, s->max_model_len);
}
