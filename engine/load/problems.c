/* SPDX-License-Identifier: Apache-2.0 */
#include "load/problems.h"

#include <stdio.h>

void problems_add(struct problems *problems, int code, const char *fmt, ...) {
    if (problems->n++ == 0)
        problems->code = code;

    char line[PROBLEMS_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);

    const size_t room = sizeof problems->text - problems->len;
    if (n < 0 || problems->n_cut > 0 || (size_t)n + sizeof "; " > room) {
        problems->n_cut++;
        return;
    }
    const char *separator = problems->len > 0 ? "; " : "";
    problems->len +=
        (size_t)snprintf(problems->text + problems->len, room, "%s%s", separator, line);
}

int problems_status(const struct problems *problems, const char *what, struct error *reterr) {
    if (problems->n == 0)
        return 0;
    if (problems->n_cut == 0)
        return error_set(reterr, problems->code, "%s: %s", what, problems->text);
    return error_set(reterr, problems->code, "%s: %s%sand %u more problems", what, problems->text,
                     problems->len > 0 ? "; " : "", problems->n_cut);
}
