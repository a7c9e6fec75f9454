/* SPDX-License-Identifier: Apache-2.0 */
#include "kvasir/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_message(struct error *reterr, const char *fmt, va_list args) {
    (void)vsnprintf(reterr->message, sizeof reterr->message, fmt, args); /* a cut message is fine */
}

int(error_set)(struct error *reterr, int code, const char *fmt, ...) {
    if (!reterr)
        return code;

    va_list args;
    va_start(args, fmt);
    set_message(reterr, fmt, args);
    va_end(args);
    reterr->param[0] = '\0';
    return code;
}

int(error_set_param)(struct error *reterr, int code, const char *param, const char *fmt, ...) {
    if (!reterr)
        return code;

    va_list args;
    va_start(args, fmt);
    set_message(reterr, fmt, args);
    va_end(args);
    (void)snprintf(reterr->param, sizeof reterr->param, "%s", param); /* cut is fine */
    return code;
}

int(error_prefix)(struct error *reterr, int code, const char *fmt, ...) {
    if (!reterr)
        return code;

    struct error context = {.message = ""};
    va_list args;
    va_start(args, fmt);
    set_message(&context, fmt, args);
    va_end(args);

    char rest[sizeof reterr->message];
    memcpy(rest, reterr->message, sizeof rest);
    const int n = snprintf(reterr->message, sizeof reterr->message, "%.256s: ", context.message);
    const size_t used = n < 0 ? 0 : (size_t)n;
    (void)snprintf(reterr->message + used, sizeof reterr->message - used, "%s", rest); /* cut ok */
    return code;
}

void invariant_failed(const char *expr, const char *file, int line, const char *func) {
    (void)fprintf(stderr, "kvasir: invariant broken: %s (%s:%d, %s)\n", expr, file, line, func);
    abort();
}
