/* SPDX-License-Identifier: Apache-2.0 */
#include "kvasir/arena.h"

#include <stdint.h>
#include <string.h>

#include "kvasir/mem.h"

enum { ALIGN = 16, FIRST_CHUNK = 1024, MAX_CHUNK = 256 * 1024 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t cap;  /* bytes in data */
    size_t used; /* bytes handed out; a multiple of ALIGN */
    _Alignas(ALIGN) char data[];
};

void arena_init(struct arena *arena, size_t max_bytes) {
    *arena = (struct arena){.max_bytes = max_bytes};
}

void arena_fini(struct arena *arena) {
    struct arena_chunk *chunk = arena->head;
    while (chunk) {
        struct arena_chunk *older = chunk->older;
        mem_free(chunk);
        chunk = older;
    }
    arena->head = NULL;
    arena->used = 0;
}

/* A new head with room for size bytes; chunks double up to MAX_CHUNK. */
static struct arena_chunk *grow(struct arena *arena, size_t size) {
    size_t cap = arena->head ? arena->head->cap * 2 : FIRST_CHUNK;
    if (cap > MAX_CHUNK)
        cap = MAX_CHUNK;
    if (cap < size)
        cap = size;

    struct arena_chunk *chunk = mem_alloc(sizeof *chunk + cap);
    if (!chunk)
        return NULL;

    chunk->older = arena->head;
    chunk->cap = cap;
    chunk->used = 0;
    arena->head = chunk;
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t size) {
    if (size > SIZE_MAX / 2)
        return NULL;
    const size_t rounded = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (arena->max_bytes && rounded > arena->max_bytes - arena->used)
        return NULL;

    struct arena_chunk *chunk = arena->head;
    if (!chunk || rounded > chunk->cap - chunk->used)
        chunk = grow(arena, rounded);
    if (!chunk)
        return NULL;

    void *ptr = chunk->data + chunk->used;
    chunk->used += rounded;
    arena->used += rounded;
    return ptr;
}

void *arena_alloc_zero(struct arena *arena, size_t count, size_t size) {
    size_t total;
    if (!size_mul(count, size, &total))
        return NULL;

    void *ptr = arena_alloc(arena, total);
    if (ptr)
        memset(ptr, 0, total);
    return ptr;
}

char *arena_dup(struct arena *arena, const char *bytes, size_t len) {
    char *copy = arena_alloc(arena, len + 1);
    if (!copy)
        return NULL;

    memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

size_t arena_used(const struct arena *arena) {
    return arena->used;
}
