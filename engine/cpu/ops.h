/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops - the vector arithmetic that is not matmul: norms, gates, attention, KV number formats.
 *
 * One table per instruction set, chosen once. ops_ref.c is the specification: the others give
 * the same bits (tests/unit/engine/cpu/test_ops.c), because every reduction is written down
 * here as 16 lanes and a tree, and every exponential is the one polynomial of exp2.h. NaNs stay
 * NaNs, with unspecified payload. All functions are pure; any thread.
 *
 *   Lane sum of x[0..n): lane c sums the x[j] with j % 16 == c, j ascending; then lane c adds
 *   lane c + 8, c + 4, c + 2, c + 1 in turn.
 */
#ifndef KVASIR_ENGINE_OPS_H
#define KVASIR_ENGINE_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"
#include "model/hparams.h"

enum {
    OPS_LANES = 16,
    /* Positions of a sequence that attention takes at once, from a multiple of it on. */
    ATTENTION_TILE = 64,
    /* Positions whose keys lie side by side in the KV store: the narrowest vector's lanes. */
    KV_GROUP = 8,
    ATTENTION_FEW_ROWS = 8,
};

/* Number formats of K and V. What a new one needs is one row in each table. */
enum kv_format { KV_FORMAT_F32, KV_FORMAT_F16, KV_FORMAT_BF16, KV_FORMATS };

struct kv_convert {
    /* to[0..n) = from, rounded to nearest even; float16 saturates at +-65504, NaN stays NaN */
    void (*narrow)(void *to, const float *from, uint32_t n);
    /* to[0..n) = from, exact */
    void (*widen)(float *to, const void *from, uint32_t n);
    /* One group of keys: to[i * ATTENTION_TILE + p] = from[i * KV_GROUP + p], i < head_dim */
    void (*widen_keys)(float *to, const void *from, uint32_t head_dim);
};

/*
 * Query rows that see the same run of positions of one tile, and their state so far: the online
 * softmax in base 2. For each row r, with s[j] = sum over i ascending of q[i][r] * k[i][j], one
 * fused multiply-add each:
 *
 *   m = max(max[r], s[first..end));  c = exp2(max[r] - m);  p[j] = exp2(s[j] - m), else 0
 *   sum[r] = fma(sum[r], c, lane sum of p);  out[r] = out[r] * c, then out[r] = fma(p[j], v[j],
 *   out[r]) for j = first..end-1;  max[r] = m
 *
 * Rows do not influence each other: any grouping of rows gives the same bits.
 */
struct attention_tile {
    uint32_t n_rows;
    uint32_t first, end;  /* visible positions within the tile, first < end <= ATTENTION_TILE */
    uint32_t head_dim;    /* of q and k */
    uint32_t value_width; /* of v and out: a multiple of OPS_LANES, padding included */
    const float *q;       /* [head_dim, q_stride]: row r is column r; scale and log2(e) are in it */
    uint32_t q_stride;
    const float *k; /* [head_dim, ATTENTION_TILE], readable (any content) outside first..end */
    const float *v; /* [ATTENTION_TILE, value_width], not read outside first..end */
    float *p;       /* scratch [n_rows, ATTENTION_TILE] */
    float *max;     /* [n_rows], -inf before the first tile */
    float *sum;     /* [n_rows], 0 before the first tile */
    float *out;     /* [n_rows, value_width], 0 before the first tile */

    /* For attention_stored, instead of k and v: the tile's groups as the KV store has them, keys
       [head_dim][KV_GROUP] then values [KV_GROUP][head_dim]. Beyond end: any readable group. */
    const void *groups[ATTENTION_TILE / KV_GROUP];

    /* Optimisation only: the memory of the next tile, to be asked for meanwhile: n_ahead pieces
       of head_dim * ahead_step bytes. 0: none. */
    uint32_t n_ahead;
    size_t ahead_step; /* <= 64 */
    const void *ahead[ATTENTION_TILE / KV_GROUP];
};

struct ops {
    const char *name; /* "ref", "avx2", "avx512" */

    /* y = x / sqrt(mean(x^2) + eps) * weight; squares by lane sum with fma; y may be x */
    void (*rms_norm)(float *y, const float *x, const float *weight, float eps, uint32_t n);

    /* y = act(gate) * up; y may be gate or up. [activation] */
    void (*gate[3])(float *y, const float *gate, const float *up, uint32_t n);

    void (*attention_tile)(const struct attention_tile *tile);

    /* The same straight from the store: faster up to ATTENTION_FEW_ROWS. value_width must be
       head_dim. [format]; NULL where the ISA has none: then the tile is widened first. */
    void (*attention_stored[KV_FORMATS])(const struct attention_tile *tile);

    struct kv_convert kv[KV_FORMATS];
};

/*
 * Fills the table for isa as in engine_options; NULL is the best of this CPU. -EINVAL for an
 * unknown name, -ENOTSUP if this CPU or build lacks it.
 */
int ops_init(struct ops *ret_ops, const char *isa, struct error *reterr) KV_MUST_CHECK;

/* private: each takes over what it does better than the table so far */
void ops_fill_ref(struct ops *ops);
void ops_override_avx2(struct ops *ops);
void ops_override_avx512(struct ops *ops);

#endif
