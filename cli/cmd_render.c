/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render - the exact prompt that a template makes, and nothing else, on standard output. With
 * --template the members of the request are the variables, as they are; with MODEL the request is
 * one of /v1/chat/completions, checked and normalised as in serving.
 */

#include <errno.h>
#include <stdio.h>

#include "kvasir/chat.h"
#include "kvasir/file.h"
#include "kvasir/hub.h"
#include "kvasir/mem.h"
#include "kvasir/model.h"
#include "kvasir/server.h"
#include "kvasir/tokenizer.h"

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

/* The prompt of a template file. */
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

/* The prompt that serving this opened model would make of the request. */
static int render_chat(const struct model *model, const struct render_options *asked,
                       struct chat_clock now, struct chat_prompt *ret_prompt,
                       struct error *reterr) {
    const struct model_info *info = model_info(model);
    struct chat_template *tmpl = NULL;
    struct tokenizer *tokenizer = NULL;
    char *body = NULL;
    size_t len = 0;
    if (!info->chat_template)
        return error_set(reterr, -EINVAL, "%s: the model has no chat template", info->path);

    int r = chat_template_parse(info->chat_template, info->chat_template_len, "chat_template",
                                &tmpl, reterr);
    if (r == 0)
        r = model_open_tokenizer(model, &tokenizer, reterr);
    if (r == 0)
        r = file_read(asked->request, MAX_REQUEST_BYTES, &body, &len, reterr);
    if (r == 0)
        r = server_render_chat(body, len, tokenizer, tmpl, now, ret_prompt, reterr);
    mem_free(body);
    tokenizer_close(tokenizer);
    chat_template_free(tmpl);
    return r;
}

static int render_model(const struct render_options *asked, struct chat_clock now,
                        struct chat_prompt *ret_prompt, struct error *reterr) {
    struct hub_model found;
    struct model *model = NULL;
    int r = hub_resolve(asked->model, &found, reterr);
    if (r == 0)
        r = model_open(found.path, &model, reterr);
    if (r < 0)
        return r;

    r = render_chat(model, asked, now, ret_prompt, reterr);
    model_close(model);
    return r;
}

/* What is wrong with the command line as a whole; NULL: nothing. */
static const char *usage_problem(const struct render_options *asked) {
    return !asked->model == !asked->template_path ? "give one of MODEL and --template FILE" : NULL;
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
    const char *problem = usage_problem(&asked);
    int r = problem ? error_set(&error, -EINVAL, "%s", problem) : 0;
    if (r == 0 && asked.now)
        r = iso_time_parse(asked.now, &now, &error);
    if (r < 0) {
        (void)cli_fail("render", &error); /* bad usage has a status of its own */
        status = CLI_USAGE;
    } else {
        r = asked.model ? render_model(&asked, now, &prompt, &error)
                        : render_template(&asked, now, &prompt, &error);
        status = r < 0 ? cli_fail("render", &error) : CLI_DONE;
    }
    if (status == CLI_DONE)
        (void)fwrite(prompt.text.data, 1, prompt.text.len, stdout); /* main checks the stream */
    chat_prompt_fini(&prompt);
    options_fini(&options);
    return status;
}
