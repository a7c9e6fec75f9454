/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_ref - the specification of the kernels, in scalar C.
 *
 * What matters for bits: which sums are integers (exact), and in which order an output meets
 * which float operation. fmaf is one rounding. The other ISAs give equal bits; the tests compare.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "cpu/kernel.h"
#include "cpu/kernel_prepare.h"
#include "quant/blocks.h"
#include "quant/half.h"

static float load_half(const uint8_t *bytes) {
    uint16_t half;

    memcpy(&half, bytes, sizeof half);
    return half_to_float(half);
}

static void prepare_int8_ref(const float *x, uint32_t n_in, uint32_t group, void *row) {
    prepare_int8_row(greatest_plain, round_plain, x, n_in, group, row);
}

/* ---- unpack: see pack.h for the layouts ---- */

enum { GROUP_STEPS = 8 };

static void unpack_4_ref(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                         uint32_t n_groups, uint8_t *out) {
    (void)highs; /* codes of 4 bits have none */
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t t = 0; t < GROUP_STEPS; t++)
            for (uint32_t b = 0; b < STEP_BYTES; b++) {
                const uint8_t both = codes[(g * 4 + t % 4) * STEP_BYTES + b];
                const uint8_t low = t < 4 ? both & 15 : both >> 4;
                out[(g * GROUP_STEPS + t) * STEP_BYTES + b] = (uint8_t)(low + bias);
            }
}

static void unpack_5_ref(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                         uint32_t n_groups, uint8_t *out) {
    unpack_4_ref(codes, highs, bias, n_groups, out);
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t t = 0; t < GROUP_STEPS; t++)
            for (uint32_t b = 0; b < STEP_BYTES; b++) {
                const uint8_t high = highs[g * STEP_BYTES + b] >> t & 1;
                out[(g * GROUP_STEPS + t) * STEP_BYTES + b] += (uint8_t)(high << 4);
            }
}

static void unpack_6_ref(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                         uint32_t n_groups, uint8_t *out) {
    unpack_4_ref(codes, highs, bias, n_groups, out);
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t t = 0; t < GROUP_STEPS; t++)
            for (uint32_t b = 0; b < STEP_BYTES; b++) {
                const uint8_t four = highs[(g * 2 + t / 4) * STEP_BYTES + b];
                const uint8_t high = four >> 2 * (t % 4) & 3;
                out[(g * GROUP_STEPS + t) * STEP_BYTES + b] += (uint8_t)(high << 4);
            }
}

static void unpack_half_ref(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                            float *ret_scales, float *ret_mins) {
    (void)ret_mins; /* these types have none */
    for (uint32_t i = 0; i < n_groups * PANEL_ROWS; i++)
        ret_scales[i] = load_half(scales + ((size_t)first * PANEL_ROWS + i) * 2);
}

static void unpack_half_min_ref(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                                float *ret_scales, float *ret_mins) {
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            const uint8_t *group = scales + (size_t)(first + g) * PANEL_ROWS * 4;
            ret_scales[g * PANEL_ROWS + o] = load_half(group + o * 2);
            ret_mins[g * PANEL_ROWS + o] = load_half(group + PANEL_ROWS * 2 + o * 2);
        }
}

/* scale = d * sc, minimum = -(dmin * m): products of 11 and 6 bits, exact in f32. */
static void unpack_k_ref(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                         float *ret_scales, float *ret_mins) {
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            const uint8_t *super = scales + (size_t)((first + g) / 8) * K_SCALES_BYTES;
            uint8_t packed[12];
            uint8_t sc;
            uint8_t m;

            for (uint32_t i = 0; i < 12; i++)
                packed[i] = super[PANEL_ROWS * 4 + i * PANEL_ROWS + o];
            k_scale_min(packed, (first + g) % 8, &sc, &m);
            ret_scales[g * PANEL_ROWS + o] = load_half(super + o * 2) * (float)sc;
            ret_mins[g * PANEL_ROWS + o] = -(load_half(super + PANEL_ROWS * 2 + o * 2) * (float)m);
        }
}

/* Two scales a group: scale = d * sc. */
static void unpack_q6_k_ref(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                            float *ret_scales, float *ret_mins) {
    (void)ret_mins; /* has none */
    for (uint32_t h = 0; h < 2 * n_groups; h++)
        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            const uint32_t half = 2 * first + h;
            const uint8_t *super = scales + (size_t)(half / 16) * Q6_K_SCALES_BYTES;
            const int8_t sc = (int8_t)super[PANEL_ROWS * 2 + half % 16 * PANEL_ROWS + o];
            ret_scales[h * PANEL_ROWS + o] = load_half(super + o * 2) * (float)sc;
        }
}

/*
 * w = scale * (code - 128) + minimum, rounded once by the addition: the product has at most 24
 * bits in every type, so it is exact. n_per_scale inputs share a scale (and a minimum).
 */
static void widen_ref(const uint8_t *codes, const float *scales, const float *mins,
                      uint32_t n_per_scale, uint32_t n_in, float *out) {
    for (uint32_t i = 0; i < n_in; i++)
        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            const uint32_t s = i / n_per_scale * PANEL_ROWS + o;
            const int code = codes[(size_t)(i / 4) * STEP_BYTES + o * 4 + i % 4];
            const float product = scales[s] * (float)(code - 128);
            out[(size_t)i * PANEL_ROWS + o] = mins ? product + mins[s] : product;
        }
}

/* ---- int8 tiles ---- */

/* The exact integer dot product of one output over n inputs from `first`, started from `start`. */
static int32_t dot(const uint8_t *codes, const int8_t *x, uint32_t o, uint32_t first, uint32_t n,
                   int32_t start) {
    int32_t sum = start;

    for (uint32_t i = first; i < first + n; i++)
        sum += codes[(size_t)(i / 4) * STEP_BYTES + o * 4 + i % 4] * x[i];
    return sum;
}

/*
 * acc[r][o] takes, for each group g in ascending order, with i = exact sum of weight * x code:
 *
 *   CHANNEL      acc = fma(i, x.scale[g], acc)
 *   GROUPS       acc = fma(i * w.scale[g][o], x.scale[g], acc)
 *   MINIMUM      as GROUPS, then acc = fma(w.min[g][o], x.scaled_sum[g], acc)
 *   HALF_GROUPS  acc = fma(fma(i_1, w.scale[2g+1][o], i_0 * w.scale[2g][o]), x.scale[g], acc)
 */
static float add_group(enum int8_tile_kind kind, const struct int8_chunk *w,
                       const struct int8_rows *x, uint32_t r, uint32_t g, uint32_t o, float acc) {
    const int8_t *codes = x->codes + r * x->stride;
    const float scale = row_float(x->scale, x->stride, r, g);
    const int32_t start = row_int(x->start, x->stride, r, g);
    const uint32_t s = g * PANEL_ROWS + o;

    switch (kind) {
    case TILE_CHANNEL:
        return fmaf((float)dot(w->codes, codes, o, g * CHANNEL_GROUP, CHANNEL_GROUP, start), scale,
                    acc);
    case TILE_HALF_GROUPS: {
        const uint32_t first = g * GROUP;
        const int32_t start_0 = row_int(x->start_half, x->stride, r, g);
        const int32_t i_0 = dot(w->codes, codes, o, first, GROUP / 2, start_0);
        const int32_t i_1 = dot(w->codes, codes, o, first + GROUP / 2, GROUP / 2, start - start_0);
        const float s_0 = w->scales[2 * g * PANEL_ROWS + o];
        const float s_1 = w->scales[(2 * g + 1) * PANEL_ROWS + o];
        return fmaf(fmaf((float)i_1, s_1, (float)i_0 * s_0), scale, acc);
    }
    default: {
        const int32_t i = dot(w->codes, codes, o, g * GROUP, GROUP, start);
        acc = fmaf((float)i * w->scales[s], scale, acc);
        if (kind == TILE_MINIMUM)
            acc = fmaf(w->mins[s], row_float(x->scaled_sum, x->stride, r, g), acc);
        return acc;
    }
    }
}

static void tile_int8(enum int8_tile_kind kind, const struct int8_chunk *w,
                      const struct int8_rows *x, uint32_t n_rows, float *acc) {
    for (uint32_t r = 0; r < n_rows; r++)
        for (uint32_t g = 0; g < w->n_groups; g++)
            for (uint32_t o = 0; o < PANEL_ROWS; o++) {
                float *sum = &acc[r * PANEL_ROWS + o];
                *sum = add_group(kind, w, x, r, g, o, *sum);
            }
}

static void tile_channel_ref(const struct int8_chunk *w, const struct int8_rows *x, uint32_t n_rows,
                             float *acc) {
    tile_int8(TILE_CHANNEL, w, x, n_rows, acc);
}

static void tile_groups_ref(const struct int8_chunk *w, const struct int8_rows *x, uint32_t n_rows,
                            float *acc) {
    tile_int8(TILE_GROUPS, w, x, n_rows, acc);
}

static void tile_minimum_ref(const struct int8_chunk *w, const struct int8_rows *x, uint32_t n_rows,
                             float *acc) {
    tile_int8(TILE_MINIMUM, w, x, n_rows, acc);
}

static void tile_half_groups_ref(const struct int8_chunk *w, const struct int8_rows *x,
                                 uint32_t n_rows, float *acc) {
    tile_int8(TILE_HALF_GROUPS, w, x, n_rows, acc);
}

/* ---- float tiles ---- */

static float weight_at(enum weight_type type, const uint8_t *w, uint32_t i, uint32_t o) {
    uint16_t half;
    float value;

    if (type == WEIGHT_F32) {
        memcpy(&value, w + ((size_t)i * PANEL_ROWS + o) * sizeof value, sizeof value);
        return value;
    }
    if (type == WEIGHT_F16)
        return load_half(w + ((size_t)i * PANEL_ROWS + o) * sizeof half);
    memcpy(&half, w + ((size_t)(i / 2) * PANEL_ROWS * 2 + o * 2 + i % 2) * sizeof half,
           sizeof half);
    return bf16_to_float(half);
}

/* acc[r][o] += s, where s = 0, then s = fma(w[i][o], x[r][i], s) in ascending order of i. */
static void tile_float(enum weight_type type, const void *w, uint32_t n_in, const void *x,
                       size_t x_stride, uint32_t n_rows, float *acc) {
    for (uint32_t r = 0; r < n_rows; r++) {
        const float *row = (const float *)(const void *)((const char *)x + r * x_stride);

        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            float sum = 0.0f;

            for (uint32_t i = 0; i < n_in; i++)
                sum = fmaf(weight_at(type, w, i, o), row[i], sum);
            acc[r * PANEL_ROWS + o] += sum;
        }
    }
}

static void tile_f32_ref(const void *w, size_t ahead, uint32_t n_in, const void *x, size_t x_stride,
                         uint32_t n_rows, float *acc) {
    (void)ahead; /* no prefetch */
    tile_float(WEIGHT_F32, w, n_in, x, x_stride, n_rows, acc);
}

static void tile_f16_ref(const void *w, size_t ahead, uint32_t n_in, const void *x, size_t x_stride,
                         uint32_t n_rows, float *acc) {
    (void)ahead; /* no prefetch */
    tile_float(WEIGHT_F16, w, n_in, x, x_stride, n_rows, acc);
}

static void tile_bf16_ref(const void *w, size_t ahead, uint32_t n_in, const void *x,
                          size_t x_stride, uint32_t n_rows, float *acc) {
    (void)ahead; /* no prefetch */
    tile_float(WEIGHT_BF16, w, n_in, x, x_stride, n_rows, acc);
}

const struct matmul_ops matmul_ops_ref = {
    .name = "ref",
    .int8_name = "int8 (scalar)",
    .int8_rows = {8, 8, 8, 8},
    .float_rows = 8,
    .prepare_int8 = prepare_int8_ref,
    .unpack_codes = {[CODE_4] = unpack_4_ref, [CODE_5] = unpack_5_ref, [CODE_6] = unpack_6_ref},
    .unpack_scales = {[SCALE_HALF] = unpack_half_ref,
                      [SCALE_HALF_MIN] = unpack_half_min_ref,
                      [SCALE_K] = unpack_k_ref,
                      [SCALE_Q6_K] = unpack_q6_k_ref},
    .tile_int8 = {[TILE_CHANNEL] = tile_channel_ref,
                  [TILE_GROUPS] = tile_groups_ref,
                  [TILE_MINIMUM] = tile_minimum_ref,
                  [TILE_HALF_GROUPS] = tile_half_groups_ref},
    .widen = widen_ref,
    .tile_f32 = tile_f32_ref,
    .tile_f16 = tile_f16_ref,
    .tile_bf16 = tile_bf16_ref,
};
