/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render - the exact prompt that a template makes of its variables, and nothing else, on standard
 * output. With --template the members of the request are the variables, as they are.
 */

#include <errno.h>
#include <stdio.h>

#include "kvasir/chat.h"
#include "kvasir/file.h"
#include "kvasir/mem.h"

#include "../server/json_value.h"
#include "cli.h"
#include "command_options.h"
#include "iso_time.h"

enum { MAX_TEMPLATE_BYTES = 4 << 20, MAX_REQUEST_BYTES = 256 << 20 };

static int parse_template(const char *path, struct chat_template **ret_template,
                          struct error *reterr) {
    char *source;
    size_t len;
    int r = file_read(path, MAX_TEMPLATE_BYTES, &source, &len, reterr);
    if (r < 0)
        return r;

    r = chat_template_parse(source, len, path, ret_template, reterr);
    mem_free(source);
    return r;
}

static int read_variables(const char *path, struct arena *arena, struct chat_value **ret_vars,
                          struct error *reterr) {
    char *text;
    size_t len;
    int r = file_read(path, MAX_REQUEST_BYTES, &text, &len, reterr);
    if (r < 0)
        return r;

    r = json_value_parse(text, len, arena, ret_vars, reterr);
    mem_free(text);
    return r < 0 ? error_prefix(reterr, r, "%.200s", path) : 0;
}

/* The prompt of a template file. A model's own template gets its prompt beside this function. */
static int render_template(const struct render_options *asked, struct chat_clock now,
                           struct chat_prompt *ret_prompt, struct error *reterr) {
    struct arena arena;
    struct chat_value *vars;
    struct chat_template *tmpl;
    arena_init(&arena, /* max_bytes= */ 0);
    int r = read_variables(asked->request, &arena, &vars, reterr);
    if (r == 0)
        r = parse_template(asked->template_path, &tmpl, reterr);
    if (r < 0)
        goto free_arena;

    r = chat_template_render(tmpl, vars, /* limits= */ NULL, now, ret_prompt, reterr);
    chat_template_free(tmpl);
free_arena:
    arena_fini(&arena);
    return r;
}

int cmd_render(int argc, char **argv) {
    struct render_options asked;
    struct options options;
    int status;
    if (!cli_begin(&render_option_table, argc, argv, &asked, &options, &status))
        return status;

    struct error error = {.message = ""};
    struct chat_clock now = iso_time_now();
    struct chat_prompt prompt = {.n_user_ranges = 0};
    if (asked.now && iso_time_parse(asked.now, &now, &error) < 0) {
        (void)cli_fail("render", &error); /* bad usage has a status of its own */
        status = CLI_USAGE;
    } else if (render_template(&asked, now, &prompt, &error) < 0) {
        status = cli_fail("render", &error);
    } else {
        (void)fwrite(prompt.text.data, 1, prompt.text.len, stdout); /* main checks the stream */
        status = CLI_DONE;
    }
    chat_prompt_fini(&prompt);
    options_fini(&options);
    return status;
}
