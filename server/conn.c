/* SPDX-License-Identifier: Apache-2.0 */
#include "conn.h"

#include <string.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"

#include "exchange.h"
#include "http_request.h"
#include "server_state.h"

enum {
    SEND_BUFFER_BYTES = 64 << 10,      /* the kernel's share of a reader that does not read */
    MAX_UNREAD_BYTES = 16 << 10,       /* of pipelined requests, while one runs */
    MAX_PIPELINED_REPLIES = 256 << 10, /* bytes of replies queued before reading on */
    BODY_CHECK_MS = 5000,
    MIN_BODY_RATE = 1 << 10,   /* bytes per second, below: 408 */
    GOOD_BODY_RATE = 64 << 10, /* a body at this rate may take longer than body_timeout_us */
    LINGER_MS = 1000,
    PEER_CHECK_MS = 50, /* whether a half-closed peer has reset the connection */
};

struct conn {
    struct server *server;
    struct list link; /* server::conns */
    uv_tcp_t tcp;
    uv_timer_t timer;
    uint32_t n_open_handles;

    struct http_reader *reader; /* the request being read; NULL between requests */
    struct exchange *exchange;  /* the request being answered */
    struct buf unread;          /* bytes of the next requests */
    uint64_t request_start_us;  /* first byte of the head; then of the body */
    uint64_t n_written;         /* bytes given to conn_write, ever */
    size_t last_write;          /* bytes of the last one */
    uint64_t n_taken;           /* by the kernel, when it was last looked at */
    uint64_t taken_us;          /* when n_taken last grew, or the queue was last empty */

    bool reading;     /* uv_read_start is on */
    bool processing;  /* inside process(): a reply that comes at once must not recurse */
    bool ending;      /* no more requests: flush, linger, close */
    bool half_closed; /* the peer sent its end */
    bool closing;
    char peer[64];
};

struct write {
    uv_write_t req;
    struct conn *conn;
    struct buf bytes;
    size_t n_charged; /* to the server's budget */
};

static void process(struct conn *conn, const char *bytes, size_t len);

struct server *conn_server(const struct conn *conn) {
    return conn->server;
}

const char *conn_peer(const struct conn *conn) {
    return conn->peer;
}

struct conn *conn_of_link(struct list *link) {
    return list_entry(link, struct conn, link);
}

size_t conn_queued_bytes(const struct conn *conn) {
    return uv_stream_get_write_queue_size((const uv_stream_t *)&conn->tcp);
}

/* Looks whether the kernel has taken anything since the last look. */
static void note_taken(struct conn *conn) {
    const size_t queued = conn_queued_bytes(conn);
    const uint64_t n_taken = conn->n_written - queued;
    if (queued == 0 || n_taken != conn->n_taken)
        conn->taken_us = clock_now_us();
    conn->n_taken = n_taken;
}

struct conn_backlog conn_backlog(struct conn *conn) {
    const size_t queued = conn_queued_bytes(conn);
    note_taken(conn);
    return (struct conn_backlog){
        .behind = queued > conn->last_write ? queued - conn->last_write : 0,
        .stuck_us = queued > 0 ? clock_now_us() - conn->taken_us : 0,
    };
}

bool conn_is_half_closed(const struct conn *conn) {
    return conn->half_closed;
}

bool conn_is_idle(const struct conn *conn) {
    return !conn->exchange && !conn->reader && conn_queued_bytes(conn) == 0;
}

/* ---- end ---- */

static void on_handle_closed(uv_handle_t *handle) {
    struct conn *conn = handle->data;
    if (--conn->n_open_handles > 0)
        return;

    struct server *server = conn->server;
    list_remove(&conn->link);
    server->n_conns--;
    server->metrics.http_connections--;
    http_reader_destroy(conn->reader);
    buf_fini(&conn->unread);
    mem_free(conn);
    server_maybe_quit(server);
}

void conn_close(struct conn *conn) {
    if (conn->closing)
        return;
    conn->closing = true;

    struct exchange *exchange = conn->exchange;
    conn->exchange = NULL;
    if (exchange)
        exchange_client_gone(exchange);
    uv_close((uv_handle_t *)&conn->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
}

/* ---- timers: one per connection, for whatever it waits for now ---- */

static void on_timer(uv_timer_t *timer);

static void arm(struct conn *conn, uint64_t ms) {
    /* Cannot fail: the callback is not NULL and the handle is open. */
    (void)uv_timer_start(&conn->timer, on_timer, ms, 0);
}

static void arm_for_state(struct conn *conn) {
    const struct server_options *options = &conn->server->options;
    if (conn->closing)
        return;
    if (conn_queued_bytes(conn) > 0)
        arm(conn, options->write_timeout_us / 1000);
    else if (conn->ending)
        arm(conn, LINGER_MS);
    else if (conn->exchange && conn->half_closed)
        arm(conn, PEER_CHECK_MS);
    else if (conn->exchange)
        (void)uv_timer_stop(&conn->timer); /* always succeeds */
    else if (!conn->reader)
        arm(conn, options->keep_alive_timeout_us / 1000);
    else if (http_reader_in_body(conn->reader))
        arm(conn, BODY_CHECK_MS);
    else
        arm(conn, options->header_timeout_us / 1000);
}

static void begin_exchange(struct conn *conn, struct http_refusal refusal);

/* True while the body comes fast enough to wait for it. */
static bool body_is_fast_enough(const struct conn *conn) {
    const uint64_t elapsed_us = clock_now_us() - conn->request_start_us;
    const uint64_t rate = http_reader_body_len(conn->reader) * 1000000ull / (elapsed_us + 1);
    const uint64_t limit_us = conn->server->options.body_timeout_us;
    return rate >= MIN_BODY_RATE && (elapsed_us < limit_us || rate >= GOOD_BODY_RATE);
}

/* Reading is over after the peer's end, so that nothing else tells of a reset. */
static bool has_socket_error(const struct conn *conn) {
    uv_os_fd_t fd;
    int error = 0;
    socklen_t len = sizeof error;
    return uv_fileno((const uv_handle_t *)&conn->tcp, &fd) < 0 ||
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0;
}

static void on_timer(uv_timer_t *timer) {
    struct conn *conn = timer->data;
    const size_t queued = conn_queued_bytes(conn);
    if (queued > 0) {
        const uint64_t stuck_us = conn_backlog(conn).stuck_us;
        const uint64_t limit_us = conn->server->options.write_timeout_us;
        if (stuck_us < limit_us) { /* slow, but it reads */
            arm(conn, (limit_us - stuck_us) / 1000 + 1);
            return;
        }
        log_message(&conn->server->log, SERVER_LOG_WARNING,
                    "%s does not read: connection closed with %zu bytes queued", conn->peer,
                    queued);
        conn_close(conn);
        return;
    }
    if (conn->half_closed && conn->exchange && !has_socket_error(conn)) {
        arm(conn, PEER_CHECK_MS);
        return;
    }
    if (!conn->reader || conn->ending || conn->exchange) {
        conn_close(conn);
        return;
    }
    if (http_reader_in_body(conn->reader) && body_is_fast_enough(conn)) {
        arm(conn, BODY_CHECK_MS);
        return;
    }
    begin_exchange(conn, (struct http_refusal){
                             .status = 408,
                             .reason = "The request did not arrive in time.",
                         });
}

/* ---- writing ---- */

static void end_after_writes(struct conn *conn) {
    if (conn->closing || conn_queued_bytes(conn) > 0)
        return;
    if (conn->half_closed) {
        conn_close(conn);
        return;
    }
    /*
     * Closing with unread bytes makes the kernel send RST, which can destroy a reply that the
     * client has not read yet. So: end our side, and wait a moment for the client's end.
     */
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&conn->tcp, &fd) == 0)
        (void)shutdown(fd, SHUT_WR); /* fails when the peer is gone, which the read will tell */
    arm_for_state(conn);
}

static void on_written(uv_write_t *req, int status) {
    struct write *write = (struct write *)(void *)req->data;
    struct conn *conn = write->conn;
    budget_give(&conn->server->budget, write->n_charged);
    buf_fini(&write->bytes);
    mem_free(write);
    if (conn->closing)
        return;
    if (status < 0) {
        conn_close(conn);
        return;
    }
    if (conn_queued_bytes(conn) > 0) {
        arm_for_state(conn);
        return;
    }
    if (conn->ending)
        end_after_writes(conn);
    else if (!conn->exchange && !conn->processing && conn->unread.len > 0)
        process(conn, NULL, 0);
    else
        arm_for_state(conn);
}

void conn_write(struct conn *conn, struct buf *bytes) {
    if (conn->closing || bytes->len == 0)
        return;

    const bool was_empty = conn_queued_bytes(conn) == 0;
    note_taken(conn);
    conn->n_written += bytes->len;
    conn->last_write = bytes->len;

    size_t done = 0;
    if (was_empty) {
        /* Most writes fit into the socket, and then nothing needs to be allocated. */
        uv_buf_t uvbuf =
            uv_buf_init(bytes->data, (unsigned)(bytes->len > INT32_MAX ? INT32_MAX : bytes->len));
        const int n = uv_try_write((uv_stream_t *)&conn->tcp, &uvbuf, 1);
        done = n > 0 ? (size_t)n : 0;
    }
    conn->server->metrics.http_bytes_sent += bytes->len;
    if (done == bytes->len) {
        buf_clear(bytes);
        return;
    }

    struct budget *budget = &conn->server->budget;
    const size_t n_charged = bytes->len;
    if (!budget_take(budget, n_charged)) {
        log_message(&conn->server->log, SERVER_LOG_WARNING,
                    "%s: connection closed, there is no room for %zu bytes that it does not take "
                    "(--max-buffered)",
                    conn->peer, n_charged);
        conn_close(conn); /* half a reply is worse than none */
        return;
    }
    struct write *write = mem_alloc_zero(1, sizeof *write);
    if (!write) {
        budget_give(budget, n_charged);
        conn_close(conn);
        return;
    }
    write->conn = conn;
    write->n_charged = n_charged;
    write->bytes = *bytes;
    *bytes = (struct buf){0};
    write->req.data = write;
    uv_buf_t rest = {.base = write->bytes.data + done, .len = write->bytes.len - done};
    const int r = uv_write(&write->req, (uv_stream_t *)&conn->tcp, &rest, 1, on_written);
    if (r < 0) {
        budget_give(budget, n_charged);
        buf_fini(&write->bytes);
        mem_free(write);
        conn_close(conn);
        return;
    }
    if (was_empty) /* else the timer runs, and writing more must not put it off */
        arm_for_state(conn);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf) {
    (void)suggested;
    struct conn *conn = handle->data;
    /* One buffer for all: libuv calls on_read before it asks for another. */
    *ret_buf = uv_buf_init(conn->server->read_buf, SERVER_READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void set_reading(struct conn *conn, bool on) {
    if (conn->closing || conn->half_closed || conn->reading == on)
        return;
    conn->reading = on;
    if (!on)
        (void)uv_read_stop((uv_stream_t *)&conn->tcp); /* always succeeds */
    else if (uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read) < 0)
        conn_close(conn);
}

static void begin_exchange(struct conn *conn, struct http_refusal refusal) {
    struct http_reader *reader = conn->reader;
    conn->reader = NULL;
    conn->exchange = exchange_create(conn, reader);
    if (!conn->exchange) {
        http_reader_destroy(reader);
        conn_close(conn); /* no memory even to say so */
        return;
    }
    arm_for_state(conn);
    exchange_run(conn->exchange, refusal);
}

/* The head is accepted and a body follows, which need not be read if the answer is known. */
static void on_head(struct conn *conn) {
    const struct http_request *request = http_reader_request(conn->reader);
    if (exchange_would_refuse(conn->server, request)) {
        begin_exchange(conn, (struct http_refusal){0});
        return;
    }
    if (!budget_has_room(&conn->server->budget, request->content_length)) {
        conn->server->budget.n_refused++;
        begin_exchange(conn, (struct http_refusal){
                                 .status = 503,
                                 .reason = "The server has no room for the request body at the "
                                           "moment.",
                             });
        return;
    }
    conn->request_start_us = clock_now_us();
    if (request->expects_continue) {
        struct buf line = {0};
        buf_append_str(&line, "HTTP/1.1 100 Continue\r\n\r\n");
        conn_write(conn, &line);
        buf_fini(&line);
    }
    arm_for_state(conn);
}

/* Feeds some bytes to the request being read; returns how many it used. */
static size_t feed(struct conn *conn, const char *bytes, size_t len) {
    if (!conn->reader) {
        conn->reader = http_reader_create(&conn->server->http_limits, &conn->server->budget);
        if (!conn->reader) {
            conn_close(conn);
            return len;
        }
        arm_for_state(conn);
    }

    size_t n;
    switch (http_reader_feed(conn->reader, bytes, len, &n)) {
    case HTTP_MORE:
        break;
    case HTTP_HEAD_DONE:
        on_head(conn);
        break;
    case HTTP_DONE:
        begin_exchange(conn, (struct http_refusal){0});
        break;
    case HTTP_REFUSED:
        begin_exchange(conn, http_reader_refusal(conn->reader));
        break;
    }
    return n;
}

/* Of what a half-closed peer has sent all is answered or can never be complete. */
static void end_half_closed(struct conn *conn) {
    if (conn->closing || conn->ending || conn->exchange)
        return;
    if (conn->unread.len > 0 && conn_queued_bytes(conn) > 0)
        return; /* on_written goes on with it */
    conn->ending = true;
    end_after_writes(conn);
}

/* Reads requests from what was left over and then from bytes, one at a time. */
static void process(struct conn *conn, const char *bytes, size_t len) {
    struct buf joined = conn->unread;
    conn->unread = (struct buf){0};
    if (joined.len > 0) {
        if (len > 0)
            buf_append(&joined, bytes, len);
        if (buf_failed(&joined)) {
            buf_fini(&joined);
            conn_close(conn);
            return;
        }
        bytes = joined.data;
        len = joined.len;
    }

    conn->processing = true;
    while (len > 0 && !conn->exchange && !conn->ending && !conn->closing &&
           conn_queued_bytes(conn) < MAX_PIPELINED_REPLIES) {
        const size_t n = feed(conn, bytes, len);
        bytes += n;
        len -= n;
    }
    conn->processing = false;

    if (len > 0 && !conn->ending && !conn->closing) {
        buf_append(&conn->unread, bytes, len);
        if (buf_failed(&conn->unread))
            conn_close(conn);
    }
    buf_fini(&joined);
    if (conn->half_closed) {
        end_half_closed(conn);
        return;
    }
    /* The only case in which a client's end goes unnoticed while its request runs: it has sent
     * more than MAX_UNREAD_BYTES of further requests. */
    set_reading(conn, conn->unread.len <= MAX_UNREAD_BYTES);
}

/* The peer's end came while its request runs. It may be waiting for the answer. */
static void on_end_of_waiting_peer(struct conn *conn) {
    conn->half_closed = true;
    conn->reading = false; /* libuv has stopped */
    if (!exchange_is_http_1_0(conn->exchange)) {
        struct buf line = {0};
        buf_append_str(&line, "HTTP/1.1 100 Continue\r\n\r\n");
        conn_write(conn, &line);
        buf_fini(&line);
    }
    arm_for_state(conn);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct conn *conn = stream->data;
    if (n == 0)
        return;
    if (n == UV_EOF && conn->exchange && !conn->ending && exchange_outlives_eof(conn->exchange)) {
        on_end_of_waiting_peer(conn);
        return;
    }
    if (n < 0) {
        conn->half_closed = n == UV_EOF;
        /* A reply that is already on its way may still be read. */
        if (n == UV_EOF && !conn->exchange && conn_queued_bytes(conn) > 0 && !conn->reader) {
            conn->ending = true;
            set_reading(conn, false);
            return;
        }
        conn_close(conn);
        return;
    }
    conn->server->metrics.http_bytes_received += (uint64_t)n;
    if (!conn->ending) /* else it lingers: discard */
        process(conn, buf->base, (size_t)n);
}

void conn_exchange_done(struct conn *conn, bool close) {
    conn->exchange = NULL;
    if (conn->closing)
        return;
    if (close || conn->server->draining) {
        conn->ending = true;
        buf_fini(&conn->unread);
        set_reading(conn, true);
        end_after_writes(conn);
        return;
    }
    arm_for_state(conn);
    if (!conn->processing)
        process(conn, NULL, 0);
}

/* ---- begin ---- */

static void set_peer(struct conn *conn) {
    struct sockaddr_storage addr = {0};
    int len = sizeof addr;
    char ip[48] = "?";
    unsigned port = 0;
    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&addr, &len) == 0) {
        if (addr.ss_family == AF_INET6) {
            const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&addr;
            (void)uv_ip6_name(in6, ip, sizeof ip); /* stays "?" */
            port = ntohs(in6->sin6_port);
        } else {
            const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&addr;
            (void)uv_ip4_name(in, ip, sizeof ip); /* stays "?" */
            port = ntohs(in->sin_port);
        }
    }
    struct buf text = {0};
    buf_init(&text, sizeof conn->peer - 1);
    buf_printf(&text, addr.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip, port);
    if (!buf_failed(&text))
        memcpy(conn->peer, text.data, text.len + 1);
    buf_fini(&text);
}

/* A connection too many is taken and closed: left in the backlog it would hang instead. */
static void refuse_connection(struct server *server) {
    server->metrics.http_connections_refused++;
    if (server->metrics.http_connections_refused == 1)
        log_message(&server->log, SERVER_LOG_WARNING,
                    "more than %u connections: further ones are closed (--max-connections)",
                    server->options.max_connections);
}

static void on_turned_away(uv_handle_t *handle) {
    struct server *server = handle->data;
    server->turning_away = false;
    for (uint32_t i = 0; i < server->n_listeners; i++) {
        uv_stream_t *listener = (uv_stream_t *)&server->listeners[i];
        if (server->accept_waits[i] && !uv_is_closing((const uv_handle_t *)listener)) {
            server->accept_waits[i] = false;
            conn_accept(listener, 0);
        }
    }
}

/* No memory for a connection. It must be accepted all the same, for libuv lets a listener rest whose
 * connection was not: the server would never accept another one. */
static void turn_away(struct server *server, uv_stream_t *listener) {
    if (server->turning_away) {
        server->accept_waits[(uv_tcp_t *)listener - server->listeners] = true;
        return;
    }
    (void)uv_tcp_init(&server->loop, &server->turned_away); /* makes no socket: cannot fail */
    server->turned_away.data = server;
    server->turning_away = true;
    server->metrics.http_connections_refused++;
    (void)uv_accept(listener, (uv_stream_t *)&server->turned_away); /* closed in either case */
    uv_close((uv_handle_t *)&server->turned_away, on_turned_away);
}

void conn_accept(uv_stream_t *listener, int status) {
    struct server *server = listener->data;
    if (status < 0)
        return; /* out of descriptors: libuv has closed one pending connection already */

    struct conn *conn = mem_alloc_zero(1, sizeof *conn);
    if (!conn) {
        turn_away(server, listener);
        return;
    }
    conn->server = server;
    (void)uv_tcp_init(&server->loop, &conn->tcp);     /* makes no socket: cannot fail */
    (void)uv_timer_init(&server->loop, &conn->timer); /* always succeeds */
    conn->tcp.data = conn;
    conn->timer.data = conn;
    conn->n_open_handles = 2;
    list_push_back(&server->conns, &conn->link);
    server->n_conns++;
    server->metrics.http_connections++;

    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0) {
        conn_close(conn);
        return;
    }
    if (server->n_conns > server->options.max_connections) {
        refuse_connection(server);
        conn_close(conn);
        return;
    }
    server->metrics.http_connections_accepted++;
    int send_bytes = SEND_BUFFER_BYTES;
    (void)uv_send_buffer_size((uv_handle_t *)&conn->tcp, &send_bytes); /* else the default holds */
    (void)uv_tcp_nodelay(&conn->tcp, 1);                               /* only slower without */
    set_peer(conn);
    arm_for_state(conn);
    set_reading(conn, true);
}
