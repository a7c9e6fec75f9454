/* SPDX-License-Identifier: Apache-2.0 */
#include "stats.h"

#include <string.h>

/*
 * Each word is released after the odd version and acquired before the second look at it: a
 * reader that saw a word of a write in progress also sees that write's odd version (or a later
 * one), and reads again. Release and acquire on the words instead of fences, because the thread
 * sanitizer understands them; on x86-64 both are plain moves.
 */
void stats_write(struct stats *stats, const struct scheduler_stats *value) {
    uint64_t words[STATS_WORDS] = {0};
    memcpy(words, value, sizeof *value);

    const uint64_t version = atomic_load_explicit(&stats->version, memory_order_relaxed);
    atomic_store_explicit(&stats->version, version + 1, memory_order_relaxed);
    for (size_t i = 0; i < STATS_WORDS; i++)
        atomic_store_explicit(&stats->words[i], words[i], memory_order_release);
    atomic_store_explicit(&stats->version, version + 2, memory_order_release);
}

void stats_read(const struct stats *stats, struct scheduler_stats *ret_value) {
    uint64_t words[STATS_WORDS];
    uint64_t before;
    uint64_t after;

    do {
        before = atomic_load_explicit(&stats->version, memory_order_acquire);
        for (size_t i = 0; i < STATS_WORDS; i++)
            words[i] = atomic_load_explicit(&stats->words[i], memory_order_acquire);
        after = atomic_load_explicit(&stats->version, memory_order_relaxed);
    } while (before != after || before % 2 == 1);
    memcpy(ret_value, words, sizeof *ret_value);
}
