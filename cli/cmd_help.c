/* SPDX-License-Identifier: Apache-2.0 */
/* help - the list of commands, one command's text, or the page of docs/ made of all tables. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "command_options.h"

static void list_commands(struct buf *out) {
    buf_append_str(out, "kvasir serves language models over the OpenAI API.\n\n"
                        "usage: kvasir COMMAND [arguments]\n\ncommands:\n");
    for (size_t i = 0; i < cli_n_commands; i++)
        buf_printf(out, "  %-10s %s\n", cli_commands[i].name, cli_commands[i].summary);
    buf_append_str(out, "\nkvasir COMMAND --help says more; kvasir --version names this build.\n");
}

static void write_page(struct buf *out) {
    buf_append_str(
        out,
        "# Options\n\nMade by `make docs` from the option tables; a test checks that it is in "
        "step.\n\n"
        "Everything that `kvasir serve` can be told may stand in four places, the earlier going\n"
        "before the later: the command line (`--max-model-len 8192`), the environment\n"
        "(`KVASIR_MAX_MODEL_LEN=8192`; an empty variable counts as unset), the YAML file of\n"
        "`--config` (`max-model-len: 8192`), the default. Sizes are written 16MiB or 2GB, times\n"
        "500ms, 30s or 2m. The other commands take the command line only.\n\n");
    for (size_t i = 0; i < cli_n_commands; i++)
        options_markdown(cli_commands[i].table, out);
}

static int explain_command(const char *name, struct buf *out) {
    for (size_t i = 0; i < cli_n_commands; i++) {
        if (strcmp(name, cli_commands[i].name) == 0) {
            options_help(cli_commands[i].table, out);
            return CLI_DONE;
        }
    }
    (void)fprintf(stderr, "kvasir help: there is no command %s\n", name); /* nowhere else */
    return CLI_USAGE;
}

int cmd_help(int argc, char **argv) {
    struct help_options asked;
    struct options options;
    int status;
    if (!cli_begin(&help_option_table, argc, argv, &asked, &options, &status))
        return status;

    struct buf text;
    buf_init(&text, /* max_len= */ 0);
    status = CLI_DONE;
    if (asked.markdown)
        write_page(&text);
    else if (asked.command)
        status = explain_command(asked.command, &text);
    else
        list_commands(&text);

    if (buf_failed(&text))
        status = CLI_FAILED;
    else if (text.len > 0)
        (void)fwrite(text.data, 1, text.len, stdout); /* main checks the stream at the end */
    buf_fini(&text);
    options_fini(&options);
    return status;
}
