/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every oracle folder and GGUF file of the families that are served opens with the right
 * hyperparameters, weights and text settings; the demo model does so without shared/ too.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kvasir/model.h"
#include "kvasir/tokenizer.h"
#include "model/weights.h"
#include "support.h"

/* What differs between the models; everything else is checked for all alike. */
struct expected {
    const char *path;
    const char *family;
    const char *rope;
    uint64_t n_params;
    uint32_t n_layers, hidden, intermediate, n_heads, n_kv_heads, head_dim, n_vocab;
    uint32_t max_position;
    float eps;
    bool tied, qkv_bias, o_bias, ffn_bias, qk_norm, interleaved;
    token_id bos, eos[3]; /* ids up to the first 0 */
};

static const struct expected expected[] = {
    {"oracle/llama", "llama", "default, theta 10000", 161216, 3, 64, 80, 4, 4, 16, 512, 1024, 1e-3f,
     .bos = 1, .eos = {2}},
    {"oracle/llama-bias", "llama", "default, theta 10000", 117408, 3, 64, 80, 4, 2, 16, 512, 1024,
     1e-4f, .tied = true, .qkv_bias = true, .o_bias = true, .ffn_bias = true, .bos = 1, .eos = {2}},
    {"oracle/llama-dynamic", "llama", "dynamic x2 of 64, theta 10000", 148928, 3, 64, 80, 4, 2, 16,
     512, 128, 1e-4f, .bos = 506, .eos = {507, 510}},
    {"oracle/llama-gqa", "llama", "default, theta 500000", 148928, 3, 64, 80, 4, 2, 16, 512, 1024,
     1e-4f, .bos = 506, .eos = {507, 510}},
    {"oracle/llama-linear", "llama", "linear x2 of 1024, theta 10000", 148928, 3, 64, 80, 4, 2, 16,
     512, 2048, 1e-3f, .bos = 1, .eos = {2}},
    {"oracle/llama3-rope", "llama", "llama3 x8 of 64, theta 500000", 148928, 3, 64, 80, 4, 2, 16,
     512, 1024, 1e-4f, .bos = 506, .eos = {507, 510}},
    {"oracle/mistral", "mistral", "default, theta 10000", 167360, 3, 64, 80, 4, 2, 24, 512, 1024,
     1e-3f, .bos = 1, .eos = {2}},
    {"oracle/qwen2", "qwen2", "default, theta 1000000", 149312, 3, 64, 80, 4, 2, 16, 512, 1024,
     1e-3f, .qkv_bias = true, .bos = 509, .eos = {511, 509}},
    {"oracle/qwen2-swa", "qwen2", "default, theta 1000000", 149312, 3, 64, 80, 4, 2, 16, 512, 1024,
     1e-3f, .qkv_bias = true, .bos = 509, .eos = {511, 509}},
    {"oracle/qwen2-tied", "qwen2", "default, theta 1000000", 117056, 3, 64, 80, 4, 2, 16, 520, 1024,
     1e-4f, .tied = true, .qkv_bias = true, .bos = 509, .eos = {511, 509}},
    {"oracle/qwen2-yarn", "qwen2", "yarn x4 of 128, theta 1000000", 149312, 3, 64, 80, 4, 2, 16,
     512, 1024, 1e-4f, .qkv_bias = true, .bos = 509, .eos = {511, 509}},
    {"oracle/qwen3", "qwen3", "default, theta 1000000", 153216, 3, 64, 80, 4, 2, 32, 512, 1024,
     1e-3f, .tied = true, .qk_norm = true, .bos = 509, .eos = {511, 509}},
    {"oracle/qwen3-untied", "qwen3", "default, theta 1000000", 149024, 3, 64, 80, 4, 2, 16, 512,
     1024, 1e-4f, .qk_norm = true, .bos = 509, .eos = {511, 509}},
    {"oracle/qwen3-yarn", "qwen3", "yarn x2 of 96, theta 10000", 185984, 3, 64, 80, 4, 2, 32, 512,
     1024, 1e-4f, .qk_norm = true, .bos = 509, .eos = {511, 509}},

    {"oracle/gguf/llama-f32.gguf", "llama", "default, theta 10000, interleaved", 161216, 3, 64, 80,
     4, 4, 16, 512, 1024, 1e-3f, .interleaved = true, .bos = 1, .eos = {2}},
    {"oracle/gguf/llama-gqa-f32.gguf", "llama", "default, theta 500000, interleaved", 148928, 3, 64,
     80, 4, 2, 16, 512, 1024, 1e-4f, .interleaved = true, .bos = 506, .eos = {510}},
    {"oracle/gguf/qwen2-f32.gguf", "qwen2", "default, theta 1000000", 149312, 3, 64, 80, 4, 2, 16,
     512, 1024, 1e-3f, .qkv_bias = true, .bos = 509, .eos = {511}},
    {"oracle/gguf/qwen3-f32-00001-of-00003.gguf", "qwen3", "default, theta 1000000", 153216, 3, 64,
     80, 4, 2, 32, 512, 1024, 1e-3f, .tied = true, .qk_norm = true, .bos = 509, .eos = {511}},
    {"oracle/quant/qwen3-q-Q4_K_M.gguf", "qwen3", "default, theta 1000000", 853504, 2, 256, 256, 4,
     1, 64, 512, 1024, 1e-6f, .tied = true, .qk_norm = true, .bos = TOKEN_NONE, .eos = {509}},
    {"models/stories260k/stories260K-f32.gguf", "llama", "default, theta 10000, interleaved",
     292800, 5, 64, 172, 8, 4, 8, 512, 512, 1e-5f, .interleaved = true, .bos = 1, .eos = {2}},
};
enum { N_EXPECTED = sizeof expected / sizeof *expected };

static struct model *open_model(const char *path) {
    struct model *model = NULL;
    struct error error;

    if (model_open(path, &model, &error) < 0)
        fail_msg("%s", error.message);
    return model;
}

static void check_info(const struct expected *e, const struct model_info *info) {
    assert_string_equal(info->family, e->family);
    assert_string_equal(info->rope, e->rope);
    assert_int_equal(info->n_params, e->n_params);
    assert_int_equal(info->n_vocab, e->n_vocab);
    assert_int_equal(info->max_position, e->max_position);
    assert_int_equal(info->intermediate_size, e->intermediate);
    assert_int_equal(info->n_heads, e->n_heads);
    assert_int_equal(info->n_kv_heads, e->n_kv_heads);
    assert_int_equal(info->head_dim, e->head_dim);
    assert_int_equal(info->kv_values_per_token, 2 * e->n_layers * e->n_kv_heads * e->head_dim);
    assert_int_equal(info->tied_embeddings, e->tied);
    assert_int_equal(info->bos, e->bos);

    uint32_t n_eos = 0;
    while (n_eos < 3 && e->eos[n_eos])
        n_eos++;
    assert_int_equal(info->n_eos, n_eos);
    assert_memory_equal(info->eos, e->eos, n_eos * sizeof *e->eos);

    uint64_t n_bytes = 0;
    for (uint32_t i = 0; i < info->n_types; i++)
        n_bytes += info->types[i].n_bytes;
    assert_int_equal(info->weight_bytes, n_bytes);
}

static void check_hparams(const struct expected *e, const struct hparams *hp) {
    assert_int_equal(hp->n_layers, e->n_layers);
    assert_int_equal(hp->hidden_size, e->hidden);
    for (uint32_t layer = 0; layer < hp->n_layers; layer++) {
        const struct attention_shape *shape = &hp->layers[layer].attention;
        assert_int_equal(hp->layers[layer].intermediate_size, e->intermediate);
        assert_int_equal(shape->n_heads, e->n_heads);
        assert_int_equal(shape->n_kv_heads, e->n_kv_heads);
        assert_int_equal(shape->head_dim, e->head_dim);
        assert_true(fabs((double)shape->scale * sqrt(e->head_dim) - 1) < 1e-6);
    }
    assert_true(hp->norm_eps == e->eps);
    assert_int_equal(hp->activation, ACTIVATION_SILU);
    assert_int_equal(hp->rope.interleaved, e->interleaved);
    assert_int_equal(hp->rope.n_dims, e->head_dim);
    assert_int_equal(hp->qkv_bias, e->qkv_bias);
    assert_int_equal(hp->o_bias, e->o_bias);
    assert_int_equal(hp->ffn_bias, e->ffn_bias);
    assert_int_equal(hp->qk_norm, e->qk_norm);
}

/* Slots are filled exactly where the flags say so. */
static void check_slots(const struct expected *e, const struct model *model) {
    const struct model_weights *w = model_weights(model);

    assert_non_null(w->global[W_TOKEN_EMBEDDING].name);
    assert_non_null(w->global[W_OUTPUT_NORM].name);
    assert_int_equal(w->global[W_OUTPUT].name != NULL, !e->tied);
    for (uint32_t layer = 0; layer < e->n_layers; layer++) {
        const struct tensor *slots = w->layers[layer].slots;
        for (uint32_t slot = 0; slot < LAYER_SLOTS; slot++) {
            const bool is_qkv = slot >= W_ATTN_Q_BIAS && slot <= W_ATTN_V_BIAS;
            const bool is_norm = slot == W_ATTN_Q_NORM || slot == W_ATTN_K_NORM;
            const bool is_there = is_qkv                    ? e->qkv_bias
                                  : slot == W_ATTN_O_BIAS   ? e->o_bias
                                  : is_norm                 ? e->qk_norm
                                  : slot >= W_FFN_GATE_BIAS ? e->ffn_bias
                                                            : true;
            assert_int_equal(slots[slot].name != NULL, is_there);
        }
        assert_int_equal(slots[W_ATTN_K].shape[0], e->n_kv_heads * e->head_dim);
        assert_int_equal(slots[W_ATTN_K].shape[1], e->hidden);
        assert_int_equal(slots[W_FFN_DOWN].shape[1], e->intermediate);
    }
}

static void test_oracles_open_with_the_right_numbers(void **state) {
    for (size_t i = 0; i < N_EXPECTED; i++) {
        struct model *model = open_model(test_shared_path(expected[i].path));
        check_info(&expected[i], model_info(model));
        check_hparams(&expected[i], model_hparams(model));
        check_slots(&expected[i], model);
        model_close(model);
    }
}

static void test_oracles_windows_by_layer(void **state) {
    static const struct {
        const char *path;
        uint32_t windows[3];
    } cases[] = {
        {"oracle/mistral", {24, 24, 24}},
        {"oracle/qwen2-swa", {0, 24, 24}},
        {"oracle/qwen2-tied", {0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *model = open_model(test_shared_path(cases[i].path));
        for (uint32_t layer = 0; layer < 3; layer++)
            assert_int_equal(model_hparams(model)->layers[layer].sliding_window,
                             cases[i].windows[layer]);
        model_close(model);
    }
}

static void test_oracles_rope_parameters(void **state) {
    struct model *model = open_model(test_shared_path("oracle/qwen3-yarn"));
    const struct rope_params *rope = &model_hparams(model)->rope;
    assert_int_equal(rope->kind, ROPE_YARN);
    assert_true(rope->factor == 2 && rope->beta_fast == 4 && rope->beta_slow == 0.5);
    assert_true(rope->attention_factor == 1.15);
    assert_int_equal(rope->original_length, 96);
    assert_true(rope->truncate);
    model_close(model);

    model = open_model(test_shared_path("oracle/llama3-rope"));
    rope = &model_hparams(model)->rope;
    assert_int_equal(rope->kind, ROPE_LLAMA3);
    assert_true(rope->factor == 8 && rope->low_freq_factor == 1 && rope->high_freq_factor == 4);
    assert_int_equal(rope->original_length, 64);
    model_close(model);

    model = open_model(test_shared_path("oracle/llama-dynamic"));
    rope = &model_hparams(model)->rope;
    assert_int_equal(rope->kind, ROPE_DYNAMIC);
    assert_int_equal(rope->max_position, 64);
    model_close(model);
}

static void test_oracles_same_weights_from_folder_and_gguf(void **state) {
    struct model *hf = open_model(test_shared_path("oracle/qwen2"));
    struct model *gguf = open_model(test_shared_path("oracle/gguf/qwen2-f32.gguf"));

    for (uint32_t layer = 0; layer < 3; layer++)
        for (uint32_t slot = 0; slot < LAYER_SLOTS; slot++) {
            const struct tensor *a = &model_weights(hf)->layers[layer].slots[slot];
            const struct tensor *b = &model_weights(gguf)->layers[layer].slots[slot];
            assert_int_equal(a->n_bytes, b->n_bytes);
            if (a->name)
                assert_memory_equal(a->data, b->data, a->n_bytes);
        }
    model_close(gguf);
    model_close(hf);
}

static void test_oracles_of_other_families_are_refused_by_name(void **state) {
    static const struct {
        const char *path;
        const char *text;
    } cases[] = {
        {"oracle/gemma3", "model_type 'gemma3_text' (Gemma3ForCausalLM) is not served; served are: "
                          "llama, mistral, qwen2, qwen3"},
        {"oracle/bert-mean", "model_type 'bert'"},
        {"oracle/quant/hf-gptq", "quant_method 'gptq' is not served"},
        {"oracle/quant/hf-awq", "quant_method 'awq' is not served"},
        {"oracle/quant/hf-fp8-block", "quant_method 'fp8' is not served"},
        {"oracle/quant/hf-ct-int8", "quant_method 'compressed-tensors' is not served"},
        {"oracle/gguf/mamba-f32.gguf",
         "general.architecture 'mamba' is not served; served are: llama, qwen2, qwen3"},
        {"oracle/quant/zoo.gguf", "general.architecture 'zoo' is not served"},
        {"oracle/quant/qwen3-q-IQ3_S.gguf",
         "blk.#.attn_q.weight: type not served in layers 0 to 1 (IQ3_S)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *model;
        struct error error;
        assert_int_equal(model_open(test_shared_path(cases[i].path), &model, &error), -ENOTSUP);
        if (!strstr(error.message, cases[i].text))
            fail_msg("%s: %s", cases[i].path, error.message);
    }
}

static void test_demo_model_opens(void **state) {
    struct model *model = open_model(test_path("share/models/demo"));
    const struct model_info *info = model_info(model);

    assert_string_equal(info->name, "demo");
    assert_string_equal(info->format, "safetensors");
    assert_string_equal(info->architecture, "Qwen3ForCausalLM");
    assert_int_equal(info->n_types, 1);
    assert_string_equal(info->types[0].type, "BF16");
    assert_int_equal(info->weight_bytes, 2 * info->n_params);
    assert_int_equal(info->n_eos, 2);
    assert_int_equal(info->eos[0], 5113);
    assert_true(info->has_generation_defaults);
    assert_true(info->generation_defaults.temperature == 0.7f);
    assert_non_null(info->chat_template);
    assert_int_equal(strlen(info->chat_template), info->chat_template_len);
    model_close(model);
}

static void test_tokenizers_of_both_formats_open(void **state) {
    const char *paths[] = {test_path("share/models/demo"), test_shared_path("oracle/llama"),
                           test_shared_path("oracle/gguf/qwen2-f32.gguf")};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct model *model = open_model(paths[i]);
        struct tokenizer *tokenizer;
        struct token_buf ids = {.ids = NULL};
        struct error error;
        if (model_open_tokenizer(model, &tokenizer, &error) < 0)
            fail_msg("%s", error.message);

        assert_int_equal(tokenizer_encode(tokenizer, "hello", 5, 0, NULL, 0, &ids), 0);
        assert_true(ids.n > 0);
        assert_true(tokenizer_n_vocab(tokenizer) <= model_info(model)->n_vocab);
        token_buf_fini(&ids);
        tokenizer_close(tokenizer);
        model_close(model);
    }
}

static void test_released_tensors_can_still_be_read(void **state) {
    struct model *model = open_model(test_path("share/models/demo"));
    const struct tensor *embedding = &model_weights(model)->global[W_TOKEN_EMBEDDING];
    const char *data = embedding->data;
    uint64_t before = 0, after = 0;

    for (size_t i = 0; i < embedding->n_bytes; i++)
        before = before * 31 + (unsigned char)data[i];
    model_release_tensor(model, embedding);
    for (size_t i = 0; i < embedding->n_bytes; i++)
        after = after * 31 + (unsigned char)data[i];
    assert_true(before == after);
    model_close(model);
}

static void test_paths_that_are_no_model_are_refused(void **state) {
    static const struct {
        const char *path;
        int code;
        const char *text;
    } cases[] = {
        {"no/such/thing", -ENOENT, "no such folder or file"},
        {"engine", -ENOENT, "has no config.json"},
        {"meson.build", -EINVAL, "neither a model folder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *model;
        struct error error;
        assert_int_equal(model_open(test_path(cases[i].path), &model, &error), cases[i].code);
        assert_non_null(strstr(error.message, cases[i].text));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_demo_model_opens),
        cmocka_unit_test(test_tokenizers_of_both_formats_open),
        cmocka_unit_test(test_released_tensors_can_still_be_read),
        cmocka_unit_test(test_paths_that_are_no_model_are_refused),
        cmocka_unit_test(test_oracles_open_with_the_right_numbers),
        cmocka_unit_test(test_oracles_windows_by_layer),
        cmocka_unit_test(test_oracles_rope_parameters),
        cmocka_unit_test(test_oracles_same_weights_from_folder_and_gguf),
        cmocka_unit_test(test_oracles_of_other_families_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
