/* SPDX-License-Identifier: Apache-2.0 */
/*
 * show - prints what is known of a model: for people, or as one JSON object for programs.
 */
#ifndef KVASIR_CLI_SHOW_H
#define KVASIR_CLI_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "kvasir/model.h"

struct show_model {
    const struct model_info *info;
    const char *tokenizer_kind;   /* tokenizer_kind(); NULL if it could not be opened */
    const char *tokenizer_reason; /* then: why not */
};

/* -ENOMEM, or -EIO if out took less than everything. */
int show_print(const struct show_model *model, bool json, FILE *out) KV_MUST_CHECK;

#endif
