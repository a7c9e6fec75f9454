/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_health - GET /live, /ready, /health, /version.
 *
 * /live says that the loop turns. /ready says that a request sent now would be served: the model
 * is there, nothing drains, and steps complete while there is work. /health is /ready under the
 * name that most tools ask for.
 */
#include "kvasir/clock.h"

#include "api.h"
#include "exchange.h"
#include "health.h"
#include "server_state.h"

/* A step of a large prefill on a small machine takes seconds; a minute is a hang. */
enum { STALL_US = 60000000 };

/* Steps must complete while there are sequences: work since long ago, and no step since. */
static bool is_stalled(const struct server *server) {
    if (server->sequences.n == 0)
        return false;
    struct scheduler_stats stats;
    scheduler_stats(server->service->scheduler, &stats);
    const uint64_t since = server->work_since_us > stats.last_step_end_us ? server->work_since_us
                                                                          : stats.last_step_end_us;
    const uint64_t now = clock_now_us();
    return now > since && now - since > STALL_US;
}

const char *health_problem(const struct server *server) {
    if (server->draining)
        return "draining";
    if (!server->service)
        return "loading";
    return is_stalled(server) ? "stalled" : NULL;
}

void api_live(struct exchange *x) {
    exchange_reply(x, 200, "application/json", span_of("{\"status\":\"ok\"}"));
}

void api_ready(struct exchange *x) {
    const char *problem = health_problem(x->server);
    if (!problem) {
        exchange_reply(x, 200, "application/json", span_of("{\"status\":\"ok\"}"));
        return;
    }
    struct buf body = {0};
    buf_printf(&body, "{\"status\":\"%s\"}", problem);
    (void)exchange_header(x, "retry-after", "1"); /* a constant: it fits */
    exchange_reply(x, 503, "application/json", (struct span){body.data, body.len});
    buf_fini(&body);
}

void api_health(struct exchange *x) {
    api_ready(x);
}

void api_version(struct exchange *x) {
    struct buf body = {0};
    buf_append_str(&body, "{\"version\":");
    buf_append_json_string(&body, x->server->options.version, strlen(x->server->options.version));
    buf_append_char(&body, '}');
    exchange_reply_json(x, &body);
    buf_fini(&body);
}
