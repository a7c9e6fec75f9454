/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli - what the commands share. Standard output carries a command's result and nothing else;
 * everything said to people goes to standard error.
 */
#ifndef KVASIR_CLI_H
#define KVASIR_CLI_H

#include <stddef.h>

#include "kvasir/error.h"

/* Exit statuses of every command. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

/*
 * The folder of the demo model: beside an installed binary, in the source tree of a build folder,
 * or where the prefix said. Writes the path into ret_path (size cap). -ENOENT says where it looked.
 */
int demo_model_path(char *ret_path, size_t cap, struct error *reterr) KV_MUST_CHECK;

/* "0.1.0", and for people: version, commit, compiler, instruction set. */
const char *version_number(void);
void version_print(void);

#endif
