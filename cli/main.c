/* SPDX-License-Identifier: Apache-2.0 */
/* kvasir - the command line: finds the command and hands it the rest of the arguments. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

/* A command gets the arguments from its own name on and returns the exit status. */
struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
    {"help", "say what a command does: kvasir help COMMAND", cmd_help},
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *out) {
    (void)fputs("usage: kvasir COMMAND [arguments]\n\ncommands:\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        (void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    (void)fputs("\nkvasir COMMAND --help says more; kvasir --version names this build.\n", out);
}

static int cmd_help(int argc, char **argv) {
    print_usage(stdout);
    return CLI_DONE;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        version_print();
        return CLI_DONE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";

    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    (void)fprintf(stderr, "kvasir: there is no command '%s'; kvasir help lists them\n", name);
    return CLI_USAGE;
}

int main(int argc, char **argv) {
    const int status = run(argc, argv);

    if (fflush(stdout) != 0 && status == CLI_DONE) {
        (void)fputs("kvasir: standard output could not be written\n", stderr);
        return CLI_FAILED;
    }
    return status;
}
