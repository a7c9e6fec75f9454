/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats - the figures of the engine thread, readable by any thread at any time.
 *
 * A sequence lock: one writer, readers that never wait for it and never make it wait. A reader
 * that meets a write in progress reads again; a write takes some tens of nanoseconds.
 */
#ifndef KVASIR_STATS_H
#define KVASIR_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "kvasir/scheduler.h"

enum { STATS_WORDS = (sizeof(struct scheduler_stats) + 7) / 8 };

struct stats {
    atomic_uint_fast64_t version; /* odd while a write is in progress */
    atomic_uint_fast64_t words[STATS_WORDS];
};

void stats_write(struct stats *stats, const struct scheduler_stats *value); /* one thread */
void stats_read(const struct stats *stats, struct scheduler_stats *ret_value);

#endif
