/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matrix_row - one row of a packed matrix, back as the float32 values that were stored: what an
 * embedding needs where the head is the same table. Layouts: pack.h.
 *
 * Scalar, because a token needs one row: its bytes lie in as many cache lines as there are steps,
 * and fetching those is the time that it takes. The values are those of weight_type_info's
 * dequantize bit for bit: products are exact in both, and a minimum is added with one rounding.
 */
#include <string.h>

#include "cpu/matmul.h"
#include "cpu/pack.h"
#include "quant/blocks.h"
#include "quant/half.h"

static float load_half(const uint8_t *bytes) {
    uint16_t half;

    memcpy(&half, bytes, sizeof half);
    return half_to_float(half);
}

/* ---- panels of floats ---- */

static float float_at(enum weight_type type, const uint8_t *panel, size_t i, size_t o) {
    const size_t in_pair = (i / 2 * PANEL_ROWS + o) * 2 + i % 2;
    uint16_t bf16;
    float value;

    switch (type) {
    case WEIGHT_F16:
        return load_half(panel + (i * PANEL_ROWS + o) * sizeof bf16);
    case WEIGHT_BF16:
        memcpy(&bf16, panel + in_pair * sizeof bf16, sizeof bf16);
        return bf16_to_float(bf16);
    default:
        memcpy(&value, panel + (i * PANEL_ROWS + o) * sizeof value, sizeof value);
        return value;
    }
}

/* ---- panels of integers, group by group ---- */

/* One row's part of a group of 32 inputs. */
struct row_group {
    const struct panel_format *format;
    const uint8_t *scales; /* of the part */
    uint32_t index;        /* of the group in its part */
    const uint8_t *codes;  /* of the group */
    const uint8_t *highs;
    uint32_t row; /* in the panel */
};

/* Input i's integer weight. */
static int weight_at(const struct row_group *group, uint32_t i) {
    const uint32_t t = i / 4;
    const uint32_t b = 4 * group->row + i % 4;

    if (group->format->width == CODE_8)
        return group->codes[t * STEP_BYTES + b] - 128;

    const unsigned both = group->codes[t % 4 * STEP_BYTES + b];
    unsigned code = t < 4 ? both & 15 : both >> 4;
    if (group->format->width == CODE_5)
        code |= (group->highs[b] >> t & 1u) << 4;
    else if (group->format->width == CODE_6)
        code |= (group->highs[t / 4 * STEP_BYTES + b] >> 2 * (t % 4) & 3u) << 4;
    return (int)code + group->format->bias - 128;
}

/* The scale of inputs 0 .. 15 (half 0) or 16 .. 31; and what is added, where the type has that. */
static float scale_at(const struct row_group *group, uint32_t half, float *ret_min) {
    const uint32_t row = group->row;
    const uint32_t in_super = group->index % 8;
    const uint8_t *at;
    uint8_t packed[12], scale, min;

    switch (group->format->scales) {
    case SCALE_HALF_MIN:
        at = group->scales + (size_t)group->index * PANEL_ROWS * 4;
        *ret_min = load_half(at + PANEL_ROWS * 2 + row * 2);
        return load_half(at + row * 2);
    case SCALE_K:
        at = group->scales + (size_t)(group->index / 8) * K_SCALES_BYTES;
        for (uint32_t i = 0; i < sizeof packed; i++)
            packed[i] = at[PANEL_ROWS * 4 + i * PANEL_ROWS + row];
        k_scale_min(packed, in_super, &scale, &min);
        *ret_min = -(load_half(at + PANEL_ROWS * 2 + row * 2) * (float)min);
        return load_half(at + row * 2) * (float)scale;
    case SCALE_Q6_K:
        at = group->scales + (size_t)(group->index / 8) * Q6_K_SCALES_BYTES;
        return load_half(at + row * 2) *
               (float)(int8_t)at[PANEL_ROWS * 2 + (2 * in_super + half) * PANEL_ROWS + row];
    default: /* SCALE_HALF */
        return load_half(group->scales + ((size_t)group->index * PANEL_ROWS + row) * 2);
    }
}

static void group_values(const struct row_group *group, float *ret_values) {
    const bool has_min =
        group->format->scales == SCALE_HALF_MIN || group->format->scales == SCALE_K;

    for (uint32_t half = 0; half < 2; half++) {
        float min = 0;
        const float scale = scale_at(group, half, &min);
        for (uint32_t i = half * GROUP / 2; i < (half + 1) * GROUP / 2; i++) {
            const float product = scale * (float)weight_at(group, i);
            ret_values[i] = has_min ? product + min : product; /* -0 + 0 would lose the sign */
        }
    }
}

void matrix_row(const struct matrix *matrix, uint32_t row, float *ret_values) {
    const struct panel_format *format = matrix->panel;
    const uint32_t n_in = matrix->n_in;
    const uint8_t *panel =
        (const uint8_t *)matrix->data + row / PANEL_ROWS * panel_bytes(format, n_in);

    if (format->scales == SCALE_NONE) {
        for (uint32_t i = 0; i < n_in; i++)
            ret_values[i] = float_at(format->type, panel, i, row % PANEL_ROWS);
        return;
    }
    for (uint32_t in = 0; in < n_in; in += GROUP) {
        const struct panel_place place = panel_place(format, n_in, in);
        const struct row_group group = {
            .format = format,
            .scales = panel + place.scales,
            .index = place.first_group,
            .codes = panel + place.codes,
            .highs = panel + place.highs,
            .row = row % PANEL_ROWS,
        };
        group_values(&group, ret_values + in);
    }
}
