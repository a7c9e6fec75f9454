/* SPDX-License-Identifier: Apache-2.0 */
/* Vector operations: every instruction set gives the bits of the scalar specification. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/exp2.h"
#include "cpu/narrow.h"
#include "cpu/ops.h"
#include "support.h"

static const char *const isas[] = {"avx2", "avx512"};

enum { N_ISAS = 2, MAX_N = 300 };

/* Uniform in (-scale, scale), of many magnitudes. */
static float random_float(uint64_t *seed, float scale) {
    const double unit = (double)(test_random(seed) >> 11) * 0x1p-53;
    return (float)(2.0 * unit - 1.0) * scale;
}

static void fill(float *x, size_t n, float scale, uint64_t *seed) {
    for (size_t i = 0; i < n; i++)
        x[i] = random_float(seed, scale);
}

static void assert_same_bits(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("element %zu: %a, specified %a", i, (double)a[i], (double)b[i]);
}

static bool open_isa(const char *isa, struct ops *ops, struct ops *ref) {
    assert_int_equal(ops_init(ref, "ref", NULL), 0);
    const int r = ops_init(ops, isa, NULL);
    if (r == 0)
        assert_string_equal(ops->name, isa);
    return r == 0; /* a CPU without it proves nothing about it */
}

static void test_ops_init_refuses_unknown_names(void **state) {
    struct ops ops;
    struct error err = {0};
    assert_true(ops_init(&ops, "sse9", &err) < 0);
    assert_string_equal(err.param, "isa");
    assert_int_equal(ops_init(&ops, NULL, NULL), 0);
}

static void test_exp2_is_within_two_ulp(void **state) {
    double worst = 0;
    for (int i = 0; i <= 4000000; i++) {
        const float x = -125.0f + 252.0f * (float)i / 4000000.0f;
        const double exact = exp2((double)x);
        const double ulp = exact * 0x1p-23;
        worst = fmax(worst, fabs((double)exp2_approx(x) - exact) / ulp);
    }
    print_message("exp2: largest error %.2f ulp\n", worst);
    assert_true(worst <= 2.0);
    assert_true(exp2_approx(0.0f) == 1.0f);
    assert_true(exp2_approx(-INFINITY) == 0.0f);
    assert_true(isnan(exp2_approx(NAN)));
    assert_true(exp2_approx(INFINITY) == 0x1p127f);
}

static void test_rms_norm_equals_the_specification(void **state) {
    uint64_t seed = 1;
    for (int k = 0; k < N_ISAS; k++) {
        struct ops ops, ref;
        if (!open_isa(isas[k], &ops, &ref))
            continue;
        for (uint32_t n = 1; n < MAX_N; n++) {
            float x[MAX_N], w[MAX_N], y[MAX_N], y_ref[MAX_N];
            fill(x, n, 3.0f, &seed);
            fill(w, n, 2.0f, &seed);
            ref.rms_norm(y_ref, x, w, 1e-6f, n);
            ops.rms_norm(y, x, w, 1e-6f, n);
            assert_same_bits(y, y_ref, n);
            ops.rms_norm(x, x, w, 1e-6f, n);
            assert_same_bits(x, y_ref, n);
        }
    }
}

static void test_rms_norm_is_right(void **state) {
    struct ops ref;
    assert_int_equal(ops_init(&ref, "ref", NULL), 0);
    const float x[3] = {1.0f, -2.0f, 3.0f}, w[3] = {1.0f, 0.5f, 2.0f};
    float y[3];
    ref.rms_norm(y, x, w, 0.0f, 3);
    const double scale = 1.0 / sqrt(14.0 / 3.0);
    for (int i = 0; i < 3; i++)
        assert_true(fabs((double)y[i] - (double)x[i] * scale * (double)w[i]) < 1e-6);
}

static double exact_gate(enum activation act, double x) {
    if (act == ACTIVATION_SILU)
        return x / (1 + exp(-x));
    if (act == ACTIVATION_GELU)
        return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static void test_gates_equal_the_specification_and_are_right(void **state) {
    const enum activation acts[] = {ACTIVATION_SILU, ACTIVATION_GELU, ACTIVATION_GELU_TANH};
    uint64_t seed = 2;

    for (int k = 0; k < N_ISAS; k++) {
        struct ops ops, ref;
        if (!open_isa(isas[k], &ops, &ref))
            continue;
        for (int a = 0; a < 3; a++)
            for (uint32_t n = 1; n < 100; n++) {
                float g[MAX_N], u[MAX_N], y[MAX_N], y_ref[MAX_N];
                fill(g, n, 12.0f, &seed);
                fill(u, n, 2.0f, &seed);
                ref.gate[acts[a]](y_ref, g, u, n);
                ops.gate[acts[a]](y, g, u, n);
                assert_same_bits(y, y_ref, n);
                ops.gate[acts[a]](g, g, u, n);
                assert_same_bits(g, y_ref, n);
            }
    }

    struct ops ref;
    assert_int_equal(ops_init(&ref, "ref", NULL), 0);
    for (int a = 0; a < 3; a++)
        for (float x = -100.0f; x < 100.0f; x += 0.37f) {
            const float one = 1.0f;
            float y;
            ref.gate[acts[a]](&y, &x, &one, 1);
            assert_true(fabs((double)y - exact_gate(acts[a], (double)x)) <=
                        1e-6 * fmax(1.0, fabs((double)x)));
        }
}

/* One random tile problem with its own state; rows may be computed in any grouping. */
struct problem {
    struct attention_tile tile;
    float q[128 * 80], k[128 * ATTENTION_TILE], v[ATTENTION_TILE * 128];
    float p[80 * ATTENTION_TILE], max[80], sum[80], out[80 * 128];
};

static void problem_init(struct problem *pr, uint32_t n_rows, uint32_t head_dim, uint32_t width,
                         uint64_t *seed) {
    memset(pr, 0, sizeof *pr);
    pr->tile = (struct attention_tile){
        .n_rows = n_rows,
        .head_dim = head_dim,
        .value_width = width,
        .q = pr->q,
        .q_stride = 80,
        .k = pr->k,
        .v = pr->v,
        .p = pr->p,
        .max = pr->max,
        .sum = pr->sum,
        .out = pr->out,
    };
    fill(pr->q, sizeof pr->q / sizeof *pr->q, 1.0f, seed);
    for (int r = 0; r < 80; r++)
        pr->max[r] = -INFINITY;
}

static void problem_next_tile(struct problem *pr, uint32_t first, uint32_t end, uint64_t *seed) {
    fill(pr->k, sizeof pr->k / sizeof *pr->k, 1.0f, seed);
    fill(pr->v, sizeof pr->v / sizeof *pr->v, 1.0f, seed);
    pr->tile.first = first;
    pr->tile.end = end;
    for (uint32_t j = 0; j < ATTENTION_TILE; j++) {
        if (j >= first && j < end)
            continue;
        for (uint32_t i = 0; i < pr->tile.head_dim; i++)
            pr->k[i * ATTENTION_TILE + j] = NAN; /* stale slots must not be seen */
        for (uint32_t c = 0; c < pr->tile.value_width; c++)
            pr->v[j * pr->tile.value_width + c] = NAN;
    }
}

static void problem_copy(struct problem *to, const struct problem *from) {
    memcpy(to, from, sizeof *to);
    to->tile.q = to->q;
    to->tile.k = to->k;
    to->tile.v = to->v;
    to->tile.p = to->p;
    to->tile.max = to->max;
    to->tile.sum = to->sum;
    to->tile.out = to->out;
}

static void assert_same_state(const struct problem *a, const struct problem *b) {
    assert_same_bits(a->max, b->max, a->tile.n_rows);
    assert_same_bits(a->sum, b->sum, a->tile.n_rows);
    assert_same_bits(a->out, b->out, (size_t)a->tile.n_rows * a->tile.value_width);
}

static void test_attention_tile_equals_the_specification(void **state) {
    struct problem *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    uint64_t seed = 3;

    for (int k = 0; k < N_ISAS; k++) {
        struct ops ops, ref;
        if (!open_isa(isas[k], &ops, &ref))
            continue;
        for (uint32_t n_rows = 1; n_rows <= 15; n_rows++)
            for (uint32_t width = 16; width <= 112; width += 48) {
                problem_init(a, n_rows, width - 3, width, &seed);
                for (int step = 0; step < 4; step++) {
                    const uint32_t first = (uint32_t)(test_random(&seed) % 64);
                    const uint32_t end = first + 1 + (uint32_t)(test_random(&seed) % (64 - first));
                    problem_next_tile(a, step == 0 ? 0 : first, step == 0 ? 64 : end, &seed);
                    problem_copy(b, a);
                    ops.attention_tile(&a->tile);
                    ref.attention_tile(&b->tile);
                    assert_same_state(a, b);
                }
            }
    }
    free(a);
    free(b);
}

/* Keys and values in the store's form give the bits of the widened ones. */
static void test_attention_stored_equals_the_specification(void **state) {
    struct problem *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    static uint16_t groups[ATTENTION_TILE / KV_GROUP][2 * KV_GROUP * 128];
    uint64_t seed = 8;

    for (int k = 0; k < N_ISAS; k++) {
        struct ops ops, ref;
        if (!open_isa(isas[k], &ops, &ref))
            continue;
        for (int f = KV_FORMAT_F16; f <= KV_FORMAT_BF16; f++)
            for (uint32_t run = 0; run < 200 && ops.attention_stored[f]; run++) {
                const uint32_t d = 16 * (1 + (uint32_t)(test_random(&seed) % 8));
                const uint32_t n_rows = 1 + (uint32_t)(test_random(&seed) % ATTENTION_FEW_ROWS);
                const uint32_t first = (uint32_t)(test_random(&seed) % 64);
                const uint32_t end = first + 1 + (uint32_t)(test_random(&seed) % (64 - first));
                problem_init(a, n_rows, d, d, &seed);
                problem_next_tile(a, run % 3 ? first : 0, run % 3 ? end : 64, &seed);
                for (uint32_t g = 0; g < ATTENTION_TILE / KV_GROUP; g++) {
                    for (uint32_t i = 0; i < d; i++) /* to the stored form and back */
                        ref.kv[f].narrow(groups[g] + i * KV_GROUP,
                                         a->k + i * ATTENTION_TILE + g * KV_GROUP, KV_GROUP);
                    uint16_t *values = groups[g] + KV_GROUP * d;
                    ref.kv[f].narrow(values, a->v + g * KV_GROUP * d, KV_GROUP * d);
                    ref.kv[f].widen_keys(a->k + g * KV_GROUP, groups[g], d);
                    ref.kv[f].widen(a->v + g * KV_GROUP * d, values, KV_GROUP * d);
                    a->tile.groups[g] = groups[g];
                }
                problem_copy(b, a);
                ref.attention_tile(&b->tile);
                a->tile.k = NULL;
                a->tile.v = NULL;
                ops.attention_stored[f](&a->tile);
                assert_same_state(a, b);
            }
    }
    free(a);
    free(b);
}

static void test_attention_tile_rows_do_not_depend_on_their_grouping(void **state) {
    struct problem *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    uint64_t seed = 4;
    struct ops ops;
    assert_int_equal(ops_init(&ops, NULL, NULL), 0);

    problem_init(a, 64, 64, 64, &seed);
    problem_next_tile(a, 0, 64, &seed);
    problem_copy(b, a);
    ops.attention_tile(&a->tile);
    for (uint32_t r = 0; r < 64;) {
        struct attention_tile part = b->tile;
        part.n_rows = 1 + (uint32_t)(test_random(&seed) % (64 - r));
        part.q += r;
        part.p += r * ATTENTION_TILE;
        part.max += r;
        part.sum += r;
        part.out += r * part.value_width;
        ops.attention_tile(&part);
        r += part.n_rows;
    }
    assert_same_state(a, b);
    free(a);
    free(b);
}

/* Against softmax in double over three tiles. */
static void test_attention_tile_is_softmax(void **state) {
    enum { D = 32, N = 3 * ATTENTION_TILE };
    struct problem *a = malloc(sizeof *a);
    uint64_t seed = 5;
    struct ops ops;
    assert_int_equal(ops_init(&ops, NULL, NULL), 0);
    problem_init(a, 1, D, D, &seed);

    double s[N], v[N][D], total = 0;
    for (int t = 0; t < 3; t++) {
        problem_next_tile(a, 0, ATTENTION_TILE, &seed);
        for (int j = 0; j < ATTENTION_TILE; j++) {
            double dot = 0;
            for (int i = 0; i < D; i++) {
                dot += (double)a->q[i * 80] * (double)a->k[i * ATTENTION_TILE + j];
                v[t * ATTENTION_TILE + j][i] = (double)a->v[j * D + i];
            }
            s[t * ATTENTION_TILE + j] = exp2(dot);
            total += exp2(dot);
        }
        ops.attention_tile(&a->tile);
    }
    for (int i = 0; i < D; i++) {
        double exact = 0;
        for (int j = 0; j < N; j++)
            exact += s[j] / total * v[j][i];
        assert_true(fabs((double)(a->out[i] / a->sum[0]) - exact) < 1e-6);
    }
    free(a);
}

static void test_attention_tile_keeps_a_nan_in_its_row(void **state) {
    struct problem *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    uint64_t seed = 6;
    struct ops ops;
    assert_int_equal(ops_init(&ops, NULL, NULL), 0);

    problem_init(a, 5, 16, 16, &seed);
    problem_next_tile(a, 0, 64, &seed);
    problem_copy(b, a);
    b->q[2] = NAN;
    ops.attention_tile(&a->tile);
    ops.attention_tile(&b->tile);
    assert_true(isnan(b->sum[2]));
    for (uint32_t r = 0; r < 5; r++)
        if (r != 2)
            assert_same_bits(&a->out[r * 16], &b->out[r * 16], 16);
    free(a);
    free(b);
}

static void test_half_narrowing_rounds_every_value_to_nearest_even(void **state) {
    for (uint32_t bits = 0; bits < 0x7c00; bits++) {
        const uint16_t half = (uint16_t)bits;
        const float value = half_to_float(half);
        assert_int_equal(half_from_float_saturated(value), half);
        assert_int_equal(half_from_float_saturated(-value), half | 0x8000);
        if (bits == 0x7bff)
            break;
        const float next = half_to_float((uint16_t)(half + 1));
        const float middle = value + (next - value) / 2; /* exact in float */
        assert_int_equal(half_from_float_saturated(middle), half + (half & 1));
        assert_int_equal(half_from_float_saturated(nextafterf(middle, 0.0f)), half);
        assert_int_equal(half_from_float_saturated(nextafterf(middle, INFINITY)), half + 1);
    }
    assert_int_equal(half_from_float_saturated(1e30f), 0x7bff);
    assert_int_equal(half_from_float_saturated(-INFINITY), 0xfbff);
    assert_true(isnan(half_to_float(half_from_float_saturated(NAN))));
}

static void test_bf16_narrowing_rounds_to_nearest_even(void **state) {
    assert_int_equal(bf16_from_float(1.0f), 0x3f80);
    assert_int_equal(bf16_from_float(float_from_bits(0x3f808000)), 0x3f80); /* tie to even */
    assert_int_equal(bf16_from_float(float_from_bits(0x3f818000)), 0x3f82);
    assert_int_equal(bf16_from_float(float_from_bits(0x3f808001)), 0x3f81);
    assert_int_equal(bf16_from_float(INFINITY), 0x7f80);
    assert_true(isnan(bf16_to_float(bf16_from_float(float_from_bits(0x7fffffff)))));
}

static void test_kv_formats_equal_the_specification(void **state) {
    const uint32_t size[KV_FORMATS] = {4, 2, 2};
    uint64_t seed = 7;

    for (int k = 0; k < N_ISAS; k++) {
        struct ops ops, ref;
        if (!open_isa(isas[k], &ops, &ref))
            continue;
        for (int f = 0; f < KV_FORMATS; f++)
            for (uint32_t n = 1; n < 70; n++) {
                float x[70 * KV_GROUP], y[70 * ATTENTION_TILE] = {0};
                float y_ref[70 * ATTENTION_TILE] = {0};
                unsigned char stored[sizeof x], stored_ref[sizeof x];
                const uint32_t n_group = n * KV_GROUP;
                for (uint32_t j = 0; j < n_group; j++)
                    x[j] = random_float(&seed, 1.0f) * exp2f(random_float(&seed, 30.0f));
                ref.kv[f].narrow(stored_ref, x, n_group);
                ops.kv[f].narrow(stored, x, n_group);
                assert_memory_equal(stored, stored_ref, n_group * size[f]);
                ops.kv[f].narrow(stored, x, n);
                assert_memory_equal(stored, stored_ref, n * size[f]);
                ref.kv[f].widen(y_ref, stored_ref, n);
                ops.kv[f].widen(y, stored_ref, n);
                assert_same_bits(y, y_ref, 70 * ATTENTION_TILE);
                ref.kv[f].widen_keys(y_ref, stored_ref, n);
                ops.kv[f].widen_keys(y, stored_ref, n);
                assert_same_bits(y, y_ref, 70 * ATTENTION_TILE);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ops_init_refuses_unknown_names),
        cmocka_unit_test(test_exp2_is_within_two_ulp),
        cmocka_unit_test(test_rms_norm_equals_the_specification),
        cmocka_unit_test(test_rms_norm_is_right),
        cmocka_unit_test(test_gates_equal_the_specification_and_are_right),
        cmocka_unit_test(test_attention_tile_equals_the_specification),
        cmocka_unit_test(test_attention_stored_equals_the_specification),
        cmocka_unit_test(test_attention_tile_rows_do_not_depend_on_their_grouping),
        cmocka_unit_test(test_attention_tile_is_softmax),
        cmocka_unit_test(test_attention_tile_keeps_a_nan_in_its_row),
        cmocka_unit_test(test_half_narrowing_rounds_every_value_to_nearest_even),
        cmocka_unit_test(test_bf16_narrowing_rounds_to_nearest_even),
        cmocka_unit_test(test_kv_formats_equal_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
