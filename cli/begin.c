/* SPDX-License-Identifier: Apache-2.0 */
/* begin - how every command starts, and how it says that it failed. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

extern char **environ; /* POSIX declares it in no header */

int cli_fail(const char *command, const struct error *error) {
    (void)fprintf(stderr, "kvasir %s: %s\n", command, error->message); /* nowhere else to say it */
    return CLI_FAILED;
}

/* Prints the text that write makes; the exit status. */
static int print_text(const struct buf *text) {
    if (buf_failed(text)) {
        (void)fputs("kvasir: no memory for the text\n", stderr); /* nowhere else to say it */
        return CLI_FAILED;
    }
    (void)fwrite(text->data, 1, text->len, stdout); /* main checks the stream at the end */
    return CLI_DONE;
}

static int answer_request(const struct option_table *table, const void *values,
                          const struct options *options) {
    struct buf text;
    buf_init(&text, /* max_len= */ 0);
    int status = CLI_DONE;
    switch (options->request) {
    case OPTIONS_HELP:
        options_help(table, &text);
        status = print_text(&text);
        break;
    case OPTIONS_PRINT_CONFIG:
        options_print(table, values, options, &text);
        status = print_text(&text);
        break;
    case OPTIONS_CHECK_CONFIG:
        (void)fprintf(stderr, "kvasir %s: the configuration is good\n", table->command);
        break;
    case OPTIONS_RUN:
        break;
    }
    buf_fini(&text);
    return status;
}

bool cli_begin(const struct option_table *table, int argc, char **argv, void *values,
               struct options *ret_options, int *ret_status) {
    struct error error = {.message = ""};
    const int r = options_read(table, argc, argv, environ, values, ret_options, &error);
    if (r == 0 && ret_options->request == OPTIONS_RUN)
        return true;

    if (r < 0) {
        (void)cli_fail(table->command, &error); /* the status is that of bad usage */
        (void)fprintf(stderr, "kvasir %s --help says more.\n", table->command);
        *ret_status = CLI_USAGE;
    } else {
        *ret_status = answer_request(table, values, ret_options);
    }
    options_fini(ret_options);
    return false;
}
