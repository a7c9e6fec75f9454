/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seq_map - from the scheduler's sequence ids to whoever waits for their events.
 *
 * Intrusive and of fixed size, so that entering and leaving cannot fail. An id that is not there
 * belongs to a request whose client is gone; its events are skipped. Loop thread.
 */
#ifndef KVASIR_SERVER_SEQ_MAP_H
#define KVASIR_SERVER_SEQ_MAP_H

#include <stdint.h>

#include "kvasir/list.h"
#include "kvasir/types.h"

enum { SEQ_MAP_BUCKETS = 1024 };

struct seq_entry {
    seq_id id;
    struct list link; /* seq_map::buckets; linked while in the map */
};

struct seq_map {
    struct list buckets[SEQ_MAP_BUCKETS]; /* seq_entry::link */
    uint32_t n;
};

void seq_map_init(struct seq_map *map);
void seq_map_add(struct seq_map *map, struct seq_entry *entry, seq_id id);
void seq_map_remove(struct seq_map *map, struct seq_entry *entry); /* not in a map: nothing */
struct seq_entry *seq_map_find(const struct seq_map *map, seq_id id);

#endif
