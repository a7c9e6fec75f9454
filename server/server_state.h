/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server_state - what one running server is made of; the modules of this folder share it.
 *
 * Everything is the loop thread's, except the four fields under "any thread".
 */
#ifndef KVASIR_SERVER_STATE_H
#define KVASIR_SERVER_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "kvasir/list.h"
#include "kvasir/server.h"

#include "budget.h"
#include "http_head.h"
#include "log.h"
#include "metrics.h"
#include "seq_map.h"

enum { SERVER_MAX_LISTENERS = 4, SERVER_READ_BYTES = 64 << 10 };

struct server {
    struct server_options options;
    struct http_limits http_limits;
    struct log log;
    struct metrics metrics;
    struct budget budget;          /* of bodies, parsing and unread replies */
    const struct service *service; /* NULL: still loading */

    uv_loop_t loop;
    uv_tcp_t listeners[SERVER_MAX_LISTENERS];
    uint32_t n_listeners;
    uv_tcp_t turned_away; /* a connection for which there was no memory, until it is closed */
    bool turning_away;
    bool accept_waits[SERVER_MAX_LISTENERS]; /* for turned_away to be free again */
    uv_async_t wakeup;
    uv_timer_t drain_timer;
    uv_timer_t stream_timer; /* keep-alive comments; runs while there are streams */
    uv_signal_t signals[2];
    bool signals_open;
    uint16_t port;
    bool loopback; /* every listener is bound to a loopback address */
    bool listening;
    bool draining;
    bool stopping;

    struct list conns; /* conn::link */
    uint32_t n_conns;
    uint32_t n_jobs; /* on libuv's pool */

    struct list generations;  /* generation::link, all that run */
    struct seq_map sequences; /* seq_id -> choice */
    uint64_t work_since_us;   /* when there was last no sequence; valid while there is one */
    bool stall_logged;
    bool empty_plan_logged;
    uint64_t salt_key[2]; /* of this process, for cache_salt */
    uint64_t n_seeds_drawn;
    uint64_t finish_gap_us; /* mean time between finished sequences, for Retry-After */
    uint64_t last_finish_us;

    char read_buf[SERVER_READ_BYTES]; /* between libuv's alloc and read callbacks only */

    /*
     * Any thread. Atomics outside mailbox.c (style rule 41): these are set once from outside and
     * looked at by the loop after uv_async_send, which orders them; there is no queue to share.
     */
    _Atomic(const struct service *) new_service;
    atomic_bool wants_drain;
    atomic_bool wants_stop;
    atomic_bool has_outputs;
};

/* The ids of the model, one at least; the first is given back in answers, in the log and in the
 * metrics. Needs the service. */
struct model_names {
    const char *const *items;
    uint32_t n;
};
struct model_names server_model_names(const struct server *server);

/* Ends the loop when the server was asked to and nothing is left to do. */
void server_maybe_quit(struct server *server);

/* How long to wait before trying again, from how fast sequences finish; 1 000 .. 60 000. */
uint32_t server_retry_after_ms(const struct server *server);

#endif
