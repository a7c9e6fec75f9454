/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_matmul - the promises of matmul.h, for every weight type, arithmetic and ISA of this CPU:
 * right against the dequantised product, equal bits on every ISA, and for every number of rows,
 * every place in the batch and every number of threads.
 */
#include "support.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cpu/kernel.h"
#include "cpu/matmul.h"
#include "kvasir/mem.h"
#include "quant/half.h"

enum { MAX_ROWS = 70 };

/* Every way to multiply: the weights' type, and what is asked for. */
struct way {
    enum weight_type type;
    enum compute_dtype dtype;
    enum weight_quantize quantize;
    /*
     * Largest error of an output against the product of the exact weights in double precision,
     * as a part of sum |w x|: what rounding activations (and weights, for --quantize) costs.
     */
    double tolerance;
};

static const struct way ways[] = {
    {WEIGHT_F32, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_F16, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_BF16, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_F32, COMPUTE_AUTO, QUANTIZE_NONE, 1e-6},
    {WEIGHT_F16, COMPUTE_AUTO, QUANTIZE_NONE, 1e-6},
    {WEIGHT_BF16, COMPUTE_AUTO, QUANTIZE_NONE, 2e-3},
    {WEIGHT_F32, COMPUTE_BF16, QUANTIZE_NONE, 4e-3},
    {WEIGHT_F16, COMPUTE_BF16, QUANTIZE_NONE, 4e-3},
    {WEIGHT_BF16, COMPUTE_BF16, QUANTIZE_NONE, 2e-3},
    {WEIGHT_F32, COMPUTE_F16, QUANTIZE_NONE, 3e-4},
    {WEIGHT_BF16, COMPUTE_F16, QUANTIZE_NONE, 3e-4},
    {WEIGHT_F32, COMPUTE_AUTO, QUANTIZE_INT8, 2e-2},
    {WEIGHT_F16, COMPUTE_AUTO, QUANTIZE_INT8, 2e-2},
    {WEIGHT_BF16, COMPUTE_AUTO, QUANTIZE_INT8, 2e-2},
    {WEIGHT_Q8_0, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q4_0, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q4_1, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q5_0, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q5_1, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q4_K, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q5_K, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q6_K, COMPUTE_AUTO, QUANTIZE_NONE, 1e-2},
    {WEIGHT_Q8_0, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_Q4_0, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_Q4_1, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_Q5_0, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_Q5_1, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_Q4_K, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_Q5_K, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
    {WEIGHT_Q6_K, COMPUTE_F32, QUANTIZE_NONE, 1e-6},
};

enum { N_WAYS = sizeof ways / sizeof ways[0] };

static const char *const isas[] = {"ref", "avx2", "avx512"};

static float random_unit(uint64_t *seed) {
    return (float)((double)(test_random(seed) >> 11) * 0x1p-52 - 1.0);
}

/* Where a block keeps its halves (d, and m or dmin), which random bytes must not make NaN. */
static void put_scales(enum weight_type type, uint8_t *block, uint64_t *seed) {
    const bool has_min =
        type == WEIGHT_Q4_1 || type == WEIGHT_Q5_1 || type == WEIGHT_Q4_K || type == WEIGHT_Q5_K;
    const size_t at = type == WEIGHT_Q6_K ? 208 : 0;

    for (size_t i = 0; i < (has_min ? 2 : 1); i++) {
        /* Sign, exponent 2^-8 .. 2^-5, any fraction; now and then a subnormal or zero. */
        const uint64_t r = test_random(seed);
        uint16_t half = (uint16_t)((r & 0x8000) | (7 + (r >> 20 & 3)) << 10 | (r & 0x3ff));
        if ((r >> 32) % 61 == 0)
            half = (uint16_t)(r & 0x83ff);
        memcpy(block + at + 2 * i, &half, sizeof half);
    }
}

/* A matrix of random weights of a type. The caller frees data with mem_free. */
static struct tensor random_tensor(enum weight_type type, uint32_t n_out, uint32_t n_in,
                                   uint64_t *seed) {
    const struct weight_type_info *info = weight_type_info(type);
    assert_non_null(info);
    const size_t n_blocks = (size_t)n_out * n_in / info->block_len;
    uint8_t *data = mem_alloc(n_blocks * info->block_bytes);
    assert_non_null(data);

    for (size_t b = 0; b < n_blocks; b++) {
        uint8_t *block = data + b * info->block_bytes;
        if (type == WEIGHT_F32 || type == WEIGHT_BF16 || type == WEIGHT_F16) {
            const float w = random_unit(seed);
            const uint32_t bits = float_bits(w);
            const uint16_t bf16 = (uint16_t)(bits >> 16);
            /* 2^-9 .. 2^-2, any fraction */
            const uint64_t r = test_random(seed);
            const uint16_t half =
                (uint16_t)((r & 0x8000) | (6 + (r >> 20 & 7)) << 10 | (r & 0x3ff));
            memcpy(block,
                   type == WEIGHT_F32   ? (const void *)&bits
                   : type == WEIGHT_F16 ? (const void *)&half
                                        : (const void *)&bf16,
                   info->block_bytes);
            continue;
        }
        for (uint32_t i = 0; i < info->block_bytes; i++)
            block[i] = (uint8_t)test_random(seed);
        put_scales(type, block, seed);
    }
    return (struct tensor){.name = "test.weight",
                           .type = type,
                           .n_dims = 2,
                           .shape = {n_out, n_in, 1, 1},
                           .data = data,
                           .n_bytes = n_blocks * info->block_bytes};
}

/* Activations as a model has them: mostly small, a few large, one group of zeros. */
static float *random_rows(uint32_t n_rows, uint32_t n_in, uint64_t *seed) {
    float *x = mem_alloc_array((size_t)n_rows * n_in, sizeof *x);
    assert_non_null(x);

    for (size_t i = 0; i < (size_t)n_rows * n_in; i++) {
        const float u = random_unit(seed);
        x[i] = test_random(seed) % 97 == 0 ? 5.0f * u : u * u * u;
        if (i % n_in / 32 == 1)
            x[i] = 0.0f;
    }
    return x;
}

struct fixture {
    struct workers *workers;
    struct matrix matrix;
    void *prepared;
};

static void fixture_init(struct fixture *f, const struct tensor *w, const struct way *way,
                         const char *isa, uint32_t n_threads, uint32_t n_rows) {
    const struct matmul_choice choice = {
        .dtype = way->dtype, .quantize = way->quantize, .isa = isa};
    const struct tensor *const src[] = {w};
    struct error error = {.message = ""};

    assert_int_equal(workers_create(n_threads, &f->workers, &error), 0);
    assert_int_equal(matrix_pack(&f->matrix, src, 1, &choice, f->workers, &error), 0);
    assert_true(matrix_packed_bytes(src, 1, &choice) == f->matrix.n_bytes);
    f->prepared = mem_map(matmul_prepared_bytes(&f->matrix, n_rows));
    assert_non_null(f->prepared);
}

static void fixture_fini(struct fixture *f, uint32_t n_rows) {
    mem_unmap(f->prepared, matmul_prepared_bytes(&f->matrix, n_rows));
    matrix_fini(&f->matrix);
    workers_destroy(f->workers);
}

static void multiply(struct fixture *f, const float *x, size_t x_stride, uint32_t n_rows, float *y,
                     size_t y_stride) {
    const struct matmul_job job = {.matrix = &f->matrix,
                                   .prepared = f->prepared,
                                   .n_rows = n_rows,
                                   .y = y,
                                   .y_stride = y_stride};

    matmul_run(f->workers, x, x_stride, f->prepared, &job);
}

static bool isa_is_here(const char *isa) {
    return matmul_isa_name(isa) != NULL;
}

/* Each output against the product of the exact weights, in double precision. */
static void check_against_exact(const struct way *way, const char *isa, uint32_t n_out,
                                uint32_t n_in, uint32_t n_rows) {
    uint64_t seed = 1000 + way->type;
    struct tensor w = random_tensor(way->type, n_out, n_in, &seed);
    float *x = random_rows(n_rows, n_in, &seed);
    float *y = mem_alloc_array((size_t)n_rows * n_out, sizeof *y);
    float *row = mem_alloc_array(n_in, sizeof *row);
    struct fixture f;

    assert_non_null(y);
    assert_non_null(row);
    fixture_init(&f, &w, way, isa, /* n_threads= */ 1, n_rows);
    multiply(&f, x, n_in, n_rows, y, n_out);

    const struct weight_type_info *info = weight_type_info(way->type);
    const size_t row_bytes = n_in / info->block_len * info->block_bytes;
    for (uint32_t o = 0; o < n_out; o++) {
        info->dequantize((const uint8_t *)w.data + o * row_bytes, row, n_in);
        for (uint32_t r = 0; r < n_rows; r++) {
            double exact = 0.0;
            double size = 0.0;
            for (uint32_t i = 0; i < n_in; i++) {
                exact += (double)row[i] * x[(size_t)r * n_in + i];
                size += fabs((double)row[i] * x[(size_t)r * n_in + i]);
            }
            const double error = fabs(y[(size_t)r * n_out + o] - exact);
            if (!(error <= way->tolerance * size))
                fail_msg("%s %s: y[%u][%u] is %g, expected %g +- %g", info->name, isa, r, o,
                         (double)y[(size_t)r * n_out + o], exact, way->tolerance * size);
        }
    }
    fixture_fini(&f, n_rows);
    mem_free(row);
    mem_free(y);
    mem_free(x);
    mem_free((void *)w.data);
}

static void test_matmul_product_is_near_the_exact_one(void **state) {
    (void)state;
    for (uint32_t i = 0; i < N_WAYS; i++)
        for (uint32_t j = 0; j < sizeof isas / sizeof isas[0]; j++) {
            if (!isa_is_here(isas[j]))
                continue;
            check_against_exact(&ways[i], isas[j], /* n_out= */ 71, /* n_in= */ 768, 3);
        }
}

/* Lengths of a row that exercise a chunk's end: of whole blocks, or any for floats. */
static uint32_t odd_length(enum weight_type type) {
    const uint32_t block = weight_type_info(type)->block_len;

    return block == 1 ? 555 : block == 32 ? 17 * 32 : 3 * 256;
}

/* All of y for some rows of x on one ISA. The caller frees with mem_free. */
static float *product_on(const struct way *way, const char *isa, const struct tensor *w,
                         const float *x, uint32_t n_rows, bool *ret_uses_dot) {
    const uint32_t n_out = (uint32_t)w->shape[0];
    const uint32_t n_in = (uint32_t)w->shape[1];
    float *y = mem_alloc_array((size_t)n_rows * n_out, sizeof *y);
    struct fixture f;

    assert_non_null(y);
    fixture_init(&f, w, way, isa, /* n_threads= */ 2, n_rows);
    multiply(&f, x, n_in, n_rows, y, n_out);
    *ret_uses_dot = f.matrix.arithmetic == MATMUL_BF16_DOT;
    fixture_fini(&f, n_rows);
    return y;
}

static void test_matmul_every_isa_gives_the_bits_of_ref(void **state) {
    enum { N_OUT = 71, N_ROWS = 31 };

    (void)state;
    for (uint32_t i = 0; i < N_WAYS; i++) {
        uint64_t seed = 2000 + i;
        const uint32_t n_in = odd_length(ways[i].type);
        struct tensor w = random_tensor(ways[i].type, N_OUT, n_in, &seed);
        float *x = random_rows(N_ROWS, n_in, &seed);
        bool uses_dot;
        float *expected = product_on(&ways[i], "ref", &w, x, N_ROWS, &uses_dot);

        for (uint32_t j = 1; j < sizeof isas / sizeof isas[0]; j++) {
            if (!isa_is_here(isas[j]))
                continue;
            float *y = product_on(&ways[i], isas[j], &w, x, N_ROWS, &uses_dot);
            for (uint32_t k = 0; k < N_OUT * N_ROWS && !uses_dot; k++)
                if (float_bits(y[k]) != float_bits(expected[k]))
                    fail_msg("%s dtype %d quantize %d: y[%u][%u] is %a with %s, %a with ref",
                             weight_type_info(ways[i].type)->name, ways[i].dtype, ways[i].quantize,
                             k / N_OUT, k % N_OUT, (double)y[k], isas[j], (double)expected[k]);
            mem_free(y);
        }
        mem_free(expected);
        mem_free(x);
        mem_free((void *)w.data);
    }
}

/*
 * Rule 51. Every number of rows 1 .. 70, taken from another place of the batch each time, on one
 * thread and on three, gives each row the bits that it has alone.
 */
static void check_rows(const struct way *way, const char *isa, uint32_t n_threads) {
    enum { N_OUT = 83 };
    uint64_t seed = 3000 + way->type;
    const uint32_t n_in = odd_length(way->type);
    struct tensor w = random_tensor(way->type, N_OUT, n_in, &seed);
    float *x = random_rows(MAX_ROWS, n_in, &seed);
    float *alone = mem_alloc_array((size_t)MAX_ROWS * N_OUT, sizeof *alone);
    float *y = mem_alloc_array((size_t)MAX_ROWS * (N_OUT + 5), sizeof *y);
    struct fixture f;

    assert_non_null(alone);
    assert_non_null(y);
    fixture_init(&f, &w, way, isa, n_threads, MAX_ROWS);
    for (uint32_t r = 0; r < MAX_ROWS; r++)
        multiply(&f, x + (size_t)r * n_in, n_in, 1, alone + (size_t)r * N_OUT, N_OUT);
    for (uint32_t n = 1; n <= MAX_ROWS; n++) {
        const uint32_t first = (uint32_t)(test_random(&seed) % (MAX_ROWS - n + 1));

        multiply(&f, x + (size_t)first * n_in, n_in, n, y, N_OUT + 5);
        for (uint32_t r = 0; r < n; r++)
            if (memcmp(y + (size_t)r * (N_OUT + 5), alone + (size_t)(first + r) * N_OUT,
                       N_OUT * sizeof *y) != 0)
                fail_msg("%s dtype %d %s: row %u of %u differs from the row alone",
                         weight_type_info(way->type)->name, way->dtype, isa, r, n);
    }
    fixture_fini(&f, MAX_ROWS);
    mem_free(y);
    mem_free(alone);
    mem_free(x);
    mem_free((void *)w.data);
}

static void test_matmul_row_has_the_same_bits_in_every_batch(void **state) {
    (void)state;
    for (uint32_t i = 0; i < N_WAYS; i++)
        for (uint32_t j = 1; j < sizeof isas / sizeof isas[0]; j++)
            if (isa_is_here(isas[j]))
                check_rows(&ways[i], isas[j], j % 2 == 0 ? 1 : 3);
}

/* Large enough for several items of rows and of pairs, so that threads really share the work. */
static void test_matmul_threads_and_blocks_do_not_change_bits(void **state) {
    enum { N_OUT = 700, N_IN = 1120, N_ROWS = 300 };
    const struct way way = {WEIGHT_Q5_1, COMPUTE_AUTO, QUANTIZE_NONE, 0};
    uint64_t seed = 4000;
    struct tensor w = random_tensor(way.type, N_OUT, N_IN, &seed);
    float *x = random_rows(N_ROWS, N_IN, &seed);
    float *y[2];

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct fixture f;
        y[i] = mem_alloc_array((size_t)N_ROWS * N_OUT, sizeof *y[i]);
        assert_non_null(y[i]);
        fixture_init(&f, &w, &way, NULL, /* n_threads= */ i == 0 ? 1 : 4, N_ROWS);
        if (i == 0)
            for (uint32_t r = 0; r < N_ROWS; r++)
                multiply(&f, x + (size_t)r * N_IN, N_IN, 1, y[i] + (size_t)r * N_OUT, N_OUT);
        else
            multiply(&f, x, N_IN, N_ROWS, y[i], N_OUT);
        fixture_fini(&f, N_ROWS);
    }
    assert_memory_equal(y[0], y[1], (size_t)N_ROWS * N_OUT * sizeof(float));
    mem_free(y[0]);
    mem_free(y[1]);
    mem_free(x);
    mem_free((void *)w.data);
}

/* y + (product + bias), in that order; outputs beyond n_out are not touched. */
static void test_matmul_bias_and_residual_come_last(void **state) {
    enum { N_OUT = 37, N_IN = 96, N_ROWS = 5, STRIDE = N_OUT + 3 };
    const struct way way = {WEIGHT_Q8_0, COMPUTE_AUTO, QUANTIZE_NONE, 0};
    uint64_t seed = 5000;
    struct tensor w = random_tensor(way.type, N_OUT, N_IN, &seed);
    float *x = random_rows(N_ROWS, N_IN, &seed);
    float bias[N_OUT];
    float plain[N_ROWS * STRIDE];
    float y[N_ROWS * STRIDE];
    struct fixture f;

    (void)state;
    for (uint32_t o = 0; o < N_OUT; o++)
        bias[o] = random_unit(&seed);
    for (uint32_t i = 0; i < N_ROWS * STRIDE; i++)
        y[i] = random_unit(&seed);
    float before[N_ROWS * STRIDE];
    memcpy(before, y, sizeof y);

    fixture_init(&f, &w, &way, NULL, /* n_threads= */ 1, N_ROWS);
    multiply(&f, x, N_IN, N_ROWS, plain, STRIDE);
    const struct matmul_job job = {.matrix = &f.matrix,
                                   .prepared = f.prepared,
                                   .n_rows = N_ROWS,
                                   .bias = bias,
                                   .y = y,
                                   .y_stride = STRIDE,
                                   .add = true};
    matmul_run(f.workers, x, N_IN, f.prepared, &job);
    for (uint32_t i = 0; i < N_ROWS * STRIDE; i++) {
        const uint32_t o = i % STRIDE;
        const float expected = o < N_OUT ? before[i] + (plain[i] + bias[o]) : before[i];
        assert_int_equal(float_bits(y[i]), float_bits(expected));
    }
    fixture_fini(&f, N_ROWS);
    mem_free(x);
    mem_free((void *)w.data);
}

/* q | k | v: the stacked matrix gives each output the bits that its own matrix gives. */
static void test_matrix_stacks_tensors_by_rows(void **state) {
    enum { N_IN = 256, N_ROWS = 3 };
    static const uint32_t heights[] = {41, 7, 16};
    const struct way way = {WEIGHT_Q4_K, COMPUTE_AUTO, QUANTIZE_NONE, 0};
    const struct matmul_choice choice = {.dtype = COMPUTE_AUTO};
    uint64_t seed = 6000;
    struct tensor parts[3];
    const struct tensor *src[3];
    float *x = random_rows(N_ROWS, N_IN, &seed);
    float y[N_ROWS * 64];
    struct fixture f;

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        parts[i] = random_tensor(way.type, heights[i], N_IN, &seed);
        src[i] = &parts[i];
    }
    fixture_init(&f, &parts[0], &way, NULL, /* n_threads= */ 1, N_ROWS);
    matrix_fini(&f.matrix);
    assert_int_equal(matrix_pack(&f.matrix, src, 3, &choice, f.workers, NULL), 0);
    assert_int_equal(f.matrix.n_out, 64);
    multiply(&f, x, N_IN, N_ROWS, y, 64);

    uint32_t first = 0;
    for (uint32_t i = 0; i < 3; i++) {
        bool uses_dot;
        float *part = product_on(&way, NULL, &parts[i], x, N_ROWS, &uses_dot);
        for (uint32_t r = 0; r < N_ROWS; r++)
            assert_memory_equal(y + r * 64 + first, part + r * heights[i],
                                heights[i] * sizeof *part);
        first += heights[i];
        mem_free(part);
        mem_free((void *)parts[i].data);
    }
    fixture_fini(&f, N_ROWS);
    mem_free(x);
}

/* Rows that are not finite do not become numbers, and do not touch their neighbours. */
static void test_matmul_nan_and_infinity_stay_in_their_row(void **state) {
    enum { N_OUT = 40, N_IN = 64, N_ROWS = 3 };

    (void)state;
    for (uint32_t i = 0; i < N_WAYS; i++) {
        uint64_t seed = 7000 + i;
        if (N_IN % weight_type_info(ways[i].type)->block_len != 0)
            continue;
        struct tensor w = random_tensor(ways[i].type, N_OUT, N_IN, &seed);
        float *x = random_rows(N_ROWS, N_IN, &seed);
        bool uses_dot;
        float *clean = product_on(&ways[i], NULL, &w, x, N_ROWS, &uses_dot);
        x[N_IN + 5] = i % 2 ? NAN : INFINITY;
        float *y = product_on(&ways[i], NULL, &w, x, N_ROWS, &uses_dot);

        assert_memory_equal(y, clean, N_OUT * sizeof *y);
        assert_memory_equal(y + (size_t)2 * N_OUT, clean + (size_t)2 * N_OUT, N_OUT * sizeof *y);
        for (uint32_t o = 0; o < N_OUT; o++)
            assert_false(isfinite(y[N_OUT + o]));
        mem_free(y);
        mem_free(clean);
        mem_free(x);
        mem_free((void *)w.data);
    }
}

static void expect_refusal(const struct tensor *const *src, uint32_t n_src, const char *isa,
                           int expected) {
    const struct matmul_choice choice = {.isa = isa};
    struct workers *workers;
    struct matrix matrix = {.n_out = 0};
    struct error error = {.message = ""};

    assert_int_equal(workers_create(1, &workers, NULL), 0);
    assert_int_equal(matrix_pack(&matrix, src, n_src, &choice, workers, &error), expected);
    assert_true(strlen(error.message) > 20);
    assert_int_equal(matrix_packed_bytes(src, n_src, &choice), 0);
    assert_null(matrix.data);
    workers_destroy(workers);
}

static void test_matrix_pack_refuses_what_it_cannot_pack(void **state) {
    uint64_t seed = 8000;
    struct tensor good = random_tensor(WEIGHT_Q8_0, 4, 64, &seed);
    struct tensor other = good;
    const struct tensor *const src[] = {&good, &other};

    (void)state;
    expect_refusal(src, 1, "sse9", -EINVAL);
    other.type = WEIGHT_Q4_0;
    expect_refusal(src, 2, NULL, -EINVAL);
    other = good;
    other.shape[1] = 32;
    expect_refusal(src, 2, NULL, -EINVAL);
    other = good;
    other.shape[0] = UINT64_MAX / 64;
    expect_refusal(src, 2, NULL, -EINVAL);
    other = good;
    other.n_bytes -= 1;
    expect_refusal(src, 2, NULL, -EINVAL);
    other = good;
    other.n_dims = 1;
    expect_refusal(src + 1, 1, NULL, -EINVAL);
    other = good;
    other.shape[1] = 63;
    expect_refusal(src + 1, 1, NULL, -EINVAL);
    other = good;
    other.shape[0] = 0;
    expect_refusal(src + 1, 1, NULL, -EINVAL);
    other.type = (enum weight_type)4;
    expect_refusal(src + 1, 1, NULL, -ENOTSUP);
    mem_free((void *)good.data);
}

static bool fail_big(void *ctx, size_t size) {
    (void)ctx;
    return size > 1 << 12;
}

static void test_matrix_pack_without_memory_says_so(void **state) {
    uint64_t seed = 9000;
    struct tensor w = random_tensor(WEIGHT_Q8_0, 200, 64, &seed);
    const struct tensor *const src[] = {&w};
    const struct matmul_choice choice = {.isa = NULL};
    struct workers *workers;
    struct matrix matrix = {.n_out = 0};
    struct error error = {.message = ""};

    (void)state;
    assert_int_equal(workers_create(1, &workers, NULL), 0);
    mem_set_fault_hook(fail_big, NULL);
    const int r = matrix_pack(&matrix, src, 1, &choice, workers, &error);
    mem_set_fault_hook(NULL, NULL);
    assert_int_equal(r, -ENOMEM);
    assert_non_null(strstr(error.message, "test.weight"));
    matrix_fini(&matrix);
    workers_destroy(workers);
    mem_free((void *)w.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul_product_is_near_the_exact_one),
        cmocka_unit_test(test_matmul_every_isa_gives_the_bits_of_ref),
        cmocka_unit_test(test_matmul_row_has_the_same_bits_in_every_batch),
        cmocka_unit_test(test_matmul_threads_and_blocks_do_not_change_bits),
        cmocka_unit_test(test_matmul_bias_and_residual_come_last),
        cmocka_unit_test(test_matrix_stacks_tensors_by_rows),
        cmocka_unit_test(test_matmul_nan_and_infinity_stay_in_their_row),
        cmocka_unit_test(test_matrix_pack_refuses_what_it_cannot_pack),
        cmocka_unit_test(test_matrix_pack_without_memory_says_so),
    };

    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
