/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access_log - one line for every request: who, what, how many tokens, how long each part took.
 */
#ifndef KVASIR_SERVER_ACCESS_LOG_H
#define KVASIR_SERVER_ACCESS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "span.h"

/* Filled while the exchange runs. Times in microseconds, measured from arrival (the whole request
 * was read, nothing tokenised yet). */
struct access_record {
    const char *peer;
    const char *request_id;  /* the client's, or ours */
    const char *response_id; /* "chatcmpl-..."; NULL: none */
    struct span method;
    struct span path;
    int status; /* 499: the client went away first */
    uint64_t bytes_out;
    uint64_t total_us;

    bool generated; /* the rest is valid */
    const char *model;
    bool stream;
    uint32_t n_sequences;
    uint64_t prompt_tokens;
    uint64_t cached_tokens;
    uint64_t completion_tokens;
    uint64_t queue_us;  /* to the first step of the first sequence */
    uint64_t ttft_us;   /* 0: no token */
    uint64_t tpot_us;   /* mean over the sequences with two tokens or more; 0: none */
    const char *finish; /* of the first sequence */
    const char *phase;  /* where it was when the client went away or it failed; NULL */
};

void access_log_write(struct log *log, const struct access_record *record);

#endif
