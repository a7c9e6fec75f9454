/* SPDX-License-Identifier: Apache-2.0 */
/* show - what a model is, from its files alone. */
#include <stdio.h>

#include "kvasir/hub.h"
#include "kvasir/model.h"
#include "kvasir/tokenizer.h"

#include "cli.h"
#include "command_options.h"
#include "show.h"

static int show(const struct show_options *options, struct error *reterr) {
    struct hub_model found;
    struct model *model;
    int r = hub_resolve(options->model, &found, reterr);
    if (r < 0)
        return r;
    r = model_open(found.path, &model, reterr);
    if (r < 0)
        return r;

    /* A model may be shown although its tokenizer cannot be served: show says so. */
    struct tokenizer *tokenizer = NULL;
    r = model_open_tokenizer(model, &tokenizer, NULL);
    const struct show_model shown = {
        .info = model_info(model),
        .tokenizer_kind = r < 0 ? NULL : tokenizer_kind(tokenizer),
    };
    r = show_print(&shown, options->json, stdout);
    if (r < 0)
        (void)error_set(reterr, r, "the result cannot be written");
    tokenizer_close(tokenizer);
    model_close(model);
    return r;
}

int cmd_show(int argc, char **argv) {
    struct show_options values;
    struct options options;
    int status;
    if (!cli_begin(&show_option_table, argc, argv, &values, &options, &status))
        return status;

    struct error error = {.message = ""};
    status = show(&values, &error) < 0 ? cli_fail("show", &error) : CLI_DONE;
    options_fini(&options);
    return status;
}
