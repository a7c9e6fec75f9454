/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli - what the commands share. Standard output carries a command's result and nothing else;
 * everything said to people goes to standard error.
 */
#ifndef KVASIR_CLI_H
#define KVASIR_CLI_H

#include <stdbool.h>
#include <stddef.h>

#include "kvasir/error.h"
#include "kvasir/options.h"

/* Exit statuses of every command. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/* A command gets the arguments from its own name on and returns the exit status. */
struct command {
    const char *name;
    const char *summary; /* one line of `kvasir help` */
    int (*run)(int argc, char **argv);
    const struct option_table *table;
};

/* All commands, in the order of `kvasir help`. */
extern const struct command cli_commands[];
extern const size_t cli_n_commands;

/*
 * The first lines of every command: reads its options into *values. True: go on, and end with
 * options_fini. False: return *ret_status; what was asked for (--help, --print-config) is printed,
 * or the error is, and there is nothing to release.
 */
bool cli_begin(const struct option_table *table, int argc, char **argv, void *values,
               struct options *ret_options, int *ret_status) KV_MUST_CHECK;

/* "kvasir COMMAND: message" on standard error; returns CLI_FAILED. */
int cli_fail(const char *command, const struct error *error);

/*
 * The folder of the demo model: beside an installed binary, in the source tree of a build folder,
 * or where the prefix said. Writes the path into ret_path (size cap). -ENOENT says where it looked.
 */
int demo_model_path(char *ret_path, size_t cap, struct error *reterr) KV_MUST_CHECK;

/* "0.1.0", and for people: version, commit, compiler, instruction set. */
const char *version_number(void);
void version_print(void);

int cmd_eval(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_render(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);

#endif
