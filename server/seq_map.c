/* SPDX-License-Identifier: Apache-2.0 */
#include "seq_map.h"

static uint32_t bucket_of(seq_id id) {
    /* Slots and generations are both small numbers: mix before cutting (Fibonacci hashing). */
    return (uint32_t)((id * 0x9e3779b97f4a7c15u) >> 32) % SEQ_MAP_BUCKETS;
}

void seq_map_init(struct seq_map *map) {
    map->n = 0;
    for (uint32_t i = 0; i < SEQ_MAP_BUCKETS; i++)
        list_init(&map->buckets[i]);
}

void seq_map_add(struct seq_map *map, struct seq_entry *entry, seq_id id) {
    INVARIANT(!seq_map_find(map, id));
    entry->id = id;
    list_push_back(&map->buckets[bucket_of(id)], &entry->link);
    map->n++;
}

void seq_map_remove(struct seq_map *map, struct seq_entry *entry) {
    if (!list_linked(&entry->link))
        return;
    list_remove(&entry->link);
    map->n--;
}

struct seq_entry *seq_map_find(const struct seq_map *map, seq_id id) {
    const struct list *head = &map->buckets[bucket_of(id)];
    for (struct list *node = head->next; node != head; node = node->next) {
        struct seq_entry *entry = list_entry(node, struct seq_entry, link);
        if (entry->id == id)
            return entry;
    }
    return NULL;
}
