/* SPDX-License-Identifier: Apache-2.0 */
/* realpath and madvise are not in POSIX.1-2008 base: _DEFAULT_SOURCE names them. */
#define _DEFAULT_SOURCE
#include "kvasir/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kvasir/mem.h"

/* Opens a regular file for reading; *ret_size is its size. */
static int open_regular(const char *path, int *ret_fd, size_t *ret_size, struct error *reterr) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const int r = -errno;
        return error_set(reterr, r, "%s: cannot be opened: %s", path, strerror(-r));
    }

    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r < 0)
        r = error_set(reterr, r, "%s: %s", path, strerror(-r));
    else if (S_ISDIR(st.st_mode))
        r = error_set(reterr, -EISDIR, "%s: is a folder, expected a file", path);
    else if (!S_ISREG(st.st_mode))
        r = error_set(reterr, -EINVAL, "%s: is not a regular file", path);
    if (r < 0) {
        (void)close(fd); /* only read */
        return r;
    }
    *ret_fd = fd;
    *ret_size = (size_t)st.st_size;
    return 0;
}

int file_map_open(const char *path, struct file_map *ret_map, struct error *reterr) {
    int fd = -1;
    size_t size = 0;
    int r = open_regular(path, &fd, &size, reterr);
    if (r < 0)
        return r;

    if (size == 0) {
        (void)close(fd); /* only read */
        return error_set(reterr, -EINVAL, "%s: is empty", path);
    }
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        r = -errno;
        (void)close(fd); /* only read */
        return error_set(reterr, r, "%s: cannot be mapped: %s", path, strerror(-r));
    }
    *ret_map = (struct file_map){.data = data, .size = size, .fd = fd};
    return 0;
}

void file_map_close(struct file_map *map) {
    if (!map->data)
        return;
    (void)munmap((void *)(uintptr_t)map->data, map->size); /* cannot fail for our mapping */
    (void)close(map->fd);                                  /* only read */
    *map = (struct file_map){.data = NULL};
}

void file_map_release(const struct file_map *map, const void *ptr, size_t len) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t start = ((uintptr_t)ptr + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)ptr + len) / page * page;

    if (map->data && end > start)
        (void)madvise((void *)start, end - start, MADV_DONTNEED); /* advice only */
}

/* Reads until max_len bytes or the end; returns the length or a negative errno. */
static ssize_t read_all(int fd, char *data, size_t max_len) {
    size_t len = 0;
    while (len < max_len) {
        const ssize_t n = read(fd, data + len, max_len - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

int file_read(const char *path, size_t max_len, char **ret_data, size_t *ret_len,
              struct error *reterr) {
    int fd = -1;
    size_t size = 0;
    const int r = open_regular(path, &fd, &size, reterr);
    if (r < 0)
        return r;

    if (size > max_len) {
        (void)close(fd); /* only read */
        return error_set(reterr, -EFBIG, "%s: has %zu bytes, at most %zu are read", path, size,
                         max_len);
    }
    char *data = mem_alloc(size + 1);
    if (!data) {
        (void)close(fd); /* only read */
        return error_set(reterr, -ENOMEM, "%s: no memory for %zu bytes", path, size);
    }
    const ssize_t len = read_all(fd, data, size);
    (void)close(fd); /* only read */
    if (len < 0) {
        mem_free(data);
        return error_set(reterr, (int)len, "%s: cannot be read: %s", path, strerror((int)-len));
    }
    data[len] = '\0';
    *ret_data = data;
    *ret_len = (size_t)len;
    return 0;
}

bool file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

bool file_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* One or more components of plain characters, none of them "." or "..". */
static bool is_plain_relative(const char *name) {
    const char *start = name;
    for (const char *c = name;; c++) {
        if (*c != '/' && *c != '\0') {
            if (!is_name_char(*c))
                return false;
            continue;
        }
        const size_t len = (size_t)(c - start);
        if (len == 0 || (len <= 2 && strncmp(start, "..", len) == 0))
            return false;
        if (*c == '\0')
            return true;
        start = c + 1;
    }
}

/* True if path lies in the folder root (both real paths). */
static bool is_beneath(const char *root, const char *path) {
    const size_t n = strlen(root);
    if (n == 1)
        return true; /* root is "/" */
    return strncmp(path, root, n) == 0 && path[n] == '/';
}

int file_join_beneath(const char *root, const char *dir, const char *name, char *ret_path,
                      size_t cap, struct error *reterr) {
    if (!is_plain_relative(name))
        return error_set(reterr, -EINVAL,
                         "file name '%.128s': only letters, digits, '.', '_', '-' and '/' between "
                         "names are allowed",
                         name);

    const int n = snprintf(ret_path, cap, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= cap)
        return error_set(reterr, -ENAMETOOLONG, "%s/%.128s: path is too long", dir, name);

    char *real_root = realpath(root, NULL);
    char *real_path = realpath(ret_path, NULL);
    int r = 0;
    if (!real_root || !real_path)
        r = error_set(reterr, -errno, "%s: %s", real_root ? ret_path : root, strerror(errno));
    else if (!is_beneath(real_root, real_path))
        r = error_set(reterr, -EINVAL, "%s: leads out of %s", ret_path, root);
    free(real_root); /* from realpath, not from mem.h */
    free(real_path);
    return r;
}
