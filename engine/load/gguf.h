/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf - a GGUF file (v2, v3, also split into shards): checked, mapped, and read through typed
 * accessors. No raw pointer into the file leaves without a length that was checked.
 *
 * gguf_open walks the whole header once: every count, string, array, tensor shape and offset is
 * compared with the size of the file before it is used. After that the file is immutable here and
 * any thread may read it. Strings and tensor data are lent from the mapping until gguf_close.
 *
 * Keys are those of the first shard. Accessors return 0, -ENOENT if the key is absent (reterr is
 * left alone, so that a caller can take its default), or -EINVAL with a message that names the
 * key, what was expected and what the file holds. Where an integer is expected any integer type
 * is taken and range-checked, because writers differ.
 */
#ifndef KVASIR_ENGINE_GGUF_H
#define KVASIR_ENGINE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"

struct gguf;
struct tensor_dir;

enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_END,
};

/* Bytes of the file: any bytes, NULs too; not NUL-terminated. */
struct gguf_str {
    const char *bytes;
    size_t len;
};

/* path: a .gguf file; of a split one the first shard (-00001-of-0000N). -ENOENT, -EINVAL. */
int gguf_open(const char *path, struct gguf **ret_gguf, struct error *reterr) KV_MUST_CHECK;
void gguf_close(struct gguf *gguf);

bool gguf_has(const struct gguf *gguf, const char *key);

int gguf_get_u32(const struct gguf *gguf, const char *key, uint32_t *ret, struct error *reterr)
    KV_MUST_CHECK;
int gguf_get_i32(const struct gguf *gguf, const char *key, int32_t *ret, struct error *reterr)
    KV_MUST_CHECK;
int gguf_get_u64(const struct gguf *gguf, const char *key, uint64_t *ret, struct error *reterr)
    KV_MUST_CHECK;
/* f32 or f64; must be finite. */
int gguf_get_f32(const struct gguf *gguf, const char *key, float *ret, struct error *reterr)
    KV_MUST_CHECK;
int gguf_get_bool(const struct gguf *gguf, const char *key, bool *ret, struct error *reterr)
    KV_MUST_CHECK;
int gguf_get_str(const struct gguf *gguf, const char *key, struct gguf_str *ret,
                 struct error *reterr) KV_MUST_CHECK;

/* Number of elements of an array of any type; 0 if the key is absent or no array. */
uint64_t gguf_array_len(const struct gguf *gguf, const char *key);

/*
 * Copies an array of numbers that must have exactly n elements. i32 and u32 take any integer
 * element type, f32 takes f32 and f64.
 */
int gguf_copy_i32(const struct gguf *gguf, const char *key, uint64_t n, int32_t *ret_values,
                  struct error *reterr) KV_MUST_CHECK;
int gguf_copy_f32(const struct gguf *gguf, const char *key, uint64_t n, float *ret_values,
                  struct error *reterr) KV_MUST_CHECK;
/* As above; a single value serves for all n ("scalar or one per layer"). */
int gguf_copy_u32(const struct gguf *gguf, const char *key, uint64_t n, uint32_t *ret_values,
                  struct error *reterr) KV_MUST_CHECK;
int gguf_copy_bool(const struct gguf *gguf, const char *key, uint64_t n, bool *ret_values,
                   struct error *reterr) KV_MUST_CHECK;

/*
 * Strings lie back to back, so an array of them is walked, not indexed:
 *
 *   struct gguf_strings tokens;
 *   int r = gguf_get_strings(g, "tokenizer.ggml.tokens", &tokens, reterr);
 *   while (gguf_next_string(&tokens, &str)) ...
 */
struct gguf_strings {
    uint64_t n; /* elements in the array */
    /* private */
    const char *next, *end;
    uint64_t n_left;
};

int gguf_get_strings(const struct gguf *gguf, const char *key, struct gguf_strings *ret,
                     struct error *reterr) KV_MUST_CHECK;
bool gguf_next_string(struct gguf_strings *strings, struct gguf_str *ret);

/* The tensors of all shards. */
const struct tensor_dir *gguf_tensors(const struct gguf *gguf);

#endif
