/* SPDX-License-Identifier: Apache-2.0 */
/*
 * problems - everything that is wrong with a file, said at once.
 *
 * Readers of configurations and tensor tables add one line per problem and go on; the status is
 * asked once at the end. What does not fit into one message is counted. A zeroed struct is "no
 * problems". Plain value, one thread.
 */
#ifndef KVASIR_ENGINE_PROBLEMS_H
#define KVASIR_ENGINE_PROBLEMS_H

#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"

enum { PROBLEMS_MAX_BYTES = 560 };

struct problems {
    /* private */
    char text[PROBLEMS_MAX_BYTES];
    size_t len;
    uint32_t n;     /* found in all */
    uint32_t n_cut; /* of these, not in text */
    int code;       /* of the first one */
};

/* code is the negative errno that problems_status will return if this is the first. */
void problems_add(struct problems *problems, int code, const char *fmt, ...) KV_PRINTF(3, 4);

/* 0, or the code of the first problem with "<what>: a; b; c; and 4 more" in reterr. */
int problems_status(const struct problems *problems, const char *what, struct error *reterr)
    KV_MUST_CHECK;

#endif
