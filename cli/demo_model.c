/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo_model - where the model lies that is served when no other is named.
 *
 * Looked for relative to the running binary first, so that an installed tree may be moved and a
 * build folder needs no installation.
 */
#define _DEFAULT_SOURCE /* readlink of /proc/self/exe */
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static bool is_model(const char *dir) {
    char config[PATH_MAX];
    const int n = snprintf(config, sizeof config, "%s/config.json", dir);
    return n > 0 && (size_t)n < sizeof config && access(config, R_OK) == 0;
}

/* The folder of the running binary; "" if it cannot be known (/proc is not mounted). */
static void binary_folder(char folder[PATH_MAX]) {
    const ssize_t n = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash)
        *slash = '\0';
}

int demo_model_path(char *ret_path, size_t cap, struct error *reterr) {
    char folder[PATH_MAX];
    binary_folder(folder);

    const char *const places[][2] = {
        {folder, "/../share/kvasir/models/demo"}, /* PREFIX/bin/kvasir */
        {folder, "/../share/models/demo"},        /* SOURCE/build/kvasir */
        {KVASIR_DATADIR, "/kvasir/models/demo"},  /* a bindir away from the prefix */
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char place[PATH_MAX];
        char real[PATH_MAX];
        const int n = snprintf(place, sizeof place, "%s%s", places[i][0], places[i][1]);
        if (n <= 0 || (size_t)n >= sizeof place || !is_model(place) || !realpath(place, real))
            continue;
        if (strlen(real) >= cap)
            return error_set(reterr, -ENAMETOOLONG,
                             "the path of the demo model is too long: %.300s", real);
        memcpy(ret_path, real, strlen(real) + 1);
        return 0;
    }
    return error_set(reterr, -ENOENT,
                     "the demo model is neither at %.200s/../share nor at %s: name a model, or run "
                     "make install",
                     folder, KVASIR_DATADIR);
}
