/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - one seed is one schedule: a configuration, requests, cancels and trouble, run to the end.
 *
 * Drives the core (no thread, no clock) over the fake engine, proves every invariant before and
 * after each step, and compares each event with what a pure function of the request says it must
 * be. The same seed gives the same schedule on every machine.
 */
#ifndef KVASIR_TEST_SIM_H
#define KVASIR_TEST_SIM_H

#include <stdbool.h>
#include <stdint.h>

/* What a schedule contained, to show that the simulation visits what it claims to. */
struct sim_report {
    uint64_t n_requests, n_refused, n_stopped, n_length, n_cancelled, n_errors;
    uint64_t n_ticks, n_tokens, n_preemptions, n_cached_tokens, n_scores, n_duplicate_blocks;
    uint64_t n_held;   /* a running prefill waited for a block in flight */
    char failure[512]; /* "" if all was well */
};

/* Adds to the report. False: something was wrong, and report->failure says what. */
bool sim_run(uint64_t seed, struct sim_report *report);

#endif
