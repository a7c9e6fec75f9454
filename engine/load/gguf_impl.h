/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_impl - the inside of struct gguf, shared by the file that parses (gguf.c) and the one that
 * reads values (gguf_value.c).
 */
#ifndef KVASIR_ENGINE_GGUF_IMPL_H
#define KVASIR_ENGINE_GGUF_IMPL_H

#include "load/gguf.h"
#include "load/tensor_dir.h"

/* One key. Everything points into the mapping, and was checked to lie in it. */
struct gguf_entry {
    struct gguf_str key;
    enum gguf_type type;
    enum gguf_type item_type; /* of the elements if type is GGUF_ARRAY, else = type */
    uint64_t n_items;         /* 1 unless type is GGUF_ARRAY */
    const char *data;         /* the value, or the first element */
    const char *end;          /* behind the last byte */
};

struct gguf {
    struct gguf_entry *entries; /* sorted by key */
    size_t n_entries;
    struct tensor_dir dir;
    char *path; /* for messages: of the first shard */
};

/* Bytes of one value; 0 for strings and arrays. */
size_t gguf_type_bytes(enum gguf_type type);

const struct gguf_entry *gguf_find(const struct gguf *gguf, const char *key);

/*
 * Parses one file's header from memory: its keys into *ret_entries (sorted, freed by the caller
 * with mem_free), its tensors into dir (not sorted). The fuzzer's way in.
 */
int gguf_parse(const void *data, size_t size, const char *what, struct tensor_dir *dir,
               struct gguf_entry **ret_entries, size_t *ret_n, struct error *reterr) KV_MUST_CHECK;

/* As gguf_open, of a file that is in memory and stays there; one shard. */
int gguf_open_memory(const void *data, size_t size, const char *what, struct gguf **ret_gguf,
                     struct error *reterr) KV_MUST_CHECK;

#endif
