/* SPDX-License-Identifier: Apache-2.0 */
/* Rope kinds against numbers of their papers and configurations, and the classes of lengths. */
#include <math.h>

#include "layers/rope.h"
#include "support.h"

static const double pi = 3.14159265358979323846;

static struct rope_params params_of(enum rope_kind kind, uint32_t n_dims, double theta) {
    return (struct rope_params){
        .kind = kind,
        .n_dims = n_dims,
        .theta = theta,
        .factor = 1,
        .original_length = 4096,
        .max_position = 4096,
    };
}

static void angles(const struct rope *rope, uint32_t position, uint32_t length, float *ret_cos,
                   float *ret_sin) {
    struct rope_scratch scratch = {0};
    rope_angles(rope, position, length, &scratch, ret_cos, ret_sin);
}

/* The frequency of dimension i, recovered from the angle at position 1 (all are below pi). */
static double freq_of(const struct rope *rope, uint32_t i, uint32_t length) {
    float cosines[ROPE_MAX_DIMS / 2], sines[ROPE_MAX_DIMS / 2];
    angles(rope, 1, length, cosines, sines);
    return atan2((double)sines[i], (double)cosines[i]);
}

static void assert_near(double a, double b, double relative) {
    if (!(fabs(a - b) <= relative * fabs(b)))
        fail_msg("%.12g, expected %.12g", a, b);
}

static void test_rope_default_turns_by_theta(void **state) {
    struct rope rope;
    const struct rope_params p = params_of(ROPE_DEFAULT, 128, 10000);
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    for (uint32_t i = 0; i < 64; i++)
        assert_near(freq_of(&rope, i, 1), pow(10000, -(double)i / 64), 1e-6);

    float cosines[64], sines[64];
    angles(&rope, 123456, 123457, cosines, sines);
    assert_near((double)cosines[1], cos(123456 * pow(10000, -1.0 / 64)), 1e-6);
    assert_int_equal(rope_class(&rope, 1u << 30), 0);
    rope_fini(&rope);
}

static void test_rope_linear_divides_by_factor(void **state) {
    struct rope rope;
    struct rope_params p = params_of(ROPE_LINEAR, 8, 10000);
    p.factor = 4;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    assert_near(freq_of(&rope, 0, 1), 0.25, 1e-6);
    rope_fini(&rope);
}

/* theta 1e4, 128 dims, trained 4096, factor 2, length 8192: theta' = 30527.73675 */
static void test_rope_dynamic_grows_its_base_beyond_the_trained_length(void **state) {
    struct rope rope;
    struct rope_params p = params_of(ROPE_DYNAMIC, 128, 10000);
    p.factor = 2;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    assert_near(freq_of(&rope, 32, 4096), pow(10000, -0.5), 1e-6);
    assert_near(freq_of(&rope, 32, 8192), pow(30527.73675, -0.5), 1e-6);
    assert_int_equal(rope_class(&rope, 4096), 0);
    assert_int_equal(rope_class(&rope, 4097), 4097);

    /* the scratch remembers a length, not a position */
    struct rope_scratch scratch = {0};
    float a[64], b[64], c[64], d[64];
    rope_angles(&rope, 5, 8192, &scratch, a, b);
    rope_angles(&rope, 5, 6000, &scratch, a, b);
    rope_angles(&rope, 5, 8192, &scratch, a, b);
    angles(&rope, 5, 8192, c, d);
    for (int i = 0; i < 64; i++)
        assert_true(a[i] == c[i] && b[i] == d[i]);
    rope_fini(&rope);
}

/* Qwen2.5's recipe: theta 1e6, 128 dims, factor 4 of 32768: ramp from 23 to 40. */
static void test_rope_yarn_keeps_fast_and_stretches_slow_dimensions(void **state) {
    struct rope rope;
    struct rope_params p = params_of(ROPE_YARN, 128, 1e6);
    p.factor = 4;
    p.original_length = 32768;
    p.beta_fast = 32;
    p.beta_slow = 1;
    p.truncate = true;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    assert_near(freq_of(&rope, 23, 1), pow(1e6, -23.0 / 64), 1e-6);
    assert_near(freq_of(&rope, 40, 1), pow(1e6, -40.0 / 64) / 4, 1e-6);
    const double f = pow(1e6, -30.0 / 64), ramp = 7.0 / 17;
    assert_near(freq_of(&rope, 30, 1), (1 - ramp) * f + ramp * f / 4, 1e-6);

    float cosines[64], sines[64];
    angles(&rope, 0, 1, cosines, sines);
    assert_near((double)cosines[0], 1.138629436, 1e-7);
    rope_fini(&rope);

    p.attention_factor = 0.5;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    angles(&rope, 0, 1, cosines, sines);
    assert_near((double)cosines[0], 0.5, 1e-7);
    rope_fini(&rope);

    p.attention_factor = 0;
    p.mscale = 1;
    p.mscale_all_dim = 0.5;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    angles(&rope, 0, 1, cosines, sines);
    assert_near((double)cosines[0], (0.1 * log(4) + 1) / (0.05 * log(4) + 1), 1e-7);
    rope_fini(&rope);
}

static void test_rope_llama3_ramps_by_wavelength(void **state) {
    struct rope rope;
    struct rope_params p = params_of(ROPE_LLAMA3, 128, 5e5);
    p.factor = 8;
    p.original_length = 8192;
    p.low_freq_factor = 1;
    p.high_freq_factor = 4;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    for (uint32_t i = 0; i < 64; i++) {
        const double f = pow(5e5, -(double)i / 64), wave = 2 * pi / f;
        double want = f;
        if (wave > 8192.0)
            want = f / 8;
        else if (wave >= 8192.0 / 4) {
            const double t = (8192.0 / wave - 1) / 3;
            want = f * ((1 - t) / 8 + t);
        }
        assert_near(freq_of(&rope, i, 1), want, 1e-6);
    }
    rope_fini(&rope);
}

static void test_rope_longrope_has_two_classes(void **state) {
    static const float near_divisors[2] = {1, 2}, far_divisors[2] = {3, 4};
    struct rope rope;
    struct rope_params p = params_of(ROPE_LONGROPE, 4, 10000);
    p.factor = 32;
    p.short_divisors = near_divisors;
    p.long_divisors = far_divisors;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    assert_near(freq_of(&rope, 1, 4096), 0.01 / 2, 1e-6);
    assert_near(freq_of(&rope, 1, 4097), 0.01 / 4, 1e-6);
    assert_int_equal(rope_class(&rope, 4096), 0);
    assert_int_equal(rope_class(&rope, 4097), 1);
    assert_int_equal(rope_class(&rope, 100000), 1);

    float cosines[2], sines[2];
    angles(&rope, 0, 1, cosines, sines);
    assert_near((double)cosines[0], sqrt(1 + log(32) / log(4096)), 1e-7);
    rope_fini(&rope);
}

static void test_rope_divisors_divide(void **state) {
    static const float divisors[2] = {1, 8};
    struct rope rope;
    struct rope_params p = params_of(ROPE_DIVISORS, 4, 10000);
    p.long_divisors = divisors;
    assert_int_equal(rope_init(&rope, &p, NULL), 0);
    assert_near(freq_of(&rope, 1, 1), 0.01 / 8, 1e-6);
    rope_fini(&rope);
}

static void test_rope_rotate_pairs_by_layout_and_leaves_the_rest(void **state) {
    const float cosines[2] = {0.6f, 0.0f}, sines[2] = {0.8f, 1.0f};
    struct rope rope;
    struct rope_params p = params_of(ROPE_DEFAULT, 4, 10000);
    assert_int_equal(rope_init(&rope, &p, NULL), 0);

    float x[6] = {1, 2, 3, 4, 5, 6}; /* pairs (1, 3) and (2, 4) */
    rope_rotate(&rope, x, cosines, sines);
    const double half_split[6] = {0.6 - 2.4, -4, 1.8 + 0.8, 2, 5, 6};
    for (int i = 0; i < 6; i++)
        assert_true(fabs((double)x[i] - half_split[i]) < 1e-6);

    p.interleaved = true;
    float y[6] = {1, 2, 3, 4, 5, 6}; /* pairs (1, 2) and (3, 4) */
    rope_rotate(&rope, y, cosines, sines);
    const double interleaved[6] = {0.6 - 1.6, 1.2 + 0.8, -4, 3, 5, 6};
    for (int i = 0; i < 6; i++)
        assert_true(fabs((double)y[i] - interleaved[i]) < 1e-6);
    rope_fini(&rope);
}

static void test_rope_init_refuses_odd_and_huge_dimensions(void **state) {
    struct rope rope;
    struct rope_params p = params_of(ROPE_DEFAULT, 7, 10000);
    assert_true(rope_init(&rope, &p, NULL) < 0);
    p.n_dims = ROPE_MAX_DIMS + 2;
    assert_true(rope_init(&rope, &p, NULL) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope_default_turns_by_theta),
        cmocka_unit_test(test_rope_linear_divides_by_factor),
        cmocka_unit_test(test_rope_dynamic_grows_its_base_beyond_the_trained_length),
        cmocka_unit_test(test_rope_yarn_keeps_fast_and_stretches_slow_dimensions),
        cmocka_unit_test(test_rope_llama3_ramps_by_wavelength),
        cmocka_unit_test(test_rope_longrope_has_two_classes),
        cmocka_unit_test(test_rope_divisors_divide),
        cmocka_unit_test(test_rope_rotate_pairs_by_layout_and_leaves_the_rest),
        cmocka_unit_test(test_rope_init_refuses_odd_and_huge_dimensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
