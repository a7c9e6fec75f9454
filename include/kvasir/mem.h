/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - the one choke point of heap allocation.
 *
 * Everything in the product allocates here (libuv and jansson are pointed here too), so that the
 * fault tests can fail every allocation in turn. Failure is a NULL, never an exit. Thread-safe.
 */
#ifndef KVASIR_MEM_H
#define KVASIR_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "kvasir/error.h"

/* As malloc, calloc, realloc and free. A size of 0 gives a unique pointer that must be freed. */
KV_MUST_CHECK void *mem_alloc(size_t size);
KV_MUST_CHECK void *mem_alloc_zero(size_t count, size_t size);
KV_MUST_CHECK void *mem_realloc(void *ptr, size_t size);
void mem_free(void *ptr);

/* count * size, or NULL when the product overflows. */
KV_MUST_CHECK void *mem_alloc_array(size_t count, size_t size);

/* Copies len bytes and adds a NUL. */
KV_MUST_CHECK char *mem_dup_string(const char *bytes, size_t len);

/*
 * Aligned anonymous memory for what is big and lives as long as the engine (packed weights, KV):
 * zeroed, advised to huge pages from 2 MiB on, given back with mem_unmap (size as requested).
 */
KV_MUST_CHECK void *mem_map(size_t size);
void mem_unmap(void *ptr, size_t size);

/*
 * Test seam: called before each mem_alloc*, mem_realloc and mem_map; returning true makes that
 * call fail. NULL restores normal service. Not for use while other threads allocate.
 */
void mem_set_fault_hook(bool (*should_fail)(void *ctx, size_t size), void *ctx);

/* *ret = a + b or a * b. Return false on overflow of size_t (then *ret is not valid). */
KV_MUST_CHECK static inline bool size_add(size_t a, size_t b, size_t *ret) {
    *ret = a + b;
    return *ret >= a;
}

KV_MUST_CHECK static inline bool size_mul(size_t a, size_t b, size_t *ret) {
    *ret = a * b;
    return a == 0 || *ret / a == b;
}

#endif
