/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options - reads a table's values: defaults, then the file, the environment, the command line,
 * each over the one before. A bad value is an error even where a later place overrides it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/options.h"

#include "config.h"

const struct option *option_find(const struct option_table *table, const char *name, size_t len) {
    for (size_t i = 0; i < table->n_rows; i++) {
        const char *known = table->rows[i].name;
        size_t at = 0;
        while (at < len && (known[at] == name[at] || (known[at] == '-' && name[at] == '_')))
            at++;
        if (at == len && known[at] == '\0')
            return &table->rows[i];
    }
    return NULL;
}

void option_env_name(const char *name, char ret_name[ENV_NAME_MAX]) {
    (void)snprintf(ret_name, ENV_NAME_MAX, "KVASIR_%s", name); /* row names are short */
    for (char *c = ret_name; *c; c++) {
        if (*c == '-')
            *c = '_';
        else if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
}

int reading_assign(const struct reading *reading, const struct option *row,
                   enum option_source source, const char *text, const char *place,
                   struct error *reterr) {
    enum option_source *known_source = &reading->options->sources[row - reading->table->rows];
    /* A list of another place is replaced as a whole; within one place it grows. */
    if (row->type == OPTION_LIST && *known_source != source)
        *(struct option_list *)((char *)reading->values + row->offset) =
            (struct option_list){.n = 0};

    const int r = option_parse(row, text, reading->values, &reading->options->arena, reterr);
    if (r < 0)
        return error_prefix(reterr, r, "%s", place);

    *known_source = source;
    return 0;
}

/* --- what can be written after the dashes, for the closest name --- */

enum { MAX_NAMES = 2 * OPTIONS_MAX_ROWS + 4, NEGATED_MAX = 72 };

int reading_unknown(const struct reading *reading, const char *place, const char *dashes,
                    const char *name, struct error *reterr) {
    const struct option_table *table = reading->table;
    const char *names[MAX_NAMES];
    char negated[OPTIONS_MAX_ROWS][NEGATED_MAX];
    size_t n = 0;
    for (size_t i = 0; i < table->n_rows; i++) {
        names[n++] = table->rows[i].name;
        if (table->rows[i].type == OPTION_BOOL && dashes[0]) {
            (void)snprintf(negated[i], NEGATED_MAX, "no-%s", table->rows[i].name); /* short */
            names[n++] = negated[i];
        }
    }
    if (dashes[0]) {
        names[n++] = "help";
        if (table->has_config) {
            names[n++] = "config";
            names[n++] = "print-config";
            names[n++] = "check-config";
        }
    }
    const char *closest = options_closest(name, names, n);
    if (!closest)
        return error_set_param(reterr, -EINVAL, name, "%sunknown option %s%.80s", place, dashes,
                               name);
    return error_set_param(reterr, -EINVAL, name, "%sunknown option %s%.80s; did you mean %s%s?",
                           place, dashes, name, dashes, closest);
}

/* --- the environment --- */

static const char *environment_find(char *const *environment, const char *name) {
    const size_t len = strlen(name);
    for (; environment && *environment; environment++) {
        if (strncmp(*environment, name, len) == 0 && (*environment)[len] == '=')
            return *environment + len + 1;
    }
    return NULL;
}

/* An empty variable counts as unset: compose files and unit files leave such behind. */
static int read_environment(const struct reading *reading, char *const *environment,
                            struct error *reterr) {
    for (size_t i = 0; i < reading->table->n_rows; i++) {
        const struct option *row = &reading->table->rows[i];
        if (row->flags & OPTION_ARGV_ONLY)
            continue;
        char name[ENV_NAME_MAX];
        option_env_name(row->name, name);
        const char *text = environment_find(environment, name);
        if (!text || !*text)
            continue;

        const int r = reading_assign(reading, row, OPTION_ENVIRONMENT, text, name, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* --- the command line --- */

/* The command line being walked; text is the value behind "=", NULL without one. */
struct arguments {
    int argc;
    char *const *argv;
    int next;
    const char *text;
};

static bool is_option(const char *argument) {
    return argument[0] == '-' && argument[1] != '\0';
}

/* The value of the option just seen: behind "=", or the next argument. */
static int take_value(struct arguments *arguments, const char *name, const char *metavar,
                      const char **ret_text, struct error *reterr) {
    if (arguments->text) {
        *ret_text = arguments->text;
        return 0;
    }
    const char *next = arguments->next < arguments->argc ? arguments->argv[arguments->next] : NULL;
    if (!next || is_option(next))
        return error_set_param(reterr, -EINVAL, name, "--%s: expected a value (%s), found %s", name,
                               metavar, next ? next : "the end of the line");
    arguments->next++;
    *ret_text = next;
    return 0;
}

static int take_row(const struct reading *reading, const struct option *row, bool negated,
                    struct arguments *arguments, struct error *reterr) {
    char place[ENV_NAME_MAX];
    (void)snprintf(place, sizeof place, "--%s%s", negated ? "no-" : "", row->name); /* short */
    const char *text = negated ? "false" : "true";
    if (row->type == OPTION_BOOL) {
        if (arguments->text && negated)
            return error_set_param(reterr, -EINVAL, row->name, "%s: takes no value", place);
        if (arguments->text)
            text = arguments->text;
    } else {
        const int r =
            take_value(arguments, row->name, row->metavar ? row->metavar : "a name", &text, reterr);
        if (r < 0)
            return r;
    }
    return reading_assign(reading, row, OPTION_ARGUMENT, text, place, reterr);
}

/* The options that every command with a file has. True if it was one of them. */
static bool take_config_option(const struct reading *reading, const char *name, size_t len,
                               struct arguments *arguments, int *ret_status, struct error *reterr) {
    struct options *options = reading->options;
    *ret_status = 0;
    if (!reading->table->has_config)
        return false;
    if (len == 6 && memcmp(name, "config", len) == 0) {
        *ret_status = take_value(arguments, "config", "FILE", &options->config_path, reterr);
        return true;
    }
    const bool print = len == 12 && memcmp(name, "print-config", len) == 0;
    const bool check = len == 12 && memcmp(name, "check-config", len) == 0;
    if (print)
        options->request = OPTIONS_PRINT_CONFIG;
    if (check)
        options->request = OPTIONS_CHECK_CONFIG;
    return print || check;
}

static int take_option(const struct reading *reading, struct arguments *arguments,
                       struct error *reterr) {
    const char *argument = arguments->argv[arguments->next++];
    const char *name = argument + 2;
    if (argument[1] != '-')
        return error_set_param(reterr, -EINVAL, argument,
                               "unknown option %.80s: options are written with two dashes",
                               argument);
    const size_t len = strcspn(name, "=");
    arguments->text = name[len] == '=' ? name + len + 1 : NULL;

    int r;
    if (take_config_option(reading, name, len, arguments, &r, reterr))
        return r;

    const struct option *row = option_find(reading->table, name, len);
    if (row)
        return take_row(reading, row, /* negated= */ false, arguments, reterr);

    if (len > 3 && memcmp(name, "no-", 3) == 0)
        row = option_find(reading->table, name + 3, len - 3);
    if (row && row->type != OPTION_BOOL)
        return error_set_param(reterr, -EINVAL, row->name,
                               "--no-%s: expected --%s with a value, which is no switch", row->name,
                               row->name);
    if (row)
        return take_row(reading, row, /* negated= */ true, arguments, reterr);

    char bare[ENV_NAME_MAX];
    (void)snprintf(bare, sizeof bare, "%.*s", (int)(len < sizeof bare ? len : sizeof bare - 1),
                   name); /* cut: for the message only */
    return reading_unknown(reading, "", "--", bare, reterr);
}

/* The n-th row that may be given without dashes, NULL if there are fewer. */
static const struct option *positional_row(const struct option_table *table, size_t n) {
    for (size_t i = 0; i < table->n_rows; i++) {
        if (table->rows[i].flags & OPTION_POSITIONAL && n-- == 0)
            return &table->rows[i];
    }
    return NULL;
}

static int take_positional(const struct reading *reading, size_t n, const char *argument,
                           struct error *reterr) {
    const struct option *row = positional_row(reading->table, n);
    if (row)
        return reading_assign(reading, row, OPTION_ARGUMENT, argument, row->metavar, reterr);
    return error_set(reterr, -EINVAL, "expected kvasir %s %s, found one argument too many: %.80s",
                     reading->table->command, reading->table->synopsis, argument);
}

static int read_arguments(const struct reading *reading, int argc, char *const *argv,
                          struct error *reterr) {
    struct arguments arguments = {.argc = argc, .argv = argv, .next = 1};
    size_t n_positional = 0;
    bool options_ended = false;
    int r = 0;
    while (r == 0 && arguments.next < argc) {
        const char *argument = argv[arguments.next];
        if (!options_ended && strcmp(argument, "--") == 0) {
            options_ended = true;
            arguments.next++;
        } else if (!options_ended && is_option(argument)) {
            r = take_option(reading, &arguments, reterr);
        } else {
            arguments.next++;
            r = take_positional(reading, n_positional++, argument, reterr);
        }
    }
    return r;
}

/* --- all of it --- */

static bool asks_for_help(int argc, char *const *argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

static int read_defaults(const struct reading *reading, struct error *reterr) {
    memset(reading->values, 0, reading->table->values_size);
    memset(reading->options->sources, 0, sizeof reading->options->sources);
    for (size_t i = 0; i < reading->table->n_rows; i++) {
        const struct option *row = &reading->table->rows[i];
        if (!row->initial)
            continue;
        const int r = reading_assign(reading, row, OPTION_DEFAULT, row->initial, row->name, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_required(const struct reading *reading, struct error *reterr) {
    for (size_t i = 0; i < reading->table->n_rows; i++) {
        const struct option *row = &reading->table->rows[i];
        if (row->flags & OPTION_REQUIRED && reading->options->sources[i] == OPTION_DEFAULT)
            return error_set_param(reterr, -EINVAL, row->name, "expected kvasir %s %s, found no %s",
                                   reading->table->command, reading->table->synopsis,
                                   row->flags & OPTION_POSITIONAL && row->metavar ? row->metavar
                                                                                  : row->name);
    }
    return 0;
}

int options_read(const struct option_table *table, int argc, char *const *argv,
                 char *const *environment, void *values, struct options *ret_options,
                 struct error *reterr) {
    INVARIANT(table->n_rows <= OPTIONS_MAX_ROWS);
    *ret_options = (struct options){.request = OPTIONS_RUN};
    arena_init(&ret_options->arena, /* max_bytes= */ 1 << 20);
    const struct reading reading = {.table = table, .values = values, .options = ret_options};

    int r = read_defaults(&reading, reterr);
    if (r < 0)
        return r;
    if (asks_for_help(argc, argv)) {
        ret_options->request = OPTIONS_HELP;
        return 0;
    }

    /* The command line names the file, so it is read before it, and once more over it. */
    r = read_arguments(&reading, argc, argv, reterr);
    if (r == 0)
        r = read_defaults(&reading, reterr);
    if (r < 0)
        return r;

    if (table->has_config && !ret_options->config_path) {
        const char *path = environment_find(environment, "KVASIR_CONFIG");
        ret_options->config_path = path && *path ? path : NULL;
    }
    if (ret_options->config_path)
        r = reading_config_file(&reading, ret_options->config_path, reterr);
    if (r == 0 && table->has_config)
        r = read_environment(&reading, environment, reterr);
    if (r == 0)
        r = read_arguments(&reading, argc, argv, reterr);
    if (r == 0)
        r = check_required(&reading, reterr);
    return r;
}

void options_fini(struct options *options) {
    arena_fini(&options->arena);
}
