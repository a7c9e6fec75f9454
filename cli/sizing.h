/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sizing - how big the KV pool, the steps and the worker pool are: what was asked for, and the
 * rest derived from the machine and the model. The one place where big memory is decided.
 *
 * Pure: facts in, numbers out.
 */
#ifndef KVASIR_CLI_SIZING_H
#define KVASIR_CLI_SIZING_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"

/* What the options say; 0: derive it. */
struct sizing_wish {
    uint64_t kv_memory; /* bytes */
    uint32_t max_model_len;
    uint32_t max_num_seqs;
    uint32_t max_num_batched_tokens;
    uint32_t block_size;
    uint32_t n_threads;
};

/* What the machine and the model are. */
struct sizing_facts {
    uint32_t n_cores;    /* usable by this process */
    uint64_t free_bytes; /* obtainable, limits of cgroups included */
    uint64_t weight_bytes;
    uint64_t kv_bytes_per_token;
    uint32_t max_position; /* what the model was trained for */
    uint64_t (*scratch_bytes)(void *ctx, uint32_t max_num_seqs, uint32_t max_num_batched_tokens,
                              uint32_t n_threads);
    void *scratch_ctx;
};

struct sizing {
    uint32_t n_threads;
    uint32_t block_size;
    uint32_t n_blocks;
    uint32_t max_model_len;
    uint32_t max_num_seqs;
    uint32_t max_num_batched_tokens;
    uint64_t kv_bytes;
    uint64_t scratch_bytes;
    uint64_t weight_bytes;
    bool beyond_trained; /* max_model_len was asked for beyond max_position */
};

/*
 * -ENOMEM when weights, scratch and a useful KV pool do not fit into what is free, or the KV
 * memory that was asked for cannot hold one sequence of the length that was asked for; the message
 * gives the numbers and what to do.
 */
int sizing_derive(const struct sizing_wish *wish, const struct sizing_facts *facts,
                  struct sizing *ret_sizing, struct error *reterr) KV_MUST_CHECK;

/* A few lines for people: what is used for what, and how many sequences that carries. */
void sizing_describe(const struct sizing *sizing, const struct sizing_facts *facts,
                     struct buf *out);

/* "1.5 GiB", "350 MiB", "12 KiB". */
void sizing_append_bytes(struct buf *out, uint64_t n_bytes);

#endif
