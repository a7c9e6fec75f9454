/* SPDX-License-Identifier: Apache-2.0 */
#include "gguf_choice.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/mem.h"

enum { MAX_FILES = 256 };

/* The candidates of a folder, sorted by name. */
struct candidates {
    char names[MAX_FILES][GGUF_MAX_NAME];
    size_t n;
};

static char lower(char c) {
    return (char)tolower((unsigned char)c);
}

/* Finds part in name whatever the case, as whole words: "Q4_K" is not in "x-Q4_K_M.gguf". */
static bool has_word(const char *name, const char *part) {
    const size_t n = strlen(part);

    for (const char *at = name; *at; at++) {
        size_t i = 0;
        while (i < n && at[i] && lower(at[i]) == lower(part[i]))
            i++;
        const bool begins = at == name || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        const bool ends = i == n && !(isalnum((unsigned char)at[n]) || at[n] == '_');
        if (begins && ends)
            return true;
    }
    return false;
}

static bool ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

/* True for a later shard: ...-0000K-of-0000N.gguf with K other than 1. */
static bool is_later_shard(const char *name) {
    static const char tail[] = "-00001-of-00001.gguf";
    const size_t n = strlen(name), n_tail = sizeof tail - 1;
    if (n < n_tail)
        return false;

    const char *at = name + n - n_tail;
    return at[0] == '-' && strncmp(at + 6, "-of-", 4) == 0 && strncmp(at + 1, "00001", 5) != 0;
}

static bool is_candidate(const char *name) {
    return ends_with(name, ".gguf") && !is_later_shard(name) && strncmp(name, "mmproj", 6) != 0 &&
           strlen(name) < GGUF_MAX_NAME;
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static int list_candidates(const char *dir, struct candidates *ret, struct error *reterr) {
    DIR *stream = opendir(dir);
    if (!stream) {
        const int r = -errno;
        return error_set(reterr, r, "%s: %s", dir, strerror(-r));
    }

    const struct dirent *entry;
    ret->n = 0;
    while (ret->n < MAX_FILES && (entry = readdir(stream)))
        if (is_candidate(entry->d_name))
            memcpy(ret->names[ret->n++], entry->d_name, strlen(entry->d_name) + 1);
    (void)closedir(stream); /* only read */
    qsort(ret->names, ret->n, sizeof *ret->names, by_name);
    return 0;
}

/* The index of the only candidate with this word; -1 if there is none, -2 if several. */
static int find_only(const struct candidates *files, const char *word) {
    int found = -1;
    for (size_t i = 0; i < files->n; i++) {
        if (word && !has_word(files->names[i], word))
            continue;
        if (found >= 0)
            return -2;
        found = (int)i;
    }
    return found;
}

static int refuse(const char *dir, const char *tag, const struct candidates *files,
                  struct error *reterr) {
    char list[400] = "";
    size_t len = 0;
    for (size_t i = 0; i < files->n && len < sizeof list - 1; i++) {
        const int n =
            snprintf(list + len, sizeof list - len, "%s%s", i ? ", " : "", files->names[i]);
        len += n > 0 ? (size_t)n : 0;
    }
    const char *more = len >= sizeof list ? " ..." : "";

    if (tag)
        return error_set(reterr, -EINVAL,
                         "%.200s: not exactly one .gguf file is '%.40s'; choose of: "
                         "%s%s",
                         dir, tag, list, more);
    return error_set(reterr, -EINVAL, "%.200s: has several .gguf files; give the path of one: %s%s",
                     dir, list, more);
}

static int choose(const char *dir, const char *tag, bool has_default,
                  const struct candidates *files, char ret_name[GGUF_MAX_NAME],
                  struct error *reterr) {
    if (files->n == 0)
        return error_set(reterr, -ENOENT, "%s: has neither config.json nor a .gguf file", dir);

    int found = find_only(files, tag);
    if (found < 0 && !tag && has_default) {
        found = find_only(files, "Q4_K_M");
        if (found == -1)
            found = find_only(files, "Q8_0");
    }
    if (found < 0)
        return refuse(dir, tag, files, reterr);
    memcpy(ret_name, files->names[found], GGUF_MAX_NAME);
    return 0;
}

int gguf_choose(const char *dir, const char *tag, bool has_default, char ret_name[GGUF_MAX_NAME],
                struct error *reterr) {
    struct candidates *files = mem_alloc(sizeof *files);
    if (!files)
        return error_set(reterr, -ENOMEM, "%s: no memory", dir);

    int r = list_candidates(dir, files, reterr);
    if (r == 0)
        r = choose(dir, tag, has_default, files, ret_name, reterr);
    mem_free(files);
    return r;
}
