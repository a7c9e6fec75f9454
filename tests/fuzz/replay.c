/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay - feeds every file of a corpus to a fuzzer's entry point once, without libFuzzer.
 *
 *   replay_<name> FOLDER
 */
#include <dirent.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/file.h"
#include "kvasir/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_FILE_BYTES = 64 << 20 };

static int replay_file(const char *folder, const char *name) {
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return -1;

    char *data;
    size_t size;
    struct error error = {.message = ""};
    if (file_read(path, MAX_FILE_BYTES, &data, &size, &error) < 0) {
        (void)fprintf(stderr, "%s\n", error.message); /* nowhere else to say it */
        return -1;
    }
    /* An exact copy, so that a sanitizer sees a read behind the end. */
    uint8_t *exact = mem_alloc(size);
    if (exact && size > 0)
        memcpy(exact, data, size);
    mem_free(data);
    if (!exact)
        return -1;

    (void)LLVMFuzzerTestOneInput(exact, size); /* by contract always 0 */
    mem_free(exact);
    return 0;
}

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        (void)fprintf(stderr, "usage: replay FOLDER (which must exist)\n");
        return 2;
    }
    int n_files = 0;
    int failed = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        failed |= replay_file(argv[1], entry->d_name) < 0;
        n_files++;
    }
    (void)closedir(folder); /* only read */
    (void)printf("%d inputs\n", n_files);
    return failed || n_files == 0;
}
