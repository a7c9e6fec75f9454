/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bind - fills the slots of a model from the stored tensors, by the rules of its family.
 *
 * Every tensor's type and shape is checked against the hyperparameters. What is wrong is reported
 * rule by rule, with the layers that are concerned, so that one mistake in a configuration is one
 * line. Stored tensors of a known layer that no rule asks for are refused too: leaving out a bias
 * gives a model that runs and is wrong. Others (vision towers, layers behind the last that predict
 * several tokens) are ignored.
 */
#ifndef KVASIR_ENGINE_BIND_H
#define KVASIR_ENGINE_BIND_H

#include "model/family.h"
#include "model/weights.h"

enum stored_format { STORED_HF, STORED_GGUF };

/* build->hparams are complete; sets tied_embeddings if there turns out to be no head. */
void weights_bind(const struct family *family, enum stored_format format,
                  const struct tensor_dir *dir, struct hparams_build *build,
                  struct model_weights *ret_weights);

#endif
