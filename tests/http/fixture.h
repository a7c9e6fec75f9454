/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fixture - a real server on a real port, in front of the real scheduler and a fake engine.
 *
 * The loop runs on a thread of its own; the test is the client, with blocking sockets that give
 * up after some seconds.
 */
#ifndef KVASIR_TEST_HTTP_FIXTURE_H
#define KVASIR_TEST_HTTP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/scheduler.h"
#include "kvasir/server.h"

struct fixture;

/* Zeroed: the defaults in parentheses. */
struct fixture_options {
    const char *script;              /* what every sequence says, then eos (NULL: random bytes) */
    bool loading;                    /* no service is set */
    bool no_template;                /* the model has no chat template */
    enum server_log_level log_level; /* (info; error cannot be asked for) */
    bool log_json;                   /* (text) */
    uint32_t max_model_len;          /* (512) */
    uint32_t n_blocks;               /* (256 of 16 slots) */
    uint32_t max_num_seqs;           /* (16) */
    uint32_t max_queue;              /* (0: no limit) */
    uint64_t step_us;                /* (0) */
    uint32_t nan_every;              /* (0) */
    size_t max_body;                 /* (16 MiB) */
    size_t max_buffered;             /* (256 MiB) */
    size_t max_stream_queue;         /* (64 KiB) */
    uint32_t max_connections;        /* (64) */
    uint64_t header_timeout_us;      /* (10 s) */
    uint64_t keep_alive_timeout_us;  /* (75 s) */
    uint64_t write_timeout_us;       /* (30 s) */
    uint64_t drain_timeout_us;       /* (30 s) */
    const char *model_name;          /* the service's ("fake") */
    const char *const *model_names;  /* served ones (none) */
    uint32_t n_model_names;
    const char *const *allowed_hosts;
    uint32_t n_allowed_hosts;
};

struct server_options fixture_server_options(const struct fixture_options *options, int log_fd);
struct fixture *fixture_start(const struct fixture_options *options);
void fixture_stop(struct fixture *fixture); /* checks that nothing leaked: blocks, sequences */
struct server *fixture_server(struct fixture *fixture);
void fixture_set_service(struct fixture *fixture); /* after loading */
void fixture_stats(struct fixture *fixture, struct scheduler_stats *ret_stats);
char *fixture_log(struct fixture *fixture); /* all lines so far; the caller frees with free() */

/* Waits until no sequence is in the scheduler and all blocks are free or cached. */
bool fixture_wait_idle(struct fixture *fixture, unsigned ms);
bool fixture_join(struct fixture *fixture, unsigned ms); /* the loop has ended by itself */

int fixture_connect(struct fixture *fixture);
void client_send(int fd, const char *bytes, size_t len);

/* One response as it came. Zeroed: nothing. */
struct response {
    int status;
    char *head; /* all header lines */
    char *body; /* dechunked, NUL-terminated */
    size_t body_len;
    bool chunked;
    bool complete; /* as long as its framing said */
};

/* Reads one response (100 Continue is one too). head_only: it has no body (HEAD). */
bool client_read(int fd, struct response *ret_response, bool head_only);
void response_free(struct response *response);
bool client_at_end(int fd, unsigned ms); /* the server has closed */
bool response_has_header(const struct response *response, const char *pattern); /* '*' matches */
bool glob_match(const char *pattern, const char *text); /* '*': any run; '\' quotes */

/* GET or POST on a new connection, whole response. */
void client_request(struct fixture *fixture, const char *method, const char *path, const char *body,
                    struct response *ret_response);

#endif
