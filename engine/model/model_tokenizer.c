/* SPDX-License-Identifier: Apache-2.0 */
/* model_tokenizer - the tokenizer that belongs to a model's files. */
#include <errno.h>
#include <string.h>

#include "kvasir/tokenizer.h"
#include "model/model_impl.h"

int model_open_tokenizer(const struct model *model, struct tokenizer **ret_tokenizer,
                         struct error *reterr) {
    const struct model_info *info = model_info(model);
    if (strcmp(info->format, "gguf") == 0)
        return error_set(reterr, -ENOTSUP, "%s: the vocabulary of a GGUF file is not read yet",
                         info->path);
    return tokenizer_open_dir(info->path, ret_tokenizer, reterr);
}
