/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tensor - one stored tensor of a model file, lent from its mapping; and the table of the number
 * formats that weights come in.
 *
 * A weight type is one row of weight_types.c and one file of engine/quant.
 */
#ifndef KVASIR_ENGINE_TENSOR_H
#define KVASIR_ENGINE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"

/* Numbered as GGUF numbers them (ggml_type), so that a file's number is an index here. */
enum weight_type {
    WEIGHT_F32 = 0,
    WEIGHT_F16 = 1,
    WEIGHT_Q4_0 = 2,
    WEIGHT_Q4_1 = 3,
    WEIGHT_Q5_0 = 6,
    WEIGHT_Q5_1 = 7,
    WEIGHT_Q8_0 = 8,
    WEIGHT_Q4_K = 12,
    WEIGHT_Q5_K = 13,
    WEIGHT_Q6_K = 14,
    WEIGHT_BF16 = 30,
    WEIGHT_TYPE_END = 48,
};

/* Rows are stored one after another, each as n_cols / block_len blocks. */
struct weight_type_info {
    const char *name;     /* "Q4_K" */
    uint32_t block_len;   /* weights per block */
    uint32_t block_bytes; /* bytes per block */
    /*
     * Exactly the reference's values: out[n] f32 from n / block_len blocks; every operation
     * rounded to f32, no contraction (built with -ffp-contract=off).
     */
    void (*dequantize)(const void *blocks, float *out, size_t n);
};

/* NULL for a type that is not served. */
const struct weight_type_info *weight_type_info(uint32_t type);

/*
 * Name and block size of every type that a GGUF file may hold, served or not (dequantize is then
 * NULL): to check where a tensor ends and to name what is refused. NULL for numbers that GGUF
 * does not have.
 */
const struct weight_type_info *weight_type_layout(uint32_t type);

enum { TENSOR_MAX_DIMS = 4 };

struct tensor {
    const char *name;
    enum weight_type type;
    uint32_t n_dims;
    uint64_t shape[TENSOR_MAX_DIMS]; /* outermost first: [rows, cols]; unused ones are 1 */
    const void *data;                /* in the file mapping; may lie on any byte */
    size_t n_bytes;
};

#endif
