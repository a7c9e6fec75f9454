/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear - y = x W^T + b, where W is one or several stored tensors side by side.
 *
 * q|k|v and gate|up read the same x, so they are one linear: one preparation of x, one barrier.
 * Neighbours of equal type are stacked into one matrix; where a file mixes types (Q4_K_M keeps v
 * in Q6_K) there are up to LINEAR_MAX_PARTS matrices, each with its place in y. A caller sees no
 * difference. Immutable after packing.
 */
#ifndef KVASIR_ENGINE_LINEAR_H
#define KVASIR_ENGINE_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/matmul.h"
#include "cpu/workers.h"

enum {
    LINEAR_MAX_PARTS = 3,
    /* Rows made and prepared by one worker at a time: few, so that they are still in L1. */
    LINEAR_ROWS_PER_ITEM = 4,
};

struct linear_part {
    struct matrix matrix;
    uint32_t y_offset; /* its first output in y */
    uint32_t shares;   /* the first part with the same activation format; itself if none */
};

struct linear {
    uint32_t n_in;
    uint32_t n_out;
    uint32_t n_parts;
    struct linear_part parts[LINEAR_MAX_PARTS];
    float *bias; /* [n_out]; NULL if no part has one */
};

/* Makes rows [first, first + n) of x, just before they are prepared. Any worker. */
typedef void (*linear_rows_fn)(void *ctx, uint32_t first, uint32_t n);

/* Where rows come from, and where results go: [n_rows, stride]. */
struct linear_x {
    const float *at;
    size_t stride;
    linear_rows_fn make; /* NULL: they are there already */
    void *make_ctx;
};

struct linear_y {
    float *at;
    size_t stride;
    bool add; /* y += */
};

struct linear_call {
    const struct linear *linear;
    uint32_t n_rows;
    struct linear_x x;
    void *prepared; /* scratch, linear_prepared_bytes(linear, n_rows) */
    struct linear_y y;
};

/* Two workers_for: rows made and prepared; then the products of all parts. */
void linear_run(struct workers *workers, const struct linear_call *call);

size_t linear_prepared_bytes(const struct linear *linear, uint32_t n_rows);

/* Upper bound of linear_prepared_bytes for one row of n_in inputs in n_parts formats. */
size_t linear_prepared_row_bound(uint32_t n_in, uint32_t n_parts);

void linear_fini(struct linear *linear);

#endif
