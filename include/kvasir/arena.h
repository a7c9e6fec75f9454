/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena - memory with one lifetime: many allocations, one release.
 *
 * An exchange, a request or a message owns one; whatever is allocated from it dies with it. Not
 * thread-safe: an arena moves between threads with its owner. A zeroed struct is an empty arena
 * without a limit.
 */
#ifndef KVASIR_ARENA_H
#define KVASIR_ARENA_H

#include <stddef.h>

#include "kvasir/error.h"

struct arena {
    /* private */
    struct arena_chunk *head; /* newest first */
    size_t used;              /* bytes handed out, all chunks */
    size_t max_bytes;         /* 0: no limit */
};

/* An empty arena that refuses (NULL) to hand out more than max_bytes in total; 0: no limit. */
void arena_init(struct arena *arena, size_t max_bytes);

/* Frees everything; the arena is empty and usable again. */
void arena_fini(struct arena *arena);

/* size bytes aligned to 16, not cleared; NULL when memory or the limit is exhausted. */
KV_MUST_CHECK void *arena_alloc(struct arena *arena, size_t size);

/* The same, zeroed, for count * size bytes (checked product). */
KV_MUST_CHECK void *arena_alloc_zero(struct arena *arena, size_t count, size_t size);

/* A copy of len bytes with a NUL added. */
KV_MUST_CHECK char *arena_dup(struct arena *arena, const char *bytes, size_t len);

/* Bytes handed out so far. */
size_t arena_used(const struct arena *arena);

#endif
