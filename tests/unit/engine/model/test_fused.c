/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules that take some rows of a stored tensor (fused q|k|v and gate|up), with a table of rules
 * that only this test has, on tensors that are in no file.
 */
#include <errno.h>
#include <string.h>

#include "model/bind.h"
#include "support.h"

enum { HIDDEN = 32, N_LAYERS = 2 };

#define LAYER(name) .scope = PER_LAYER, .hf_name = "l.#." name
#define QKV .fused = {DIM_Q, DIM_KV, DIM_KV}
#define GATE_UP .fused = {DIM_INTERMEDIATE, DIM_INTERMEDIATE}

static const struct tensor_rule rules[] = {
    {.slot = W_ATTN_Q, LAYER("qkv"), .shape = {DIM_Q, DIM_HIDDEN}, QKV, .part = 0},
    {.slot = W_ATTN_K, LAYER("qkv"), .shape = {DIM_KV, DIM_HIDDEN}, QKV, .part = 1},
    {.slot = W_ATTN_V, LAYER("qkv"), .shape = {DIM_KV, DIM_HIDDEN}, QKV, .part = 2},
    {.slot = W_ATTN_Q_BIAS, LAYER("qkv_bias"), .shape = {DIM_Q}, QKV, .part = 0},
    {.slot = W_ATTN_K_BIAS, LAYER("qkv_bias"), .shape = {DIM_KV}, QKV, .part = 1},
    {.slot = W_ATTN_V_BIAS, LAYER("qkv_bias"), .shape = {DIM_KV}, QKV, .part = 2},
    {.slot = W_FFN_GATE, LAYER("gate_up"), .shape = {DIM_INTERMEDIATE, DIM_HIDDEN}, GATE_UP},
    {.slot = W_FFN_UP,
     LAYER("gate_up"),
     .shape = {DIM_INTERMEDIATE, DIM_HIDDEN},
     GATE_UP,
     .part = 1},
    {.slot = W_FFN_DOWN, LAYER("down"), .shape = {DIM_HIDDEN, DIM_INTERMEDIATE}},
};
static const struct rule_table table = {.rules = rules, .n = sizeof rules / sizeof *rules};
static const struct rule_table *const tables[] = {&table, NULL};
static const struct family family = {.name = "test", .tables = tables};

/* Layers that differ, so that a slice is of its own layer's sizes. */
static const struct layer_spec specs[N_LAYERS] = {
    {.attention = {.n_heads = 4, .n_kv_heads = 2, .head_dim = 8}, .intermediate_size = 64},
    {.attention = {.n_heads = 3, .n_kv_heads = 1, .head_dim = 16}, .intermediate_size = 96},
};

struct world {
    struct hparams hparams;
    struct arena arena;
    struct problems problems;
    struct tensor_dir dir;
    struct model_weights weights;
    unsigned char data[1 << 15]; /* of every tensor: only addresses matter */
};

static void add(struct world *w, const char *name, uint32_t type, uint64_t n_rows,
                uint64_t n_cols) {
    const struct weight_type_info *info = weight_type_info(type);
    const struct stored_tensor stored = {
        .type_name = info->name,
        .type = type,
        .n_dims = n_cols ? 2 : 1,
        .shape = {n_rows, n_cols ? n_cols : 1, 1, 1},
        .data = w->data,
        .n_bytes = n_rows * (n_cols ? n_cols : 1) / info->block_len * info->block_bytes,
    };
    assert_true(stored.n_bytes <= sizeof w->data);
    assert_int_equal(tensor_dir_add(&w->dir, &stored, name, strlen(name), NULL), 0);
}

static void world_init(struct world *w) {
    *w = (struct world){
        .hparams = {.hidden_size = HIDDEN,
                    .n_layers = N_LAYERS,
                    .layers = (struct layer_spec *)(uintptr_t)specs}, /* only read */
    };
}

static void world_bind(struct world *w) {
    struct hparams_build build = {&w->hparams, &w->arena, &w->problems};
    assert_int_equal(tensor_dir_sort(&w->dir, NULL), 0);
    weights_bind(&family, STORED_HF, &w->dir, &build, &w->weights);
}

static void world_fini(struct world *w) {
    tensor_dir_fini(&w->dir);
    arena_fini(&w->arena);
}

static void assert_rows(const struct world *w, uint32_t layer, enum layer_slot slot,
                        uint64_t first_row, uint64_t n_rows, size_t row_bytes) {
    const struct tensor *t = &w->weights.layers[layer].slots[slot];
    assert_non_null(t->name);
    assert_int_equal(t->shape[0], n_rows);
    assert_int_equal(t->n_bytes, n_rows * row_bytes);
    assert_int_equal((const unsigned char *)t->data - w->data, first_row * row_bytes);
}

static void test_fused_tensors_fill_their_slots_with_their_rows(void **state) {
    const size_t q8 = 34, q4 = 18, f32 = 4; /* bytes of a row of 32; of a bias */
    struct world w;
    world_init(&w);
    add(&w, "l.0.qkv", WEIGHT_Q8_0, 32 + 16 + 16, HIDDEN);
    add(&w, "l.0.qkv_bias", WEIGHT_F32, 64, 0);
    add(&w, "l.0.gate_up", WEIGHT_Q4_0, 128, HIDDEN);
    add(&w, "l.0.down", WEIGHT_F32, HIDDEN, 64);
    add(&w, "l.1.qkv", WEIGHT_F32, 48 + 16 + 16, HIDDEN);
    add(&w, "l.1.qkv_bias", WEIGHT_F16, 80, 0);
    add(&w, "l.1.gate_up", WEIGHT_Q8_0, 192, HIDDEN);
    add(&w, "l.1.down", WEIGHT_Q8_0, HIDDEN, 96);
    world_bind(&w);
    if (w.problems.n > 0)
        fail_msg("%s", w.problems.text);

    assert_rows(&w, 0, W_ATTN_Q, 0, 32, q8);
    assert_rows(&w, 0, W_ATTN_K, 32, 16, q8);
    assert_rows(&w, 0, W_ATTN_V, 48, 16, q8);
    assert_rows(&w, 0, W_ATTN_Q_BIAS, 0, 32, f32);
    assert_rows(&w, 0, W_ATTN_K_BIAS, 32, 16, f32);
    assert_rows(&w, 0, W_ATTN_V_BIAS, 48, 16, f32);
    assert_rows(&w, 0, W_FFN_GATE, 0, 64, q4);
    assert_rows(&w, 0, W_FFN_UP, 64, 64, q4);
    assert_rows(&w, 0, W_FFN_DOWN, 0, 32, 64 * f32);
    assert_rows(&w, 1, W_ATTN_Q, 0, 48, HIDDEN * f32);
    assert_rows(&w, 1, W_ATTN_K, 48, 16, HIDDEN * f32);
    assert_rows(&w, 1, W_ATTN_V, 64, 16, HIDDEN * f32);
    assert_rows(&w, 1, W_ATTN_V_BIAS, 64, 16, 2);
    assert_rows(&w, 1, W_FFN_GATE, 0, 96, q8);
    assert_rows(&w, 1, W_FFN_UP, 96, 96, q8);
    assert_int_equal(w.weights.layers[1].slots[W_FFN_UP].shape[1], HIDDEN);
    world_fini(&w);
}

/* What is wrong with the whole is said once, not for each part of it. */
static void test_fused_tensors_that_are_wrong_are_said_once(void **state) {
    struct world w;
    world_init(&w);
    add(&w, "l.0.qkv", WEIGHT_F32, 63, HIDDEN); /* one row short */
    add(&w, "l.0.qkv_bias", WEIGHT_F32, 64, 0);
    add(&w, "l.0.down", WEIGHT_F32, HIDDEN, 64); /* and no gate_up in either layer */
    add(&w, "l.1.qkv", WEIGHT_F32, 80, HIDDEN);
    add(&w, "l.1.qkv_bias", WEIGHT_F32, 80, 0);
    add(&w, "l.1.down", WEIGHT_F32, HIDDEN, 96);
    world_bind(&w);
    assert_int_equal(w.problems.n, 2);
    assert_string_equal(w.problems.text,
                        "l.#.qkv: wrong shape in layer 0 (expected [64, 32], found [63, 32]); "
                        "l.#.gate_up: missing in layers 0 to 1");
    world_fini(&w);
}

/* Rows that do not begin on a block cannot be taken out. */
static void test_fused_tensors_of_broken_rows_are_refused(void **state) {
    struct world w;
    world_init(&w);
    add(&w, "l.0.qkv", WEIGHT_F32, 64, HIDDEN);
    add(&w, "l.0.qkv_bias", WEIGHT_Q8_0, 64, 0);
    add(&w, "l.0.gate_up", WEIGHT_F32, 128, HIDDEN);
    add(&w, "l.0.down", WEIGHT_F32, HIDDEN, 64);
    w.hparams.n_layers = 1;
    world_bind(&w);
    assert_int_equal(w.problems.n, 1);
    assert_string_equal(w.problems.text, "l.#.qkv_bias: type not served in layer 0 (Q8_0)");
    world_fini(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fused_tensors_fill_their_slots_with_their_rows),
        cmocka_unit_test(test_fused_tensors_that_are_wrong_are_said_once),
        cmocka_unit_test(test_fused_tensors_of_broken_rows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
