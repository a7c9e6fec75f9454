/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel - what one instruction set (ISA) offers to matmul: a table of small functions.
 *
 * The driver (matmul.c) is the same for all: it walks a panel in chunks of n_in, has a
 * chunk unpacked where its codes are narrower than 8 bits, and runs tiles of rows over it. All
 * sums are kept in `acc`, [n_rows][PANEL_ROWS] f32, from chunk to chunk. So an ISA brings three
 * kinds of functions, and a weight type no arithmetic of its own:
 *
 *   prepare   a row of x into int8 or bf16
 *   unpack    panel codes of 4, 5, 6 bits into bytes; stored scales into f32
 *   tile      acc[n_rows][PANEL_ROWS] += x[n_rows][chunk] . panel[chunk][PANEL_ROWS]
 *
 * kernel_ref.c says in scalar C what each must compute. The integer sums are exact and the order
 * of the float operations of one output is part of the definition, so all ISAs give equal bits
 * (bf16 dot apart, whose rounding is the processor's). Layouts: pack.h.
 */
#ifndef KVASIR_ENGINE_KERNEL_H
#define KVASIR_ENGINE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "cpu/pack.h"

/*
 * Tiles are written once with the number of rows as a constant argument: only fully unrolled do
 * arrays of sums become registers. (No loop of these is long.)
 */
#define KERNEL_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define KERNEL_PRAGMA(x) _Pragma(#x)
#define KERNEL_UNROLL(n) KERNEL_PRAGMA(unroll)
#else
#define KERNEL_PRAGMA(x) _Pragma(#x)
#define KERNEL_UNROLL(n) KERNEL_PRAGMA(GCC unroll n)
#endif

enum {
    FLOAT_CHUNK = 256,  /* n_in per pass of the float tiles; also the length of a partial sum */
    CHANNEL_GROUP = 64, /* inputs that share an activation scale where weights have one a row */
    /*
     * How far ahead packed weights are prefetched: they come from memory in one long run, faster
     * than the hardware looks ahead. Zen 5, one row: 2 and 16 KiB are up to 15 % slower, 8 KiB
     * equal within 4 %.
     */
    AHEAD_BYTES = 4096,
};

/*
 * Rows of x as int8, from one group on. x ~ scale * code; start = -128 * (sum of the group's
 * codes) undoes the +128 of unsigned weight codes, start_half that of its first half;
 * scaled_sum = scale * (sum of codes). Rows are stride bytes apart in all of them.
 */
struct int8_rows {
    const int8_t *codes;
    const float *scale;
    const int32_t *start;
    const int32_t *start_half;
    const float *scaled_sum;
    size_t stride;
};

/* A part of a panel, ready for the int8 tiles. */
struct int8_chunk {
    const uint8_t *codes; /* [n_in / 4][PANEL_ROWS][4], weight + 128 */
    const float *scales;  /* [n_groups][PANEL_ROWS]; HALF_GROUPS: [2 * n_groups]; or NULL */
    const float *mins;    /* [n_groups][PANEL_ROWS]; only for MINIMUM */
    uint32_t n_groups;    /* groups of activations */
    /* Prefetched with group g: soon_bytes from soon + g * soon_bytes on. */
    const uint8_t *soon;
    uint32_t soon_bytes;
};

/* How scales enter the sum; see tile_int8 in kernel_ref.c. */
enum int8_tile_kind {
    TILE_CHANNEL,     /* none: one scale a row, applied at the end; groups of CHANNEL_GROUP */
    TILE_GROUPS,      /* one scale a group */
    TILE_MINIMUM,     /* and a minimum a group */
    TILE_HALF_GROUPS, /* two scales a group, 16 inputs each */
    TILE_KINDS,
};

typedef void (*int8_tile_fn)(const struct int8_chunk *w, const struct int8_rows *x, uint32_t n_rows,
                             float *acc);

/*
 * acc += the sum over n_in inputs, itself summed from 0 in ascending order. w: a chunk of the
 * panel, prefetched `ahead` bytes ahead unless 0. x: rows of f32, or of bf16 for the bf16 dot,
 * x_stride bytes apart.
 */
typedef void (*float_tile_fn)(const void *w, size_t ahead, uint32_t n_in, const void *x,
                              size_t x_stride, uint32_t n_rows, float *acc);

/*
 * codes, highs: a panel's regions at some group; out: [n_groups * GROUP / 4] steps, each byte
 * code + bias. Prefetches what follows, as unpack_scales does.
 */
typedef void (*unpack_codes_fn)(const uint8_t *codes, const uint8_t *highs, uint8_t bias,
                                uint32_t n_groups, uint8_t *out);

/*
 * scales: those of a part. Groups first .. first + n_groups - 1 into ret_scales as f32, and the
 * minimum, as it is added, into ret_mins where the kind has one.
 */
typedef void (*unpack_scales_fn)(const uint8_t *scales, uint32_t first, uint32_t n_groups,
                                 float *ret_scales, float *ret_mins);

struct matmul_ops {
    const char *name;               /* "ref", "avx2", "avx512" */
    const char *int8_name;          /* for people: "int8 (vnni)" */
    uint32_t int8_rows[TILE_KINDS]; /* most rows that a tile takes */
    uint32_t float_rows;

    void (*prepare_int8)(const float *x, uint32_t n_in, uint32_t group, void *row);
    void (*prepare_bf16)(const float *x, uint32_t n_in, uint16_t *row); /* NULL without dot */

    unpack_codes_fn unpack_codes[CODE_WIDTHS];
    unpack_scales_fn unpack_scales[SCALE_KINDS];
    int8_tile_fn tile_int8[TILE_KINDS];

    /* f32 weights of unpacked codes, exactly the reference's: out [n_in][PANEL_ROWS]. */
    void (*widen)(const uint8_t *codes, const float *scales, const float *mins,
                  uint32_t n_per_scale, uint32_t n_in, float *out);

    float_tile_fn tile_f32;      /* w [n_in][PANEL_ROWS] f32 */
    float_tile_fn tile_f16;      /* w [n_in][PANEL_ROWS] f16, widened */
    float_tile_fn tile_bf16;     /* w [n_in / 2][PANEL_ROWS][2] bf16, widened */
    float_tile_fn tile_bf16_dot; /* the same w, x in bf16; NULL if the ISA has none */
};

extern const struct matmul_ops matmul_ops_ref;
extern const struct matmul_ops matmul_ops_avx2;
extern const struct matmul_ops matmul_ops_avx512;

/* Built apart, because they need AVX512-BF16; the avx512 table names them. */
void prepare_bf16_avx512(const float *x, uint32_t n_in, uint16_t *row);
void tile_bf16_dot_avx512(const void *w, size_t ahead, uint32_t n_in, const void *x,
                          size_t x_stride, uint32_t n_rows, float *acc);

/* The int8 form of a row of n_in inputs (a multiple of group), in one piece of memory. */
struct int8_row_layout {
    /* Offsets of f32 or i32 [n_in / group]; the codes are at 0. */
    size_t scale, start, start_half, scaled_sum;
    size_t stride; /* an odd number of cache lines, so that rows spread over the sets of L1 */
};

static inline size_t odd_lines(size_t n_bytes) {
    return (((n_bytes + 63) / 64) | 1) * 64;
}

static inline struct int8_row_layout int8_row_layout(uint32_t n_in, uint32_t group) {
    const size_t n = n_in;
    const size_t per_group = n / group * sizeof(float);

    return (struct int8_row_layout){
        .scale = n,
        .start = n + per_group,
        .start_half = n + 2 * per_group,
        .scaled_sum = n + 3 * per_group,
        .stride = odd_lines(n + 4 * per_group),
    };
}

/* Value of a field of row r, group g, of struct int8_rows. */
static inline float row_float(const float *field, size_t stride, uint32_t r, uint32_t g) {
    return ((const float *)(const void *)((const char *)field + r * stride))[g];
}

static inline int32_t row_int(const int32_t *field, size_t stride, uint32_t r, uint32_t g) {
    return ((const int32_t *)(const void *)((const char *)field + r * stride))[g];
}

#endif
