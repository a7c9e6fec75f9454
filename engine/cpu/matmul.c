/* SPDX-License-Identifier: Apache-2.0 */
/*
 * matmul - see matmul.h: the choice of a kernel, packing with all workers, and the walk over a
 * product in items. The arithmetic is in kernel_*.c, the layouts in pack.h.
 *
 * An item is some panels (32 outputs each) times a block of rows. Within it, a panel is walked in
 * chunks of n_in that fit in L1: the chunk is unpacked once, then tiles of rows run
 * over it, and the sums wait in `acc`. Neither the tiles, nor the blocks, nor the items change
 * the order in which one output is summed (rule 51), so they are free to follow the caches.
 */
#include "cpu/matmul.h"

#include <errno.h>
#include <stdalign.h>
#include <string.h>

#include "cpu/cpuid.h"
#include "cpu/kernel.h"
#include "cpu/pack.h"
#include "kvasir/mem.h"
#include "quant/half.h"

enum {
    ROW_BLOCK = 96,    /* most rows of an item: their sums are 12 KiB */
    MAX_IN = 1 << 24,  /* of a matrix; far above any model, keeps all sizes in range */
    PACK_PANELS = 2,   /* packed per item */
    PREPARE_ROWS = 4,  /* rows prepared per item */
    ITEM_NS = 12000,   /* what an item should take */
    MIN_ITEMS = 16,    /* below this, items get smaller instead */
    BYTES_PER_NS = 15, /* of weights, one core, roughly */
    MACS_PER_NS = 200, /* one core, roughly */
};

/* ---- choice ---- */

static const struct matmul_ops *ops_of_isa(const char *isa) {
#if defined(__x86_64__)
    const struct cpu_features cpu = cpu_features();
    const bool has[] = {cpu.avx512, cpu.avx2, true};
    const struct matmul_ops *const all[] = {&matmul_ops_avx512, &matmul_ops_avx2, &matmul_ops_ref};
#else
    const bool has[] = {true};
    const struct matmul_ops *const all[] = {&matmul_ops_ref};
#endif

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (has[i] && (!isa || strcmp(isa, all[i]->name) == 0))
            return all[i];
    return NULL;
}

const char *matmul_isa_name(const char *isa) {
    const struct matmul_ops *ops = ops_of_isa(isa);

    return ops ? ops->name : NULL;
}

/* Sets panel, ops and arithmetic for weights of a type. */
static int choose(struct matrix *matrix, enum weight_type type, const struct matmul_choice *choice,
                  struct error *reterr) {
    matrix->ops = ops_of_isa(choice->isa);
    if (!matrix->ops)
        return error_set_param(reterr, -EINVAL, "isa",
                               "instruction set \"%s\" is not served on this processor",
                               choice->isa);

    matrix->panel = panel_of_type(type);
    if (matrix->panel) {
        matrix->arithmetic = choice->dtype == COMPUTE_F32 ? MATMUL_F32 : MATMUL_INT8;
        return 0;
    }
    if (type != WEIGHT_F32 && type != WEIGHT_F16 && type != WEIGHT_BF16)
        return error_set(reterr, -ENOTSUP, "there is no kernel for weights of type %d", (int)type);

    if (choice->quantize == QUANTIZE_INT8) {
        matrix->panel = &panel_int8_channel;
        matrix->arithmetic = MATMUL_INT8_CHANNEL;
        return 0;
    }

    const bool wants_bf16 = choice->dtype == COMPUTE_BF16;
    const bool may_bf16 = wants_bf16 || (choice->dtype == COMPUTE_AUTO && type == WEIGHT_BF16);
    const bool has_dot = matrix->ops->tile_bf16_dot && cpu_features().bf16_dot;

    if (choice->dtype == COMPUTE_F16)
        type = WEIGHT_F16;
    else if (wants_bf16)
        type = WEIGHT_BF16;
    matrix->panel = type == WEIGHT_F32 ? &panel_f32 : type == WEIGHT_F16 ? &panel_f16 : &panel_bf16;
    matrix->arithmetic = may_bf16 && has_dot ? MATMUL_BF16_DOT
                         : wants_bf16        ? MATMUL_BF16_ROUNDED
                                             : MATMUL_F32;
    return 0;
}

const char *matrix_kernel_name(const struct matrix *matrix) {
    switch (matrix->arithmetic) {
    case MATMUL_INT8:
    case MATMUL_INT8_CHANNEL:
        return matrix->ops->int8_name;
    case MATMUL_BF16_DOT:
        return "bf16 dot";
    case MATMUL_BF16_ROUNDED:
        return "bf16 by f32 fma";
    case MATMUL_F32:
        break;
    }
    return "f32 fma";
}

/* ---- packing ---- */

static uint32_t n_panels(const struct matrix *matrix) {
    return (uint32_t)(((uint64_t)matrix->n_out + PANEL_ROWS - 1) / PANEL_ROWS);
}

/* Checks the sources and fills shape and kernel of the matrix, not its memory. */
static int describe(struct matrix *matrix, const struct tensor *const *src, uint32_t n_src,
                    const struct matmul_choice *choice, struct error *reterr) {
    const struct tensor *first = src[0];
    const struct weight_type_info *info = weight_type_info(first->type);
    uint64_t n_out = 0;

    if (!info)
        return error_set(reterr, -ENOTSUP, "tensor %s: weights of type %d are not served",
                         first->name, (int)first->type);

    const uint64_t n_in = first->n_dims == 2 ? first->shape[1] : 0;
    if (n_in == 0 || n_in > MAX_IN || n_in % info->block_len != 0)
        return error_set(reterr, -EINVAL,
                         "tensor %s: expected a matrix whose rows are whole blocks of %u weights",
                         first->name, info->block_len);

    const uint64_t row_bytes = n_in / info->block_len * info->block_bytes;
    for (uint32_t i = 0; i < n_src; i++) {
        const struct tensor *t = src[i];

        if (t->type != first->type || t->n_dims != 2 || t->shape[1] != n_in)
            return error_set(reterr, -EINVAL,
                             "tensor %s cannot be stacked on %s: type or row "
                             "length differ",
                             t->name, first->name);
        if (t->shape[0] > UINT32_MAX - n_out || t->n_bytes / row_bytes < t->shape[0])
            return error_set(reterr, -EINVAL, "tensor %s: %zu bytes are too few for its rows",
                             t->name, t->n_bytes);
        n_out += t->shape[0];
    }
    if (n_out == 0 || n_out > UINT32_MAX - PANEL_ROWS)
        return error_set(reterr, -EINVAL, "tensor %s: expected 1 to 2^32 rows", first->name);

    matrix->n_out = (uint32_t)n_out;
    matrix->n_in = (uint32_t)n_in;

    int r = choose(matrix, first->type, choice, reterr);
    if (r < 0)
        return r;

    const size_t one = panel_bytes(matrix->panel, matrix->n_in);
    if (!size_mul(one, n_panels(matrix), &matrix->n_bytes))
        return error_set(reterr, -ENOMEM, "tensor %s is too large to pack", first->name);
    return 0;
}

size_t matrix_packed_bytes(const struct tensor *const *src, uint32_t n_src,
                           const struct matmul_choice *choice) {
    struct matrix matrix = {.n_out = 0};

    return describe(&matrix, src, n_src, choice, /* reterr= */ NULL) < 0 ? 0 : matrix.n_bytes;
}

bool matrix_keeps_values(const struct tensor *src, const struct matmul_choice *choice) {
    struct matrix matrix = {.n_out = 0};

    if (describe(&matrix, &src, /* n_src= */ 1, choice, /* reterr= */ NULL) < 0)
        return false;
    return matrix.panel->type == src->type && matrix.panel->scales != SCALE_CHANNEL;
}

struct packing {
    const struct matrix *matrix;
    const struct tensor *const *src;
    uint32_t n_src;
    uint64_t row_bytes;
};

/* The stored row of a stacked matrix; its last for rows beyond (they are never read out). */
static const uint8_t *source_row(const struct packing *packing, uint64_t row) {
    const struct tensor *last = packing->src[packing->n_src - 1];

    for (uint32_t i = 0; i < packing->n_src; i++) {
        const struct tensor *t = packing->src[i];
        if (row < t->shape[0])
            return (const uint8_t *)t->data + row * packing->row_bytes;
        row -= t->shape[0];
        if (t->shape[0] > 0)
            last = t;
    }
    return (const uint8_t *)last->data + (last->shape[0] - 1) * packing->row_bytes;
}

static void pack_some_panels(void *ctx, uint32_t item, uint32_t worker) {
    const struct packing *packing = ctx;
    const struct matrix *matrix = packing->matrix;
    const size_t one = panel_bytes(matrix->panel, matrix->n_in);
    const uint64_t all = n_panels(matrix);
    const uint64_t first = (uint64_t)item * PACK_PANELS;
    const uint64_t end = first + PACK_PANELS < all ? first + PACK_PANELS : all;

    (void)worker; /* needs no scratch */
    for (uint64_t panel = first; panel < end; panel++) {
        const uint8_t *rows[PANEL_ROWS];

        for (uint32_t o = 0; o < PANEL_ROWS; o++)
            rows[o] = source_row(packing, panel * PANEL_ROWS + o);
        matrix->panel->pack(matrix->panel, packing->src[0]->type, rows, matrix->n_in,
                            (uint8_t *)matrix->data + panel * one);
    }
}

int matrix_pack(struct matrix *matrix, const struct tensor *const *src, uint32_t n_src,
                const struct matmul_choice *choice, struct workers *workers, struct error *reterr) {
    struct matrix packed = {.n_out = 0};

    int r = describe(&packed, src, n_src, choice, reterr);
    if (r < 0)
        return r;

    packed.data = mem_map(packed.n_bytes);
    if (!packed.data)
        return error_set(reterr, -ENOMEM, "no memory for %zu bytes of packed weights (tensor %s)",
                         packed.n_bytes, src[0]->name);

    const struct weight_type_info *info = weight_type_info(src[0]->type);
    struct packing packing = {
        .matrix = &packed,
        .src = src,
        .n_src = n_src,
        .row_bytes = (uint64_t)packed.n_in / info->block_len * info->block_bytes,
    };
    workers_for(workers, (n_panels(&packed) + PACK_PANELS - 1) / PACK_PANELS, pack_some_panels,
                &packing);
    *matrix = packed;
    return 0;
}

void matrix_fini(struct matrix *matrix) {
    mem_unmap(matrix->data, matrix->n_bytes);
    *matrix = (struct matrix){.n_out = 0};
}

/* ---- activations ---- */

static uint32_t group_of(enum matmul_arithmetic arithmetic) {
    return arithmetic == MATMUL_INT8_CHANNEL ? CHANNEL_GROUP : GROUP;
}

static bool is_int8(enum matmul_arithmetic arithmetic) {
    return arithmetic == MATMUL_INT8 || arithmetic == MATMUL_INT8_CHANNEL;
}

static size_t prepared_stride(const struct matrix *matrix) {
    const uint32_t n_in = panel_n_in(matrix->panel, matrix->n_in);

    if (is_int8(matrix->arithmetic))
        return int8_row_layout(n_in, group_of(matrix->arithmetic)).stride;
    return odd_lines((size_t)n_in * (matrix->arithmetic == MATMUL_BF16_DOT ? 2 : 4));
}

uint32_t matmul_format(const struct matrix *matrix) {
    return matrix->arithmetic;
}

size_t matmul_prepared_bytes(const struct matrix *matrix, uint32_t n_rows) {
    return prepared_stride(matrix) * n_rows;
}

/* f32 rounded to bf16 and back: nearest, even; NaN kept. */
static float round_to_bf16(float value) {
    const uint32_t bits = float_bits(value);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return value;
    return float_from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u);
}

/* One row; inputs beyond n_in up to the padded count become zeros. */
static void prepare_row(const struct matrix *matrix, const float *x, uint8_t *row) {
    const uint32_t n_in = matrix->n_in;
    const uint32_t padded = panel_n_in(matrix->panel, n_in);
    float *floats = (float *)(void *)row;

    switch (matrix->arithmetic) {
    case MATMUL_INT8:
    case MATMUL_INT8_CHANNEL:
        matrix->ops->prepare_int8(x, n_in, group_of(matrix->arithmetic), row);
        return;
    case MATMUL_BF16_DOT:
        matrix->ops->prepare_bf16(x, n_in, (uint16_t *)(void *)row);
        return;
    case MATMUL_BF16_ROUNDED:
        for (uint32_t i = 0; i < n_in; i++)
            floats[i] = round_to_bf16(x[i]);
        break;
    case MATMUL_F32:
        memcpy(floats, x, (size_t)n_in * sizeof *x);
        break;
    }
    memset(floats + n_in, 0, (size_t)(padded - n_in) * sizeof *x);
}

void matmul_prepare(const struct matrix *matrix, const float *x, size_t x_stride,
                    uint32_t first_row, uint32_t n_rows, void *prepared) {
    const size_t stride = prepared_stride(matrix);

    for (size_t r = first_row; r < (size_t)first_row + n_rows; r++)
        prepare_row(matrix, x + r * x_stride, (uint8_t *)prepared + r * stride);
}

/* ---- items ---- */

/* How a product is cut: row blocks of nearly equal size, times runs of panels. */
struct cut {
    uint32_t n_blocks; /* of rows */
    uint32_t n_runs;   /* of panels */
    uint32_t panels_per_run;
};

static uint32_t div_up(uint32_t a, uint32_t b) {
    return a / b + (a % b != 0);
}

static struct cut cut_job(const struct matmul_job *job) {
    const struct matrix *matrix = job->matrix;
    const uint32_t panels = n_panels(matrix);
    struct cut cut = {.n_blocks = div_up(job->n_rows, ROW_BLOCK)};
    const uint64_t rows = div_up(job->n_rows, cut.n_blocks);
    const uint64_t panel_ns = matrix->n_bytes / panels / BYTES_PER_NS +
                              rows * matrix->n_in * PANEL_ROWS / MACS_PER_NS + 1;
    const uint32_t most = panels / div_up(MIN_ITEMS, cut.n_blocks);
    uint64_t run = ITEM_NS / panel_ns;

    run = run < most ? run : most;
    cut.panels_per_run = run > 0 ? (uint32_t)run : 1;
    cut.n_runs = div_up(panels, cut.panels_per_run);
    return cut;
}

uint32_t matmul_n_items(const struct matmul_job *job) {
    if (job->n_rows == 0)
        return 0;

    const struct cut cut = cut_job(job);
    return cut.n_blocks * cut.n_runs;
}

/* Part `index` of n things in n_parts nearly equal parts. */
struct part {
    uint32_t first, n;
};

static struct part part_of(uint32_t n, uint32_t n_parts, uint32_t index) {
    const uint32_t small = n / n_parts;
    const uint32_t n_larger = n % n_parts;

    return (struct part){
        .first = index * small + (index < n_larger ? index : n_larger),
        .n = small + (index < n_larger),
    };
}

static enum int8_tile_kind tile_kind(enum scale_kind scales) {
    switch (scales) {
    case SCALE_HALF_MIN:
    case SCALE_K:
        return TILE_MINIMUM;
    case SCALE_Q6_K:
        return TILE_HALF_GROUPS;
    case SCALE_CHANNEL:
        return TILE_CHANNEL;
    default:
        return TILE_GROUPS;
    }
}

/* The stack of an item, below 56 KiB. */
struct scratch {
    alignas(64) float acc[ROW_BLOCK * PANEL_ROWS];
    union {
        struct unpacked_part {
            alignas(64) uint8_t codes[PART_INPUTS * PANEL_ROWS];
            alignas(64) float scales[PART_INPUTS / 16 * PANEL_ROWS];
            alignas(64) float mins[PART_INPUTS / GROUP * PANEL_ROWS];
        } part;
        struct widened_chunk {
            alignas(64) uint8_t codes[FLOAT_CHUNK * PANEL_ROWS];
            alignas(64) float scales[FLOAT_CHUNK / 16 * PANEL_ROWS];
            alignas(64) float mins[FLOAT_CHUNK / GROUP * PANEL_ROWS];
            alignas(64) float weights[FLOAT_CHUNK * PANEL_ROWS];
        } chunk;
    };
};

/*
 * acc[n_rows][PANEL_ROWS] += int8 product of a panel, but for the scales of channels. x: the
 * rows in their int8 form.
 */
static void int8_panel(const struct matrix *matrix, const uint8_t *panel, const uint8_t *x,
                       uint32_t n_rows, struct unpacked_part *unpacked, float *acc) {
    const struct matmul_ops *ops = matrix->ops;
    const struct panel_format *format = matrix->panel;
    const uint32_t n_in = panel_n_in(format, matrix->n_in);
    const uint32_t group = group_of(matrix->arithmetic);
    const struct int8_row_layout row = int8_row_layout(n_in, group);
    const enum int8_tile_kind kind = tile_kind(format->scales);
    const uint32_t n_tiles = div_up(n_rows, ops->int8_rows[kind]);

    for (uint32_t in = 0; in < n_in; in += PART_INPUTS) {
        const uint32_t n = n_in - in < PART_INPUTS ? n_in - in : PART_INPUTS;
        const struct panel_place place = panel_place(format, matrix->n_in, in);
        struct int8_chunk chunk = {.codes = panel + place.codes, .n_groups = n / group};

        if (kind != TILE_CHANNEL) {
            ops->unpack_scales[format->scales](panel + place.scales, 0, n / GROUP, unpacked->scales,
                                               unpacked->mins);
            chunk.scales = unpacked->scales;
            chunk.mins = unpacked->mins;
        }
        if (format->width != CODE_8) {
            ops->unpack_codes[format->width](panel + place.codes, panel + place.highs, format->bias,
                                             n / GROUP, unpacked->codes);
            chunk.codes = unpacked->codes;
        }
        /*
         * While rows pass, the next part is fetched: by each tile a share, by each group too.
         * One tile alone reads stored bytes as fast as memory gives them: there, near is better.
         */
        chunk.soon = panel + place.part + place.part_bytes;
        if (n_tiles == 1 && format->width == CODE_8)
            chunk.soon = chunk.codes + AHEAD_BYTES;
        chunk.soon_bytes = (uint32_t)(place.part_bytes / n_tiles / chunk.n_groups + 63) / 64 * 64;
        for (uint32_t t = 0; t < n_tiles; t++) {
            const struct part part = part_of(n_rows, n_tiles, t);
            const uint8_t *base = x + part.first * row.stride;
            const struct int8_rows rows = {
                .codes = (const int8_t *)base + in,
                .scale = (const float *)(const void *)(base + row.scale) + in / group,
                .start = (const int32_t *)(const void *)(base + row.start) + in / group,
                .start_half = (const int32_t *)(const void *)(base + row.start_half) + in / group,
                .scaled_sum = (const float *)(const void *)(base + row.scaled_sum) + in / group,
                .stride = row.stride,
            };
            ops->tile_int8[kind](&chunk, &rows, part.n, acc + part.first * PANEL_ROWS);
            chunk.soon += (size_t)chunk.n_groups * chunk.soon_bytes;
        }
    }
}

/* Inputs [in, in + n) of a panel of integers as f32 [n][PANEL_ROWS], exactly dequantised. */
static void widen(const struct matrix *matrix, const uint8_t *panel, uint32_t in, uint32_t n,
                  struct widened_chunk *wide) {
    const struct matmul_ops *ops = matrix->ops;
    const struct panel_format *format = matrix->panel;
    const struct panel_place place = panel_place(format, matrix->n_in, in);
    const enum int8_tile_kind kind = tile_kind(format->scales);
    const uint8_t *codes = panel + place.codes;

    ops->unpack_scales[format->scales](panel + place.scales, place.first_group, n / GROUP,
                                       wide->scales, wide->mins);
    if (format->width != CODE_8) {
        ops->unpack_codes[format->width](codes, panel + place.highs, format->bias, n / GROUP,
                                         wide->codes);
        codes = wide->codes;
    }
    ops->widen(codes, wide->scales, kind == TILE_MINIMUM ? wide->mins : NULL,
               kind == TILE_HALF_GROUPS ? 16 : GROUP, n, wide->weights);
}

static float_tile_fn float_tile(const struct matrix *matrix) {
    const struct matmul_ops *ops = matrix->ops;

    if (matrix->panel->scales != SCALE_NONE || matrix->panel->type == WEIGHT_F32)
        return ops->tile_f32;
    if (matrix->panel->type == WEIGHT_F16)
        return ops->tile_f16;
    return matrix->arithmetic == MATMUL_BF16_DOT ? ops->tile_bf16_dot : ops->tile_bf16;
}

/* acc[n_rows][PANEL_ROWS] += float product of a panel, by partial sums of FLOAT_CHUNK inputs. */
static void float_panel(const struct matrix *matrix, const uint8_t *panel, const uint8_t *x,
                        uint32_t n_rows, struct widened_chunk *wide, float *acc) {
    const uint32_t n_in = panel_n_in(matrix->panel, matrix->n_in);
    const bool is_stored_as_float = matrix->panel->scales == SCALE_NONE;
    const size_t x_bytes = matrix->arithmetic == MATMUL_BF16_DOT ? 2 : 4;
    const size_t stride = prepared_stride(matrix);
    const float_tile_fn tile = float_tile(matrix);
    const uint32_t n_tiles = div_up(n_rows, matrix->ops->float_rows);

    for (uint32_t in = 0; in < n_in; in += FLOAT_CHUNK) {
        const uint32_t n = n_in - in < FLOAT_CHUNK ? n_in - in : FLOAT_CHUNK;
        const void *w = wide->weights;
        size_t ahead = 0;

        if (is_stored_as_float) {
            w = panel + panel_place(matrix->panel, matrix->n_in, in).codes;
            ahead = AHEAD_BYTES;
        } else {
            widen(matrix, panel, in, n, wide);
        }
        for (uint32_t t = 0; t < n_tiles; t++) {
            const struct part part = part_of(n_rows, n_tiles, t);
            tile(w, ahead, n, x + part.first * stride + in * x_bytes, stride, part.n,
                 acc + part.first * PANEL_ROWS);
            ahead = 0; /* later tiles find the weights in L1 */
        }
    }
}

/* y from the sums of a panel: channel scale, bias, residual, each rounded once, in this order. */
static void finish_panel(const struct matmul_job *job, const uint8_t *panel, uint32_t first_out,
                         struct part rows, const float *acc) {
    const struct matrix *matrix = job->matrix;
    const uint32_t left = matrix->n_out - first_out;
    const uint32_t n_out = left < PANEL_ROWS ? left : PANEL_ROWS;
    float scale[PANEL_ROWS];
    float bias[PANEL_ROWS];

    for (uint32_t o = 0; o < PANEL_ROWS; o++)
        scale[o] = 1.0f;
    if (matrix->panel->scales == SCALE_CHANNEL)
        memcpy(scale, panel + panel_place(matrix->panel, matrix->n_in, 0).scales, sizeof scale);
    for (uint32_t o = 0; o < n_out; o++)
        bias[o] = job->bias ? job->bias[first_out + o] : -0.0f; /* x + -0 is x */

    for (uint32_t r = 0; r < rows.n; r++) {
        float *y = job->y + (rows.first + r) * job->y_stride + first_out;
        const float *sum = acc + (size_t)r * PANEL_ROWS;

        if (job->add)
            for (uint32_t o = 0; o < n_out; o++)
                y[o] = y[o] + (sum[o] * scale[o] + bias[o]);
        else
            for (uint32_t o = 0; o < n_out; o++)
                y[o] = sum[o] * scale[o] + bias[o];
    }
}

void matmul_item(const struct matmul_job *job, uint32_t item, uint32_t worker) {
    struct scratch scratch;
    const struct matrix *matrix = job->matrix;
    const struct cut cut = cut_job(job);
    const struct part rows = part_of(job->n_rows, cut.n_blocks, item / cut.n_runs);
    const uint8_t *x = (const uint8_t *)job->prepared + rows.first * prepared_stride(matrix);
    const size_t one = panel_bytes(matrix->panel, matrix->n_in);
    const uint32_t all = n_panels(matrix);
    const uint32_t first = item % cut.n_runs * cut.panels_per_run;
    const uint32_t end = all - first < cut.panels_per_run ? all : first + cut.panels_per_run;

    (void)worker; /* the scratch is on the stack */
    for (uint32_t i = first; i < end; i++) {
        const uint8_t *panel = (const uint8_t *)matrix->data + i * one;

        memset(scratch.acc, 0, (size_t)rows.n * PANEL_ROWS * sizeof(float));
        if (is_int8(matrix->arithmetic))
            int8_panel(matrix, panel, x, rows.n, &scratch.part, scratch.acc);
        else
            float_panel(matrix, panel, x, rows.n, &scratch.chunk, scratch.acc);
        finish_panel(job, panel, i * PANEL_ROWS, rows, scratch.acc);
    }
}

/* ---- the whole product ---- */

struct preparing {
    const struct matmul_job *job;
    const float *x;
    size_t x_stride;
    void *prepared;
};

static void prepare_some_rows(void *ctx, uint32_t item, uint32_t worker) {
    const struct preparing *p = ctx;
    const uint32_t first = item * PREPARE_ROWS;
    const uint32_t left = p->job->n_rows - first;

    (void)worker; /* needs no scratch */
    matmul_prepare(p->job->matrix, p->x, p->x_stride, first,
                   left < PREPARE_ROWS ? left : PREPARE_ROWS, p->prepared);
}

static void run_item(void *ctx, uint32_t item, uint32_t worker) {
    matmul_item(ctx, item, worker);
}

void matmul_run(struct workers *workers, const float *x, size_t x_stride, void *prepared,
                const struct matmul_job *job) {
    struct preparing preparing = {.job = job, .x = x, .x_stride = x_stride, .prepared = prepared};
    struct matmul_job running = *job;

    running.prepared = prepared;
    workers_for(workers, div_up(job->n_rows, PREPARE_ROWS), prepare_some_rows, &preparing);
    workers_for(workers, matmul_n_items(&running), run_item, &running);
}
