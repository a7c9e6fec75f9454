/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Binding by rules, on tiny GGUF files: what is missing, misshaped, of a type that is not served
 * or not asked for is said once for all layers, and everything of a file at once.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gguf_build.h"
#include "kvasir/mem.h"
#include "kvasir/model.h"
#include "model/weights.h"
#include "scratch.h"
#include "support.h"

enum { MAX_TENSORS = 64 };

/* The tensors of the file to be written; tests edit the list. */
struct plan {
    struct plan_tensor {
        char name[64];
        uint32_t n_dims;
        uint64_t dims[2]; /* innermost first */
        uint32_t type;
    } tensors[MAX_TENSORS];
    size_t n;
    const char *arch;
    uint32_t n_blocks, n_nextn;
    const char *extra_key; /* a float key without its prefix; NULL: none */
    float extra_value;
};

static void plan_add(struct plan *plan, const char *name, uint64_t n_cols, uint64_t n_rows) {
    struct plan_tensor *tensor = &plan->tensors[plan->n++];
    assert_true(plan->n <= MAX_TENSORS);

    (void)snprintf(tensor->name, sizeof tensor->name, "%s", name);
    tensor->n_dims = n_rows ? 2 : 1;
    tensor->dims[0] = n_cols;
    tensor->dims[1] = n_rows;
    tensor->type = WEIGHT_F32;
}

static struct plan_tensor *plan_find(struct plan *plan, const char *name) {
    for (size_t i = 0; i < plan->n; i++)
        if (strcmp(plan->tensors[i].name, name) == 0)
            return &plan->tensors[i];
    fail_msg("no %s in the plan", name);
    return NULL;
}

static void plan_remove(struct plan *plan, const char *name) {
    *plan_find(plan, name) = plan->tensors[--plan->n];
}

static void plan_layer(struct plan *plan, uint32_t layer) {
    static const struct {
        const char *name;
        uint64_t n_cols, n_rows;
    } tensors[] = {
        {"attn_norm", 32, 0}, {"attn_q", 32, 32},      {"attn_k", 32, 16},
        {"attn_v", 32, 16},   {"attn_output", 32, 32}, {"ffn_norm", 32, 0},
        {"ffn_gate", 32, 64}, {"ffn_up", 32, 64},      {"ffn_down", 64, 32},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "blk.%u.%s.weight", layer, tensors[i].name);
        plan_add(plan, name, tensors[i].n_cols, tensors[i].n_rows);
    }
}

/* llama: width 32, inner 64, 4 heads, 2 key-value heads of 8, vocabulary 10, 3 layers. */
static void plan_init(struct plan *plan) {
    *plan = (struct plan){.arch = "llama", .n_blocks = 3};
    plan_add(plan, "token_embd.weight", 32, 10);
    plan_add(plan, "output_norm.weight", 32, 0);
    plan_add(plan, "output.weight", 32, 10);
    for (uint32_t layer = 0; layer < 3; layer++)
        plan_layer(plan, layer);
}

static size_t tensor_bytes(const struct plan_tensor *tensor) {
    const struct weight_type_info *layout = weight_type_layout(tensor->type);
    const size_t n_rows = tensor->n_dims == 2 ? tensor->dims[1] : 1;
    return (tensor->dims[0] / layout->block_len * layout->block_bytes * n_rows + 31) / 32 * 32;
}

static void add_arch_u32(struct buf *file, const struct plan *plan, const char *key, uint32_t n) {
    char name[96];
    (void)snprintf(name, sizeof name, "%s.%s", plan->arch, key);
    gguf_add_u32(file, name, n);
}

static void write_plan(const struct plan *plan) {
    struct buf file;
    char key[96];
    gguf_begin(&file, 3, plan->n, plan->extra_key ? 10 : 9);
    gguf_add_string(&file, "general.architecture", plan->arch);
    add_arch_u32(&file, plan, "embedding_length", 32);
    add_arch_u32(&file, plan, "feed_forward_length", 64);
    add_arch_u32(&file, plan, "attention.head_count", 4);
    add_arch_u32(&file, plan, "attention.head_count_kv", 2);
    add_arch_u32(&file, plan, "context_length", 100);
    add_arch_u32(&file, plan, "block_count", plan->n_blocks);
    add_arch_u32(&file, plan, "nextn_predict_layers", plan->n_nextn);
    (void)snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", plan->arch);
    gguf_add_f32(&file, key, 1e-5f);
    if (plan->extra_key) {
        (void)snprintf(key, sizeof key, "%s.%s", plan->arch, plan->extra_key);
        gguf_add_f32(&file, key, plan->extra_value);
    }

    size_t offset = 0;
    for (size_t i = 0; i < plan->n; i++) {
        const struct plan_tensor *tensor = &plan->tensors[i];
        gguf_add_info(&file, tensor->name, tensor->n_dims, tensor->dims, tensor->type, offset);
        offset += tensor_bytes(tensor);
    }
    gguf_pad(&file, 32);
    gguf_put_zeros(&file, offset);
    FILE *out = fopen(scratch_path("m.gguf"), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file.data, 1, file.len, out), file.len);
    assert_int_equal(fclose(out), 0);
    buf_fini(&file);
}

static struct model *expect_open(const struct plan *plan) {
    struct model *model = NULL;
    struct error error;
    write_plan(plan);
    if (model_open(scratch_path("m.gguf"), &model, &error) != 0)
        fail_msg("%s", error.message);
    return model;
}

static void expect_refused(const struct plan *plan, int code, const char *text) {
    struct model *model;
    struct error error;
    write_plan(plan);
    const int r = model_open(scratch_path("m.gguf"), &model, &error);
    if (r != code || !strstr(error.message, text))
        fail_msg("expected %d '%s', got %d: %s", code, text, r, error.message);
}

static int set_up(void **state) {
    (void)scratch_create();
    return 0;
}

static int tear_down(void **state) {
    scratch_destroy();
    return 0;
}

static void test_bind_sound_file(void **state) {
    struct plan plan;
    plan_init(&plan);
    struct model *model = expect_open(&plan);

    assert_false(model_info(model)->tied_embeddings);
    assert_int_equal(model_info(model)->n_vocab, 10);
    assert_int_equal(model_info(model)->max_position, 100);
    assert_string_equal(model_info(model)->name, "m");
    assert_string_equal(model_weights(model)->layers[2].slots[W_FFN_DOWN].name,
                        "blk.2.ffn_down.weight");
    model_close(model);
}

static void test_bind_without_output_is_tied(void **state) {
    struct plan plan;
    plan_init(&plan);
    plan_remove(&plan, "output.weight");
    struct model *model = expect_open(&plan);

    assert_true(model_info(model)->tied_embeddings);
    assert_null(model_weights(model)->global[W_OUTPUT].name);
    model_close(model);
}

static void test_bind_missing_tensors_are_named_with_their_layers(void **state) {
    struct plan plan;

    plan_init(&plan);
    plan_remove(&plan, "output_norm.weight");
    expect_refused(&plan, -EINVAL, "output_norm.weight: missing");
    plan_init(&plan);
    plan_remove(&plan, "blk.1.attn_k.weight");
    expect_refused(&plan, -EINVAL, "blk.#.attn_k.weight: missing in layer 1");
    plan_init(&plan);
    plan_remove(&plan, "blk.0.attn_k.weight");
    plan_remove(&plan, "blk.2.attn_k.weight");
    expect_refused(&plan, -EINVAL, "blk.#.attn_k.weight: missing in 2 of the layers 0 to 2");
    plan_init(&plan);
    plan.n_blocks = 5;
    expect_refused(&plan, -EINVAL, "blk.#.ffn_up.weight: missing in layers 3 to 4");
}

static void test_bind_everything_wrong_is_said_at_once(void **state) {
    struct plan plan;
    struct model *model;
    struct error error;
    plan_init(&plan);
    plan_remove(&plan, "output_norm.weight");
    plan_remove(&plan, "blk.1.attn_k.weight");
    plan_find(&plan, "blk.2.ffn_down.weight")->dims[1] = 31;
    plan_find(&plan, "blk.0.ffn_up.weight")->type = 20;
    plan_add(&plan, "blk.1.attn_sinks.weight", 4, 0);
    write_plan(&plan);

    assert_int_equal(model_open(scratch_path("m.gguf"), &model, &error), -EINVAL);
    assert_non_null(strstr(error.message, "output_norm.weight: missing; "
                                          "blk.#.attn_k.weight: missing in layer 1; "
                                          "blk.#.ffn_up.weight: type not served in layer 0 "
                                          "(IQ4_NL); "
                                          "blk.#.ffn_down.weight: wrong shape in layer 2 "
                                          "(expected [32, 64], found [31, 64]); "
                                          "unexpected tensor blk.1.attn_sinks.weight"));
}

static void test_bind_every_shape_of_every_tensor_is_checked(void **state) {
    struct plan plan;
    plan_init(&plan);
    const size_t n = plan.n;

    for (size_t i = 0; i < n; i++) {
        if (strcmp(plan.tensors[i].name, "token_embd.weight") == 0)
            continue; /* its rows are the vocabulary: all others differ then */
        for (uint32_t dim = 0; dim < plan.tensors[i].n_dims; dim++) {
            plan_init(&plan);
            plan.tensors[i].dims[dim] += 32;
            expect_refused(&plan, -EINVAL, "wrong shape");
        }
        plan_init(&plan);
        if (plan.tensors[i].n_dims == 1) {
            plan.tensors[i].n_dims = 2;
            plan.tensors[i].dims[1] = 1;
        } else {
            plan.tensors[i].n_dims = 1;
        }
        expect_refused(&plan, -EINVAL, "wrong shape");
    }
}

static void test_bind_unexpected_tensors_of_a_layer_are_refused(void **state) {
    struct plan plan;

    plan_init(&plan); /* the flag is read from layer 0, so a bias elsewhere is one too many */
    plan_add(&plan, "blk.1.attn_q.bias", 32, 0);
    expect_refused(&plan, -ENOTSUP, "unexpected tensor blk.1.attn_q.bias");
    plan_init(&plan); /* and in layer 0 alone, the others miss it */
    plan_add(&plan, "blk.0.attn_q.bias", 32, 0);
    expect_refused(&plan, -EINVAL, "blk.#.attn_q.bias: missing in layers 1 to 2");
    plan_init(&plan);
    plan_add(&plan, "blk.0.attn_q.scale", 1, 0);
    plan_add(&plan, "blk.0.attn_k.scale", 1, 0);
    expect_refused(&plan, -ENOTSUP, "2 unexpected tensors, the first is blk.0.attn_k.scale");
}

static void test_bind_tensors_that_are_nobodys_business_are_ignored(void **state) {
    static const char *const names[] = {
        "blk.3.attn_q.weight", "blk.30.attn_q.weight",
        "blk.x.attn_q.weight", "blk.",
        "blk.99999999999.a",   "v.blk.0.attn_q.weight",
        "mm.0.weight",         "blk.0.attn_rot_embd",
    };
    struct plan plan;
    plan_init(&plan);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        plan_add(&plan, names[i], 32, 0);
    model_close(expect_open(&plan));
}

static void test_bind_trailing_prediction_layers_are_skipped(void **state) {
    struct plan plan;
    plan_init(&plan);
    plan.n_blocks = 3;
    plan.n_nextn = 1;
    struct model *model = expect_open(&plan);

    assert_int_equal(model_info(model)->n_layers, 2);
    model_close(model);
}

static void test_bind_every_served_type_is_taken(void **state) {
    for (uint32_t type = 0; type < WEIGHT_TYPE_END; type++) {
        struct plan plan;
        plan_init(&plan);
        struct plan_tensor *tensor = plan_find(&plan, "blk.0.ffn_up.weight");
        if (!weight_type_layout(type) || tensor->dims[0] % weight_type_layout(type)->block_len != 0)
            continue;
        tensor->type = type;
        if (weight_type_info(type))
            model_close(expect_open(&plan));
        else
            expect_refused(&plan, -ENOTSUP, weight_type_layout(type)->name);
    }
}

static void test_keys_that_would_change_the_numbers_are_refused(void **state) {
    static const struct {
        const char *key;
        float value;
        bool is_neutral;
    } cases[] = {
        {"attention.scale", 0, true},          {"attention.scale", 0.1f, false},
        {"attn_logit_softcapping", 50, false}, {"final_logit_softcapping", 30, false},
        {"residual_scale", 1, true},           {"residual_scale", 0.2f, false},
        {"embedding_scale", 12, false},        {"logit_scale", 0.06f, false},
        {"attention.clamp_kqv", 8, false},     {"attention.max_alibi_bias", 8, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct plan plan;
        plan_init(&plan);
        plan.extra_key = cases[i].key;
        plan.extra_value = cases[i].value;
        if (cases[i].is_neutral)
            model_close(expect_open(&plan));
        else
            expect_refused(&plan, -ENOTSUP, cases[i].key);
    }
}

static bool fail_at(void *ctx, size_t size) {
    uint32_t *left = ctx;
    return (*left)-- == 0;
}

static void test_model_open_every_allocation_failed_in_turn(void **state) {
    struct plan plan;
    struct model *model;
    struct error error;
    plan_init(&plan);
    write_plan(&plan);

    int r = -ENOMEM;
    uint32_t n_failed = 0;
    for (; r != 0 && n_failed < 200; n_failed++) {
        uint32_t left = n_failed;
        error = (struct error){.message = ""};
        mem_set_fault_hook(fail_at, &left);
        r = model_open(scratch_path("m.gguf"), &model, &error);
        mem_set_fault_hook(NULL, NULL);
        assert_true(r == 0 || (r == -ENOMEM && error.message[0]));
    }
    assert_int_equal(r, 0);
    assert_true(n_failed > 8);
    model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bind_sound_file),
        cmocka_unit_test(test_bind_without_output_is_tied),
        cmocka_unit_test(test_bind_missing_tensors_are_named_with_their_layers),
        cmocka_unit_test(test_bind_everything_wrong_is_said_at_once),
        cmocka_unit_test(test_bind_every_shape_of_every_tensor_is_checked),
        cmocka_unit_test(test_bind_unexpected_tensors_of_a_layer_are_refused),
        cmocka_unit_test(test_bind_tensors_that_are_nobodys_business_are_ignored),
        cmocka_unit_test(test_bind_trailing_prediction_layers_are_skipped),
        cmocka_unit_test(test_bind_every_served_type_is_taken),
        cmocka_unit_test(test_keys_that_would_change_the_numbers_are_refused),
        cmocka_unit_test(test_model_open_every_allocation_failed_in_turn),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
