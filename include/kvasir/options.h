/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - one table per command gives its flags, environment variables, configuration file keys,
 * --help text, --print-config and documentation.
 *
 * A row says where in the command's own struct the value goes. Values come from the command line,
 * else the environment, else the file, else the row's default; every one is parsed by the same
 * code and checked against the same range, and an error names the place it came from. Knows
 * nothing of what an option means. One thread.
 */
#ifndef KVASIR_OPTIONS_H
#define KVASIR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"
#include "kvasir/buf.h"
#include "kvasir/error.h"

/* How a value is written, and the type of its field. */
enum option_type {
    OPTION_BOOL,     /* bool: --name or --no-name; true or false elsewhere */
    OPTION_U32,      /* uint32_t */
    OPTION_U64,      /* uint64_t */
    OPTION_BYTES,    /* uint64_t: 1048576, 16MiB, 2GB */
    OPTION_DURATION, /* uint64_t microseconds: 30s, 500ms, 2m; a bare number is in seconds */
    OPTION_STRING,   /* const char *; never empty; NULL is unset */
    OPTION_LIST,     /* struct option_list: a,b; a repeated flag adds; a sequence in the file */
    OPTION_CHOICE,   /* int: one of the row's choices */
};

struct option_choice {
    const char *name; /* NULL ends the list */
    int value;
};

/* Texts of an OPTION_LIST. */
enum { OPTION_LIST_MAX = 16 };
struct option_list {
    const char *items[OPTION_LIST_MAX];
    uint32_t n;
};

/* Where an option may be given, beside the command line; and how. */
enum option_flags {
    OPTION_POSITIONAL = 1 << 0, /* also the next argument without dashes */
    OPTION_REQUIRED = 1 << 1,   /* an error if no place gives it */
    OPTION_ARGV_ONLY = 1 << 2,  /* not in the environment, not in the file */
};

struct option {
    const char *name;    /* "max-model-len": --max-model-len, KVASIR_MAX_MODEL_LEN, and the key */
    const char *group;   /* heading in --help; NULL: that of the row before */
    const char *metavar; /* "N", "FILE"; NULL for OPTION_BOOL and OPTION_CHOICE */
    const char *help;    /* one or two sentences, no trailing full stop needed */
    const char *initial; /* the default as one would write it; NULL: zero, false or unset */
    const char *zero;    /* the word for 0 ("auto", "none"), which is then allowed; NULL: no word */
    const struct option_choice *choices;
    uint64_t min, max; /* inclusive, of numbers, bytes and microseconds; max 0: no bound */
    size_t offset;     /* of the field in the command's struct */
    enum option_type type;
    unsigned flags; /* enum option_flags */
};

/* A command's table. Static and constant. */
struct option_table {
    const char *command;  /* "serve" */
    const char *synopsis; /* "[MODEL] [options]" */
    const char *about;    /* what it does: a paragraph or two */
    const char *examples; /* lines to type, each with its explanation */
    const struct option *rows;
    size_t n_rows;
    size_t values_size; /* of the command's struct */
    bool has_config;    /* takes --config, --print-config, --check-config and the environment */
};

/* What the command line asked for. */
enum option_request {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_PRINT_CONFIG, /* the values are complete */
    OPTIONS_CHECK_CONFIG, /* the values are complete, and good */
};

enum option_source { OPTION_DEFAULT, OPTION_FILE, OPTION_ENVIRONMENT, OPTION_ARGUMENT };

enum { OPTIONS_MAX_ROWS = 64 };

/* The outcome of options_read: owns the texts of the values. */
struct options {
    enum option_request request;
    enum option_source sources[OPTIONS_MAX_ROWS]; /* by row */
    const char *config_path;                      /* NULL: no file */
    /* private */
    struct arena arena;
};

/*
 * Fills *values (table->values_size bytes, written wholly) from argv[1..argc), the environment and
 * the file. environment is a NULL-terminated list as environ, or NULL. Texts among the values are
 * lent from ret_options until options_fini. -EINVAL with the place, what was expected, what was
 * found and the closest known name; -ENOENT and others for the file; -ENOMEM. --help wins over
 * every error of the line. Also after a failure, options_fini is fine.
 */
int options_read(const struct option_table *table, int argc, char *const *argv,
                 char *const *environment, void *values, struct options *ret_options,
                 struct error *reterr) KV_MUST_CHECK;
void options_fini(struct options *options);

/* The texts made of a table. */
void options_help(const struct option_table *table, struct buf *out);
void options_markdown(const struct option_table *table, struct buf *out);

/* The values as a configuration file, each with the place that it came from. */
void options_print(const struct option_table *table, const void *values,
                   const struct options *options, struct buf *out);

/* One value, as text to its field and back; a list is added to. Texts are copied to arena. */
int option_parse(const struct option *row, const char *text, void *values, struct arena *arena,
                 struct error *reterr) KV_MUST_CHECK;
void option_format(const struct option *row, const void *values, struct buf *out);

/* The name closest to word by edit distance, if close enough to be meant; NULL if none is. */
const char *options_closest(const char *word, const char *const *names, size_t n_names);

#endif
