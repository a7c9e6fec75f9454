/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_show - `kvasir show`: what a model is, from its files alone. */
#include <string.h>

#include "kvasir/hub.h"
#include "kvasir/model.h"
#include "kvasir/tokenizer.h"

#include "cli.h"
#include "command_options.h"
#include "show.h"

static int show(const char *name, bool json, struct error *reterr) {
    struct hub_model resolved;
    struct model *model = NULL;
    int r = hub_resolve(name, &resolved, reterr);
    if (r == 0)
        r = model_open(resolved.path, &model, reterr);
    if (r < 0)
        return r;

    /* A model without a readable tokenizer is still worth showing. */
    struct tokenizer *tokenizer = NULL;
    struct error reason = {.message = ""};
    const bool is_open = model_open_tokenizer(model, &tokenizer, &reason) == 0;
    const struct show_model shown = {
        .info = model_info(model),
        .tokenizer_kind = is_open ? tokenizer_kind(tokenizer) : NULL,
        .tokenizer_reason = reason.message,
    };
    r = show_print(&shown, json, stdout);
    if (r < 0)
        (void)error_set(reterr, r, "cannot be printed: %s", strerror(-r));
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
    const int r = show(values.model, values.json, &error);
    status = r < 0 ? cli_fail("show", &error) : CLI_DONE;
    options_fini(&options);
    return status;
}
