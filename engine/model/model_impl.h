/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_impl - the inside of struct model, shared by the files that fill it: model.c (what both
 * formats have in common), model_hf.c and model_gguf.c (one format each), hf_text.c (the settings
 * around the weights of a folder).
 */
#ifndef KVASIR_ENGINE_MODEL_IMPL_H
#define KVASIR_ENGINE_MODEL_IMPL_H

#include "kvasir/arena.h"
#include "kvasir/model.h"
#include "load/gguf.h"
#include "load/hf_folder.h"
#include "load/tensor_dir.h"
#include "model/bind.h"
#include "model/family.h"
#include "model/weights.h"

/* Filled once by model_open; constant afterwards. */
struct model {
    struct model_info info;
    struct hparams hparams;
    struct model_weights weights;
    const struct family *family;
    struct arena arena; /* strings, layers, tables: whatever lives as long as the model */

    struct hf_folder folder;   /* of a folder */
    struct tensor_dir own_dir; /* of a folder */
    struct gguf *gguf;         /* of a GGUF file; else NULL */
    const struct tensor_dir *dir;
};

int model_open_hf(struct model *model, const char *path, struct error *reterr) KV_MUST_CHECK;
int model_open_gguf(struct model *model, const char *path, struct error *reterr) KV_MUST_CHECK;

/* A model from a file that is parsed already; takes gguf in every case. The fuzzer's way in. */
int model_from_gguf(struct gguf *gguf, const char *path, struct model **ret_model,
                    struct error *reterr) KV_MUST_CHECK;

/* The part that both have in common: model->gguf is set. */
int model_read_gguf(struct model *model, const char *path, struct error *reterr) KV_MUST_CHECK;

/* Reads bos, end ids, chat template and sampling defaults of a folder into model->info. */
int model_read_hf_text(struct model *model, const struct hf_config *config,
                       struct problems *problems, struct error *reterr) KV_MUST_CHECK;

/* Binds the weights and fills the numbers of model->info that follow from hparams and weights. */
void model_bind(struct model *model, enum stored_format format, struct problems *problems);

/* Adds an end-of-generation id unless it is there already or no id of the vocabulary. */
void model_add_eos(struct model_info *info, int64_t id);

#endif
