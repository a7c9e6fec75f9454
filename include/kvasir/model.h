/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - an opened model: what its files say, checked; weights mapped, nothing computed yet.
 *
 * One struct model from a Hugging Face folder or a GGUF file. Immutable after model_open, so any
 * thread may read it. It owns the file mappings; the engine, tokenizer and template that are made
 * from it must be closed first.
 */
#ifndef KVASIR_MODEL_H
#define KVASIR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"
#include "kvasir/sampling.h"
#include "kvasir/types.h"

struct model;
struct tokenizer;

/* Bytes of weights of one type, for people. */
struct model_type_bytes {
    const char *type; /* "Q4_K", "BF16" */
    uint64_t n_bytes;
    uint32_t n_tensors;
};

enum { MODEL_MAX_TYPES = 48, MODEL_MAX_EOS = 16 };

/* What the rest of the program may know about a model. Strings live as long as the model. */
struct model_info {
    const char *path;
    const char *name;         /* folder name, or file name without .gguf and shard number */
    const char *format;       /* "safetensors" or "gguf" */
    const char *family;       /* the family file that serves it: "qwen2" */
    const char *architecture; /* as the file says: "Qwen2ForCausalLM", "qwen2" */

    uint64_t n_params;
    uint64_t weight_bytes; /* as stored */
    struct model_type_bytes types[MODEL_MAX_TYPES];
    uint32_t n_types;

    uint32_t n_vocab; /* rows of the output head */
    uint32_t n_layers;
    uint32_t hidden_size;
    uint32_t intermediate_size;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t sliding_window; /* 0: none */
    bool tied_embeddings;
    uint32_t max_position; /* context length the model was trained for (after its rope scaling) */
    const char *rope;      /* for people: "default, theta 1000000", "yarn x4 of 32768" */
    uint64_t kv_values_per_token; /* numbers cached per token over all layers (K and V) */

    token_id bos;
    token_id eos[MODEL_MAX_EOS]; /* union: generation_config, config, tokenizer, GGUF eos/eot/eom */
    uint32_t n_eos;
    const char *chat_template; /* Jinja source; NULL: none */
    size_t chat_template_len;

    /* Defaults from generation_config.json for fields that a request leaves out. */
    struct sampling_params generation_defaults;
    bool has_generation_defaults;
};

/*
 * Opens path: a folder with config.json and *.safetensors, or a .gguf file (first shard of a
 * split one). Checks every count, offset, dtype and shape; all mismatches are listed in one
 * message. -ENOENT, -EINVAL (malformed), -ENOTSUP (family or type not served), -ENOMEM.
 */
int model_open(const char *path, struct model **ret_model, struct error *reterr) KV_MUST_CHECK;
void model_close(struct model *model);

const struct model_info *model_info(const struct model *model);

/* The model's own tokenizer; the caller closes it with tokenizer_close before model_close. */
int model_open_tokenizer(const struct model *model, struct tokenizer **ret_tokenizer,
                         struct error *reterr) KV_MUST_CHECK;

#endif
