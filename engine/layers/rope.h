/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rope - rotary positions: from rope_params to the cosines and sines of one position.
 *
 * Frequencies and angles are double; only cos and sin are rounded to float. Kinds with fixed
 * frequencies keep them in a table; longrope keeps two. Dynamic NTK computes them for each
 * length beyond the trained one, and so a caller passes a struct rope_scratch, which remembers
 * the last length: all tokens of a prompt share one.
 *
 * Angles are not tabulated by position. A step computes those of its own tokens, once for all
 * layers: 64 sines for a token against 10^9 multiplications of its matrices; a table up to
 * max_model_len would cost 16 MiB at 32 k instead.
 */
#ifndef KVASIR_ENGINE_ROPE_H
#define KVASIR_ENGINE_ROPE_H

#include <stdint.h>

#include "kvasir/error.h"
#include "model/hparams.h"

enum { ROPE_MAX_DIMS = 1024 };

struct rope {
    const struct rope_params *params; /* lent */
    double scale;                     /* on cos and sin: the attention factor */
    double *short_freqs;              /* [n_dims / 2]; the only ones but for longrope */
    double *long_freqs;               /* [n_dims / 2] of longrope, else NULL */
};

/* Frequencies of a length class that no table holds. A zeroed struct remembers nothing. */
struct rope_scratch {
    uint64_t rope_class; /* 0: none yet */
    double freqs[ROPE_MAX_DIMS / 2];
};

/* params are lent until rope_fini. -ENOTSUP, -ENOMEM. */
int rope_init(struct rope *rope, const struct rope_params *params, struct error *reterr)
    KV_MUST_CHECK;
void rope_fini(struct rope *rope);

/* See engine_rope_class. */
uint64_t rope_class(const struct rope *rope, uint32_t length);

/* cos, sin [n_dims / 2] of position in a sequence of length tokens. */
void rope_angles(const struct rope *rope, uint32_t position, uint32_t length,
                 struct rope_scratch *scratch, float *ret_cos, float *ret_sin);

/* Rotates the first n_dims of x [head_dim] in place. */
void rope_rotate(const struct rope *rope, float *x, const float *cosines, const float *sines);

#endif
