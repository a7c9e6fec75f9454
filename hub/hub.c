/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub - see kvasir/hub.h. The cache is laid out as the hub's own client does it:
 *
 *   CACHE/models--org--name/refs/main             the commit
 *   CACHE/models--org--name/snapshots/COMMIT/     the files, symlinks to blobs in CACHE
 */
#include "kvasir/hub.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gguf_choice.h"
#include "kvasir/file.h"
#include "kvasir/mem.h"

enum { MAX_NAME_PART = 96 };

/* snprintf that reports a result which did not fit. */
static int join(char *ret_path, size_t cap, struct error *reterr, const char *a, const char *b,
                const char *c) {
    const int n = snprintf(ret_path, cap, "%s%s%s", a, b, c);
    if (n < 0 || (size_t)n >= cap)
        return error_set(reterr, -ENAMETOOLONG, "%.200s%.200s: path is too long", a, b);
    return 0;
}

static const char *env(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

int hub_cache_dir(char *ret_path, size_t cap, struct error *reterr) {
    static const struct {
        const char *variable;
        const char *below;
    } places[] = {
        {"HF_HUB_CACHE", ""},
        {"HF_HOME", "/hub"},
        {"XDG_CACHE_HOME", "/huggingface/hub"},
        {"HOME", "/.cache/huggingface/hub"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = env(places[i].variable);
        if (!value)
            continue;
        const bool is_home = value[0] == '~' && (value[1] == '/' || value[1] == '\0');
        const char *home = is_home ? env("HOME") : NULL;
        return home ? join(ret_path, cap, reterr, home, value + 1, places[i].below)
                    : join(ret_path, cap, reterr, value, "", places[i].below);
    }
    return error_set(reterr, -ENOENT,
                     "none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME is set, so there is "
                     "no cache of models");
}

/* org/name, and what stands behind a colon. */
struct hub_name {
    char org[MAX_NAME_PART];
    char model[MAX_NAME_PART];
    const char *tag; /* NULL: none; lent from the name */
};

/* Takes a run of name characters that does not begin with '.'; returns where it ends, or NULL. */
static const char *take_part(const char *at, char ret_part[MAX_NAME_PART]) {
    size_t len = 0;
    while (isalnum((unsigned char)at[len]) || (at[len] && strchr("._-", at[len])))
        len++;
    if (len == 0 || len >= MAX_NAME_PART || at[0] == '.')
        return NULL;
    memcpy(ret_part, at, len);
    ret_part[len] = '\0';
    return at + len;
}

static bool parse_name(const char *name, struct hub_name *ret_name) {
    const char *at = take_part(name, ret_name->org);
    if (!at || *at != '/')
        return false;
    at = take_part(at + 1, ret_name->model);
    if (!at || (*at != '\0' && *at != ':'))
        return false;
    ret_name->tag = *at == ':' && at[1] ? at + 1 : NULL;
    return true;
}

/*
 * A folder: of a model, or of .gguf files among which one is chosen. cache: the cache that it is
 * part of, out of which its links must not lead; NULL: it is a user's own.
 */
static int resolve_folder(const char *cache, const char *dir, const char *tag,
                          char ret_path[PATH_MAX], struct error *reterr) {
    char config[PATH_MAX];
    int r = join(config, sizeof config, reterr, dir, "/config.json", "");
    if (r < 0)
        return r;
    if (!tag && file_exists(config))
        return join(ret_path, PATH_MAX, reterr, dir, "", "");

    char file[GGUF_MAX_NAME];
    r = gguf_choose(dir, tag, /* has_default= */ cache != NULL, file, reterr);
    if (r < 0)
        return r;
    return cache ? file_join_beneath(cache, dir, file, ret_path, PATH_MAX, reterr)
                 : join(ret_path, PATH_MAX, reterr, dir, "/", file);
}

static int not_in_cache(const struct hub_name *name, const char *cache, struct error *reterr) {
    return error_set(reterr, -ENOENT,
                     "%s/%s: there is no such path, and the model is not in the cache %.256s; "
                     "download it with: hf download %s/%s (of a GGUF repository only the file "
                     "wanted: hf download %s/%s FILE.gguf)",
                     name->org, name->model, cache, name->org, name->model, name->org, name->model);
}

/* The commit that refs/main names: it becomes part of a path, so nothing but letters and digits. */
static int read_commit(const char *repository, char ret_commit[MAX_NAME_PART],
                       struct error *reterr) {
    char path[PATH_MAX];
    char *text;
    size_t len;
    int r = join(path, sizeof path, reterr, repository, "/refs/main", "");
    if (r == 0)
        r = file_read(path, MAX_NAME_PART, &text, &len, reterr);
    if (r < 0)
        return r;

    const char *end = take_part(text, ret_commit);
    while (end && isspace((unsigned char)*end))
        end++;
    const bool is_plain = end && *end == '\0';
    mem_free(text);
    return is_plain ? 0 : error_set(reterr, -EINVAL, "%s: does not hold a commit", path);
}

static int resolve_in_cache(const struct hub_name *name, struct hub_model *ret_model,
                            struct error *reterr) {
    char cache[PATH_MAX], repository[PATH_MAX], commit[MAX_NAME_PART], dir[PATH_MAX];
    int r = hub_cache_dir(cache, sizeof cache, reterr);
    if (r < 0)
        return r;

    char folder[2 * MAX_NAME_PART + 16];
    (void)snprintf(folder, sizeof folder, "/models--%s--%s", name->org, name->model); /* fits */
    r = join(repository, sizeof repository, reterr, cache, folder, "");
    if (r < 0)
        return r;
    if (!file_is_dir(repository))
        return not_in_cache(name, cache, reterr);

    r = read_commit(repository, commit, reterr);
    if (r == -ENOENT)
        return error_set(reterr, r,
                         "%.512s: has no refs/main, so no current snapshot; give the folder below "
                         "snapshots/ by its path, or download the model again",
                         repository);
    if (r == 0)
        r = join(dir, sizeof dir, reterr, repository, "/snapshots/", commit);
    if (r < 0)
        return r;
    if (!file_is_dir(dir))
        return not_in_cache(name, cache, reterr);

    r = resolve_folder(cache, dir, name->tag, ret_model->path, reterr);
    if (r == 0) /* fits: both parts are limited */
        (void)snprintf(ret_model->name, sizeof ret_model->name, "%s/%s", name->org, name->model);
    return r;
}

int hub_resolve(const char *name, struct hub_model *ret_model, struct error *reterr) {
    struct hub_model model = {.path = ""};
    struct hub_name hub_name;
    int r;

    if (file_is_dir(name))
        r = resolve_folder(/* cache= */ NULL, name, /* tag= */ NULL, model.path, reterr);
    else if (file_exists(name))
        r = join(model.path, sizeof model.path, reterr, name, "", "");
    else if (parse_name(name, &hub_name))
        r = resolve_in_cache(&hub_name, &model, reterr);
    else
        r = error_set(reterr, -ENOENT,
                      "%.256s: there is no such folder or file (a model of the Hugging Face cache "
                      "is named org/name)",
                      name);
    if (r == 0)
        *ret_model = model;
    return r;
}
