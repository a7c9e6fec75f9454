/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of packed matrices: wherever matrix_keeps_values says yes, they are what the stored rows
 * decode to, bit for bit; and where values are changed by packing it says no.
 */
#include <stdio.h>
#include <string.h>

#include "cpu/matmul.h"
#include "kvasir/mem.h"
#include "support.h"

enum { MAX_IN = 1536 };

/* Random bytes: every code, scale and minimum; infinities and NaNs too, which must survive. */
static struct tensor random_tensor(enum weight_type type, uint32_t n_out, uint32_t n_in,
                                   uint64_t *seed) {
    const struct weight_type_info *info = weight_type_info(type);
    const size_t n_bytes = (size_t)n_out * n_in / info->block_len * info->block_bytes;
    uint8_t *data = mem_alloc(n_bytes);
    assert_non_null(data);

    for (size_t i = 0; i < n_bytes; i++)
        data[i] = (uint8_t)test_random(seed);
    return (struct tensor){.name = "test.weight",
                           .type = type,
                           .n_dims = 2,
                           .shape = {n_out, n_in, 1, 1},
                           .data = data,
                           .n_bytes = n_bytes};
}

static bool is_nan(float value) {
    return value != value;
}

static void check_rows(const struct tensor *tensor, const struct matmul_choice *choice,
                       struct workers *workers) {
    const struct weight_type_info *info = weight_type_info(tensor->type);
    const uint32_t n_out = (uint32_t)tensor->shape[0], n_in = (uint32_t)tensor->shape[1];
    const size_t row_bytes = tensor->n_bytes / n_out;
    struct matrix matrix;
    float row[MAX_IN], stored[MAX_IN];
    assert_int_equal(matrix_pack(&matrix, &tensor, 1, choice, workers, NULL), 0);

    for (uint32_t o = 0; o < n_out; o++) {
        info->dequantize((const uint8_t *)tensor->data + o * row_bytes, stored, n_in);
        matrix_row(&matrix, o, row);
        for (uint32_t i = 0; i < n_in; i++) {
            /* of a NaN that arithmetic made (not of a stored one) the payload is not defined */
            if (info->block_len > 1 && is_nan(stored[i]) && is_nan(row[i]))
                continue;
            if (memcmp(&row[i], &stored[i], sizeof row[i]) != 0)
                fail_msg("%s, dtype %d, row %u of %u, input %u of %u: %a, expected %a", info->name,
                         (int)choice->dtype, o, n_out, i, n_in, (double)row[i], (double)stored[i]);
        }
    }
    matrix_fini(&matrix);
}

static void test_matrix_row_gives_the_stored_values(void **state) {
    static const uint32_t shapes[][2] = {{1, 256}, {31, 512}, {33, 768}, {70, 1280}, {64, 1536}};
    static const uint32_t odd_shapes[][2] = {{1, 1}, {33, 7}, {40, 33}, {65, 96}, {5, 1056}};
    uint64_t seed = 3;
    struct workers *workers;
    uint32_t n_kept = 0;
    assert_int_equal(workers_create(2, &workers, NULL), 0);

    for (uint32_t type = 0; type < WEIGHT_TYPE_END; type++)
        for (int dtype = COMPUTE_AUTO; dtype <= COMPUTE_F16; dtype++)
            for (size_t s = 0; s < 10; s++) {
                const uint32_t *shape = s < 5 ? shapes[s] : odd_shapes[s - 5];
                const struct matmul_choice choice = {.dtype = (enum compute_dtype)dtype};
                if (!weight_type_info(type) || shape[1] % weight_type_info(type)->block_len != 0)
                    continue;
                const struct tensor tensor =
                    random_tensor((enum weight_type)type, shape[0], shape[1], &seed);
                if (matrix_keeps_values(&tensor, &choice)) {
                    check_rows(&tensor, &choice, workers);
                    n_kept++;
                }
                mem_free((void *)(uintptr_t)tensor.data);
            }
    /* f32, f16, bf16 with the dtypes that leave them as they are; five legacy types and three
       K-quants with all */
    assert_int_equal(n_kept, 10 * (2 + 3 + 3) + 4 * (5 * 7 + 3 * 5));
    workers_destroy(workers);
}

static void test_matrix_keeps_values_says_no_where_packing_rounds(void **state) {
    static const struct {
        enum weight_type type;
        enum compute_dtype dtype;
        enum weight_quantize quantize;
        bool keeps;
    } cases[] = {
        {WEIGHT_F32, COMPUTE_AUTO, QUANTIZE_NONE, true},
        {WEIGHT_F32, COMPUTE_BF16, QUANTIZE_NONE, false},
        {WEIGHT_F32, COMPUTE_F16, QUANTIZE_NONE, false},
        {WEIGHT_F32, COMPUTE_AUTO, QUANTIZE_INT8, false},
        {WEIGHT_BF16, COMPUTE_AUTO, QUANTIZE_NONE, true},
        {WEIGHT_BF16, COMPUTE_BF16, QUANTIZE_NONE, true},
        {WEIGHT_BF16, COMPUTE_F16, QUANTIZE_NONE, false},
        {WEIGHT_BF16, COMPUTE_AUTO, QUANTIZE_INT8, false},
        {WEIGHT_F16, COMPUTE_BF16, QUANTIZE_NONE, false},
        {WEIGHT_Q4_K, COMPUTE_BF16, QUANTIZE_INT8, true},
    };
    uint64_t seed = 4;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct matmul_choice choice = {.dtype = cases[i].dtype,
                                             .quantize = cases[i].quantize};
        const struct tensor tensor = random_tensor(cases[i].type, 3, 256, &seed);
        assert_int_equal(matrix_keeps_values(&tensor, &choice), cases[i].keeps);
        mem_free((void *)(uintptr_t)tensor.data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix_row_gives_the_stored_values),
        cmocka_unit_test(test_matrix_keeps_values_says_no_where_packing_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
