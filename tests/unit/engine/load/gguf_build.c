/* SPDX-License-Identifier: Apache-2.0 */
#include "gguf_build.h"

#include <string.h>

static void put_le(struct buf *file, uint64_t value, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++)
        buf_append_char(file, (char)(value >> (8 * i) & 0xff));
}

void gguf_put_u32(struct buf *file, uint32_t value) {
    put_le(file, value, 4);
}

void gguf_put_u64(struct buf *file, uint64_t value) {
    put_le(file, value, 8);
}

void gguf_put_string(struct buf *file, const char *text) {
    gguf_put_u64(file, strlen(text));
    buf_append_str(file, text);
}

void gguf_begin(struct buf *file, uint32_t version, uint64_t n_tensors, uint64_t n_keys) {
    buf_init(file, 0);
    buf_append_str(file, "GGUF");
    gguf_put_u32(file, version);
    gguf_put_u64(file, n_tensors);
    gguf_put_u64(file, n_keys);
}

void gguf_add_key(struct buf *file, const char *key, enum gguf_type type) {
    gguf_put_string(file, key);
    gguf_put_u32(file, type);
}

void gguf_add_u32(struct buf *file, const char *key, uint32_t value) {
    gguf_add_key(file, key, GGUF_U32);
    gguf_put_u32(file, value);
}

void gguf_add_f32(struct buf *file, const char *key, float value) {
    gguf_add_key(file, key, GGUF_F32);
    buf_append(file, &value, sizeof value);
}

void gguf_add_string(struct buf *file, const char *key, const char *value) {
    gguf_add_key(file, key, GGUF_STRING);
    gguf_put_string(file, value);
}

void gguf_add_info(struct buf *file, const char *name, uint32_t n_dims, const uint64_t *dims,
                   uint32_t type, uint64_t offset) {
    gguf_put_string(file, name);
    gguf_put_u32(file, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        gguf_put_u64(file, dims[i]);
    gguf_put_u32(file, type);
    gguf_put_u64(file, offset);
}

void gguf_pad(struct buf *file, size_t alignment) {
    while (file->len % alignment != 0)
        buf_append_char(file, '\0');
}

void gguf_put_zeros(struct buf *file, size_t n) {
    for (size_t i = 0; i < n; i++)
        buf_append_char(file, '\0');
}
