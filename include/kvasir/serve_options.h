/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve_options - what `kvasir serve` can be told. Names and meanings are vLLM's where it has them.
 *
 * 0 means "derive it from the machine and the model" where a field says auto.
 */
#ifndef KVASIR_SERVE_OPTIONS_H
#define KVASIR_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/options.h"

enum serve_generation { SERVE_GENERATION_MODEL, SERVE_GENERATION_API };
enum serve_log_format { SERVE_LOG_TEXT, SERVE_LOG_JSON };
enum serve_log_level { SERVE_LOG_ERROR, SERVE_LOG_WARNING, SERVE_LOG_INFO, SERVE_LOG_DEBUG };

struct serve_options {
    const char *model; /* NULL: the demo model */
    struct option_list served_model_name;
    int dtype;             /* enum compute_dtype */
    int kv_cache_dtype;    /* enum kv_dtype */
    int quantize;          /* enum weight_quantize */
    int generation_config; /* enum serve_generation */

    const char *host;
    uint32_t port; /* 0: any free one */
    struct option_list allowed_hosts;
    uint32_t max_connections;
    uint64_t max_body;
    uint64_t max_buffered;
    uint64_t keep_alive_timeout_us;
    uint64_t header_timeout_us;
    uint64_t body_timeout_us;
    uint64_t write_timeout_us;
    uint64_t drain_timeout_us;

    uint32_t threads;                /* 0: auto */
    uint64_t kv_memory;              /* bytes; 0: auto */
    uint32_t max_model_len;          /* 0: auto */
    uint32_t max_num_seqs;           /* 0: auto */
    uint32_t max_num_batched_tokens; /* 0: auto */
    uint32_t block_size;
    bool enable_prefix_caching;
    int scheduling_policy; /* enum scheduler_policy */
    uint32_t max_queued_requests;
    uint64_t max_queued_tokens; /* 0: no limit */
    uint64_t seed;              /* the process seed: requests without a seed draw from it */

    int log_format; /* enum serve_log_format */
    int log_level;  /* enum serve_log_level */
    bool access_log;
};

extern const struct option_table serve_option_table;

/* The words of --dtype, --kv-cache-dtype and --quantize, for the other commands' tables. */
extern const struct option_choice dtype_choices[];
extern const struct option_choice kv_dtype_choices[];
extern const struct option_choice quantize_choices[];

#endif
