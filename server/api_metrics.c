/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_metrics - GET /metrics, as Prometheus text. Takes a snapshot; waits for nothing.
 */
#include "api.h"
#include "exchange.h"
#include "health.h"
#include "server_state.h"

void api_metrics(struct exchange *x) {
    const struct server *server = x->server;
    const struct service *service = server->service;
    const struct server_options *options = &server->options;
    struct scheduler_stats stats;
    struct metrics_context context = {
        .version = options->version,
        .log_lines_dropped = server->log.n_dropped,
        .buffered_bytes = server->budget.used,
        .max_buffered_bytes = server->budget.max_bytes,
        .buffer_refusals = server->budget.n_refused,
        .ready = !health_problem(server),
    };
    if (service) {
        scheduler_stats(service->scheduler, &stats);
        context.stats = &stats;
        context.model_name = server_model_names(server).items[0];
        context.max_model_len = service->max_model_len;
        context.block_size = service->block_size;
        context.n_blocks = service->n_blocks;
        context.load_us = service->load_us;
    }
    struct buf body = {0};
    metrics_write(&server->metrics, &context, &body);
    if (buf_failed(&body))
        exchange_error(x, 503, "overloaded", NULL, "There is not enough memory for the metrics.");
    else
        exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8",
                       (struct span){body.data, body.len});
    buf_fini(&body);
}
