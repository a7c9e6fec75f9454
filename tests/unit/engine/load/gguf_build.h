/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_build - writes GGUF bytes, sound or broken, for tests. Nothing is checked here.
 *
 *   struct buf file;
 *   gguf_begin(&file, 3, n_tensors, n_keys);
 *   gguf_add_u32(&file, "general.alignment", 32); ...
 *   gguf_add_info(&file, "t", 2, (uint64_t[]){32, 4}, type, offset); ...
 *   gguf_pad(&file, 32); buf_append(&file, data, n);
 */
#ifndef KVASIR_TEST_GGUF_BUILD_H
#define KVASIR_TEST_GGUF_BUILD_H

#include <stdint.h>

#include "kvasir/buf.h"
#include "load/gguf.h"

void gguf_begin(struct buf *file, uint32_t version, uint64_t n_tensors, uint64_t n_keys);

void gguf_put_u32(struct buf *file, uint32_t value);
void gguf_put_u64(struct buf *file, uint64_t value);
void gguf_put_string(struct buf *file, const char *text);

/* Key and type; the value follows by the caller's hand. */
void gguf_add_key(struct buf *file, const char *key, enum gguf_type type);

void gguf_add_u32(struct buf *file, const char *key, uint32_t value);
void gguf_add_f32(struct buf *file, const char *key, float value);
void gguf_add_string(struct buf *file, const char *key, const char *value);

/* dims innermost first, as the file has them. */
void gguf_add_info(struct buf *file, const char *name, uint32_t n_dims, const uint64_t *dims,
                   uint32_t type, uint64_t offset);

void gguf_pad(struct buf *file, size_t alignment);

/* n bytes of zeros. */
void gguf_put_zeros(struct buf *file, size_t n);

#endif
