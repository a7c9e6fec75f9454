/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulation of the scheduler: KVASIR_SCHEDULES schedules (2 000) from seed 1 on, or the one
 * of KVASIR_SEED. A failure prints the seed that repeats it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void print(const struct sim_report *r, uint64_t n) {
    (void)printf("%" PRIu64 " schedules: %" PRIu64 " requests (%" PRIu64 " refused), %" PRIu64
                 " steps, %" PRIu64 " tokens, %" PRIu64 " scores\n",
                 n, r->n_requests, r->n_refused, r->n_ticks, r->n_tokens, r->n_scores);
    (void)printf("ends: %" PRIu64 " stop, %" PRIu64 " length, %" PRIu64 " cancelled, %" PRIu64
                 " error; %" PRIu64 " preemptions, %" PRIu64 " cached tokens, %" PRIu64
                 " waits for a block in flight, %" PRIu64 " duplicate blocks\n",
                 r->n_stopped, r->n_length, r->n_cancelled, r->n_errors, r->n_preemptions,
                 r->n_cached_tokens, r->n_held, r->n_duplicate_blocks);
}

int main(void) {
    const uint64_t first = number_of("KVASIR_SEED", 1);
    const uint64_t n = number_of("KVASIR_SCHEDULES", getenv("KVASIR_SEED") ? 1 : 2000);
    struct sim_report report = {.n_ticks = 0};

    for (uint64_t seed = first; seed < first + n; seed++)
        if (!sim_run(seed, &report)) {
            (void)printf("FAILED %s\nrepeat with KVASIR_SEED=%" PRIu64 "\n", report.failure, seed);
            return 1;
        }
    print(&report, n);

    /* A simulation that never meets trouble proves nothing. */
    const bool rich = report.n_refused && report.n_stopped && report.n_length &&
                      report.n_cancelled && report.n_errors && report.n_preemptions &&
                      report.n_cached_tokens && report.n_scores && report.n_held;
    if (n >= 1000 && !rich)
        (void)printf("FAILED some kind of event never happened\n");
    return n >= 1000 && !rich;
}
