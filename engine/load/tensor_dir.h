/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor_dir - the tensors that a model's files hold, by name, whatever the format; and the
 * mappings of those files.
 *
 * A reader (safetensors.c, gguf.c) maps a file into the directory and adds its tensors, each
 * already checked to lie within its mapping; tensor_dir_sort then refuses doubled names and makes
 * it ready for lookups. From then on it is constant.
 */
#ifndef KVASIR_ENGINE_TENSOR_DIR_H
#define KVASIR_ENGINE_TENSOR_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"
#include "kvasir/error.h"
#include "kvasir/file.h"

enum {
    STORED_MAX_DIMS = 8,     /* formats may hold more than a weight may have */
    STORED_MAX_NAME = 1024,  /* bytes */
    STORED_NO_WEIGHT = 1000, /* type of what can be no weight: integers, booleans, fp8 */
};

/* One tensor as it lies in a file. */
struct stored_tensor {
    const char *name;      /* NUL-terminated */
    const char *type_name; /* "Q4_K", "F8_E4M3" */
    uint32_t type;         /* enum weight_type, perhaps not served; or STORED_NO_WEIGHT */
    uint32_t n_dims;
    uint64_t shape[STORED_MAX_DIMS]; /* outermost first; unused ones are 1 */
    const void *data;
    size_t n_bytes;
};

struct tensor_dir {
    struct stored_tensor *items; /* sorted by name after tensor_dir_sort */
    size_t n;
    /* private */
    size_t cap;
    struct file_map *maps;
    size_t n_maps, cap_maps;
    struct arena names;
};

/* A zeroed struct is an empty directory. */
void tensor_dir_fini(struct tensor_dir *dir);

/* Maps path; the mapping lives as long as the directory, the returned record until the next. */
int tensor_dir_map(struct tensor_dir *dir, const char *path, const struct file_map **ret_map,
                   struct error *reterr) KV_MUST_CHECK;

/* Adds a tensor; its name (name_len bytes, NUL not allowed among them) is copied. -EINVAL. */
int tensor_dir_add(struct tensor_dir *dir, const struct stored_tensor *tensor, const char *name,
                   size_t name_len, struct error *reterr) KV_MUST_CHECK;

/* -EINVAL if a name occurs twice. */
int tensor_dir_sort(struct tensor_dir *dir, struct error *reterr) KV_MUST_CHECK;

const struct stored_tensor *tensor_dir_find(const struct tensor_dir *dir, const char *name);

/* Tells the kernel that the pages of these bytes of a mapping are not needed now. */
void tensor_dir_release(const struct tensor_dir *dir, const void *data, size_t n_bytes);

/* The same for all mappings. */
void tensor_dir_release_all(const struct tensor_dir *dir);

#endif
