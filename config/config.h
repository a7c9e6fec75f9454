/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config - what the files of this folder share: finding rows and assigning to them.
 */
#ifndef KVASIR_CONFIG_CONFIG_H
#define KVASIR_CONFIG_CONFIG_H

#include "kvasir/options.h"

/* One options_read under way. Lives on its stack. */
struct reading {
    const struct option_table *table;
    void *values;
    struct options *options;
};

/* The row of that name, where '_' counts as '-'; NULL if there is none. */
const struct option *option_find(const struct option_table *table, const char *name, size_t len);

/* "KVASIR_MAX_MODEL_LEN" for "max-model-len". */
enum { ENV_NAME_MAX = 64 };
void option_env_name(const char *name, char ret_name[ENV_NAME_MAX]);

/* Parses text into the row's field and notes the source. place names it in errors: "--port". */
int reading_assign(const struct reading *reading, const struct option *row,
                   enum option_source source, const char *text, const char *place,
                   struct error *reterr) KV_MUST_CHECK;

/* -EINVAL: place and name of something unknown, with the closest known name if there is one. */
int reading_unknown(const struct reading *reading, const char *place, const char *dashes,
                    const char *name, struct error *reterr);

/* Assigns every key of the YAML file. Strings go to options->arena. */
int reading_config_file(const struct reading *reading, const char *path, struct error *reterr)
    KV_MUST_CHECK;

/* The same of a text that was read already; path is for the errors. */
int reading_config_text(const struct reading *reading, const char *path, const char *text,
                        size_t len, struct error *reterr) KV_MUST_CHECK;

/* What a value of the row may be: "a number from 1 to 65535". */
void option_expectation(const struct option *row, struct buf *out);

#endif
