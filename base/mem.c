/* SPDX-License-Identifier: Apache-2.0 */
/* mem_map asks for anonymous mappings and huge pages, which POSIX does not name. */
#define _DEFAULT_SOURCE
#include "kvasir/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

static bool (*fault_hook)(void *ctx, size_t size); /* the test seam of mem.h; NULL in production */
static void *fault_ctx;

static bool must_fail(size_t size) {
    return fault_hook && fault_hook(fault_ctx, size);
}

void mem_set_fault_hook(bool (*should_fail)(void *ctx, size_t size), void *ctx) {
    fault_hook = should_fail;
    fault_ctx = ctx;
}

void *mem_alloc(size_t size) {
    return must_fail(size) ? NULL : malloc(size ? size : 1);
}

void *mem_alloc_zero(size_t count, size_t size) {
    return must_fail(size) ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *mem_alloc_array(size_t count, size_t size) {
    size_t total;
    return size_mul(count, size, &total) ? mem_alloc(total) : NULL;
}

void *mem_realloc(void *ptr, size_t size) {
    return must_fail(size) ? NULL : realloc(ptr, size ? size : 1);
}

void mem_free(void *ptr) {
    free(ptr);
}

char *mem_dup_string(const char *bytes, size_t len) {
    char *copy = mem_alloc(len + 1);
    if (!copy)
        return NULL;

    memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

void *mem_map(size_t size) {
    if (size == 0 || must_fail(size))
        return NULL;

    /* From 2 MiB on, map one huge page more and cut both ends, so that the start is aligned. */
    const size_t slack = size >= HUGE_PAGE ? HUGE_PAGE : 0;
    char *raw = mmap(NULL, size + slack, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    if (!slack)
        return raw;

    char *start = raw + (HUGE_PAGE - (uintptr_t)raw % HUGE_PAGE) % HUGE_PAGE;
    const size_t page = 4096;
    char *end = start + (size + page - 1) / page * page;
    if (start > raw)
        (void)munmap(raw, (size_t)(start - raw)); /* only trims slack */
    if (end < raw + size + slack)
        (void)munmap(end, (size_t)(raw + size + slack - end)); /* only trims slack */
    (void)madvise(start, size, MADV_HUGEPAGE); /* a kernel without huge pages serves small ones */
    return start;
}

void mem_unmap(void *ptr, size_t size) {
    if (ptr)
        (void)munmap(ptr, size); /* cannot fail for a mapping of mem_map */
}
