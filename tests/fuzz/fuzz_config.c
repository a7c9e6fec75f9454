/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration file: any bytes are read or refused; what is accepted prints and reads back. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/serve_options.h"

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_text(const char *text, size_t len, struct serve_options *values,
                     struct options *options) {
    struct error error = {.message = ""};
    char name[] = "serve";
    char *argv[] = {name};
    if (options_read(&serve_option_table, 1, argv, NULL, values, options, &error) < 0)
        abort(); /* the defaults are good */
    const struct reading reading = {
        .table = &serve_option_table, .values = values, .options = options};
    const int r = reading_config_text(&reading, "fuzz", text, len, &error);
    if (r < 0 && error.message[0] == '\0')
        abort(); /* an error without a reason */
    return r;
}

static void print(const struct serve_options *values, const struct options *options,
                  struct buf *out) {
    options_print(&serve_option_table, values, options, out);
    if (buf_failed(out))
        abort(); /* there is memory */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct serve_options first;
    struct options first_options;
    if (read_text((const char *)data, size, &first, &first_options) == 0) {
        struct buf printed = {.data = NULL};
        print(&first, &first_options, &printed);

        struct serve_options second;
        struct options second_options;
        if (read_text(printed.data, printed.len, &second, &second_options) < 0)
            abort(); /* what is printed must be a configuration */
        memcpy(second_options.sources, first_options.sources, sizeof first_options.sources);
        struct buf again = {.data = NULL};
        print(&second, &second_options, &again);
        if (again.len != printed.len || memcmp(again.data, printed.data, again.len) != 0)
            abort(); /* and the same one */
        buf_fini(&printed);
        buf_fini(&again);
        options_fini(&second_options);
    }
    options_fini(&first_options);
    return 0;
}
