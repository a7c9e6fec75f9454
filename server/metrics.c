/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <string.h>

#include "kvasir/clock.h"

/* vLLM's buckets. A dashboard's quantiles move when these do: do not change them. */
static const double ttft_bounds[] = {.001, .005, .01, .02, .04, .06, .08, .1, .25, .5,  .75,
                                     1,    2.5,  5,   7.5, 10,  20,  40,  80, 160, 640, 2560};
static const double itl_bounds[] = {.01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                                    .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80};
static const double latency_bounds[] = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                        30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
static const double n_bounds[] = {1, 2, 5, 10, 20};
static const double preemption_bounds[] = {1, 2, 3, 4, 5, 10, 20};
/* 1-2-5 up to the context length, which cuts it when it is known (see set_token_bounds). */
static const double token_bounds[] = {1,     2,      5,      10,     20,      50,     100,
                                      200,   500,    1000,   2000,   5000,    10000,  20000,
                                      50000, 100000, 200000, 500000, 1000000, 2000000};
static const double http_bounds[] = {.001, .005, .01, .05, .1, .5, 1, 5, 10, 60, 300};

#define N_BOUNDS(array) (sizeof(array) / sizeof(array)[0])

static const int known_statuses[] = {200, 204, 400, 401, 403, 404, 405, 408, 413, 414,
                                     415, 417, 429, 431, 499, 500, 501, 503, 505};
_Static_assert(N_BOUNDS(known_statuses) < METRICS_MAX_STATUSES, "the last index is for others");

static struct histogram histogram_with(const double *bounds, size_t n) {
    return (struct histogram){.bounds = bounds, .n_bounds = (uint32_t)n};
}

#define HISTOGRAM(array) histogram_with(array, N_BOUNDS(array))

void metrics_init(struct metrics *metrics) {
    *metrics = (struct metrics){
        .start_us = clock_now_us(),
        .start_time_s = (double)clock_wall_ms() / 1000.0,
        .ttft = HISTOGRAM(ttft_bounds),
        .itl = HISTOGRAM(itl_bounds),
        .tpot = HISTOGRAM(itl_bounds),
        .e2e = HISTOGRAM(latency_bounds),
        .queue = HISTOGRAM(latency_bounds),
        .prefill = HISTOGRAM(latency_bounds),
        .decode = HISTOGRAM(latency_bounds),
        .inference = HISTOGRAM(latency_bounds),
        .prompt_tokens = HISTOGRAM(token_bounds),
        .generation_tokens = HISTOGRAM(token_bounds),
        .max_tokens_param = HISTOGRAM(token_bounds),
        .n_param = HISTOGRAM(n_bounds),
        .request_preemptions = HISTOGRAM(preemption_bounds),
        .request_seconds = HISTOGRAM(http_bounds),
    };
}

void histogram_observe(struct histogram *histogram, double value) {
    uint32_t i = 0;
    while (i < histogram->n_bounds && value > histogram->bounds[i])
        i++;
    histogram->counts[i]++;
    histogram->sum += value;
}

static uint32_t status_index(int status) {
    for (uint32_t i = 0; i < N_BOUNDS(known_statuses); i++) {
        if (known_statuses[i] == status)
            return i;
    }
    return METRICS_MAX_STATUSES - 1;
}

int metrics_status_at(uint32_t index) {
    return index < N_BOUNDS(known_statuses) ? known_statuses[index] : 0;
}

void metrics_count_request(struct metrics *metrics, uint32_t route, enum http_method method,
                           int status, uint64_t total_us) {
    (void)method; /* every route has one; HEAD counts as its GET */
    metrics->requests[route][status_index(status)]++;
    histogram_observe(&metrics->request_seconds, (double)total_us / 1e6);
}

static void observe_span(struct histogram *histogram, uint64_t from_us, uint64_t to_us) {
    if (from_us && to_us >= from_us)
        histogram_observe(histogram, (double)(to_us - from_us) / 1e6);
}

void metrics_count_sequence(struct metrics *metrics, const struct metrics_sequence *s) {
    metrics->finished[s->finish]++;
    histogram_observe(&metrics->prompt_tokens, s->n_prompt);
    histogram_observe(&metrics->generation_tokens, s->n_generated);
    histogram_observe(&metrics->max_tokens_param, s->max_tokens);
    histogram_observe(&metrics->request_preemptions, s->n_preemptions);
    observe_span(&metrics->e2e, s->arrival_us, s->now_us);
    if (s->scheduled_us)
        observe_span(&metrics->queue, s->arrival_us, s->scheduled_us);
    if (!s->first_token_us)
        return;
    observe_span(&metrics->prefill, s->scheduled_us, s->first_token_us);
    observe_span(&metrics->decode, s->first_token_us, s->last_token_us);
    observe_span(&metrics->inference, s->scheduled_us, s->last_token_us);
    if (s->n_generated > 1)
        histogram_observe(&metrics->tpot, (double)(s->last_token_us - s->first_token_us) / 1e6 /
                                              (s->n_generated - 1));
}
