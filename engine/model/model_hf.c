/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_hf - a Hugging Face folder: config.json chooses the family, whose rules bind the weights.
 */
#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"
#include "model/model_impl.h"

/* A class name or model_type, cut to what a message can show. */
static int shown(struct json_str str) {
    return (int)(str.len < 60 ? str.len : 60);
}

/* architectures[0]; empty if absent. */
static struct json_str first_architecture(const struct hf_config *config) {
    struct json_pull items;
    if (!hf_array(config, "architectures", &items) || !json_next_item(&items))
        return (struct json_str){.bytes = "", .len = 0};
    return json_take_string(&items);
}

static int refuse_family(struct json_str model_type, struct json_str class, struct error *reterr) {
    char served[256];

    family_list_hf(served, sizeof served);
    return error_set_param(reterr, -ENOTSUP, "model_type",
                           "config.json: model_type '%.*s' (%.*s) is not served; served are: %s",
                           shown(model_type), model_type.bytes, shown(class), class.bytes, served);
}

/* Quantised checkpoints keep their weights under other names and shapes: say so first. */
static int refuse_quantized(const struct hf_config *config, struct error *reterr) {
    struct hf_config quantization;
    if (!hf_object(config, "quantization_config", "quantization_config", &quantization))
        return 0;

    const struct json_str method = hf_string(&quantization, "quant_method");
    return error_set_param(reterr, -ENOTSUP, "quantization_config",
                           "config.json: quantization_config: quant_method '%.*s' is not served; "
                           "take the unquantised model, or a GGUF file (Q8_0, Q4_K_M, ...)",
                           shown(method), method.bytes);
}

static int choose_family(struct model *model, const struct hf_config *config,
                         struct error *reterr) {
    const struct json_str model_type = hf_string(config, "model_type");
    const struct json_str class = first_architecture(config);

    model->family = family_find_hf(model_type, class);
    if (!model->family)
        return refuse_family(model_type, class, reterr);
    if (!family_serves_class(model->family, class))
        return error_set_param(reterr, -ENOTSUP, "architectures",
                               "config.json: architectures: %.*s is not served; of model_type "
                               "%.*s only %s is",
                               shown(class), class.bytes, shown(model_type), model_type.bytes,
                               model->family->hf_architectures[0]);

    const struct json_str name = class.len > 0 ? class : model_type;
    model->info.architecture = arena_dup(&model->arena, name.bytes, name.len);
    if (!model->info.architecture)
        return error_set(reterr, -ENOMEM, "config.json: no memory");
    return refuse_quantized(config, reterr);
}

/* Everything that config.json decides. The text is lent. */
static int open_with_config(struct model *model, const char *text, size_t len,
                            struct error *reterr) {
    struct problems problems = {.n = 0};
    struct hf_config config;
    int r = hf_config_init(&config, "config.json", text, len, &problems, reterr);
    if (r == 0)
        r = choose_family(model, &config, reterr);
    if (r < 0)
        return r;

    struct hparams_build build = {
        .hparams = &model->hparams,
        .arena = &model->arena,
        .problems = &problems,
    };
    model->family->read_hf(&config, &build);
    r = problems_status(&problems, "cannot be served", reterr);
    if (r == 0)
        r = hf_folder_weights(&model->folder, &model->own_dir, reterr);
    if (r < 0)
        return r;

    model->dir = &model->own_dir;
    model_bind(model, STORED_HF, &problems);
    r = problems_status(&problems, "cannot be served", reterr);
    if (r == 0)
        r = model_read_hf_text(model, &config, &problems, reterr);
    if (r == 0)
        r = problems_status(&problems, "cannot be served", reterr);
    return r;
}

int model_open_hf(struct model *model, const char *path, struct error *reterr) {
    int r = hf_folder_open(path, &model->folder, reterr);
    if (r < 0)
        return r;

    char *text;
    size_t len;
    r = hf_folder_read(&model->folder, "config.json", HF_MAX_CONFIG_BYTES, &text, &len, reterr);
    if (r == -ENOENT)
        return error_set(reterr, r,
                         "%s: has no config.json: not a model folder (a .gguf file is given by its "
                         "own path)",
                         path);
    if (r < 0)
        return r;

    model->info.format = "safetensors";
    model->info.name = model->folder.name;
    r = open_with_config(model, text, len, reterr);
    mem_free(text);
    return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}
