/* SPDX-License-Identifier: Apache-2.0 */
#include "model/decoder.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "model/rope_config.h"
#include "model/weights.h"

/*
 * Ceilings that no model comes near and under which products of any three fit 64 bits. The files
 * must then hold tensors of these sizes, so memory is bounded by what is on disk.
 */
enum {
    MAX_VOCAB = 1 << 24,
    MAX_WIDTH = 1 << 20,
    MAX_LAYERS = 1 << 12,
    MAX_HEADS = 1 << 12,
    MAX_HEAD_DIM = 1 << 12,
    MAX_POSITION = 1 << 30,
};

static bool has_qkv_bias(const struct hparams *hparams, uint32_t layer) {
    return hparams->qkv_bias;
}

static bool has_o_bias(const struct hparams *hparams, uint32_t layer) {
    return hparams->o_bias;
}

static bool has_ffn_bias(const struct hparams *hparams, uint32_t layer) {
    return hparams->ffn_bias;
}

static bool has_qk_norm(const struct hparams *hparams, uint32_t layer) {
    return hparams->qk_norm;
}

static bool is_untied(const struct hparams *hparams, uint32_t layer) {
    return !hparams->tied_embeddings;
}

#define HF(name) .hf_name = "model." name
#define HF_LAYER(name) .scope = PER_LAYER, .hf_name = "model.layers.#." name
#define GGUF_LAYER(name) .gguf_name = "blk.#." name

static const struct tensor_rule rules[] = {
    {.slot = W_TOKEN_EMBEDDING,
     HF("embed_tokens.weight"),
     .gguf_name = "token_embd.weight",
     .shape = {DIM_VOCAB, DIM_HIDDEN}},
    {.slot = W_OUTPUT_NORM,
     HF("norm.weight"),
     .gguf_name = "output_norm.weight",
     .shape = {DIM_HIDDEN}},
    /* Absent though untied: the embedding serves, in both formats. */
    {.slot = W_OUTPUT,
     .hf_name = "lm_head.weight",
     .gguf_name = "output.weight",
     .shape = {DIM_VOCAB, DIM_HIDDEN},
     .optional = true,
     .when = is_untied},

    {.slot = W_ATTN_NORM,
     HF_LAYER("input_layernorm.weight"),
     GGUF_LAYER("attn_norm.weight"),
     .shape = {DIM_HIDDEN}},
    {.slot = W_ATTN_Q,
     HF_LAYER("self_attn.q_proj.weight"),
     GGUF_LAYER("attn_q.weight"),
     .shape = {DIM_Q, DIM_HIDDEN}},
    {.slot = W_ATTN_K,
     HF_LAYER("self_attn.k_proj.weight"),
     GGUF_LAYER("attn_k.weight"),
     .shape = {DIM_KV, DIM_HIDDEN}},
    {.slot = W_ATTN_V,
     HF_LAYER("self_attn.v_proj.weight"),
     GGUF_LAYER("attn_v.weight"),
     .shape = {DIM_KV, DIM_HIDDEN}},
    {.slot = W_ATTN_O,
     HF_LAYER("self_attn.o_proj.weight"),
     GGUF_LAYER("attn_output.weight"),
     .shape = {DIM_HIDDEN, DIM_Q}},
    {.slot = W_ATTN_Q_BIAS,
     HF_LAYER("self_attn.q_proj.bias"),
     GGUF_LAYER("attn_q.bias"),
     .shape = {DIM_Q},
     .when = has_qkv_bias},
    {.slot = W_ATTN_K_BIAS,
     HF_LAYER("self_attn.k_proj.bias"),
     GGUF_LAYER("attn_k.bias"),
     .shape = {DIM_KV},
     .when = has_qkv_bias},
    {.slot = W_ATTN_V_BIAS,
     HF_LAYER("self_attn.v_proj.bias"),
     GGUF_LAYER("attn_v.bias"),
     .shape = {DIM_KV},
     .when = has_qkv_bias},
    {.slot = W_ATTN_O_BIAS,
     HF_LAYER("self_attn.o_proj.bias"),
     GGUF_LAYER("attn_output.bias"),
     .shape = {DIM_HIDDEN},
     .when = has_o_bias},
    {.slot = W_ATTN_Q_NORM,
     HF_LAYER("self_attn.q_norm.weight"),
     GGUF_LAYER("attn_q_norm.weight"),
     .shape = {DIM_HEAD},
     .when = has_qk_norm},
    {.slot = W_ATTN_K_NORM,
     HF_LAYER("self_attn.k_norm.weight"),
     GGUF_LAYER("attn_k_norm.weight"),
     .shape = {DIM_HEAD},
     .when = has_qk_norm},

    {.slot = W_FFN_NORM,
     HF_LAYER("post_attention_layernorm.weight"),
     GGUF_LAYER("ffn_norm.weight"),
     .shape = {DIM_HIDDEN}},
    {.slot = W_FFN_GATE,
     HF_LAYER("mlp.gate_proj.weight"),
     GGUF_LAYER("ffn_gate.weight"),
     .shape = {DIM_INTERMEDIATE, DIM_HIDDEN}},
    {.slot = W_FFN_UP,
     HF_LAYER("mlp.up_proj.weight"),
     GGUF_LAYER("ffn_up.weight"),
     .shape = {DIM_INTERMEDIATE, DIM_HIDDEN}},
    {.slot = W_FFN_DOWN,
     HF_LAYER("mlp.down_proj.weight"),
     GGUF_LAYER("ffn_down.weight"),
     .shape = {DIM_HIDDEN, DIM_INTERMEDIATE}},
    {.slot = W_FFN_GATE_BIAS,
     HF_LAYER("mlp.gate_proj.bias"),
     GGUF_LAYER("ffn_gate.bias"),
     .shape = {DIM_INTERMEDIATE},
     .when = has_ffn_bias},
    {.slot = W_FFN_UP_BIAS,
     HF_LAYER("mlp.up_proj.bias"),
     GGUF_LAYER("ffn_up.bias"),
     .shape = {DIM_INTERMEDIATE},
     .when = has_ffn_bias},
    {.slot = W_FFN_DOWN_BIAS,
     HF_LAYER("mlp.down_proj.bias"),
     GGUF_LAYER("ffn_down.bias"),
     .shape = {DIM_HIDDEN},
     .when = has_ffn_bias},
};

const struct rule_table decoder_rules = {.rules = rules, .n = sizeof rules / sizeof *rules};

/* Every layer begins as one of this shape; families then change what differs. */
static void allocate_layers(struct hparams_build *build, const struct layer_spec *spec) {
    struct hparams *hp = build->hparams;

    hp->layers = arena_alloc_zero(build->arena, hp->n_layers, sizeof *hp->layers);
    if (!hp->layers) {
        hp->n_layers = 0;
        problems_add(build->problems, -ENOMEM, "no memory for the layers");
    }
    for (uint32_t layer = 0; layer < hp->n_layers; layer++)
        hp->layers[layer] = *spec;
}

/* Relations that hold for every attention; sets the usual scale. Needs the sizes read. */
static void check_heads(struct attention_shape *shape, struct problems *problems) {
    if (shape->n_heads % shape->n_kv_heads != 0)
        problems_add(problems, -EINVAL,
                     "%" PRIu32 " query heads are no multiple of %" PRIu32 " key-value heads",
                     shape->n_heads, shape->n_kv_heads);
    shape->scale = (float)(1.0 / sqrt((double)shape->head_dim));
}

static enum activation read_activation_hf(const struct hf_config *config) {
    const struct json_str name = hf_string(config, "hidden_act");

    if (name.len == 0 || json_is(name, "silu") || json_is(name, "swish"))
        return ACTIVATION_SILU;
    if (json_is(name, "gelu"))
        return ACTIVATION_GELU;
    if (json_is(name, "gelu_new") || json_is(name, "gelu_pytorch_tanh"))
        return ACTIVATION_GELU_TANH;
    problems_add(config->problems, -ENOTSUP, "%s: hidden_act '%.*s' is not served", config->name,
                 (int)(name.len < 40 ? name.len : 40), name.bytes);
    return ACTIVATION_SILU;
}

static float read_eps(double eps, struct problems *problems) {
    if (eps > 0 && eps < 1)
        return (float)eps;
    problems_add(problems, -EINVAL, "norm epsilon: expected a number between 0 and 1, found %g",
                 eps);
    return 1;
}

void decoder_read_hf(const struct hf_config *config, struct hparams_build *build,
                     const struct decoder_defaults *defaults) {
    struct hparams *hp = build->hparams;
    struct layer_spec spec = {.mixer = MIXER_ATTENTION, .ffn = FFN_GATED};
    struct attention_shape *shape = &spec.attention;

    hp->n_vocab = hf_u32_required(config, "vocab_size", 1, MAX_VOCAB);
    hp->hidden_size = hf_u32_required(config, "hidden_size", 1, MAX_WIDTH);
    spec.intermediate_size = hf_u32_required(config, "intermediate_size", 1, MAX_WIDTH);
    hp->n_layers = hf_u32_required(config, "num_hidden_layers", 1, MAX_LAYERS);
    shape->n_heads = hf_u32_required(config, "num_attention_heads", 1, MAX_HEADS);
    shape->n_kv_heads = hf_u32(config, "num_key_value_heads", 1, MAX_HEADS, shape->n_heads);

    const uint32_t head_dim =
        defaults->head_dim ? defaults->head_dim : hp->hidden_size / shape->n_heads;
    shape->head_dim = hf_u32(config, "head_dim", 1, MAX_HEAD_DIM, head_dim);
    if (!hf_has(config, "head_dim") && !defaults->head_dim && hp->hidden_size % shape->n_heads != 0)
        problems_add(build->problems, -EINVAL,
                     "%s: hidden_size %" PRIu32 " is no multiple of the %" PRIu32
                     " heads, and head_dim is missing",
                     config->name, hp->hidden_size, shape->n_heads);

    hp->norm_eps =
        read_eps(hf_double(config, "rms_norm_eps", (double)defaults->norm_eps), build->problems);
    hp->activation = read_activation_hf(config);
    hp->tied_embeddings = hf_bool(config, "tie_word_embeddings", defaults->tied_embeddings);
    hp->max_position = hf_u32_required(config, "max_position_embeddings", 1, MAX_POSITION);

    check_heads(shape, build->problems);
    rope_read_hf(config, build, shape->head_dim);
    allocate_layers(build, &spec);
}

uint32_t decoder_window_hf(const struct hf_config *config, uint32_t absent) {
    if (hf_kind(config, "sliding_window") == JSON_NULL)
        return 0;
    return hf_u32(config, "sliding_window", 1, MAX_POSITION, absent);
}

void decoder_read_windows_hf(const struct hf_config *config, struct hparams_build *build,
                             uint32_t window, uint32_t first_layer) {
    struct hparams *hp = build->hparams;
    for (uint32_t layer = first_layer; layer < hp->n_layers; layer++)
        hp->layers[layer].sliding_window = window;

    struct json_pull items;
    if (!hf_array(config, "layer_types", &items))
        return;

    uint32_t layer = 0;
    while (json_next_item(&items)) {
        const struct json_str kind = json_take_string(&items);
        const bool sliding = json_is(kind, "sliding_attention");
        if (!sliding && !json_is(kind, "full_attention"))
            problems_add(build->problems, -ENOTSUP, "%s: layer_types: '%.*s' is not served",
                         config->name, (int)(kind.len < 40 ? kind.len : 40), kind.bytes);
        if (layer < hp->n_layers)
            hp->layers[layer].sliding_window = sliding ? window : 0;
        layer++;
    }
    if (layer != hp->n_layers)
        problems_add(build->problems, -EINVAL,
                     "%s: layer_types: expected one of each of the %" PRIu32
                     " layers, found %" PRIu32,
                     config->name, hp->n_layers, layer);
}

/* True if layer 0 has the tensor: a GGUF file does not say otherwise what its family has. */
static bool stores(const struct gguf_config *config, const char *name) {
    return tensor_dir_find(gguf_tensors(config->gguf), name) != NULL;
}

/*
 * Rows of the embedding. The key vocab_size and the list of tokens may both be missing or short
 * of the padding, the tensor cannot.
 */
static uint32_t vocab_of_embedding(const struct gguf_config *config) {
    const struct stored_tensor *embedding =
        tensor_dir_find(gguf_tensors(config->gguf), "token_embd.weight");

    if (!embedding || embedding->n_dims != 2 || embedding->shape[0] > MAX_VOCAB)
        return gguf_config_u32(config, "vocab_size", 1, MAX_VOCAB, 1);
    return (uint32_t)embedding->shape[0];
}

/*
 * Keys that other architectures have, and that would change the numbers if one of these had them.
 * 0 is how writers say "off", for a factor also 1.
 */
static void refuse_unserved_keys(const struct gguf_config *config) {
    static const struct {
        const char *key;
        float neutral;
    } keys[] = {
        {"attention.scale", 0},          {"attention.clamp_kqv", 0},
        {"attention.max_alibi_bias", 0}, {"attn_logit_softcapping", 0},
        {"final_logit_softcapping", 0},  {"logit_scale", 1},
        {"residual_scale", 1},           {"embedding_scale", 1},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const float value = gguf_config_f32(config, keys[i].key, 0);
        if (value != 0 && value != keys[i].neutral)
            problems_add(config->problems, -ENOTSUP, "key %s.%s: %g is not served", config->arch,
                         keys[i].key, (double)value);
    }
    if (gguf_config_u32(config, "expert_count", 0, UINT32_MAX, 0) > 0)
        problems_add(config->problems, -ENOTSUP, "key %s.expert_count: experts are not served",
                     config->arch);
    if (!gguf_config_bool(config, "attention.causal", true))
        problems_add(config->problems, -ENOTSUP, "key %s.attention.causal: only true is served",
                     config->arch);
}

void decoder_read_gguf(const struct gguf_config *config, struct hparams_build *build) {
    struct hparams *hp = build->hparams;
    struct layer_spec spec = {.mixer = MIXER_ATTENTION, .ffn = FFN_GATED};
    struct attention_shape *shape = &spec.attention;

    hp->n_vocab = vocab_of_embedding(config);
    hp->hidden_size = gguf_config_u32_required(config, "embedding_length", 1, MAX_WIDTH);
    hp->n_layers = gguf_config_u32_required(config, "block_count", 1, MAX_LAYERS);

    /* Trailing blocks that only predict several tokens at once are counted too: skip them. */
    const uint32_t n_extra =
        gguf_config_u32(config, "nextn_predict_layers", 0, hp->n_layers - 1, 0);
    hp->n_layers -= n_extra;

    const uint32_t n = hp->n_layers + n_extra;
    spec.intermediate_size =
        gguf_config_uniform_u32(config, "feed_forward_length", n, 1, MAX_WIDTH, 0);
    shape->n_heads = gguf_config_uniform_u32(config, "attention.head_count", n, 1, MAX_HEADS, 0);
    if (spec.intermediate_size == 0 || shape->n_heads == 0) {
        problems_add(build->problems, -EINVAL,
                     "%s.feed_forward_length or %s.attention.head_count is missing", config->arch,
                     config->arch);
        shape->n_heads = spec.intermediate_size = 1;
    }
    shape->n_kv_heads =
        gguf_config_uniform_u32(config, "attention.head_count_kv", n, 1, MAX_HEADS, shape->n_heads);

    const uint32_t default_dim = hp->hidden_size / shape->n_heads;
    shape->head_dim = gguf_config_u32(config, "attention.key_length", 1, MAX_HEAD_DIM, default_dim);
    const uint32_t value_dim =
        gguf_config_u32(config, "attention.value_length", 1, MAX_HEAD_DIM, shape->head_dim);
    if (value_dim != shape->head_dim || shape->head_dim == 0)
        problems_add(build->problems, -ENOTSUP,
                     "key heads of %" PRIu32 " and value heads of %" PRIu32 " are not served",
                     shape->head_dim, value_dim);

    hp->norm_eps = read_eps((double)gguf_config_f32(config, "attention.layer_norm_rms_epsilon", 0),
                            build->problems);
    hp->activation = ACTIVATION_SILU;
    hp->max_position = gguf_config_u32_required(config, "context_length", 1, MAX_POSITION);

    /* Never re-tied: a file with a head of its own is served with that. */
    hp->tied_embeddings = !stores(config, "output.weight");
    hp->qkv_bias = stores(config, "blk.0.attn_q.bias");
    hp->o_bias = stores(config, "blk.0.attn_output.bias");
    hp->ffn_bias = stores(config, "blk.0.ffn_down.bias");
    hp->qk_norm = stores(config, "blk.0.attn_q_norm.weight");

    refuse_unserved_keys(config);
    check_heads(shape, build->problems);
    rope_read_gguf(config, build, shape->head_dim);

    spec.sliding_window = gguf_config_u32(config, "attention.sliding_window", 0, MAX_POSITION, 0);
    allocate_layers(build, &spec);
}
