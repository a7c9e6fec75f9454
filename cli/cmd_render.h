/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_render - kvasir render: the exact prompt that a template makes. */
#ifndef KVASIR_CLI_CMD_RENDER_H
#define KVASIR_CLI_CMD_RENDER_H

int cmd_render(int argc, char **argv);

#endif
