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
    struct pool *pool;
    struct matrix matrix;
    void *prepared;
};

static void fixture_init(struct fixture *f, const struct tensor *w, const struct way *way,
                         const char *isa, uint32_t n_threads, uint32_t n_rows) {
    const struct matmul_choice choice = {
        .dtype = way->dtype, .quantize = way->quantize, .isa = isa};
    const struct tensor *const src[] = {w};
    struct error error = {.message = ""};

    assert_int_equal(pool_create(n_threads, &f->pool, &error), 0);
    assert_int_equal(matrix_pack(&f->matrix, src, 1, &choice, f->pool, &error), 0);
    assert_true(matrix_packed_bytes(src, 1, &choice) == f->matrix.n_bytes);
    f->prepared = mem_map(matmul_prepared_bytes(&f->matrix, n_rows));
    assert_non_null(f->prepared);
}

static void fixture_fini(struct fixture *f, uint32_t n_rows) {
    mem_unmap(f->prepared, matmul_prepared_bytes(&f->matrix, n_rows));
    matrix_fini(&f->matrix);
    pool_destroy(f->pool);
}

static void multiply(struct fixture *f, const float *x, size_t x_stride, uint32_t n_rows, float *y,
                     size_t y_stride) {
    const struct matmul_job job = {.matrix = &f->matrix,
                                   .prepared = f->prepared,
                                   .n_rows = n_rows,
                                   .y = y,
                                   .y_stride = y_stride};

    matmul_run(f->pool, x, x_stride, f->prepared, &job);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul_product_is_near_the_exact_one),
    };

    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
