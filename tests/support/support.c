/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kvasir/mem.h"

static const char *join(const char *root, const char *folder, const char *relative) {
    static char paths[4][4096];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s%s/%s", root, folder, relative); /* short paths */
    return path;
}

static const char *source_root(void) {
    const char *root = getenv("KVASIR_SOURCE_ROOT");
    return root ? root : ".";
}

const char *test_path(const char *relative) {
    return join(source_root(), "", relative);
}

const char *test_shared_path(const char *relative) {
    const char *shared = getenv("KVASIR_SHARED");
    const char *path =
        shared ? join(shared, "", relative) : join(source_root(), "/../shared", relative);
    if (access(path, R_OK) != 0) {
        (void)fprintf(stderr, "SKIPPED: %s is not there (set KVASIR_SHARED)\n", path);
        skip();
    }
    return path;
}

char *test_read_file(const char *path, size_t *ret_len) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fail_msg("cannot open %s", path);
        return NULL;
    }
    size_t len = 0;
    size_t cap = 1 << 16;
    char *data = mem_alloc(cap);
    while (data) {
        len += fread(data + len, 1, cap - 1 - len, file);
        if (len + 1 < cap)
            break;
        cap *= 2;
        data = mem_realloc(data, cap);
    }
    (void)fclose(file); /* only read */
    assert_non_null(data);
    data[len] = '\0';
    *ret_len = len;
    return data;
}

void test_release(void *ptr) {
    mem_free(ptr);
}

uint64_t test_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
