/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - the loop's frame: create, bind, run, drain, destroy; and the one wake-up through which
 * other threads reach it.
 */
#include "kvasir/server.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"

#include "conn.h"
#include "generation.h"
#include "json_read.h"
#include "server_state.h"

enum { LISTEN_BACKLOG = 1024, SPARE_DESCRIPTORS = 64, ABORT_GRACE_MS = 500, SECOND_US = 1000000 };

/* The limits that no option sets. */
static void fill_limits(struct server_options *options) {
    if (options->max_stream_queue_bytes == 0)
        options->max_stream_queue_bytes = 64 << 10;
    if (options->max_n == 0)
        options->max_n = 16;
    if (options->max_sequences == 0)
        options->max_sequences = 1024;
}

struct model_names server_model_names(const struct server *server) {
    const struct server_options *options = &server->options;
    if (options->n_served_model_names > 0)
        return (struct model_names){options->served_model_names, options->n_served_model_names};
    return (struct model_names){&server->service->name, 1};
}

/* ---- the end ---- */

void server_maybe_quit(struct server *server) {
    const bool ending = server->stopping || server->draining;
    if (ending && server->n_conns == 0 && server->n_jobs == 0)
        uv_stop(&server->loop);
}

static void close_listeners(struct server *server) {
    for (uint32_t i = 0; i < server->n_listeners; i++) {
        uv_handle_t *handle = (uv_handle_t *)&server->listeners[i];
        if (!uv_is_closing(handle))
            uv_close(handle, NULL);
    }
    server->listening = false;
}

static void stop_now(struct server *server) {
    server->stopping = true;
    close_listeners(server);
    list_for_each (link, &server->conns)
        conn_close(conn_of_link(link));
    server_maybe_quit(server);
}

static void on_abort_grace(uv_timer_t *timer) {
    stop_now(timer->data);
}

/* Time is up: every stream gets its error object; a moment later the connections close. */
static void on_drain_timeout(uv_timer_t *timer) {
    struct server *server = timer->data;
    log_message(&server->log, SERVER_LOG_WARNING, "drain: %.1f s are over, %u connections are cut",
                (double)server->options.drain_timeout_us / SECOND_US, server->n_conns);
    generation_abort_all(server);
    (void)uv_timer_start(timer, on_abort_grace, ABORT_GRACE_MS, 0); /* cannot fail: open handle */
}

static void drain(struct server *server) {
    if (server->draining) {
        log_message(&server->log, SERVER_LOG_WARNING, "stopping at once");
        stop_now(server);
        return;
    }
    server->draining = true;
    log_message(&server->log, SERVER_LOG_INFO,
                "draining: %u requests are being finished, for at most %.1f s "
                "(a second signal stops at once)",
                generation_n_running(server), (double)server->options.drain_timeout_us / SECOND_US);
    close_listeners(server);
    list_for_each (link, &server->conns) {
        struct conn *conn = conn_of_link(link);
        if (conn_is_idle(conn))
            conn_close(conn);
    }
    /* Cannot fail: open handle. */
    (void)uv_timer_start(&server->drain_timer, on_drain_timeout,
                         server->options.drain_timeout_us / 1000, 0);
    server_maybe_quit(server);
}

static void on_signal(uv_signal_t *handle, int signum) {
    (void)signum;
    drain(handle->data);
}

/* ---- other threads ---- */

/* uv_async_send orders what was stored before it, so relaxed would do; the default is kept
 * because none of this is hot. */
void server_notify(void *ctx) {
    struct server *server = ctx;
    atomic_store(&server->has_outputs, true);
    (void)uv_async_send(&server->wakeup); /* fails only on a closed handle: contract of server.h */
}

void server_set_service(struct server *server, const struct service *service) {
    atomic_store(&server->new_service, service);
    (void)uv_async_send(&server->wakeup); /* as above */
}

void server_drain(struct server *server) {
    atomic_store(&server->wants_drain, true);
    (void)uv_async_send(&server->wakeup); /* as above */
}

void server_stop(struct server *server) {
    atomic_store(&server->wants_stop, true);
    (void)uv_async_send(&server->wakeup); /* as above */
}

static void on_wakeup(uv_async_t *async) {
    struct server *server = async->data;
    const struct service *service = atomic_exchange(&server->new_service, NULL);
    if (service)
        server->service = service;
    if (atomic_exchange(&server->has_outputs, false))
        generation_take_outputs(server);
    if (atomic_exchange(&server->wants_drain, false))
        drain(server);
    if (atomic_exchange(&server->wants_stop, false))
        stop_now(server);
}

/* ---- create and destroy ---- */

static void close_handles(struct server *server) {
    close_listeners(server);
    uv_close((uv_handle_t *)&server->wakeup, NULL);
    uv_close((uv_handle_t *)&server->drain_timer, NULL);
    uv_close((uv_handle_t *)&server->stream_timer, NULL);
    for (uint32_t i = 0; server->signals_open && i < 2; i++)
        uv_close((uv_handle_t *)&server->signals[i], NULL);
}

static int open_handles(struct server *server, struct error *reterr) {
    int r = uv_async_init(&server->loop, &server->wakeup, on_wakeup);
    if (r < 0)
        return error_set(reterr, r, "cannot make the loop's wake-up: %s", uv_strerror(r));

    (void)uv_timer_init(&server->loop, &server->drain_timer);  /* always succeeds */
    (void)uv_timer_init(&server->loop, &server->stream_timer); /* always succeeds */
    server->wakeup.data = server;
    server->drain_timer.data = server;
    server->stream_timer.data = server;
    return 0;
}

static int watch_signals(struct server *server, struct error *reterr) {
    static const int numbers[2] = {SIGTERM, SIGINT};
    if (!server->options.handle_signals)
        return 0;

    for (uint32_t i = 0; i < 2; i++) {
        (void)uv_signal_init(&server->loop, &server->signals[i]); /* the loop has its pipe */
        server->signals[i].data = server;
    }
    server->signals_open = true;
    for (uint32_t i = 0; i < 2; i++) {
        const int r = uv_signal_start(&server->signals[i], on_signal, numbers[i]);
        if (r < 0)
            return error_set(reterr, r, "cannot watch signals: %s", uv_strerror(r));
    }
    return 0;
}

/* Connections beyond the descriptors would fail one by one; a lower limit says so once. */
static void fit_to_descriptors(struct server *server) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    const uint64_t usable = limit.rlim_cur > 2 * SPARE_DESCRIPTORS
                                ? limit.rlim_cur - SPARE_DESCRIPTORS
                                : limit.rlim_cur / 2;
    if (server->options.max_connections > usable)
        server->options.max_connections = (uint32_t)usable;
}

static int check_options(const struct server_options *options, struct error *reterr) {
    if (!options->host || !options->host[0])
        return error_set_param(reterr, -EINVAL, "host", "the host must not be empty");
    if (options->max_connections == 0)
        return error_set_param(reterr, -EINVAL, "max_connections",
                               "there must be room for at least one connection");
    if (options->max_buffered_bytes < options->max_body_bytes)
        return error_set_param(reterr, -EINVAL, "max_buffered",
                               "the budget for buffered bytes (%zu) must be at least the largest "
                               "request body (%zu)",
                               options->max_buffered_bytes, options->max_body_bytes);
    return 0;
}

int server_create(const struct server_options *options, struct server **ret_server,
                  struct error *reterr) {
    int r = check_options(options, reterr);
    if (r < 0)
        return r;
    /* These three are process-wide and idempotent. A client that resets its connection must not
     * end the process; libuv refuses only a NULL function. */
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a valid signal: cannot fail */
    (void)uv_replace_allocator(mem_alloc, mem_realloc, mem_alloc_zero, mem_free);
    json_read_init();

    struct server *server = mem_alloc_zero(1, sizeof *server);
    if (!server)
        return error_set(reterr, -ENOMEM, "not enough memory for the server");
    server->options = *options;
    fill_limits(&server->options);
    server->http_limits = http_limits_defaults();
    server->http_limits.max_body = options->max_body_bytes;
    server->log = (struct log){
        .fd = options->log_fd,
        .level = options->log_level,
        .json = options->log_format == SERVER_LOG_JSON,
    };
    metrics_init(&server->metrics);
    budget_init(&server->budget, options->max_buffered_bytes);
    list_init(&server->conns);
    list_init(&server->generations);
    seq_map_init(&server->sequences);
    fit_to_descriptors(server);

    r = uv_random(NULL, NULL, server->salt_key, sizeof server->salt_key, 0, NULL);
    if (r == 0 && server->options.seed == 0)
        r = uv_random(NULL, NULL, &server->options.seed, sizeof server->options.seed, 0, NULL);
    if (r < 0) {
        (void)error_set(reterr, r, "no random numbers: %s", uv_strerror(r));
        goto free_server;
    }
    r = uv_loop_init(&server->loop);
    if (r < 0) {
        (void)error_set(reterr, r, "cannot make the loop: %s", uv_strerror(r));
        goto free_server;
    }
    r = open_handles(server, reterr);
    if (r < 0)
        goto close_loop;
    r = watch_signals(server, reterr);
    if (r < 0) {
        server_destroy(server);
        return r;
    }
    *ret_server = server;
    return 0;

close_loop:
    (void)uv_loop_close(&server->loop); /* nothing was opened on it */
free_server:
    mem_free(server);
    return r;
}

void server_destroy(struct server *server) {
    if (!server)
        return;
    close_handles(server);
    list_for_each (link, &server->conns)
        conn_close(conn_of_link(link));
    (void)uv_run(&server->loop, UV_RUN_DEFAULT); /* until every close callback has run */
    const int r = uv_loop_close(&server->loop);
    INVARIANT(r == 0);
    mem_free(server);
}

/* ---- bind and run ---- */

static bool is_loopback(const struct sockaddr *addr) {
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static void set_port(struct sockaddr_storage *addr, uint16_t port) {
    if (addr->ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)addr)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)addr)->sin6_port = htons(port);
}

static uint16_t bound_port(const uv_tcp_t *tcp) {
    struct sockaddr_storage addr = {0};
    int len = sizeof addr;
    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&addr, &len) < 0)
        return 0;
    return ntohs(addr.ss_family == AF_INET
                     ? ((const struct sockaddr_in *)(const void *)&addr)->sin_port
                     : ((const struct sockaddr_in6 *)(const void *)&addr)->sin6_port);
}

static int listen_on(struct server *server, const struct sockaddr *address) {
    struct sockaddr_storage addr = {0};
    memcpy(&addr, address,
           address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                         : sizeof(struct sockaddr_in6));
    set_port(&addr, server->port);

    uv_tcp_t *tcp = &server->listeners[server->n_listeners];
    int r = uv_tcp_init(&server->loop, tcp);
    if (r < 0)
        return r;
    tcp->data = server;
    server->n_listeners++; /* from here on close_listeners() closes it */

    r = uv_tcp_bind(tcp, (const struct sockaddr *)&addr, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)tcp, LISTEN_BACKLOG, conn_accept);
    if (r < 0) {
        uv_close((uv_handle_t *)tcp, NULL);
        return r;
    }
    server->port = bound_port(tcp); /* the second address of a name takes the first one's */
    server->loopback = server->loopback && is_loopback(address);
    server->listening = true;
    return 0;
}

static int explain_bind(const struct server *server, int code, struct error *reterr) {
    const char *host = server->options.host;
    const unsigned port = server->options.port;
    if (code == UV_EADDRINUSE)
        return error_set_param(reterr, code, "port",
                               "port %u on %s is in use: stop the program that has it, or choose "
                               "another port with --port (0 takes any free one)",
                               port, host);
    if (code == UV_EACCES)
        return error_set_param(reterr, code, "port",
                               "port %u on %s needs more rights: choose one above 1023 with --port",
                               port, host);
    if (code == UV_EADDRNOTAVAIL)
        return error_set_param(reterr, code, "host",
                               "%s is not an address of this machine: see --host", host);
    return error_set_param(reterr, code, "host", "cannot listen on %s port %u: %s", host, port,
                           uv_strerror(code));
}

int server_bind(struct server *server, struct error *reterr) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    uv_getaddrinfo_t request;
    int r = uv_getaddrinfo(&server->loop, &request, NULL, server->options.host, NULL, &hints);
    if (r < 0)
        return error_set_param(reterr, r, "host", "cannot resolve the host '%s': %s",
                               server->options.host, uv_strerror(r));

    server->port = server->options.port;
    server->loopback = true;
    r = UV_EADDRNOTAVAIL;
    for (const struct addrinfo *a = request.addrinfo; a; a = a->ai_next) {
        if (server->n_listeners == SERVER_MAX_LISTENERS ||
            (a->ai_family != AF_INET && a->ai_family != AF_INET6))
            continue;
        const int listened = listen_on(server, a->ai_addr);
        /* "localhost" names ::1 even where there is no IPv6: one address that works is enough,
         * but a port that somebody else has is an error. */
        if (listened == 0 || listened == UV_EADDRINUSE || !server->listening)
            r = listened;
        if (listened == UV_EADDRINUSE)
            break;
    }
    uv_freeaddrinfo(request.addrinfo);
    if (r < 0) {
        close_listeners(server);
        return explain_bind(server, r, reterr);
    }
    return 0;
}

uint16_t server_port(const struct server *server) {
    return server->port;
}

int server_run(struct server *server) {
    if (!server->listening)
        return -EINVAL;
    (void)uv_run(&server->loop, UV_RUN_DEFAULT); /* says only whether handles are left: they are */
    if (server->log.n_dropped > 0)
        log_message(&server->log, SERVER_LOG_WARNING, "%llu log lines were dropped",
                    (unsigned long long)server->log.n_dropped);
    return 0;
}

uint32_t server_retry_after_ms(const struct server *server) {
    enum { LEAST_MS = 1000, MOST_MS = 60000 };
    if (!server->service || server->draining || !server->finish_gap_us)
        return LEAST_MS;

    struct scheduler_stats stats;
    scheduler_stats(server->service->scheduler, &stats);
    const uint64_t ms = (stats.n_waiting + 1ull) * server->finish_gap_us / 1000;
    return ms < LEAST_MS ? LEAST_MS : ms > MOST_MS ? MOST_MS : (uint32_t)ms;
}
