/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_ref - the specification of every vector operation, in scalar C. See ops.h.
 */
#include <math.h>
#include <string.h>

#include "cpu/exp2.h"
#include "cpu/narrow.h"
#include "cpu/ops.h"

static float add_lanes(float lanes[OPS_LANES]) {
    for (uint32_t half = OPS_LANES / 2; half > 0; half /= 2)
        for (uint32_t c = 0; c < half; c++)
            lanes[c] += lanes[c + half];
    return lanes[0];
}

static void rms_norm(float *y, const float *x, const float *weight, float eps, uint32_t n) {
    float lanes[OPS_LANES] = {0};
    for (uint32_t j = 0; j < n; j++)
        lanes[j % OPS_LANES] = fmaf(x[j], x[j], lanes[j % OPS_LANES]);

    const float mean = add_lanes(lanes) / (float)n;
    const float scale = 1.0f / sqrtf(mean + eps);
    for (uint32_t j = 0; j < n; j++)
        y[j] = x[j] * scale * weight[j];
}

/* silu(x) = x / (1 + e^-x) */
static void gate_silu(float *y, const float *gate, const float *up, uint32_t n) {
    for (uint32_t j = 0; j < n; j++)
        y[j] = gate[j] / (1.0f + exp2_approx(gate[j] * -LOG2_E)) * up[j];
}

/* gelu(x) = x (1 + erf(x / sqrt 2)) / 2, by libm: exact, and rare enough to stay scalar */
static void gate_gelu(float *y, const float *gate, const float *up, uint32_t n) {
    for (uint32_t j = 0; j < n; j++)
        y[j] = 0.5f * gate[j] * (1.0f + erff(gate[j] * 0.70710678118654752440f)) * up[j];
}

/* 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2/pi) (x + 0.044715 x^3) */
static void gate_gelu_tanh(float *y, const float *gate, const float *up, uint32_t n) {
    const float minus_two_root = -2.0f * 0.79788456080286535588f * LOG2_E;
    for (uint32_t j = 0; j < n; j++) {
        const float x = gate[j];
        const float u = fmaf(0.044715f * x * x, x, x);
        y[j] = x / (1.0f + exp2_approx(u * minus_two_root)) * up[j];
    }
}

static void attend_row(const struct attention_tile *t, uint32_t r) {
    float *p = t->p + (size_t)r * ATTENTION_TILE;
    float m = t->max[r];

    for (uint32_t j = t->first; j < t->end; j++) {
        float s = 0.0f;
        for (uint32_t i = 0; i < t->head_dim; i++)
            s = fmaf(t->q[(size_t)i * t->q_stride + r], t->k[(size_t)i * ATTENTION_TILE + j], s);
        p[j] = s;
        m = s > m ? s : m;
    }

    float lanes[OPS_LANES] = {0};
    for (uint32_t j = 0; j < ATTENTION_TILE; j++) {
        const bool visible = j >= t->first && j < t->end;
        p[j] = visible ? exp2_approx(p[j] - m) : 0.0f;
        lanes[j % OPS_LANES] += p[j];
    }

    const float carry = exp2_approx(t->max[r] - m);
    t->sum[r] = fmaf(t->sum[r], carry, add_lanes(lanes));
    t->max[r] = m;

    float *out = t->out + (size_t)r * t->value_width;
    for (uint32_t c = 0; c < t->value_width; c++)
        out[c] *= carry;
    for (uint32_t j = t->first; j < t->end; j++)
        for (uint32_t c = 0; c < t->value_width; c++)
            out[c] = fmaf(p[j], t->v[(size_t)j * t->value_width + c], out[c]);
}

static void attention_tile(const struct attention_tile *tile) {
    for (uint32_t r = 0; r < tile->n_rows; r++)
        attend_row(tile, r);
}

static void copy_f32(void *to, const float *from, uint32_t n) {
    memcpy(to, from, n * sizeof *from);
}

static void widen_f32(float *to, const void *from, uint32_t n) {
    memcpy(to, from, n * sizeof *to);
}

static void narrow_f16(void *to, const float *from, uint32_t n) {
    uint16_t *out = to;
    for (uint32_t j = 0; j < n; j++)
        out[j] = half_from_float_saturated(from[j]);
}

static void widen_f16(float *to, const void *from, uint32_t n) {
    const uint16_t *in = from;
    for (uint32_t j = 0; j < n; j++)
        to[j] = half_to_float(in[j]);
}

static void narrow_bf16(void *to, const float *from, uint32_t n) {
    uint16_t *out = to;
    for (uint32_t j = 0; j < n; j++)
        out[j] = bf16_from_float(from[j]);
}

static void widen_bf16(float *to, const void *from, uint32_t n) {
    const uint16_t *in = from;
    for (uint32_t j = 0; j < n; j++)
        to[j] = bf16_to_float(in[j]);
}

static void widen_keys_f32(float *to, const void *from, uint32_t head_dim) {
    const float *in = from;
    for (uint32_t i = 0; i < head_dim; i++)
        widen_f32(to + (size_t)i * ATTENTION_TILE, in + (size_t)i * KV_GROUP, KV_GROUP);
}

static void widen_keys_f16(float *to, const void *from, uint32_t head_dim) {
    const uint16_t *in = from;
    for (uint32_t i = 0; i < head_dim; i++)
        widen_f16(to + (size_t)i * ATTENTION_TILE, in + (size_t)i * KV_GROUP, KV_GROUP);
}

static void widen_keys_bf16(float *to, const void *from, uint32_t head_dim) {
    const uint16_t *in = from;
    for (uint32_t i = 0; i < head_dim; i++)
        widen_bf16(to + (size_t)i * ATTENTION_TILE, in + (size_t)i * KV_GROUP, KV_GROUP);
}

void ops_fill_ref(struct ops *ops) {
    *ops = (struct ops){
        .name = "ref",
        .rms_norm = rms_norm,
        .gate =
            {
                [ACTIVATION_SILU] = gate_silu,
                [ACTIVATION_GELU] = gate_gelu,
                [ACTIVATION_GELU_TANH] = gate_gelu_tanh,
            },
        .attention_tile = attention_tile,
        .kv =
            {
                [KV_FORMAT_F32] = {copy_f32, widen_f32, widen_keys_f32},
                [KV_FORMAT_F16] = {narrow_f16, widen_f16, widen_keys_f16},
                [KV_FORMAT_BF16] = {narrow_bf16, widen_bf16, widen_keys_bf16},
            },
    };
}
