/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf_folder - a model folder as the hub publishes it: which files it has, and its weights.
 *
 * Nothing outside the folder is read, whatever an index or a symlink says. One exception, because
 * the hub's own cache is built that way: in CACHE/models--org--name/snapshots/REVISION the files
 * are symlinks to blobs, so there everything must lie beneath CACHE.
 * No code that a folder names (auto_map, trust_remote_code) is looked at.
 */
#ifndef KVASIR_ENGINE_HF_FOLDER_H
#define KVASIR_ENGINE_HF_FOLDER_H

#include <limits.h>
#include <stddef.h>

#include "kvasir/error.h"
#include "load/tensor_dir.h"

struct hf_folder {
    char dir[PATH_MAX];  /* real path */
    char root[PATH_MAX]; /* everything read must lie beneath: dir or the hub cache */
    char name[256];      /* "org/name" in a hub cache, else the folder's name */
};

int hf_folder_open(const char *dir, struct hf_folder *ret_folder, struct error *reterr)
    KV_MUST_CHECK;

/* The checked path of a file of the folder. -ENOENT if it is not there, -EINVAL if it leads out. */
int hf_folder_path(const struct hf_folder *folder, const char *name, char ret_path[PATH_MAX],
                   struct error *reterr) KV_MUST_CHECK;

/* Reads a text file of the folder; the caller frees with mem_free. -ENOENT, -EFBIG, -EINVAL. */
int hf_folder_read(const struct hf_folder *folder, const char *name, size_t max_len,
                   char **ret_data, size_t *ret_len, struct error *reterr) KV_MUST_CHECK;

/*
 * Maps model.safetensors, or the shards of model.safetensors.index.json, into dir and sorts it.
 * Every tensor of the index must be in the shard that the index names. -ENOENT, -EINVAL.
 */
int hf_folder_weights(const struct hf_folder *folder, struct tensor_dir *dir, struct error *reterr)
    KV_MUST_CHECK;

#endif
