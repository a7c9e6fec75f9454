/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tiny folder, written here: what config.json may say, and what the files around the weights
 * say about text.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/mem.h"
#include "kvasir/model.h"
#include "model/weights.h"
#include "scratch.h"
#include "support.h"

/* Appends one F32 tensor's header entry and advances *offset. */
static void add_tensor(struct buf *header, size_t *offset, const char *name, size_t n_rows,
                       size_t n_cols) {
    const size_t n_bytes = (n_rows ? n_rows : 1) * n_cols * sizeof(float);

    buf_printf(header, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", header->len ? "," : "{", name);
    if (n_rows)
        buf_printf(header, "%zu,", n_rows);
    buf_printf(header, "%zu],\"data_offsets\":[%zu,%zu]}", n_cols, *offset, *offset + n_bytes);
    *offset += n_bytes;
}

/*
 * One layer: width 8, inner 12, 2 heads of 4, vocabulary 20; no biases; q and k norms if wanted,
 * and one more tensor [8].
 */
static void write_file(bool has_head, bool has_norms, const char *extra) {
    struct buf header;
    size_t n_data = 0;
    buf_init(&header, 0);
    add_tensor(&header, &n_data, "model.embed_tokens.weight", 20, 8);
    add_tensor(&header, &n_data, "model.norm.weight", 0, 8);
    if (has_head)
        add_tensor(&header, &n_data, "lm_head.weight", 20, 8);
    static const char *const squares[] = {"q", "k", "v", "o"};
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "model.layers.0.self_attn.%s_proj.weight", squares[i]);
        add_tensor(&header, &n_data, name, 8, 8);
    }
    add_tensor(&header, &n_data, "model.layers.0.input_layernorm.weight", 0, 8);
    add_tensor(&header, &n_data, "model.layers.0.post_attention_layernorm.weight", 0, 8);
    add_tensor(&header, &n_data, "model.layers.0.mlp.gate_proj.weight", 12, 8);
    add_tensor(&header, &n_data, "model.layers.0.mlp.up_proj.weight", 12, 8);
    add_tensor(&header, &n_data, "model.layers.0.mlp.down_proj.weight", 8, 12);
    if (has_norms) {
        add_tensor(&header, &n_data, "model.layers.0.self_attn.q_norm.weight", 0, 4);
        add_tensor(&header, &n_data, "model.layers.0.self_attn.k_norm.weight", 0, 4);
    }
    if (extra)
        add_tensor(&header, &n_data, extra, 0, 8);
    buf_append_char(&header, '}');

    scratch_write("m/", NULL);
    FILE *out = fopen(scratch_path("m/model.safetensors"), "wb");
    assert_non_null(out);
    for (int i = 0; i < 8; i++)
        assert_int_not_equal(fputc((int)(header.len >> (8 * i) & 0xff), out), EOF);
    assert_int_equal(fwrite(header.data, 1, header.len, out), header.len);
    for (size_t i = 0; i < n_data; i++)
        assert_int_not_equal(fputc(0, out), EOF);
    assert_int_equal(fclose(out), 0);
    buf_fini(&header);
}

static void write_weights(bool has_head, const char *extra) {
    write_file(has_head, /* has_norms= */ false, extra);
}

static void write_weights_with_norms(void) {
    write_file(/* has_head= */ true, /* has_norms= */ true, /* extra= */ NULL);
}

#define SIZES                                                                                      \
    "\"vocab_size\":20,\"hidden_size\":8,\"intermediate_size\":12,\"num_hidden_layers\":1,"        \
    "\"num_attention_heads\":2,\"max_position_embeddings\":64"
#define LLAMA "\"model_type\":\"llama\",\"architectures\":[\"LlamaForCausalLM\"]," SIZES

static int set_up(void **state) {
    (void)scratch_create();
    write_weights(/* has_head= */ true, /* extra= */ NULL);
    scratch_write("m/config.json", "{" LLAMA "}");
    return 0;
}

static int tear_down(void **state) {
    scratch_destroy();
    return 0;
}

static struct model *expect_open(void) {
    struct model *model = NULL;
    struct error error;
    if (model_open(scratch_path("m"), &model, &error) < 0)
        fail_msg("%s", error.message);
    return model;
}

static void expect_refused(const char *config, int code, const char *text) {
    struct model *model;
    struct error error;
    scratch_write("m/config.json", config);
    const int r = model_open(scratch_path("m"), &model, &error);
    if (r != code || !strstr(error.message, text))
        fail_msg("%s: expected %d '%s', got %d: %s", config, code, text, r, error.message);
}

static void test_config_defaults(void **state) {
    struct model *model = expect_open();
    const struct hparams *hp = model_hparams(model);

    assert_int_equal(hp->layers[0].attention.n_kv_heads, 2);
    assert_int_equal(hp->layers[0].attention.head_dim, 4);
    assert_true(hp->norm_eps == 1e-6f);
    assert_true(hp->rope.theta == 10000);
    assert_false(hp->tied_embeddings);
    assert_false(hp->qkv_bias || hp->o_bias || hp->ffn_bias || hp->qk_norm);
    assert_int_equal(model_info(model)->bos, TOKEN_NONE);
    assert_int_equal(model_info(model)->n_eos, 0);
    assert_null(model_info(model)->chat_template);
    assert_false(model_info(model)->has_generation_defaults);
    assert_true(model_info(model)->generation_defaults.temperature == 1.0f);
    model_close(model);
}

static void test_config_that_is_wrong_is_refused_by_field(void **state) {
    static const struct {
        const char *config;
        int code;
        const char *text;
    } cases[] = {
        {"", -EINVAL, "config.json: expected an object"},
        {"{", -EINVAL, "config.json"},
        {"{}", -ENOTSUP, "model_type '' () is not served"},
        {"{\"model_type\":7}", -ENOTSUP, "is not served"},
        {"{\"model_type\":\"llama\",\"architectures\":[\"LlamaForSequenceClassification\"]," SIZES
         "}",
         -ENOTSUP, "only LlamaForCausalLM is"},
        {"{" LLAMA ",\"quantization_config\":{\"quant_method\":\"bitsandbytes\"}}", -ENOTSUP,
         "quant_method 'bitsandbytes' is not served"},
        {"{" LLAMA ",\"hidden_act\":\"relu2\"}", -ENOTSUP, "hidden_act 'relu2'"},
        {"{" LLAMA ",\"num_key_value_heads\":3}", -EINVAL, "no multiple of 3 key-value heads"},
        {"{" LLAMA ",\"num_key_value_heads\":0}", -EINVAL, "num_key_value_heads"},
        {"{" LLAMA ",\"num_attention_heads\":3}", -EINVAL, "no multiple of the 3 heads"},
        {"{" LLAMA ",\"head_dim\":5}", -EINVAL, "an even number"},
        {"{" LLAMA ",\"num_hidden_layers\":0}", -EINVAL, "num_hidden_layers"},
        {"{" LLAMA ",\"num_hidden_layers\":4097}", -EINVAL, "num_hidden_layers"},
        {"{" LLAMA ",\"num_hidden_layers\":2}", -EINVAL, "missing in layer 1"},
        {"{" LLAMA ",\"vocab_size\":21}", -EINVAL, "expected [21, 8], found [20, 8]"},
        {"{" LLAMA ",\"vocab_size\":4294967296}", -EINVAL, "vocab_size"},
        {"{" LLAMA ",\"hidden_size\":-8}", -EINVAL, "hidden_size"},
        {"{" LLAMA ",\"rms_norm_eps\":0}", -EINVAL, "norm epsilon"},
        {"{" LLAMA ",\"rms_norm_eps\":NaN}", -EINVAL, "rms_norm_eps"},
        {"{" LLAMA ",\"layer_types\":[\"linear_attention\"]}", -ENOTSUP,
         "layer_types: 'linear_attention' is not served"},
        {"{" LLAMA ",\"layer_types\":[]}", -EINVAL, "found 0"},
        {"{" LLAMA ",\"attention_bias\":true}", -EINVAL, "self_attn.q_proj.bias: missing"},
        {"{" LLAMA ",\"mlp_bias\":true}", -EINVAL, "mlp.up_proj.bias: missing"},
        {"{\"model_type\":\"llama\"}", -EINVAL,
         "config.json: vocab_size is missing; config.json: hidden_size is missing; config.json: "
         "intermediate_size is missing; config.json: num_hidden_layers is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused(cases[i].config, cases[i].code, cases[i].text);
}

static void test_config_code_of_a_folder_is_never_looked_at(void **state) {
    scratch_write("m/modeling_evil.py", "raise SystemExit");
    scratch_write("m/config.json",
                  "{" LLAMA ",\"auto_map\":{\"AutoModelForCausalLM\":\"modeling_evil.Evil\"}}");
    model_close(expect_open());
}

static void test_head_tied_and_untied(void **state) {
    struct model *model;

    /* tied and stored: the embedding serves */
    scratch_write("m/config.json", "{" LLAMA ",\"tie_word_embeddings\":true}");
    model = expect_open();
    assert_true(model_info(model)->tied_embeddings);
    model_close(model);

    /* untied and not stored: the embedding serves */
    write_weights(/* has_head= */ false, /* extra= */ NULL);
    scratch_write("m/config.json", "{" LLAMA ",\"tie_word_embeddings\":false}");
    model = expect_open();
    assert_true(model_info(model)->tied_embeddings);
    assert_null(model_weights(model)->global[W_OUTPUT].name);
    model_close(model);
}

static void test_unexpected_bias_is_refused_stale_tensor_is_not(void **state) {
    write_weights(true, "model.layers.0.self_attn.q_proj.bias");
    expect_refused("{" LLAMA "}", -ENOTSUP,
                   "unexpected tensor model.layers.0.self_attn.q_proj.bias");
    write_weights(true, "model.layers.0.self_attn.rotary_emb.inv_freq");
    model_close(expect_open());
    write_weights(true, "model.layers.1.self_attn.q_proj.weight");
    model_close(expect_open());
    write_weights(true, "mtp.layers.0.self_attn.q_proj.weight");
    model_close(expect_open());
}

static void test_qwen_window_needs_its_switch(void **state) {
    write_weights_with_norms();
    static const struct {
        const char *keys;
        uint32_t window;
    } cases[] = {
        {"", 0},
        {",\"sliding_window\":16,\"max_window_layers\":0", 0},
        {",\"sliding_window\":16,\"max_window_layers\":0,\"use_sliding_window\":false", 0},
        {",\"sliding_window\":16,\"max_window_layers\":0,\"use_sliding_window\":true", 16},
        {",\"sliding_window\":16,\"max_window_layers\":1,\"use_sliding_window\":true", 0},
        {",\"sliding_window\":null,\"max_window_layers\":0,\"use_sliding_window\":true", 0},
        {",\"max_window_layers\":0,\"use_sliding_window\":true", 4096},
        {",\"sliding_window\":16,\"layer_types\":[\"sliding_attention\"],"
         "\"use_sliding_window\":true",
         16},
        {",\"sliding_window\":16,\"layer_types\":[\"full_attention\"],\"max_window_layers\":0,"
         "\"use_sliding_window\":true",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[512];
        (void)snprintf(config, sizeof config,
                       "{\"model_type\":\"qwen3\",\"head_dim\":4," SIZES "%s}", cases[i].keys);
        scratch_write("m/config.json", config);
        struct model *model = expect_open();
        assert_int_equal(model_hparams(model)->layers[0].sliding_window, cases[i].window);
        model_close(model);
    }
}

static void test_mistral_window(void **state) {
    static const struct {
        const char *key;
        uint32_t window;
    } cases[] = {
        {"", 4096},
        {",\"sliding_window\":null", 0},
        {",\"sliding_window\":16", 16},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char config[512];
        (void)snprintf(config, sizeof config, "{\"model_type\":\"mistral\"," SIZES "%s}",
                       cases[i].key);
        scratch_write("m/config.json", config);
        struct model *model = expect_open();
        assert_int_equal(model_hparams(model)->layers[0].sliding_window, cases[i].window);
        assert_int_equal(model_info(model)->sliding_window, cases[i].window);
        model_close(model);
    }
}

static void expect_eos(const token_id *ids, uint32_t n) {
    struct model *model = expect_open();
    const struct model_info *info = model_info(model);
    if (info->n_eos != n || memcmp(info->eos, ids, n * sizeof *ids) != 0)
        fail_msg("%u end ids, the first %d", info->n_eos, info->eos[0]);
    model_close(model);
}

static void test_end_ids_are_the_union(void **state) {
    scratch_write("m/config.json", "{" LLAMA ",\"eos_token_id\":[3,4],\"bos_token_id\":1}");
    expect_eos((token_id[]){3, 4}, 2);
    scratch_write("m/generation_config.json", "{\"eos_token_id\":5}");
    expect_eos((token_id[]){5, 3, 4}, 3);
    scratch_write("m/generation_config.json", "{\"eos_token_id\":[4,6]}");
    expect_eos((token_id[]){4, 6, 3}, 3);

    /* the tokenizer's: by added_tokens_decoder, else by tokenizer.json */
    scratch_write("m/tokenizer_config.json",
                  "{\"eos_token\":\"<end>\",\"added_tokens_decoder\":{\"9\":{\"content\":\"<x>\"},"
                  "\"11\":{\"content\":\"<end>\"}}}");
    expect_eos((token_id[]){4, 6, 3, 11}, 4);
    scratch_write("m/tokenizer_config.json", "{\"eos_token\":{\"content\":\"<end>\"}}");
    expect_eos((token_id[]){4, 6, 3}, 3);
    scratch_write("m/tokenizer.json",
                  "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":8,\"content\":\"<x>\"},"
                  "{\"id\":12,\"content\":\"<end>\"}],\"model\":{}}");
    expect_eos((token_id[]){4, 6, 3, 12}, 4);

    /* written with escapes in one file and without in the other */
    scratch_write("m/tokenizer_config.json", "{\"eos_token\":\"<\\u0065nd>\"}");
    expect_eos((token_id[]){4, 6, 3, 12}, 4);

    /* what is no id of the vocabulary cannot occur */
    scratch_write("m/generation_config.json", "{\"eos_token_id\":[-1,20,21,99999999999,19]}");
    scratch_write("m/tokenizer_config.json", "{\"eos_token\":null}");
    expect_eos((token_id[]){19, 3, 4}, 3);
}

static void test_begin_id(void **state) {
    scratch_write("m/generation_config.json", "{\"bos_token_id\":2}");
    struct model *model = expect_open();
    assert_int_equal(model_info(model)->bos, 2);
    model_close(model);

    scratch_write("m/config.json", "{" LLAMA ",\"bos_token_id\":1}");
    model = expect_open();
    assert_int_equal(model_info(model)->bos, 1);
    model_close(model);

    scratch_write("m/config.json", "{" LLAMA ",\"bos_token_id\":20}");
    scratch_write("m/generation_config.json", "{}");
    model = expect_open();
    assert_int_equal(model_info(model)->bos, TOKEN_NONE);
    model_close(model);
}

static void expect_template(const char *source) {
    struct model *model = expect_open();
    const struct model_info *info = model_info(model);
    if (source)
        assert_string_equal(info->chat_template, source);
    else
        assert_null(info->chat_template);
    assert_int_equal(info->chat_template_len, source ? strlen(source) : 0);
    model_close(model);
}

static void test_chat_template_by_order_of_places(void **state) {
    scratch_write("m/chat_template.json", "{\"chat_template\":\"from json\"}");
    expect_template("from json");
    scratch_write("m/tokenizer_config.json", "{\"chat_template\":\"caf\\u00e9 {{\\n}}\"}");
    expect_template("caf\xc3\xa9 {{\n}}");
    scratch_write(
        "m/tokenizer_config.json",
        "{\"chat_template\":[{\"name\":\"rag\",\"template\":\"r\"},"
        "{\"name\":\"default\",\"template\":\"d\"},{\"name\":\"t\",\"template\":\"t\"}]}");
    expect_template("d");
    scratch_write("m/chat_template.jinja", "from jinja");
    expect_template("from jinja");
}

static void test_sampling_defaults_of_the_authors(void **state) {
    scratch_write("m/generation_config.json",
                  "{\"do_sample\":true,\"temperature\":0.6,\"top_p\":0.95,\"top_k\":20,"
                  "\"min_p\":0.1,\"repetition_penalty\":1.05}");
    struct model *model = expect_open();
    const struct sampling_params *p = &model_info(model)->generation_defaults;
    assert_true(model_info(model)->has_generation_defaults);
    assert_true(p->temperature == 0.6f && p->top_p == 0.95f && p->min_p == 0.1f);
    assert_true(p->repetition_penalty == 1.05f);
    assert_int_equal(p->top_k, 20);
    model_close(model);

    scratch_write("m/generation_config.json", "{\"top_k\":-1,\"temperature\":null}");
    model = expect_open();
    p = &model_info(model)->generation_defaults;
    assert_int_equal(p->top_k, 0);
    assert_true(p->temperature == 1.0f);
    model_close(model);

    scratch_write("m/generation_config.json", "{\"temperature\":-1,\"top_p\":2}");
    expect_refused("{" LLAMA "}", -EINVAL,
                   "generation_config.json: temperature: expected 0 to 2, found -1; "
                   "generation_config.json: top_p: expected 1e-06 to 1, found 2");
}

static void test_broken_side_files_are_refused_by_name(void **state) {
    static const char *const names[] = {"generation_config.json", "tokenizer_config.json",
                                        "chat_template.json"};
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "m/%s", names[i]);
        scratch_write(path, "{\"a\":");
        expect_refused("{" LLAMA "}", -EINVAL, names[i]);
        scratch_write(path, "{}");
    }
}

static bool fail_at(void *ctx, size_t size) {
    uint32_t *left = ctx;
    return (*left)-- == 0;
}

static void test_every_allocation_failed_in_turn(void **state) {
    scratch_write("m/generation_config.json", "{\"eos_token_id\":[4,6],\"temperature\":0.5}");
    scratch_write("m/tokenizer_config.json",
                  "{\"eos_token\":\"<end>\",\"chat_template\":\"a\\nb\","
                  "\"added_tokens_decoder\":{\"11\":{\"content\":\"<end>\"}}}");

    struct model *model;
    struct error error;
    int r = -ENOMEM;
    uint32_t n_failed = 0;
    for (; r < 0 && n_failed < 200; n_failed++) {
        uint32_t left = n_failed;
        error = (struct error){.message = ""};
        mem_set_fault_hook(fail_at, &left);
        r = model_open(scratch_path("m"), &model, &error);
        mem_set_fault_hook(NULL, NULL);
        assert_true(r == 0 || error.message[0]);
    }
    assert_int_equal(r, 0);
    assert_true(n_failed > 10);
    assert_int_equal(model_info(model)->n_eos, 3);
    model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_config_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_config_that_is_wrong_is_refused_by_field, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_config_code_of_a_folder_is_never_looked_at, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_head_tied_and_untied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unexpected_bias_is_refused_stale_tensor_is_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_qwen_window_needs_its_switch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mistral_window, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_ids_are_the_union, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_begin_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chat_template_by_order_of_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sampling_defaults_of_the_authors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_broken_side_files_are_refused_by_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_every_allocation_failed_in_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
