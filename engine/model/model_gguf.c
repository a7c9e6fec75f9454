/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_gguf - a GGUF file: general.architecture chooses the family, whose rules bind the weights.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/model_impl.h"

enum { MAX_TEMPLATE_BYTES = 1024 * 1024 };

static int refuse_family(struct gguf_str arch, struct error *reterr) {
    char served[256];

    family_list_gguf(served, sizeof served);
    return error_set_param(reterr, -ENOTSUP, "general.architecture",
                           "general.architecture '%.*s' is not served; served are: %s",
                           (int)(arch.len < 60 ? arch.len : 60), arch.bytes, served);
}

static int choose_family(struct model *model, struct gguf_config *config, struct error *reterr) {
    struct gguf_str arch;
    const int r = gguf_get_str(model->gguf, "general.architecture", &arch, reterr);
    if (r == -ENOENT)
        return error_set_param(reterr, -EINVAL, "general.architecture",
                               "key general.architecture is missing: not a model");
    if (r < 0)
        return r;

    model->family = family_find_gguf(arch);
    if (!model->family)
        return refuse_family(arch, reterr);
    model->info.architecture = arena_dup(&model->arena, arch.bytes, arch.len);
    if (!model->info.architecture)
        return error_set(reterr, -ENOMEM, "no memory");

    /* One of our own short names, since a family was found. */
    (void)snprintf(config->arch, sizeof config->arch, "%s", model->info.architecture);
    return 0;
}

/* The file's name without .gguf and without -00001-of-0000N. */
static const char *name_of(struct model *model, const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = strlen(name) - strlen(".gguf"); /* which model_open asked for */

    static const char shard[] = "-00001-of-";
    const size_t n_shard = sizeof shard - 1 + 5;
    if (len > n_shard && strncmp(name + len - n_shard, shard, sizeof shard - 1) == 0)
        len -= n_shard;
    return arena_dup(&model->arena, name, len);
}

/* A key with one id; TOKEN_NONE if it is absent or no id of the vocabulary. */
static token_id read_id(const struct model *model, const char *key, struct problems *problems) {
    uint32_t id;
    struct error error = {.message = ""};
    const int r = gguf_get_u32(model->gguf, key, &id, &error);

    if (r < 0 && r != -ENOENT)
        problems_add(problems, r, "%s", error.message);
    return r == 0 && id < model->info.n_vocab ? (token_id)id : TOKEN_NONE;
}

static float read_ranged(const struct model *model, const char *key, double min, double max,
                         float absent, struct problems *problems) {
    float value;
    struct error error = {.message = ""};
    const int r = gguf_get_f32(model->gguf, key, &value, &error);
    if (r == -ENOENT)
        return absent;

    if (r < 0)
        problems_add(problems, r, "%s", error.message);
    else if (!((double)value >= min && (double)value <= max))
        problems_add(problems, -EINVAL, "key %s: expected %g to %g, found %g", key, min, max,
                     (double)value);
    return r == 0 ? value : absent;
}

/* What the model's authors recommend, where the converter kept it. */
static void read_sampling(struct model *model, struct problems *problems) {
    static const char *const keys[] = {
        "general.sampling.temp",  "general.sampling.top_p",          "general.sampling.min_p",
        "general.sampling.top_k", "general.sampling.penalty_repeat",
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (gguf_has(model->gguf, keys[i]))
            model->info.has_generation_defaults = true;

    struct sampling_params *p = &model->info.generation_defaults;
    p->temperature = read_ranged(model, keys[0], 0, 2, p->temperature, problems);
    p->top_p = read_ranged(model, keys[1], 1e-6, 1, p->top_p, problems);
    p->min_p = read_ranged(model, keys[2], 0, 1, p->min_p, problems);
    p->repetition_penalty = read_ranged(model, keys[4], 1e-6, 1e6, p->repetition_penalty, problems);

    int32_t top_k;
    struct error error = {.message = ""};
    if (!gguf_has(model->gguf, keys[3]))
        return;
    if (gguf_get_i32(model->gguf, keys[3], &top_k, &error) < 0)
        problems_add(problems, -EINVAL, "%s", error.message);
    else
        p->top_k = top_k > 0 ? top_k : 0; /* 0 and -1 both mean "off" */
}

static void read_text(struct model *model, struct problems *problems) {
    struct model_info *info = &model->info;

    info->bos = read_id(model, "tokenizer.ggml.bos_token_id", problems);
    model_add_eos(info, read_id(model, "tokenizer.ggml.eos_token_id", problems));
    model_add_eos(info, read_id(model, "tokenizer.ggml.eot_token_id", problems));
    model_add_eos(info, read_id(model, "tokenizer.ggml.eom_token_id", problems));

    const uint64_t n_tokens = gguf_array_len(model->gguf, "tokenizer.ggml.tokens");
    if (n_tokens > info->n_vocab)
        problems_add(problems, -EINVAL,
                     "key tokenizer.ggml.tokens: %" PRIu64
                     " tokens, but token_embd.weight has only "
                     "%" PRIu32 " rows",
                     n_tokens, info->n_vocab);

    struct gguf_str source;
    struct error error = {.message = ""};
    const int r = gguf_get_str(model->gguf, "tokenizer.chat_template", &source, &error);
    if (r == -ENOENT || (r == 0 && source.len == 0))
        return;
    if (r < 0 || source.len > MAX_TEMPLATE_BYTES) {
        problems_add(problems, -EINVAL, "%s",
                     r < 0 ? error.message : "key tokenizer.chat_template has more than 1 MiB");
        return;
    }
    info->chat_template = arena_dup(&model->arena, source.bytes, source.len);
    info->chat_template_len = source.len;
    if (!info->chat_template)
        problems_add(problems, -ENOMEM, "no memory for the chat template");
}

static int open_with_keys(struct model *model, struct error *reterr) {
    struct problems problems = {.n = 0};
    struct gguf_config config = {.gguf = model->gguf, .problems = &problems};
    int r = choose_family(model, &config, reterr);
    if (r < 0)
        return r;

    struct hparams_build build = {
        .hparams = &model->hparams,
        .arena = &model->arena,
        .problems = &problems,
    };
    model->family->read_gguf(&config, &build);
    r = problems_status(&problems, "cannot be served", reterr);
    if (r < 0)
        return r;

    model->dir = gguf_tensors(model->gguf);
    model_bind(model, STORED_GGUF, &problems);
    read_text(model, &problems);
    read_sampling(model, &problems);
    return problems_status(&problems, "cannot be served", reterr);
}

int model_read_gguf(struct model *model, const char *path, struct error *reterr) {
    model->info.format = "gguf";
    model->info.name = name_of(model, path);
    if (!model->info.name)
        return error_set(reterr, -ENOMEM, "%s: no memory", path);

    const int r = open_with_keys(model, reterr);
    return r < 0 ? error_prefix(reterr, r, "%s", path) : 0;
}

int model_open_gguf(struct model *model, const char *path, struct error *reterr) {
    const int r = gguf_open(path, &model->gguf, reterr);
    return r < 0 ? r : model_read_gguf(model, path, reterr);
}
