/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn - one TCP connection: bytes in, bytes out, timers, and which request is being read.
 *
 * A connection is in one of these: idle (waits for a first byte), reading (head or body), busy
 * (an exchange runs), ending (flushes what it has to say, then lingers and closes). While an
 * exchange runs it keeps reading, because that is how a client that went away is noticed. It dies
 * in its close callback. Loop thread only.
 *
 * The end of a peer's side (FIN) is both what a client sends that was killed and what one sends
 * that has said all and waits (`nc -N`). A stream takes it for the former. For any other answer
 * the peer is asked: "100 Continue", which every client of HTTP/1.1 skips, makes the kernel of a
 * peer that is gone reply with a reset.
 */
#ifndef KVASIR_SERVER_CONN_H
#define KVASIR_SERVER_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "kvasir/buf.h"
#include "kvasir/list.h"

struct conn;
struct server;

/* Takes one connection from the listener (a uv_connection_cb). */
void conn_accept(uv_stream_t *listener, int status);

/* Sends the bytes and takes them out of the buf. A failure closes the connection (later). */
void conn_write(struct conn *conn, struct buf *bytes);

/* Bytes that the kernel has not taken yet. */
size_t conn_queued_bytes(const struct conn *conn);

/* How far the peer is behind. */
struct conn_backlog {
    size_t behind;     /* queued bytes of writes before the last one */
    uint64_t stuck_us; /* since a byte was last seen taken; 0 while nothing is queued */
};
struct conn_backlog conn_backlog(struct conn *conn);

/* The running exchange has said all; with close the connection ends, else the next request is
 * read. */
void conn_exchange_done(struct conn *conn, bool close);

/* Ends it now; a running exchange is told that its client is gone. */
void conn_close(struct conn *conn);

bool conn_is_half_closed(const struct conn *conn); /* the peer has ended its side */
bool conn_is_idle(const struct conn *conn);        /* no request begun, nothing left to send */
const char *conn_peer(const struct conn *conn);
struct server *conn_server(const struct conn *conn);
struct conn *conn_of_link(struct list *link); /* an element of server::conns */

#endif
