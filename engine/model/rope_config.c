/* SPDX-License-Identifier: Apache-2.0 */
#include "model/rope_config.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "load/tensor.h"

enum { MAX_LENGTH = 1 << 30 };

/* The names that config.json and GGUF use for the kinds. */
static const struct {
    const char *name;
    enum rope_kind kind;
} kinds[] = {
    {"default", ROPE_DEFAULT}, {"none", ROPE_DEFAULT},      {"linear", ROPE_LINEAR},
    {"dynamic", ROPE_DYNAMIC}, {"yarn", ROPE_YARN},         {"llama3", ROPE_LLAMA3},
    {"su", ROPE_LONGROPE},     {"longrope", ROPE_LONGROPE},
};

static bool find_kind(const char *name, size_t len, enum rope_kind *ret_kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) != len || memcmp(kinds[i].name, name, len) != 0)
            continue;
        *ret_kind = kinds[i].kind;
        return true;
    }
    return false;
}

/* n floats that outlive the reading; NULL after adding the problem. */
static float *alloc_divisors(struct hparams_build *build, uint32_t n) {
    float *divisors = arena_alloc_zero(build->arena, n, sizeof *divisors);
    if (!divisors)
        problems_add(build->problems, -ENOMEM, "no memory for rope divisors");
    return divisors;
}

/* What every kind needs before angles are computed from it. */
static void check(const struct rope_params *rope, uint32_t head_dim, struct problems *problems) {
    if (rope->n_dims == 0 || rope->n_dims % 2 != 0 || rope->n_dims > head_dim)
        problems_add(problems, -EINVAL,
                     "rope: %" PRIu32 " rotated dimensions of a head of %" PRIu32
                     ": expected an even number up to that",
                     rope->n_dims, head_dim);
    if (!(rope->theta > 1))
        problems_add(problems, -EINVAL, "rope: theta: expected more than 1, found %g", rope->theta);
    if (!(rope->factor > 0 && rope->factor <= 1e6))
        problems_add(problems, -EINVAL,
                     "rope: factor: expected more than 0 and up to 1e6, found %g", rope->factor);
    if (rope->kind == ROPE_DYNAMIC && rope->n_dims == 2)
        problems_add(problems, -EINVAL, "rope: dynamic needs more than 2 rotated dimensions");
    if (rope->kind == ROPE_LLAMA3 &&
        !(rope->low_freq_factor > 0 && rope->high_freq_factor > rope->low_freq_factor))
        problems_add(problems, -EINVAL,
                     "rope: llama3: expected 0 < low_freq_factor < high_freq_factor, found %g, %g",
                     rope->low_freq_factor, rope->high_freq_factor);
    if (rope->kind == ROPE_YARN && !(rope->beta_slow > 0 && rope->beta_fast > 0))
        problems_add(problems, -EINVAL, "rope: yarn: expected positive beta_fast and beta_slow");
    if (rope->attention_factor < 0)
        problems_add(problems, -EINVAL, "rope: attention_factor: expected at least 0, found %g",
                     rope->attention_factor);
}

/* The length that scaling reaches, from that of the training and the configured one. */
static uint32_t scaled_length(const struct rope_params *rope, uint32_t configured) {
    double length = configured;

    if (rope->kind == ROPE_LINEAR || rope->kind == ROPE_DYNAMIC)
        length = configured * rope->factor;
    else if (rope->kind == ROPE_YARN)
        length = fmax(configured, rope->original_length * rope->factor);
    return length >= 1 && length <= MAX_LENGTH ? (uint32_t)length : configured;
}

/*
 * Where rope_parameters is keyed by layer type, takes the first one. Families whose layer types
 * really differ (gemma3) read it themselves.
 */
static void flatten_layer_types(struct hf_config *params) {
    struct json_pull json;
    struct json_str key, first = {.bytes = NULL};

    json_pull_init(&json, params->object.bytes, params->object.len);
    json_enter_object(&json);
    while (json_next_key(&json, &key)) {
        const bool is_set = json_peek(&json) == JSON_OBJECT;
        const struct json_str value = json_skip(&json);
        if (!is_set)
            continue;
        if (!first.bytes)
            first = value;
        else if (value.len != first.len || memcmp(value.bytes, first.bytes, value.len) != 0)
            problems_add(params->problems, -ENOTSUP,
                         "%s: parameters that differ by layer type are not served", params->name);
    }
    if (first.bytes)
        params->object = first;
}

/* The object with the parameters; false: there is none, which means no scaling. */
static bool find_params(const struct hf_config *config, struct hf_config *ret_params) {
    if (hf_object(config, "rope_parameters", "config.json: rope_parameters", ret_params)) {
        flatten_layer_types(ret_params);
        return true;
    }
    return hf_object(config, "rope_scaling", "config.json: rope_scaling", ret_params);
}

static void read_kind_hf(const struct hf_config *params, struct rope_params *rope) {
    struct json_str name = hf_string(params, "rope_type");
    if (name.len == 0)
        name = hf_string(params, "type");

    rope->kind = ROPE_DEFAULT;
    if (name.len > 0 && !find_kind(name.bytes, name.len, &rope->kind))
        problems_add(params->problems, -ENOTSUP,
                     "%s: rope_type '%.*s' is not served (served: default, linear, dynamic, yarn, "
                     "llama3, longrope)",
                     params->name, (int)(name.len < 40 ? name.len : 40), name.bytes);
}

static void read_longrope_hf(const struct hf_config *params, struct hparams_build *build) {
    struct rope_params *rope = &build->hparams->rope;
    const uint32_t n = rope->n_dims / 2;

    float *divisors = alloc_divisors(build, 2 * n);
    if (!divisors)
        return;
    if (!hf_floats(params, "short_factor", n, divisors) ||
        !hf_floats(params, "long_factor", n, divisors + n))
        return;
    for (uint32_t i = 0; i < 2 * n; i++)
        if (!(divisors[i] > 0))
            problems_add(build->problems, -EINVAL, "%s: a factor is not positive", params->name);
    rope->short_divisors = divisors;
    rope->long_divisors = divisors + n;
}

/* The factor where it is not given: how far the configured length exceeds the original. */
static double implied_factor(const struct rope_params *rope) {
    return (double)rope->max_position / rope->original_length;
}

static void read_scaling_hf(const struct hf_config *config, const struct hf_config *params,
                            struct hparams_build *build) {
    struct rope_params *rope = &build->hparams->rope;

    read_kind_hf(params, rope);
    if (rope->kind == ROPE_DEFAULT)
        return;

    const uint32_t original =
        hf_u32(config, "original_max_position_embeddings", 1, MAX_LENGTH, rope->max_position);
    rope->original_length =
        hf_u32(params, "original_max_position_embeddings", 1, MAX_LENGTH, original);

    const bool may_imply = rope->kind == ROPE_YARN || rope->kind == ROPE_LONGROPE;
    rope->factor = hf_double(params, "factor", may_imply ? implied_factor(rope) : 0);
    rope->attention_factor = hf_double(params, "attention_factor", 0);
    if (rope->kind == ROPE_LLAMA3) {
        rope->low_freq_factor = hf_double(params, "low_freq_factor", 0);
        rope->high_freq_factor = hf_double(params, "high_freq_factor", 0);
    } else if (rope->kind == ROPE_YARN) {
        rope->beta_fast = hf_double(params, "beta_fast", 32);
        rope->beta_slow = hf_double(params, "beta_slow", 1);
        rope->truncate = hf_bool(params, "truncate", true);
        rope->mscale = hf_double(params, "mscale", 0);
        rope->mscale_all_dim = hf_double(params, "mscale_all_dim", 0);
    } else if (rope->kind == ROPE_LONGROPE) {
        read_longrope_hf(params, build);
    }
}

void rope_read_hf(const struct hf_config *config, struct hparams_build *build, uint32_t head_dim) {
    struct hparams *hp = build->hparams;
    struct hf_config params;
    const bool has_params = find_params(config, &params);

    double theta = hf_double(config, "rope_theta", 10000);
    double part = hf_double(config, "partial_rotary_factor", 1);
    if (has_params) {
        theta = hf_double(&params, "rope_theta", theta);
        part = hf_double(&params, "partial_rotary_factor", part);
    }
    if (!(part > 0 && part <= 1)) {
        problems_add(build->problems, -EINVAL,
                     "%s: partial_rotary_factor: expected more than 0 and up to 1, found %g",
                     config->name, part);
        part = 1;
    }
    hp->rope = (struct rope_params){
        .kind = ROPE_DEFAULT,
        .interleaved = hp->rope.interleaved,
        .n_dims = (uint32_t)(head_dim * part),
        .theta = theta,
        .factor = 1,
        .original_length = hp->max_position,
        .max_position = hp->max_position,
        .truncate = true,
    };
    if (has_params)
        read_scaling_hf(config, &params, build);
    check(&hp->rope, head_dim, build->problems);
    hp->max_position = scaled_length(&hp->rope, hp->max_position);
}

/* Copies a tensor of divisors, F32 [n_dims / 2]; NULL if it is absent or was refused. */
static const float *read_divisors(const struct gguf_config *config, const char *name,
                                  struct hparams_build *build) {
    const struct stored_tensor *tensor = tensor_dir_find(gguf_tensors(config->gguf), name);
    if (!tensor)
        return NULL;

    const uint32_t n = build->hparams->rope.n_dims / 2;
    if (tensor->type != WEIGHT_F32 || tensor->n_dims != 1 || tensor->shape[0] != n) {
        problems_add(build->problems, -EINVAL, "%s: expected F32 [%" PRIu32 "]", name, n);
        return NULL;
    }
    float *divisors = alloc_divisors(build, n);
    if (!divisors)
        return NULL;
    memcpy(divisors, tensor->data, n * sizeof *divisors);
    for (uint32_t i = 0; i < n; i++) {
        if (divisors[i] > 0 && isfinite(divisors[i]))
            continue;
        problems_add(build->problems, -EINVAL, "%s: holds a divisor that is not positive", name);
        return NULL;
    }
    return divisors;
}

static void read_kind_gguf(const struct gguf_config *config, struct rope_params *rope) {
    const struct gguf_str name = gguf_config_str(config, "rope.scaling.type");

    rope->kind = rope->factor == 1 ? ROPE_DEFAULT : ROPE_LINEAR;
    if (name.len > 0 && !find_kind(name.bytes, name.len, &rope->kind))
        problems_add(config->problems, -ENOTSUP, "%s.rope.scaling.type '%.*s' is not served",
                     config->arch, (int)(name.len < 40 ? name.len : 40), name.bytes);
    if (rope->kind == ROPE_LINEAR && rope->factor == 1)
        rope->kind = ROPE_DEFAULT;
}

/*
 * GGUF's attention factors multiply the usual 1 + 0.1 ln(factor) of YaRN, where config.json's
 * replaces it.
 */
static void read_yarn_gguf(const struct gguf_config *config, struct rope_params *rope) {
    rope->beta_fast = (double)gguf_config_f32(config, "rope.scaling.yarn_beta_fast", 32);
    rope->beta_slow = (double)gguf_config_f32(config, "rope.scaling.yarn_beta_slow", 1);

    const float ext = gguf_config_f32(config, "rope.scaling.yarn_ext_factor", 1);
    if (ext != 1 && ext != -1)
        problems_add(config->problems, -ENOTSUP,
                     "%s.rope.scaling.yarn_ext_factor: %g is not served, only 1", config->arch,
                     (double)ext);
    if (gguf_config_f32(config, "rope.scaling.yarn_log_multiplier", 0) != 0)
        problems_add(config->problems, -ENOTSUP,
                     "%s.rope.scaling.yarn_log_multiplier is not served for this architecture",
                     config->arch);

    const double given = (double)gguf_config_f32(config, "rope.scaling.attn_factor", 1) *
                         (double)gguf_config_f32(config, "rope.scaling.yarn_attn_factor", 1);
    if (given != 1)
        rope->attention_factor = given * (rope->factor > 1 ? 0.1 * log(rope->factor) + 1 : 1);
}

static void read_longrope_gguf(const struct gguf_config *config, struct hparams_build *build) {
    struct rope_params *rope = &build->hparams->rope;

    rope->short_divisors = read_divisors(config, "rope_factors_short.weight", build);
    rope->long_divisors = read_divisors(config, "rope_factors_long.weight", build);
    rope->attention_factor = (double)gguf_config_f32(config, "rope.scaling.attn_factor", 1);
    if (!rope->short_divisors || !rope->long_divisors)
        problems_add(build->problems, -EINVAL,
                     "longrope without rope_factors_short.weight and rope_factors_long.weight");
}

void rope_read_gguf(const struct gguf_config *config, struct hparams_build *build,
                    uint32_t head_dim) {
    struct hparams *hp = build->hparams;

    const float legacy_factor = gguf_config_f32(config, "rope.scale_linear", 1);
    const float factor = gguf_config_f32(config, "rope.scaling.factor", legacy_factor);
    hp->rope = (struct rope_params){
        .kind = ROPE_DEFAULT,
        .interleaved = hp->rope.interleaved,
        .n_dims = gguf_config_u32(config, "rope.dimension_count", 1, head_dim, head_dim),
        .theta = (double)gguf_config_f32(config, "rope.freq_base", 10000),
        .factor = factor == 0 ? 1 : (double)factor, /* 0 is how some writers say "none" */
        .original_length = gguf_config_u32(config, "rope.scaling.original_context_length", 1,
                                           MAX_LENGTH, hp->max_position),
        .max_position = hp->max_position,
        .truncate = true,
    };
    struct rope_params *rope = &hp->rope;
    read_kind_gguf(config, rope);

    const float *divisors = read_divisors(config, "rope_freqs.weight", build);
    if (divisors && rope->kind == ROPE_DEFAULT) {
        rope->kind = ROPE_DIVISORS;
        rope->long_divisors = divisors;
    } else if (divisors) {
        problems_add(build->problems, -ENOTSUP, "rope_freqs.weight beside %s.rope.scaling.type",
                     config->arch);
    }
    if (rope->kind == ROPE_YARN)
        read_yarn_gguf(config, rope);
    else if (rope->kind == ROPE_LONGROPE)
        read_longrope_gguf(config, build);
    else if (rope->kind == ROPE_DEFAULT)
        rope->factor = 1;
    check(rope, head_dim, build->problems);
    hp->max_position = scaled_length(rope, hp->max_position);
}

void rope_describe(const struct rope_params *rope, char *ret_text, size_t cap) {
    static const char *const names[] = {
        [ROPE_NONE] = "none",         [ROPE_DEFAULT] = "default",
        [ROPE_LINEAR] = "linear",     [ROPE_DYNAMIC] = "dynamic",
        [ROPE_YARN] = "yarn",         [ROPE_LLAMA3] = "llama3",
        [ROPE_LONGROPE] = "longrope", [ROPE_DIVISORS] = "frequency divisors",
    };
    char scale[64] = "";

    if (rope->kind == ROPE_NONE) {
        (void)snprintf(ret_text, cap, "none"); /* for display */
        return;
    }
    if (rope->kind != ROPE_DEFAULT && rope->kind != ROPE_DIVISORS)
        (void)snprintf(scale, sizeof scale, " x%g of %" PRIu32, rope->factor,
                       rope->original_length); /* for display */
    (void)snprintf(ret_text, cap, "%s%s, theta %.10g%s", names[rope->kind], scale, rope->theta,
                   rope->interleaved ? ", interleaved" : ""); /* for display */
}
