/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_options - what the commands beside serve can be told, and their tables.
 */
#ifndef KVASIR_COMMAND_OPTIONS_H
#define KVASIR_COMMAND_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/options.h"

struct show_options {
    const char *model;
    bool json;
};

struct eval_options {
    const char *model;
    const char *text;   /* exactly one of text and ids; the command checks it */
    const char *ids;    /* FILE.json: {"prompts":[{"ids":[...]}, ...]} */
    const char *logits; /* NULL: none wanted */
    bool json;
    uint32_t chunk;   /* prompt tokens of a step; 0: auto */
    uint32_t threads; /* 0: auto */
    uint32_t block_size;
    int dtype;          /* enum compute_dtype */
    int kv_cache_dtype; /* enum kv_dtype */
    int quantize;       /* enum weight_quantize */
};

struct tokenize_options {
    const char *model;      /* a model, or a folder with tokenizer.json */
    const char *json_lines; /* NULL: standard input is the text */
    bool add_special_tokens;
    bool parse_special;
    bool decode;
};

struct render_options {
    const char *model;         /* exactly one of model and template_path; the command checks it */
    const char *template_path; /* a Jinja file */
    const char *request;       /* FILE.json */
    const char *now;           /* ISO 8601; NULL: the clock */
};

struct help_options {
    const char *command;
    bool markdown;
};

extern const struct option_table show_option_table;
extern const struct option_table eval_option_table;
extern const struct option_table tokenize_option_table;
extern const struct option_table render_option_table;
extern const struct option_table help_option_table;

#endif
