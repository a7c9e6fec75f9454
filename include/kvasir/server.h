/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server - HTTP in, HTTP out: the OpenAI surface in front of one scheduler.
 *
 * One thread, the loop, owns every socket and every exchange; JSON of large bodies, templates and
 * encoding run on libuv's pool. The server listens before a model is there and answers 503
 * "loading" until server_set_service. Nothing below it is called while it waits for a socket, and
 * it never waits for a step.
 *
 *   server_create -> server_bind -> (server_set_service, any thread) -> server_run -> server_destroy
 *
 * The scheduler must be stopped after server_run has returned and before server_destroy, because
 * its notify is server_notify.
 */
#ifndef KVASIR_SERVER_H
#define KVASIR_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/chat.h"
#include "kvasir/error.h"
#include "kvasir/model.h"
#include "kvasir/scheduler.h"
#include "kvasir/tokenizer.h"

struct server;

enum server_log_format { SERVER_LOG_TEXT, SERVER_LOG_JSON };
enum server_log_level { SERVER_LOG_ERROR, SERVER_LOG_WARNING, SERVER_LOG_INFO, SERVER_LOG_DEBUG };

/* Plain value, lent to server_create (the strings until server_destroy). Nothing here has a default
 * but the three limits that no option of `kvasir serve` sets; its table has the others. */
struct server_options {
    const char *host;    /* a name or a numeric address */
    uint16_t port;       /* 0: any free one, see server_port() */
    const char *version; /* of the program, for /version and build info */

    const char *const *served_model_names; /* ids of the model; the first one is given back */
    uint32_t n_served_model_names;         /* 0: the service's name is the only one */
    const char *const *allowed_hosts;      /* Host values allowed besides loopback's on loopback */
    uint32_t n_allowed_hosts;

    bool api_defaults; /* --generation-config vllm: ignore the model's sampling defaults */

    enum server_log_format log_format;
    enum server_log_level log_level; /* the least important that is written */
    bool access_log;
    int log_fd; /* standard error, but for tests */

    uint32_t max_connections;
    size_t max_body_bytes;
    size_t max_buffered_bytes; /* of all clients: bodies, what is parsed of them, unread replies;
                                  at least max_body_bytes. Beyond: 503 with retry-after */
    size_t max_stream_queue_bytes;  /* a reader may be so far behind for each sequence of its
                                       stream (16 at least); beyond: cancel. 0: 64 KiB */
    uint32_t max_n;                 /* choices per prompt. 0: 16 */
    uint32_t max_sequences;         /* of one request: prompts times n. 0: 1024 */
    uint64_t keep_alive_timeout_us; /* an idle connection */
    uint64_t header_timeout_us;     /* first byte to end of the head */
    uint64_t body_timeout_us;       /* longer only at a good rate */
    uint64_t write_timeout_us;      /* without any byte taken */
    uint64_t drain_timeout_us;

    uint64_t seed; /* what the seeds of requests without one are drawn from; 0: a random one */

    bool handle_signals; /* SIGTERM and SIGINT drain, a second one stops */
};

/* What answers requests once the model is there. Lent until server_run has returned. */
struct service {
    struct scheduler *scheduler;
    const struct tokenizer *tokenizer;
    const struct chat_template *chat_template; /* NULL: chat requests are refused */
    const struct model_info *info;
    const char *name;       /* the model's id unless an option says otherwise: "org/name" where it
                               was given so, else the folder's or file's name */
    uint32_t max_model_len; /* tokens of prompt and output */
    uint32_t max_num_seqs;
    uint32_t block_size;
    uint32_t n_blocks;
    uint64_t load_us; /* how long the model took to be ready; 0: not measured */
};

/* -ENOMEM, -EINVAL (param names the option), or what libuv reports. From here on the process ignores
 * SIGPIPE. */
int server_create(const struct server_options *options, struct server **ret_server,
                  struct error *reterr) KV_MUST_CHECK;
void server_destroy(struct server *server);

/* Listens. -EADDRINUSE and -EACCES come with what to do about them. */
int server_bind(struct server *server, struct error *reterr) KV_MUST_CHECK;
uint16_t server_port(const struct server *server); /* once bound */

/* Runs the loop on the calling thread until drained or stopped. 0, or a negative errno. */
int server_run(struct server *server) KV_MUST_CHECK;

/* From here on requests are served. Once; any thread. */
void server_set_service(struct server *server, const struct service *service);

/* Finishes what runs (for at most drain_timeout_s), refuses what comes, then server_run returns.
 * Any thread. */
void server_drain(struct server *server);

/* Ends server_run at once. Any thread. */
void server_stop(struct server *server);

/* The scheduler's notify; ctx is the server. Any thread, only signals. */
void server_notify(void *ctx);

/*
 * The prompt that /v1/chat/completions would make of a request body (`kvasir render MODEL`):
 * checked and normalised as in serving. -EINVAL (param names the field), -ENOMEM.
 */
int server_render_chat(const char *body, size_t len, const struct tokenizer *tokenizer,
                       const struct chat_template *chat_template, struct chat_clock now,
                       struct chat_prompt *ret_prompt, struct error *reterr) KV_MUST_CHECK;

#endif
