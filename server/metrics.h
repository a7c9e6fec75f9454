/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics - what the loop counts, and the Prometheus text of it.
 *
 * Fixed arrays, no memory at a scrape but the text itself. The counters here are the loop
 * thread's; the scheduler's come as a snapshot that waits for no step. Names and buckets that
 * vLLM has are vLLM's, so that its dashboards and routers work; the rest is kvasir_*. One sample
 * per sequence (a choice), as vLLM counts its engine's requests.
 */
#ifndef KVASIR_SERVER_METRICS_H
#define KVASIR_SERVER_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/buf.h"
#include "kvasir/scheduler.h"

#include "http_request.h"
#include "router.h"

enum { HISTOGRAM_MAX_BOUNDS = 32 };

/* Zeroed but for bounds is empty. */
struct histogram {
    const double *bounds; /* ascending, n_bounds; static */
    uint32_t n_bounds;
    uint64_t counts[HISTOGRAM_MAX_BOUNDS + 1]; /* the last: above every bound */
    double sum;
};

void histogram_observe(struct histogram *histogram, double value);

enum metrics_finish { DONE_STOP, DONE_LENGTH, DONE_ABORT, DONE_ERROR, N_DONE };
enum metrics_rejection {
    REJECT_QUEUE_FULL,
    REJECT_CONTEXT,
    REJECT_CAPACITY,
    REJECT_MEMORY,
    N_REJECT
};

enum { METRICS_MAX_STATUSES = 24 };

struct metrics {
    uint64_t start_us;   /* monotonic */
    double start_time_s; /* wall clock, seconds since 1970 */

    /* generation */
    uint64_t finished[N_DONE];
    uint64_t rejected[N_REJECT];
    uint64_t aborted_by_disconnect;
    uint64_t aborted_by_slow_reader;
    uint64_t aborted_by_shutdown;
    struct histogram ttft, itl, tpot, e2e, queue, prefill, decode, inference;
    struct histogram prompt_tokens, generation_tokens, max_tokens_param, n_param;
    struct histogram request_preemptions;

    /* HTTP */
    uint64_t requests[ROUTER_MAX_ROUTES][METRICS_MAX_STATUSES]; /* by route and status */
    struct histogram request_seconds;
    uint64_t http_connections; /* gauge */
    uint64_t http_connections_accepted, http_connections_refused;
    uint64_t http_bytes_received, http_bytes_sent;
    uint64_t client_disconnects;
};

void metrics_init(struct metrics *metrics);

void metrics_count_request(struct metrics *metrics, uint32_t route, enum http_method method,
                           int status, uint64_t total_us);

int metrics_status_at(uint32_t index); /* of the second dimension of requests; 0: any other */

/* What a sequence was when it ended; times in microseconds, 0 where there was none. */
struct metrics_sequence {
    enum metrics_finish finish;
    uint32_t n_prompt, n_generated, max_tokens, n_preemptions;
    uint64_t arrival_us, scheduled_us, first_token_us, last_token_us, now_us;
};
void metrics_count_sequence(struct metrics *metrics, const struct metrics_sequence *sequence);

/* What the process and the model are, for the info series; strings lent. */
struct metrics_context {
    const char *version;
    const char *model_name; /* NULL: loading */
    uint32_t max_model_len, block_size, n_blocks;
    const struct scheduler_stats *stats; /* NULL: loading */
    uint64_t load_us;
    uint64_t log_lines_dropped;
    uint64_t buffered_bytes, max_buffered_bytes, buffer_refusals;
    bool ready;
};

void metrics_write(const struct metrics *metrics, const struct metrics_context *context,
                   struct buf *out);

#endif
