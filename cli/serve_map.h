/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve_map - what `kvasir serve` was told, as the options of the server and of the instance.
 *
 * Every field of struct serve_options goes to one of the two here; the test walks the table and
 * changes each in turn. Plain values; strings are lent.
 */
#ifndef KVASIR_CLI_SERVE_MAP_H
#define KVASIR_CLI_SERVE_MAP_H

#include "kvasir/serve_options.h"
#include "kvasir/server.h"

#include "instance.h"

void serve_map_server(const struct serve_options *options, struct server_options *ret_options);
void serve_map_instance(const struct serve_options *options, struct instance_options *ret_options);

#endif
