/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - opens a model of either format and describes it. See kvasir/model.h.
 */
#include "kvasir/model.h"

#include <errno.h>
#include <string.h>

#include "kvasir/file.h"
#include "kvasir/mem.h"
#include "kvasir/tokenizer.h"
#include "model/model_impl.h"
#include "model/rope_config.h"
#include "text/tokenizer_gguf.h"

const struct model_info *model_info(const struct model *model) {
    return &model->info;
}

const struct hparams *model_hparams(const struct model *model) {
    return &model->hparams;
}

const struct model_weights *model_weights(const struct model *model) {
    return &model->weights;
}

void model_release_tensor(const struct model *model, const struct tensor *tensor) {
    if (tensor->name)
        tensor_dir_release(model->dir, tensor->data, tensor->n_bytes);
}

void model_release(const struct model *model) {
    tensor_dir_release_all(model->dir);
}

void model_add_eos(struct model_info *info, int64_t id) {
    if (id < 0 || id >= (int64_t)info->n_vocab)
        return;
    for (uint32_t i = 0; i < info->n_eos; i++)
        if (info->eos[i] == (token_id)id)
            return;
    if (info->n_eos < MODEL_MAX_EOS)
        info->eos[info->n_eos++] = (token_id)id;
}

/* Adds one bound tensor to the table of types and the totals. */
static void count_tensor(struct model_info *info, const struct tensor *tensor) {
    if (!tensor->name)
        return;

    uint64_t n_values = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        n_values *= tensor->shape[i];
    info->n_params += n_values;
    info->weight_bytes += tensor->n_bytes;

    const char *name = weight_type_info(tensor->type)->name;
    uint32_t i = 0;
    while (i < info->n_types && info->types[i].type != name)
        i++;
    if (i == info->n_types)
        info->types[info->n_types++] = (struct model_type_bytes){.type = name};
    info->types[i].n_bytes += tensor->n_bytes;
    info->types[i].n_tensors++;
}

static void count_weights(struct model *model) {
    for (uint32_t slot = 0; slot < GLOBAL_SLOTS; slot++)
        count_tensor(&model->info, &model->weights.global[slot]);
    for (uint32_t layer = 0; layer < model->hparams.n_layers; layer++)
        for (uint32_t slot = 0; slot < LAYER_SLOTS; slot++)
            count_tensor(&model->info, &model->weights.layers[layer].slots[slot]);
}

static void raise_to(uint32_t *most, uint32_t value) {
    if (value > *most)
        *most = value;
}

/* Where layers differ, the largest is shown; what KV costs is the sum. */
static void describe_layer(struct model_info *info, const struct layer_spec *spec) {
    const struct attention_shape *shape = &spec->attention;

    raise_to(&info->intermediate_size, spec->intermediate_size);
    raise_to(&info->n_heads, shape->n_heads);
    raise_to(&info->n_kv_heads, shape->n_kv_heads);
    raise_to(&info->head_dim, shape->head_dim);
    raise_to(&info->sliding_window, spec->sliding_window);
    info->kv_values_per_token += (uint64_t)2 * shape->n_kv_heads * shape->head_dim;
}

static void describe(struct model *model, struct problems *problems) {
    struct model_info *info = &model->info;
    const struct hparams *hp = &model->hparams;

    info->family = model->family->name;
    info->n_vocab = hp->n_vocab;
    info->n_layers = hp->n_layers;
    info->hidden_size = hp->hidden_size;
    info->tied_embeddings = hp->tied_embeddings;
    info->max_position = hp->max_position;
    for (uint32_t layer = 0; layer < hp->n_layers; layer++)
        describe_layer(info, &hp->layers[layer]);

    char rope[128];
    rope_describe(&hp->rope, rope, sizeof rope);
    info->rope = arena_dup(&model->arena, rope, strlen(rope));
    if (!info->rope)
        problems_add(problems, -ENOMEM, "no memory for its description");
}

void model_bind(struct model *model, enum stored_format format, struct problems *problems) {
    struct hparams_build build = {
        .hparams = &model->hparams,
        .arena = &model->arena,
        .problems = problems,
    };

    weights_bind(model->family, format, model->dir, &build, &model->weights);
    if (problems->n == 0)
        count_weights(model);
    describe(model, problems);
}

static bool has_suffix(const char *path, const char *suffix) {
    const size_t n = strlen(path), n_suffix = strlen(suffix);
    return n > n_suffix && strcmp(path + n - n_suffix, suffix) == 0;
}

/* An empty model of this path; NULL if there is no memory. */
static struct model *create(const char *path) {
    struct model *model = mem_alloc_zero(1, sizeof *model);
    if (!model)
        return NULL;

    model->info.bos = TOKEN_NONE;
    model->info.generation_defaults = sampling_defaults();
    model->info.path = arena_dup(&model->arena, path, strlen(path));
    if (!model->info.path) {
        model_close(model);
        return NULL;
    }
    return model;
}

static int open_path(struct model *model, const char *path, struct error *reterr) {
    if (!file_exists(path))
        return error_set(reterr, -ENOENT, "%s: there is no such folder or file", path);
    if (file_is_dir(path))
        return model_open_hf(model, path, reterr);
    if (has_suffix(path, ".gguf"))
        return model_open_gguf(model, path, reterr);
    return error_set(reterr, -EINVAL,
                     "%s: is neither a model folder (config.json and *.safetensors) nor a .gguf "
                     "file",
                     path);
}

int model_open(const char *path, struct model **ret_model, struct error *reterr) {
    struct model *model = create(path);
    if (!model)
        return error_set(reterr, -ENOMEM, "%s: no memory", path);

    const int r = open_path(model, path, reterr);
    if (r < 0) {
        model_close(model);
        return r;
    }
    *ret_model = model;
    return 0;
}

int model_from_gguf(struct gguf *gguf, const char *path, struct model **ret_model,
                    struct error *reterr) {
    struct model *model = create(path);
    if (!model) {
        gguf_close(gguf);
        return error_set(reterr, -ENOMEM, "%s: no memory", path);
    }

    model->gguf = gguf;
    const int r = model_read_gguf(model, path, reterr);
    if (r < 0) {
        model_close(model);
        return r;
    }
    *ret_model = model;
    return 0;
}

void model_close(struct model *model) {
    if (!model)
        return;
    gguf_close(model->gguf);
    tensor_dir_fini(&model->own_dir);
    arena_fini(&model->arena);
    mem_free(model);
}

int model_open_tokenizer(const struct model *model, struct tokenizer **ret_tokenizer,
                         struct error *reterr) {
    if (!model->gguf)
        return tokenizer_open_dir(model->folder.dir, ret_tokenizer, reterr);

    const int r = tokenizer_open_gguf(model->gguf, ret_tokenizer, reterr);
    model_release(model); /* it copied what it needs from the keys */
    return r;
}
