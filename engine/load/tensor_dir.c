/* SPDX-License-Identifier: Apache-2.0 */
#include "load/tensor_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/mem.h"

void tensor_dir_fini(struct tensor_dir *dir) {
    for (size_t i = 0; i < dir->n_maps; i++)
        file_map_close(&dir->maps[i]);
    mem_free(dir->maps);
    mem_free(dir->items);
    arena_fini(&dir->names);
    *dir = (struct tensor_dir){.items = NULL};
}

/* Makes room for one more of n items of item_size; *items moves. */
static int grow(void **items, size_t n, size_t *cap, size_t item_size, struct error *reterr) {
    if (n < *cap)
        return 0;

    const size_t new_cap = *cap ? *cap * 2 : 16;
    size_t n_bytes;
    void *bigger = size_mul(new_cap, item_size, &n_bytes) ? mem_realloc(*items, n_bytes) : NULL;
    if (!bigger)
        return error_set(reterr, -ENOMEM, "no memory for the table of tensors");
    *items = bigger;
    *cap = new_cap;
    return 0;
}

int tensor_dir_map(struct tensor_dir *dir, const char *path, const struct file_map **ret_map,
                   struct error *reterr) {
    void *maps = dir->maps;
    int r = grow(&maps, dir->n_maps, &dir->cap_maps, sizeof *dir->maps, reterr);
    dir->maps = maps;
    if (r < 0)
        return r;

    r = file_map_open(path, &dir->maps[dir->n_maps], reterr);
    if (r < 0)
        return r;
    *ret_map = &dir->maps[dir->n_maps++];
    return 0;
}

int tensor_dir_add(struct tensor_dir *dir, const struct stored_tensor *tensor, const char *name,
                   size_t name_len, struct error *reterr) {
    if (name_len == 0 || name_len > STORED_MAX_NAME || memchr(name, '\0', name_len))
        return error_set(reterr, -EINVAL,
                         "tensor name of %zu bytes: expected 1 to %d, none of them NUL", name_len,
                         STORED_MAX_NAME);

    void *items = dir->items;
    const int r = grow(&items, dir->n, &dir->cap, sizeof *dir->items, reterr);
    dir->items = items;
    if (r < 0)
        return r;

    const char *copy = arena_dup(&dir->names, name, name_len);
    if (!copy)
        return error_set(reterr, -ENOMEM, "no memory for the names of tensors");
    dir->items[dir->n] = *tensor;
    dir->items[dir->n].name = copy;
    dir->n++;
    return 0;
}

static int by_name(const void *a, const void *b) {
    const struct stored_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Sorting, not hashing: names come from the file, and could be chosen to collide. */
int tensor_dir_sort(struct tensor_dir *dir, struct error *reterr) {
    if (dir->n == 0)
        return 0;

    qsort(dir->items, dir->n, sizeof *dir->items, by_name);
    for (size_t i = 1; i < dir->n; i++)
        if (strcmp(dir->items[i - 1].name, dir->items[i].name) == 0)
            return error_set(reterr, -EINVAL, "tensor '%.200s' is there twice", dir->items[i].name);
    return 0;
}

const struct stored_tensor *tensor_dir_find(const struct tensor_dir *dir, const char *name) {
    if (dir->n == 0)
        return NULL;
    const struct stored_tensor key = {.name = name};
    return bsearch(&key, dir->items, dir->n, sizeof *dir->items, by_name);
}

void tensor_dir_release(const struct tensor_dir *dir, const void *data, size_t n_bytes) {
    for (size_t i = 0; i < dir->n_maps; i++) {
        const uintptr_t start = (uintptr_t)dir->maps[i].data;
        const uintptr_t at = (uintptr_t)data;

        if (at >= start && at - start < dir->maps[i].size)
            file_map_release(&dir->maps[i], data, n_bytes);
    }
}

void tensor_dir_release_all(const struct tensor_dir *dir) {
    for (size_t i = 0; i < dir->n_maps; i++)
        file_map_release(&dir->maps[i], dir->maps[i].data, dir->maps[i].size);
}
