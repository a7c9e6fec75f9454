/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack - the reading order of packed weights: panels of 16 output rows.
 *
 * A panel is 16 rows of W, all n_in inputs. Its codes are in vectors of 64 bytes, which hold
 * [16 rows][4 inputs] of int8 (one operand of a 4-way dot product) in order of the inputs; a
 * panel of floats is [n_in][16 rows] f32 or f16, or [n_in / 2][16 rows][2] bf16. Narrow codes
 * keep their width. With a group of 32 inputs = 8 vectors of bytes, numbered t = 0 .. 7, and b
 * the byte of a vector (4 * row + input % 4):
 *
 *   4 bits  codes: 4 vectors a group; byte b of vector t holds b of vector t in its low, of
 *           t + 4 in its high nibble
 *   5 bits  and highs: 1 vector a group; bit t of byte b is bit 4 of byte b of vector t
 *   6 bits  and highs: 2 vectors a group; bits 2 (t % 4) .. of byte b of highs vector t / 4
 *           are bits 4 and 5 of byte b of vector t
 *
 * A panel lies as [codes | highs | scales], padded to 64 bytes; panels follow each other, in
 * pairs (the last pair may hold rows that are never read out). Scales, in order of the groups:
 *
 *   SCALE_CHANNEL   f32 [16], one a row
 *   SCALE_HALF      f16 [16] a group
 *   SCALE_HALF_MIN  f16 [16] scales, f16 [16] minima a group
 *   SCALE_K         a super-block of 8 groups: f16 d[16], f16 dmin[16], u8 [12][16] the twelve
 *                   bytes of 6-bit scales and minima of Q4_K, byte by byte
 *   SCALE_Q6_K      a super-block of 8 groups: f16 d[16], i8 [16][16], a scale per 16 inputs
 */
#ifndef KVASIR_ENGINE_PACK_H
#define KVASIR_ENGINE_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "load/tensor.h"

enum {
    PANEL_ROWS = 16,
    PAIR = 2, /* panels that a tile computes together */
    PAIR_ROWS = PAIR * PANEL_ROWS,
    VECTOR_BYTES = 64,
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
    K_SCALES_BYTES = 256,    /* a super-block of SCALE_K */
    Q6_K_SCALES_BYTES = 288, /* of SCALE_Q6_K */
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
     * Packs 16 rows of n_in weights of src_type. A row pointer may repeat (rows beyond the
     * last). The panel is zeroed memory.
     */
    void (*pack)(const struct panel_format *format, enum weight_type src_type,
                 const uint8_t *const rows[PANEL_ROWS], uint32_t n_in, uint8_t *panel);
};

/* Where the regions of a panel begin, and its size; codes are at 0. */
struct panel_layout {
    uint32_t n_in; /* padded */
    size_t highs;
    size_t scales;
    size_t n_bytes;
};

struct panel_layout panel_layout(const struct panel_format *format, uint32_t n_in);

extern const struct panel_format panel_f32, panel_f16, panel_bf16;
extern const struct panel_format panel_int8_channel;

/* The panel that keeps a quantised type as it is; NULL for a type that has none. */
const struct panel_format *panel_of_type(enum weight_type type);

#endif
