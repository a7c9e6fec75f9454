/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packer - from stored tensors to what a step computes with; or only the measure of it.
 *
 * The layers walk their weights once, through these functions. A packer without workers packs
 * nothing and counts bytes, so that what engine_weight_bytes announces and what engine_open
 * reserves come from the same lines. Engine thread.
 */
#ifndef KVASIR_ENGINE_PACKER_H
#define KVASIR_ENGINE_PACKER_H

#include <stdint.h>

#include "cpu/matmul.h"
#include "kvasir/engine.h"
#include "layers/linear.h"
#include "model/weights.h"

struct packer {
    const struct model *model;
    struct matmul_choice choice;
    struct workers *workers; /* NULL: measure only; then nothing is allocated and nothing to fini */

    uint64_t n_bytes;                                /* so far */
    uint64_t n_expected;                             /* in all, for progress; 0: not known */
    void (*on_progress)(void *ctx, double fraction); /* may be NULL */
    void *progress_ctx;

    size_t prepared_row_bytes;         /* most that a linear met so far may need of one row */
    uint32_t n_matrices;               /* packed so far */
    enum matmul_arithmetic arithmetic; /* of the first of them */
};

/* One stored tensor with its bias (no name: none) in a linear. */
struct packer_source {
    const struct tensor *weight;
    const struct tensor *bias; /* NULL or nameless: none */
};

/* Packs up to LINEAR_MAX_PARTS sources side by side; their pages are given back. */
int packer_linear(struct packer *packer, struct linear *ret_linear,
                  const struct packer_source *sources, uint32_t n_sources, struct error *reterr)
    KV_MUST_CHECK;

/* *ret_values = the tensor as float32 (NULL when it is nameless); mem_free it. */
int packer_vector(struct packer *packer, float **ret_values, const struct tensor *tensor,
                  struct error *reterr) KV_MUST_CHECK;

/* *ret_data = the tensor as it is stored (NULL where only measured); mem_unmap it. */
int packer_copy(struct packer *packer, unsigned char **ret_data, const struct tensor *tensor,
                struct error *reterr) KV_MUST_CHECK;

#endif
