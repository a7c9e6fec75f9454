/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matmul - y = x W^T (+ b) for weights of any type, packed once into reading order.
 *
 *   x  [n_rows, n_in]   f32, turned once into the packed form's own activation format
 *   w  [n_out, n_in]    as packed by matrix_pack
 *   y  [n_rows, n_out]  f32
 *
 * Rule 51: the reduction order of each y[i][o] is fixed by the packing alone; it does not depend
 * on n_rows, on the tile, or on the thread. So one row alone gives the same bits as one of many.
 * kernel_ref.c says in scalar C what every kernel computes; README.md has the layouts.
 */
#ifndef KVASIR_ENGINE_MATMUL_H
#define KVASIR_ENGINE_MATMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/workers.h"
#include "kvasir/engine.h"
#include "kvasir/error.h"
#include "load/tensor.h"

struct matmul_ops;   /* the functions of one ISA */
struct panel_format; /* how weights are packed */

/* What is multiplied with what, and so the form that activations are prepared in. */
enum matmul_arithmetic {
    MATMUL_INT8,         /* int8 codes, scales per 32 inputs on both sides */
    MATMUL_INT8_CHANNEL, /* int8 codes, one weight scale a row, activation scales per 64 inputs */
    MATMUL_F32,          /* f32 activations, weights widened exactly */
    MATMUL_BF16_ROUNDED, /* as MATMUL_F32, with activations rounded to bf16 first */
    MATMUL_BF16_DOT,     /* bf16 on both sides, pairs summed by the bf16 dot instruction */
};

/* How to choose among the kernels that can serve a tensor. */
struct matmul_choice {
    enum compute_dtype dtype; /* COMPUTE_F32: exact dequantised weights, f32 arithmetic */
    enum weight_quantize quantize;
    const char *isa; /* NULL: best of this CPU; "ref", "avx2", "avx512" */
};

/* The ISA that a choice of isa stands for: "avx512"; NULL if this CPU or build lacks it. */
const char *matmul_isa_name(const char *isa);

/* A packed matrix. Immutable after packing; memory given back with matrix_fini. */
struct matrix {
    uint32_t n_out;
    uint32_t n_in;
    const struct panel_format *panel;
    const struct matmul_ops *ops;
    enum matmul_arithmetic arithmetic;
    void *data; /* mem_map'ed */
    size_t n_bytes;
};

/*
 * Packs rows of src (2 dims) with all workers. src may be several tensors of equal
 * n_in and, where their types differ, they are refused with -EINVAL (the caller keeps them
 * apart): they are stacked by rows into one matrix (q|k|v, gate|up). -ENOMEM, -ENOTSUP.
 */
int matrix_pack(struct matrix *matrix, const struct tensor *const *src, uint32_t n_src,
                const struct matmul_choice *choice, struct workers *workers, struct error *reterr)
    KV_MUST_CHECK;
void matrix_fini(struct matrix *matrix);

/* Bytes that matrix_pack would reserve. */
size_t matrix_packed_bytes(const struct tensor *const *src, uint32_t n_src,
                           const struct matmul_choice *choice);

/* True if the packed form of src would hold its very values, so that matrix_row gives them. */
bool matrix_keeps_values(const struct tensor *src, const struct matmul_choice *choice);

/* Row `row` of W as float32 [n_in], bit for bit as stored. Only if matrix_keeps_values. */
void matrix_row(const struct matrix *matrix, uint32_t row, float *ret_values);

/* Name of the arithmetic, for people: "int8 (vnni)", "bf16 dot", "f32 fma". */
const char *matrix_kernel_name(const struct matrix *matrix);

/*
 * Activations in the form of the arithmetic (int8 with scales, bf16, f32). Two matrices of equal
 * n_in and matmul_format can share one prepared x (q, k and v; gate and up). Best on 64 bytes.
 */
uint32_t matmul_format(const struct matrix *matrix);
size_t matmul_prepared_bytes(const struct matrix *matrix, uint32_t n_rows);

/* Prepares rows [first_row, +n_rows) of x into prepared (which holds all rows of the batch). */
void matmul_prepare(const struct matrix *matrix, const float *x, size_t x_stride,
                    uint32_t first_row, uint32_t n_rows, void *prepared);

/*
 * Splits y = x W^T into independent items, to be run by workers_for; item order is arbitrary.
 * bias: [n_out] f32 or NULL, added last. y_stride in floats. y must not alias x.
 */
struct matmul_job {
    const struct matrix *matrix;
    const void *prepared;
    uint32_t n_rows;
    const float *bias;
    float *y;
    size_t y_stride;
    bool add; /* y += instead of y = (residual): y + (product + bias) */
};
uint32_t matmul_n_items(const struct matmul_job *job);
void matmul_item(const struct matmul_job *job, uint32_t item, uint32_t worker);

/*
 * The whole product with all workers: x prepared (rows split over workers) into `prepared`, which
 * is job->prepared, then the items.
 */
void matmul_run(struct workers *workers, const float *x, size_t x_stride, void *prepared,
                const struct matmul_job *job);

#endif
