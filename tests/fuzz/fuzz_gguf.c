/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf: parses the container, asks every accessor for every key there is, decodes a row of every
 * tensor, and opens it as a model. Whatever the bytes, no read leaves them.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/model.h"
#include "load/gguf_impl.h"
#include "load/tensor.h"
#include "model/model_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_ITEMS = 1024 };

/* A sum that depends on every byte of a string, so that all of them are read. */
static unsigned sum(struct gguf_str str) {
    unsigned total = 0;
    for (size_t i = 0; i < str.len; i++)
        total += (unsigned char)str.bytes[i];
    return total;
}

static unsigned read_key(const struct gguf *gguf, const char *key) {
    static int32_t i32[MAX_ITEMS];
    static uint32_t u32[MAX_ITEMS];
    static float f32[MAX_ITEMS];
    static bool flags[MAX_ITEMS];
    uint64_t wide = 0;
    struct gguf_str str = {.bytes = "", .len = 0};
    struct gguf_strings strings;
    const uint64_t n = gguf_array_len(gguf, key) < MAX_ITEMS ? gguf_array_len(gguf, key) : 0;

    /* Which of them take the key is the file's affair; that they stay inside it is ours. */
    unsigned n_taken = 0;
    n_taken += gguf_get_u32(gguf, key, u32, NULL) == 0;
    n_taken += gguf_get_i32(gguf, key, i32, NULL) == 0;
    n_taken += gguf_get_u64(gguf, key, &wide, NULL) == 0;
    n_taken += gguf_get_f32(gguf, key, f32, NULL) == 0;
    n_taken += gguf_get_bool(gguf, key, flags, NULL) == 0;
    n_taken += gguf_get_str(gguf, key, &str, NULL) == 0;
    n_taken += gguf_copy_i32(gguf, key, n, i32, NULL) == 0;
    n_taken += gguf_copy_u32(gguf, key, n, u32, NULL) == 0;
    n_taken += gguf_copy_f32(gguf, key, n, f32, NULL) == 0;
    n_taken += gguf_copy_bool(gguf, key, n, flags, NULL) == 0;

    unsigned total = sum(str);
    if (gguf_get_strings(gguf, key, &strings, NULL) == 0)
        while (gguf_next_string(&strings, &str))
            total += sum(str);
    return total + n_taken;
}

static unsigned read_keys(const struct gguf *gguf) {
    unsigned total = 0;
    for (size_t i = 0; i < gguf->n_entries; i++) {
        const struct gguf_str key = gguf->entries[i].key;
        char name[256];
        if (key.len >= sizeof name || memchr(key.bytes, '\0', key.len))
            continue;
        memcpy(name, key.bytes, key.len);
        name[key.len] = '\0';
        total += read_key(gguf, name);
    }
    return total;
}

/* Decodes the first and the last block of each tensor. */
static void decode(const struct tensor_dir *dir) {
    float values[256];

    for (size_t i = 0; i < dir->n; i++) {
        const struct stored_tensor *tensor = &dir->items[i];
        const struct weight_type_info *info = weight_type_info(tensor->type);
        if (!info)
            continue;
        info->dequantize(tensor->data, values, info->block_len);
        info->dequantize((const char *)tensor->data + tensor->n_bytes - info->block_bytes, values,
                         info->block_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gguf *gguf;
    struct model *model;
    struct error error;
    if (gguf_open_memory(data, size, "file", &gguf, &error) < 0)
        return 0;

    volatile unsigned total = read_keys(gguf);
    (void)total; /* the reading was the point */
    decode(gguf_tensors(gguf));
    if (model_from_gguf(gguf, "fuzz.gguf", &model, &error) == 0)
        model_close(model);
    return 0;
}
