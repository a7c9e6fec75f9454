/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file - read-only files: mapped whole, or read whole with a ceiling; and paths that stay beneath
 * a folder.
 */
#ifndef KVASIR_FILE_H
#define KVASIR_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "kvasir/error.h"

/* A whole file mapped read-only. A zeroed struct is no mapping. */
struct file_map {
    const void *data;
    size_t size;
    int fd; /* kept open while mapped */
};

/* -ENOENT, -EACCES, -EISDIR, -EINVAL (empty), -ENOMEM; the message names path. */
int file_map_open(const char *path, struct file_map *ret_map, struct error *reterr) KV_MUST_CHECK;
void file_map_close(struct file_map *map);

/* Tells the kernel that [ptr, ptr+len) of the mapping is not needed in memory now. */
void file_map_release(const struct file_map *map, const void *ptr, size_t len);

/* Reads at most max_len bytes; more is -EFBIG. The caller frees *ret_data (NUL added) with
 * mem_free. */
int file_read(const char *path, size_t max_len, char **ret_data, size_t *ret_len,
              struct error *reterr) KV_MUST_CHECK;

bool file_exists(const char *path);
bool file_is_dir(const char *path);

/*
 * Joins dir and name into ret_path (size cap) after checking that name is one plain component
 * sequence: [A-Za-z0-9._-] and '/', no empty, "." or ".." component, not absolute; and that the
 * real path lies beneath root's real path (symlinks inside a hub cache point from snapshots to
 * blobs, so root may be an ancestor of dir). -EINVAL, -ENOENT, -ENAMETOOLONG.
 */
int file_join_beneath(const char *root, const char *dir, const char *name, char *ret_path,
                      size_t cap, struct error *reterr) KV_MUST_CHECK;

#endif
