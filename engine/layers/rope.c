/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rope - see rope.h. The kinds and their formulas are those of the reference implementation's
 * rope utilities; f_i = theta^(-2i / n_dims) throughout.
 */
#include "layers/rope.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>

#include "kvasir/mem.h"

static const double pi = 3.14159265358979323846;

static double base_freq(const struct rope_params *p, double theta, uint32_t i) {
    return pow(theta, -2.0 * i / p->n_dims);
}

/* The dimension that turns `turns` times over the original length. */
static double yarn_dim(const struct rope_params *p, double turns) {
    return p->n_dims * log(p->original_length / (turns * 2.0 * pi)) / (2.0 * log(p->theta));
}

/* Fast dimensions stay as trained, slow ones are interpolated, a ramp lies between. */
static void yarn_freqs(const struct rope_params *p, double *freqs) {
    double low = yarn_dim(p, p->beta_fast);
    double high = yarn_dim(p, p->beta_slow);
    if (p->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0.0);
    high = fmin(high, p->n_dims - 1.0);
    if (low == high)
        high += 0.001; /* the reference's guard against a division by zero */

    for (uint32_t i = 0; i < p->n_dims / 2; i++) {
        const double ramp = fmin(fmax((i - low) / (high - low), 0.0), 1.0);
        const double f = base_freq(p, p->theta, i);
        freqs[i] = (1.0 - ramp) * f + ramp * f / p->factor;
    }
}

/* Wavelengths beyond the original length are stretched, short ones kept, a ramp between. */
static void llama3_freqs(const struct rope_params *p, double *freqs) {
    for (uint32_t i = 0; i < p->n_dims / 2; i++) {
        const double f = base_freq(p, p->theta, i);
        const double turns = p->original_length * f / (2.0 * pi);
        const double ramp =
            (turns - p->low_freq_factor) / (p->high_freq_factor - p->low_freq_factor);
        const double kept = fmin(fmax(ramp, 0.0), 1.0);
        freqs[i] = (1.0 - kept) * f / p->factor + kept * f;
    }
}

static void divided_freqs(const struct rope_params *p, const float *divisors, double *freqs) {
    for (uint32_t i = 0; i < p->n_dims / 2; i++)
        freqs[i] = base_freq(p, p->theta, i) / (double)divisors[i];
}

static void scaled_freqs(const struct rope_params *p, double theta, double divisor, double *freqs) {
    for (uint32_t i = 0; i < p->n_dims / 2; i++)
        freqs[i] = base_freq(p, theta, i) / divisor;
}

/* NTK by length: the base that stretches the slowest dimension to cover length. */
static double dynamic_theta(const struct rope_params *p, uint32_t length) {
    const double stretch = p->factor * length / p->max_position - (p->factor - 1.0);
    return p->theta * pow(stretch, p->n_dims / (p->n_dims - 2.0));
}

static double yarn_mscale(double factor, double mscale) {
    return factor <= 1.0 ? 1.0 : 0.1 * mscale * log(factor) + 1.0;
}

static double attention_factor(const struct rope_params *p) {
    if (p->kind != ROPE_YARN && p->kind != ROPE_LONGROPE)
        return 1.0;
    if (p->attention_factor != 0.0)
        return p->attention_factor;
    if (p->kind == ROPE_LONGROPE)
        return p->factor <= 1.0 ? 1.0 : sqrt(1.0 + log(p->factor) / log(p->original_length));
    if (p->mscale != 0.0 && p->mscale_all_dim != 0.0)
        return yarn_mscale(p->factor, p->mscale) / yarn_mscale(p->factor, p->mscale_all_dim);
    return yarn_mscale(p->factor, 1.0);
}

static void fill_tables(struct rope *rope) {
    const struct rope_params *p = rope->params;

    switch (p->kind) {
    case ROPE_NONE:
        break;
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC: /* up to the trained length */
        scaled_freqs(p, p->theta, /* divisor= */ 1.0, rope->short_freqs);
        break;
    case ROPE_LINEAR:
        scaled_freqs(p, p->theta, p->factor, rope->short_freqs);
        break;
    case ROPE_YARN:
        yarn_freqs(p, rope->short_freqs);
        break;
    case ROPE_LLAMA3:
        llama3_freqs(p, rope->short_freqs);
        break;
    case ROPE_LONGROPE:
        divided_freqs(p, p->short_divisors, rope->short_freqs);
        divided_freqs(p, p->long_divisors, rope->long_freqs);
        break;
    case ROPE_DIVISORS:
        divided_freqs(p, p->long_divisors, rope->short_freqs);
        break;
    }
}

int rope_init(struct rope *rope, const struct rope_params *params, struct error *reterr) {
    *rope = (struct rope){.params = params, .scale = attention_factor(params)};
    if (params->n_dims % 2 != 0 || params->n_dims > ROPE_MAX_DIMS)
        return error_set(reterr, -ENOTSUP,
                         "rope over an even number of up to %d dimensions is served, not %" PRIu32,
                         ROPE_MAX_DIMS, params->n_dims);

    const uint32_t n = params->n_dims / 2;
    rope->short_freqs = mem_alloc_zero(n, sizeof *rope->short_freqs);
    if (params->kind == ROPE_LONGROPE)
        rope->long_freqs = mem_alloc_zero(n, sizeof *rope->long_freqs);
    if (!rope->short_freqs || (params->kind == ROPE_LONGROPE && !rope->long_freqs)) {
        rope_fini(rope);
        return error_set(reterr, -ENOMEM, "out of memory for rope frequencies");
    }
    fill_tables(rope);
    return 0;
}

void rope_fini(struct rope *rope) {
    mem_free(rope->short_freqs);
    mem_free(rope->long_freqs);
    *rope = (struct rope){0};
}

uint64_t rope_class(const struct rope *rope, uint32_t length) {
    const struct rope_params *p = rope->params;

    if (p->kind == ROPE_LONGROPE)
        return length > p->original_length;
    if (p->kind == ROPE_DYNAMIC && length > p->max_position)
        return length;
    return 0;
}

static const double *freqs_of_length(const struct rope *rope, uint32_t length,
                                     struct rope_scratch *scratch) {
    const uint64_t class = rope_class(rope, length);
    if (class == 0)
        return rope->short_freqs;
    if (rope->params->kind == ROPE_LONGROPE)
        return rope->long_freqs;

    if (scratch->rope_class != class) {
        const double theta = dynamic_theta(rope->params, length);
        scaled_freqs(rope->params, theta, /* divisor= */ 1.0, scratch->freqs);
        scratch->rope_class = class;
    }
    return scratch->freqs;
}

void rope_angles(const struct rope *rope, uint32_t position, uint32_t length,
                 struct rope_scratch *scratch, float *ret_cos, float *ret_sin) {
    const double *freqs = freqs_of_length(rope, length, scratch);

    for (uint32_t i = 0; i < rope->params->n_dims / 2; i++) {
        const double angle = position * freqs[i];
        ret_cos[i] = (float)(cos(angle) * rope->scale);
        ret_sin[i] = (float)(sin(angle) * rope->scale);
    }
}

void rope_rotate(const struct rope *rope, float *x, const float *cosines, const float *sines) {
    const uint32_t half = rope->params->n_dims / 2;
    const bool interleaved = rope->params->interleaved;
    const uint32_t step = interleaved ? 2 : 1;     /* from one pair to the next */
    const uint32_t apart = interleaved ? 1 : half; /* the two of a pair */

    for (uint32_t i = 0; i < half; i++) {
        float *a = x + i * step;
        float *b = a + apart;
        const float rotated_a = *a * cosines[i] - *b * sines[i];
        const float rotated_b = *b * cosines[i] + *a * sines[i];
        *a = rotated_a;
        *b = rotated_b;
    }
}
