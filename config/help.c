/* SPDX-License-Identifier: Apache-2.0 */
/* help - the texts made of a table: --help and its part of docs/options.md. */
#include <string.h>

#include "kvasir/options.h"

#include "config.h"

enum { INDENT = 6, WIDTH = 80 };

/* Appends text in lines of at most WIDTH columns, each behind INDENT blanks. */
static void append_wrapped(struct buf *out, const char *text) {
    size_t column = 0;
    while (*text) {
        const size_t len = strcspn(text, " ");
        if (column > 0 && column + 1 + len > WIDTH) {
            buf_append_char(out, '\n');
            column = 0;
        }
        if (column == 0)
            buf_printf(out, "%*s", INDENT, "");
        else
            buf_append_char(out, ' ');
        buf_append(out, text, len);
        column = (column ? column + 1 : INDENT) + len;
        text += len + (text[len] == ' ');
    }
    buf_append_char(out, '\n');
}

static bool is_on(const struct option *row) {
    return row->initial && strcmp(row->initial, "true") == 0;
}

/* "MODEL", "--port N", "--json", "--[no-]enable-prefix-caching", "--dtype auto|float32". */
static void append_signature(const struct option *row, struct buf *out) {
    if (row->flags & OPTION_POSITIONAL) {
        buf_printf(out, "%s, or --%s %s", row->metavar, row->name, row->metavar);
        return;
    }
    if (row->type == OPTION_BOOL) {
        buf_printf(out, "--%s%s", is_on(row) ? "[no-]" : "", row->name);
        return;
    }
    buf_printf(out, "--%s ", row->name);
    if (row->metavar) {
        buf_append_str(out, row->metavar);
        return;
    }
    for (const struct option_choice *choice = row->choices; choice && choice->name; choice++)
        buf_printf(out, "%s%s", choice == row->choices ? "" : "|", choice->name);
}

/* The default as one would write it; NULL where there is none to tell. */
static const char *initial_text(const struct option *row) {
    if (row->initial)
        return row->initial;
    if (row->zero)
        return row->zero;
    return NULL;
}

static void append_row(const struct option *row, bool has_environment, struct buf *out) {
    buf_append_str(out, "  ");
    append_signature(row, out);
    buf_append_char(out, '\n');

    struct buf text;
    buf_init(&text, /* max_len= */ 4096);
    buf_append_str(&text, row->help);
    const char *initial = initial_text(row);
    if (initial)
        buf_printf(&text, " [%s]", initial);
    if (has_environment && !(row->flags & OPTION_ARGV_ONLY)) {
        char name[ENV_NAME_MAX];
        option_env_name(row->name, name);
        buf_printf(&text, " (%s)", name);
    }
    append_wrapped(out, text.data ? text.data : row->help);
    buf_fini(&text);
}

void options_help(const struct option_table *table, struct buf *out) {
    buf_printf(out, "usage: kvasir %s %s\n\n%s\n", table->command, table->synopsis, table->about);
    if (table->examples)
        buf_printf(out, "\nexamples:\n%s", table->examples);

    for (size_t i = 0; i < table->n_rows; i++) {
        if (table->rows[i].group)
            buf_printf(out, "\n%s:\n", table->rows[i].group);
        append_row(&table->rows[i], table->has_config, out);
    }
    if (table->has_config) {
        buf_append_str(out, "\nconfiguration:\n  --config FILE\n");
        append_wrapped(out, "YAML with the names above as keys, without the dashes "
                            "(KVASIR_CONFIG)");
        buf_append_str(out, "  --print-config\n");
        append_wrapped(out, "print what would be used, as such a file, and from where it comes");
        buf_append_str(out, "  --check-config\n");
        append_wrapped(out, "only check: exit status 0 if all values are good, else 2");
    }
    buf_append_str(out, "  --help\n");
    append_wrapped(out, "this text");
    if (table->has_config)
        buf_append_str(out, "\nThe command line goes before the environment, which goes before "
                            "the file, which\ngoes before the defaults [in brackets].\n");
}

/* A cell of a Markdown table: bars are escaped. */
static void append_cell(struct buf *out, const char *text) {
    for (; *text; text++) {
        if (*text == '|')
            buf_append_char(out, '\\');
        buf_append_char(out, *text);
    }
}

void options_markdown(const struct option_table *table, struct buf *out) {
    buf_printf(out, "## kvasir %s\n\n    kvasir %s %s\n\n%s\n", table->command, table->command,
               table->synopsis, table->about);
    if (table->examples)
        buf_printf(out, "\n```\n%s```\n", table->examples);

    buf_append_str(out, "\n| option | default | values | meaning |\n|---|---|---|---|\n");
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct option *row = &table->rows[i];
        const char *initial = initial_text(row);
        struct buf expectation;
        buf_init(&expectation, /* max_len= */ 512);
        option_expectation(row, &expectation);
        buf_printf(out, "| `--%s%s` | %s | ", is_on(row) ? "[no-]" : "", row->name,
                   initial ? initial : "");
        append_cell(out, expectation.data ? expectation.data : "");
        buf_append_str(out, " | ");
        append_cell(out, row->help);
        buf_append_str(out, " |\n");
        buf_fini(&expectation);
    }
    buf_append_char(out, '\n');
}
