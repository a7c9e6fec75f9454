/* SPDX-License-Identifier: Apache-2.0 */
/* realpath is not in POSIX.1-2008 base: _DEFAULT_SOURCE names it. */
#define _DEFAULT_SOURCE
#include "load/hf_folder.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/file.h"
#include "kvasir/json_pull.h"
#include "kvasir/mem.h"
#include "load/safetensors.h"

enum {
    MAX_INDEX_BYTES = 64 * 1024 * 1024,
    MAX_SHARDS = 4096,
};

#define WEIGHTS_FILE "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"

/* Cuts the last component off path and returns it; "" if there is none. */
static const char *cut_last(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash)
        return "";
    *slash = '\0';
    return slash + 1;
}

/*
 * If dir is CACHE/models--org--name/snapshots/REVISION, makes CACHE the root and org/name the
 * name.
 */
static bool take_hub_names(struct hf_folder *folder) {
    char path[PATH_MAX];
    memcpy(path, folder->dir, sizeof path);

    (void)cut_last(path); /* the revision */
    if (strcmp(cut_last(path), "snapshots") != 0)
        return false;
    const char *repository = cut_last(path);
    static const char prefix[] = "models--";
    if (strncmp(repository, prefix, sizeof prefix - 1) != 0)
        return false;

    const char *org = repository + sizeof prefix - 1;
    const char *separator = strstr(org, "--");
    if (separator)
        (void)snprintf(folder->name, sizeof folder->name, "%.*s/%s", (int)(separator - org), org,
                       separator + 2); /* cut, if ever, for display only */
    else
        (void)snprintf(folder->name, sizeof folder->name, "%s", org); /* as above */

    memcpy(folder->root, path, sizeof folder->root);
    if (folder->root[0] == '\0')
        memcpy(folder->root, "/", 2);
    return true;
}

int hf_folder_open(const char *dir, struct hf_folder *ret_folder, struct error *reterr) {
    char *real = realpath(dir, NULL);
    if (!real) {
        const int r = -errno;
        return error_set(reterr, r, "%s: %s", dir, strerror(-r));
    }

    const int n = snprintf(ret_folder->dir, sizeof ret_folder->dir, "%s", real);
    free(real); /* from realpath, not from mem.h */
    if (n < 0 || (size_t)n >= sizeof ret_folder->dir)
        return error_set(reterr, -ENAMETOOLONG, "%s: path is too long", dir);

    if (!take_hub_names(ret_folder)) {
        memcpy(ret_folder->root, ret_folder->dir, sizeof ret_folder->root);
        const char *slash = strrchr(ret_folder->dir, '/');
        const char *name = slash && slash[1] ? slash + 1 : ret_folder->dir;
        (void)snprintf(ret_folder->name, sizeof ret_folder->name, "%.255s", name); /* cut */
    }
    return 0;
}

int hf_folder_path(const struct hf_folder *folder, const char *name, char ret_path[PATH_MAX],
                   struct error *reterr) {
    return file_join_beneath(folder->root, folder->dir, name, ret_path, PATH_MAX, reterr);
}

int hf_folder_read(const struct hf_folder *folder, const char *name, size_t max_len,
                   char **ret_data, size_t *ret_len, struct error *reterr) {
    char path[PATH_MAX];
    const int r = hf_folder_path(folder, name, path, reterr);
    if (r < 0)
        return r;
    return file_read(path, max_len, ret_data, ret_len, reterr);
}

/* The names of the shards of an index, each once. */
struct shard_list {
    struct arena arena;
    const char **names; /* [MAX_SHARDS], from the arena */
    size_t n;
};

static int add_shard(struct shard_list *list, const char *name, size_t len, struct error *reterr) {
    for (size_t i = 0; i < list->n; i++)
        if (strlen(list->names[i]) == len && memcmp(list->names[i], name, len) == 0)
            return 0;

    if (memchr(name, '\0', len))
        return error_set(reterr, -EINVAL, INDEX_FILE ": a shard's name holds a NUL byte");
    if (list->n == MAX_SHARDS)
        return error_set(reterr, -EINVAL, INDEX_FILE ": names more than %d files", MAX_SHARDS);
    const char *copy = arena_dup(&list->arena, name, len);
    if (!copy)
        return error_set(reterr, -ENOMEM, INDEX_FILE ": no memory for its names");
    list->names[list->n++] = copy;
    return 0;
}

/* One walk over weight_map: calls on_pair with the unescaped tensor and shard names. */
static int walk_index(const char *text, size_t len,
                      int (*on_pair)(void *ctx, const char *tensor, const char *shard,
                                     size_t shard_len, struct error *reterr),
                      void *ctx, struct error *reterr) {
    struct json_pull json;
    struct json_str key;
    struct buf tensor, shard;
    int r = 0;

    json_pull_init(&json, text, len);
    buf_init(&tensor, STORED_MAX_NAME);
    buf_init(&shard, PATH_MAX);
    json_enter_object(&json);
    while (r == 0 && json_next_key(&json, &key)) {
        if (!json_is(key, "weight_map")) {
            (void)json_skip(&json); /* metadata */
            continue;
        }
        json_enter_object(&json);
        while (r == 0 && json_next_key(&json, &key)) {
            buf_clear(&tensor);
            buf_clear(&shard);
            json_unescape(key, &tensor);
            json_unescape(json_take_string(&json), &shard);
            if (buf_failed(&tensor) || buf_failed(&shard))
                r = error_set(reterr, -EINVAL, INDEX_FILE ": a name is too long");
            else if (json_pull_status(&json, INDEX_FILE, reterr) == 0)
                r = on_pair(ctx, tensor.data ? tensor.data : "", shard.data ? shard.data : "",
                            shard.len, reterr);
        }
    }
    if (r == 0)
        r = json_pull_end(&json, INDEX_FILE, reterr);
    buf_fini(&tensor);
    buf_fini(&shard);
    return r;
}

static int on_pair_collect(void *ctx, const char *tensor, const char *shard, size_t shard_len,
                           struct error *reterr) {
    return add_shard(ctx, shard, shard_len, reterr);
}

static int on_pair_check(void *ctx, const char *tensor, const char *shard, size_t shard_len,
                         struct error *reterr) {
    const struct tensor_dir *dir = ctx;

    if (!tensor_dir_find(dir, tensor))
        return error_set(reterr, -EINVAL,
                         INDEX_FILE ": tensor '%.200s' should be in %.100s but is in no shard",
                         tensor, shard);
    return 0;
}

static int read_shards(const struct hf_folder *folder, const struct shard_list *shards,
                       struct tensor_dir *dir, struct error *reterr) {
    for (size_t i = 0; i < shards->n; i++) {
        char path[PATH_MAX];
        int r = hf_folder_path(folder, shards->names[i], path, reterr);
        if (r == 0)
            r = safetensors_read(path, dir, reterr);
        if (r < 0)
            return error_prefix(reterr, r, "shard named by " INDEX_FILE);
    }
    return tensor_dir_sort(dir, reterr);
}

static int read_indexed(const struct hf_folder *folder, const char *text, size_t len,
                        struct tensor_dir *dir, struct error *reterr) {
    struct shard_list shards = {.n = 0};
    int r = 0;

    arena_init(&shards.arena, /* max_bytes= */ 0);
    shards.names = arena_alloc_zero(&shards.arena, MAX_SHARDS, sizeof *shards.names);
    if (!shards.names)
        r = error_set(reterr, -ENOMEM, INDEX_FILE ": no memory for its names");
    if (r == 0)
        r = walk_index(text, len, on_pair_collect, &shards, reterr);
    if (r == 0 && shards.n == 0)
        r = error_set(reterr, -EINVAL, INDEX_FILE ": weight_map names no file");
    if (r == 0)
        r = read_shards(folder, &shards, dir, reterr);
    if (r == 0)
        r = walk_index(text, len, on_pair_check, dir, reterr);
    arena_fini(&shards.arena);
    return r;
}

int hf_folder_weights(const struct hf_folder *folder, struct tensor_dir *dir,
                      struct error *reterr) {
    char path[PATH_MAX];
    int r = hf_folder_path(folder, WEIGHTS_FILE, path, reterr);
    if (r == 0) {
        r = safetensors_read(path, dir, reterr);
        return r < 0 ? r : tensor_dir_sort(dir, reterr);
    }
    if (r != -ENOENT)
        return r;

    char *text;
    size_t len;
    r = hf_folder_read(folder, INDEX_FILE, MAX_INDEX_BYTES, &text, &len, reterr);
    if (r == -ENOENT)
        return error_set(reterr, r,
                         "%s: has neither " WEIGHTS_FILE " nor " INDEX_FILE
                         " (other weight files, such as *.bin, are not read)",
                         folder->dir);
    if (r < 0)
        return r;
    r = read_indexed(folder, text, len, dir, reterr);
    mem_free(text);
    return r;
}
