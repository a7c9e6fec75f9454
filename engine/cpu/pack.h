/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack - the reading order of packed weights: panels of 32 output rows.
 *
 * A panel is 32 rows of W, all n_in inputs. Integer codes are in steps of 128 bytes, which hold
 * [32 rows][4 inputs] of int8 (operands of a 4-way dot product), in order of the inputs; a panel
 * of floats is [n_in][32 rows] f32 or f16, or [n_in / 2][32 rows][2] bf16. Narrow codes keep
 * their width. With a group of 32 inputs = 8 steps of bytes, numbered t = 0 .. 7, and b the byte
 * of a step (4 * row + input % 4):
 *
 *   4 bits  codes: 4 stored steps a group; byte b of stored step t holds b of step t in its low,
 *           of step t + 4 in its high nibble
 *   5 bits  and highs: 1 stored step a group; bit t of byte b is bit 4 of byte b of step t
 *   6 bits  and highs: 2 stored steps a group; bits 2 (t % 4) .. of byte b of highs step t / 4
 *           are bits 4 and 5 of byte b of step t
 *
 * A panel of integers is a run of parts of PART_INPUTS inputs (the last may be shorter), each
 * [scales | highs | codes], so that a product reads a matrix strictly from its first byte to its
 * last: memory likes nothing better. Scales, in order of the groups of a part:
 *
 *   SCALE_CHANNEL   f32 [32], one a row, after the last part
 *   SCALE_HALF      f16 [32] a group
 *   SCALE_HALF_MIN  f16 [32] scales, f16 [32] minima a group
 *   SCALE_K         a super-block of 8 groups: f16 d[32], f16 dmin[32], u8 [12][32] the twelve
 *                   bytes of 6-bit scales and minima of Q4_K, byte by byte
 *   SCALE_Q6_K      a super-block of 8 groups: f16 d[32], i8 [16][32], a scale per 16 inputs
 */
#ifndef KVASIR_ENGINE_PACK_H
#define KVASIR_ENGINE_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "load/tensor.h"

enum {
    PANEL_ROWS = 32,
    STEP_BYTES = 4 * PANEL_ROWS,
    PART_INPUTS = 512, /* a part of 8-bit codes is 16 KiB: it stays in L1 while rows pass */
    GROUP = 32,        /* inputs that share an activation scale, and a weight scale (or two) */
};

enum code_width { CODE_8, CODE_4, CODE_5, CODE_6, CODE_WIDTHS };

enum scale_kind {
    SCALE_NONE, /* panels of floats */
    SCALE_CHANNEL,
    SCALE_HALF,
    SCALE_HALF_MIN,
    SCALE_K,
    SCALE_Q6_K,
    SCALE_KINDS,
};

enum {
    K_SCALES_BYTES = 512,    /* a super-block of SCALE_K */
    Q6_K_SCALES_BYTES = 576, /* of SCALE_Q6_K */
};

/* One packed format. */
struct panel_format {
    const char *name;
    enum weight_type type;  /* of floats: what they are stored as */
    enum code_width width;  /* of integers */
    enum scale_kind scales; /* SCALE_NONE: a panel of floats */
    uint8_t bias;           /* code + bias = integer weight + 128 */
    uint32_t pad_in;        /* n_in is padded to a multiple of this, with zeros */
    /*
     * Packs 32 rows of n_in weights of src_type. A row pointer may repeat (rows beyond the
     * last). The panel is zeroed memory.
     */
    void (*pack)(const struct panel_format *format, enum weight_type src_type,
                 const uint8_t *const rows[PANEL_ROWS], uint32_t n_in, uint8_t *panel);
};

/* n_in with the padding of the format, and the bytes of a panel (a multiple of 64). */
uint32_t panel_n_in(const struct panel_format *format, uint32_t n_in);
size_t panel_bytes(const struct panel_format *format, uint32_t n_in);

/* Offsets in a panel: of the group that input `in` begins, and of the scales of its part. */
struct panel_place {
    size_t part; /* where the part begins */
    size_t part_bytes;
    size_t scales;        /* of the first group of the part, or the scales of channels */
    uint32_t first_group; /* the group's number in its part */
    size_t highs;
    size_t codes;
};

/* The place of input `in` (a multiple of GROUP; of 1 for floats) in a panel of n_in inputs. */
struct panel_place panel_place(const struct panel_format *format, uint32_t n_in, uint32_t in);

extern const struct panel_format panel_f32, panel_f16, panel_bf16;
extern const struct panel_format panel_int8_channel;

/* The panel that keeps a quantised type as it is; NULL for a type that has none. */
const struct panel_format *panel_of_type(enum weight_type type);

#endif
