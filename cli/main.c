/* SPDX-License-Identifier: Apache-2.0 */
/* kvasir - the command line: finds the command and hands it the rest of the arguments. */
#include <stdio.h>
#include <string.h>

#include "kvasir/serve_options.h"

#include "cli.h"
#include "command_options.h"

const struct command cli_commands[] = {
    {"serve", "serve a model over HTTP with the OpenAI API", cmd_serve, &serve_option_table},
    {"show", "say what a model is", cmd_show, &show_option_table},
    {"eval", "score a text: perplexity, log-likelihood, logits", cmd_eval, &eval_option_table},
    {"tokenize", "show what a text becomes", cmd_tokenize, &tokenize_option_table},
    {"render", "print the prompt that a chat template makes", cmd_render, &render_option_table},
    {"help", "say what a command does", cmd_help, &help_option_table},
};
const size_t cli_n_commands = sizeof cli_commands / sizeof cli_commands[0];

enum { MAX_COMMANDS = 32 };

static int refuse_command(const char *name) {
    const char *names[MAX_COMMANDS];
    INVARIANT(cli_n_commands <= MAX_COMMANDS);
    for (size_t i = 0; i < cli_n_commands; i++)
        names[i] = cli_commands[i].name;

    const char *closest = options_closest(name, names, cli_n_commands);
    (void)fprintf(stderr, "kvasir: unknown command %.80s", name); /* nowhere else to say it */
    if (closest)
        (void)fprintf(stderr, "; did you mean %s?", closest);
    (void)fputs("\nkvasir help lists the commands.\n", stderr);
    return CLI_USAGE;
}

static int run(int argc, char **argv) {
    const char *name = argc < 2 ? "" : argv[1];
    if (argc < 2) {
        (void)fputs("kvasir: expected a command; kvasir help lists them\n", stderr);
        return CLI_USAGE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        version_print();
        return CLI_DONE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return cmd_help(1, argv);

    for (size_t i = 0; i < cli_n_commands; i++) {
        if (strcmp(name, cli_commands[i].name) == 0)
            return cli_commands[i].run(argc - 1, argv + 1);
    }
    return refuse_command(name);
}

int main(int argc, char **argv) {
    const int status = run(argc, argv);

    /* A full disk or a closed pipe shows up here: a result that was not written is a failure. */
    const bool lost = ferror(stdout) || fflush(stdout) != 0;
    if (lost && status == CLI_DONE) {
        (void)fputs("kvasir: standard output could not be written\n", stderr);
        return CLI_FAILED;
    }
    return status;
}
