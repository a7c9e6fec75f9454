/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine - reads the text files in which Linux says what a process may use.
 *
 * Every limit only lowers what was found before it, so the order of reading does not matter, and
 * a file that is absent or strange (another kernel, a hidden mount) lowers nothing.
 */
#include "kvasir/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEXT = 8 * 1024 };

/* --- small files --- */

/* Reads ROOT/folder/name into text (cut at MAX_TEXT - 1). Files of /proc have no size to ask. */
static int read_text(const char *root, const char *folder, const char *name, char text[MAX_TEXT]) {
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;

    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;

    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < MAX_TEXT - 1) {
        got = read(fd, text + len, MAX_TEXT - 1 - len);
        len += got > 0 ? (size_t)got : 0;
    }
    const int r = got < 0 ? -errno : 0;
    (void)close(fd); /* only read */
    text[len] = '\0';
    return r;
}

/* Takes blanks and digits from *text; false without a digit or on overflow. */
static bool take_number(const char **text, uint64_t *ret_number) {
    const char *at = *text;
    while (*at == ' ' || *at == '\t')
        at++;
    const char *first = at;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        const uint64_t digit = (uint64_t)(*at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (at == first)
        return false;
    *text = at;
    *ret_number = number;
    return true;
}

/* What stands behind key at the start of a line; NULL if no line begins so. */
static const char *line_value(const char *text, const char *key) {
    const size_t len = strlen(key);
    while (text) {
        if (strncmp(text, key, len) == 0)
            return text + len;
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    return NULL;
}

/* The number behind key, 0 if there is none. */
static uint64_t line_number(const char *text, const char *key) {
    const char *value = line_value(text, key);
    uint64_t number;
    return value && take_number(&value, &number) ? number : 0;
}

/* A file that holds one number; false if it does not (v2 writes "max" for no limit). */
static bool read_number(const char *root, const char *folder, const char *name,
                        uint64_t *ret_number) {
    char text[MAX_TEXT];
    const char *at = text;
    return read_text(root, folder, name, text) == 0 && take_number(&at, ret_number);
}

/* How many numbers a list such as "0-3,8,10-11" names. */
static uint32_t count_list(const char *text) {
    uint64_t count = 0;
    uint64_t first;
    while (take_number(&text, &first)) {
        uint64_t last = first;
        if (*text == '-') {
            text++;
            if (!take_number(&text, &last))
                break;
        }
        if (last >= first && last - first < UINT16_MAX)
            count += last - first + 1;
        if (*text != ',')
            break;
        text++;
    }
    return count > UINT16_MAX ? UINT16_MAX : (uint32_t)count;
}

/* --- limits of one control group --- */

static void limit_cpus(struct machine *machine, uint64_t quota_us, uint64_t period_us) {
    if (period_us == 0 || quota_us == 0)
        return;
    /* Whole cores only: a worker more than the quota carries stalls all others at every barrier,
     * and what is left of a core feeds the loop thread. */
    const uint64_t cpus = quota_us / period_us ? quota_us / period_us : 1;
    if (cpus < machine->n_usable_cpus) {
        machine->n_usable_cpus = (uint32_t)cpus;
        machine->cpu_limited = true;
    }
}

/* usage counts the page cache too; its inactive part is given back before anything is killed. */
static void limit_memory(struct machine *machine, uint64_t limit, uint64_t usage,
                         uint64_t inactive_file) {
    const uint64_t used = usage > inactive_file ? usage - inactive_file : 0;
    const uint64_t left = limit > used ? limit - used : 0;
    if (limit < machine->memory_total) {
        machine->memory_total = limit;
        machine->memory_limited = true;
    }
    if (left < machine->memory_free) {
        machine->memory_free = left;
        machine->memory_limited = true;
    }
}

static void read_cpu_v2(struct machine *machine, const char *root, const char *folder) {
    char text[MAX_TEXT];
    const char *at = text;
    uint64_t quota;
    uint64_t period;
    if (read_text(root, folder, "cpu.max", text) == 0 && take_number(&at, &quota) &&
        take_number(&at, &period))
        limit_cpus(machine, quota, period);
}

static void read_memory_v2(struct machine *machine, const char *root, const char *folder) {
    char stat[MAX_TEXT] = "";
    uint64_t limit;
    uint64_t usage = 0;
    if (!read_number(root, folder, "memory.max", &limit))
        return;
    (void)read_number(root, folder, "memory.current", &usage); /* absent: counts as 0 */
    (void)read_text(root, folder, "memory.stat", stat);        /* absent: no cache to subtract */
    limit_memory(machine, limit, usage, line_number(stat, "inactive_file "));
}

static void read_group_v2(struct machine *machine, const char *root, const char *folder) {
    read_cpu_v2(machine, root, folder);
    read_memory_v2(machine, root, folder);
}

static void read_cpu_v1(struct machine *machine, const char *root, const char *folder) {
    uint64_t quota;
    uint64_t period;
    if (read_number(root, folder, "cpu.cfs_quota_us", &quota) && /* "-1": no number, no limit */
        read_number(root, folder, "cpu.cfs_period_us", &period))
        limit_cpus(machine, quota, period);
}

static void read_memory_v1(struct machine *machine, const char *root, const char *folder) {
    char stat[MAX_TEXT] = "";
    uint64_t limit;
    uint64_t usage = 0;
    if (!read_number(root, folder, "memory.limit_in_bytes", &limit))
        return;
    (void)read_number(root, folder, "memory.usage_in_bytes", &usage); /* absent: counts as 0 */
    (void)read_text(root, folder, "memory.stat", stat); /* absent: no cache to subtract */
    limit_memory(machine, limit, usage, line_number(stat, "total_inactive_file "));
}

/* --- the groups above this process --- */

typedef void (*read_group)(struct machine *machine, const char *root, const char *folder);

/*
 * Reads the group at path and every group above it up to the mount: each of them limits. In a
 * container the path may be the host's while the mount shows only the container's own group; the
 * levels that do not exist then limit nothing, and the last one is that group.
 */
static void read_groups(struct machine *machine, const char *root, const char *mount,
                        const char *path, read_group read) {
    char folder[PATH_MAX];
    const int n = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (n < 0 || (size_t)n >= sizeof folder)
        return;

    const size_t mount_len = strlen(mount);
    size_t len = (size_t)n;
    for (;;) {
        while (len > mount_len && folder[len - 1] == '/')
            len--;
        folder[len] = '\0';
        read(machine, root, folder);
        if (len == mount_len)
            return;
        while (len > mount_len && folder[len - 1] != '/')
            len--;
    }
}

/* True if the comma-separated controllers hold name. */
static bool has_controller(const char *controllers, size_t len, const char *name) {
    const size_t name_len = strlen(name);
    while (len > 0) {
        const char *comma = memchr(controllers, ',', len);
        const size_t item = comma ? (size_t)(comma - controllers) : len;
        if (item == name_len && memcmp(controllers, name, item) == 0)
            return true;
        controllers += item + (comma != NULL);
        len -= item + (comma != NULL);
    }
    return false;
}

/* One line of /proc/self/cgroup: "4:memory:/a/b", or "0::/a/b" for v2. NUL-terminated. */
static void read_cgroup_line(struct machine *machine, const char *root, const char *line) {
    const char *controllers = strchr(line, ':');
    const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return;
    controllers++;
    const size_t len = (size_t)(path - controllers);
    path++;

    if (len == 0) {
        read_groups(machine, root, "/sys/fs/cgroup", path, read_group_v2);
        return;
    }
    if (has_controller(controllers, len, "memory"))
        read_groups(machine, root, "/sys/fs/cgroup/memory", path, read_memory_v1);
    if (has_controller(controllers, len, "cpu"))
        read_groups(machine, root, "/sys/fs/cgroup/cpu", path, read_cpu_v1);
}

static void read_cgroups(struct machine *machine, const char *root) {
    char text[MAX_TEXT];
    if (read_text(root, "/proc/self", "cgroup", text) < 0)
        return;

    char *line = text;
    while (*line) {
        char *end = strchr(line, '\n');
        if (end)
            *end = '\0';
        read_cgroup_line(machine, root, line);
        line = end ? end + 1 : line + strlen(line);
    }
}

/* --- all of it --- */

static int read_memory(const char *root, struct machine *machine, struct error *reterr) {
    char text[MAX_TEXT] = "";
    const int r = read_text(root, "/proc", "meminfo", text);
    if (r < 0)
        return error_set(reterr, r, "%s/proc/meminfo: cannot be read: %s", root, strerror(-r));

    machine->memory_total = line_number(text, "MemTotal:") * 1024;
    machine->memory_free = line_number(text, "MemAvailable:") * 1024;
    if (machine->memory_total == 0)
        return error_set(reterr, -EINVAL, "%s/proc/meminfo: expected a line MemTotal, found none",
                         root);
    return 0;
}

static int read_cpus(const char *root, struct machine *machine, struct error *reterr) {
    char text[MAX_TEXT] = "";
    const int r = read_text(root, "/proc/self", "status", text);
    if (r < 0)
        return error_set(reterr, r, "%s/proc/self/status: cannot be read: %s", root, strerror(-r));

    const char *allowed = line_value(text, "Cpus_allowed_list:");
    const uint32_t n_allowed = allowed ? count_list(allowed) : 0;
    machine->n_usable_cpus = n_allowed ? n_allowed : 1;
    machine->n_cpus = machine->n_usable_cpus;

    char online[MAX_TEXT];
    if (read_text(root, "/sys/devices/system/cpu", "online", online) == 0) {
        const uint32_t n_online = count_list(online);
        if (n_online > 0)
            machine->n_cpus = n_online;
    }
    /* The mask may name processors that the machine does not have. */
    if (machine->n_usable_cpus > machine->n_cpus)
        machine->n_usable_cpus = machine->n_cpus;
    machine->cpu_limited = machine->n_usable_cpus < machine->n_cpus;
    return 0;
}

int machine_read(const char *root, struct machine *ret_machine, struct error *reterr) {
    struct machine machine = {.n_usable_cpus = 1};
    int r = read_memory(root, &machine, reterr);
    if (r == 0)
        r = read_cpus(root, &machine, reterr);
    if (r < 0)
        return r;

    read_cgroups(&machine, root);
    *ret_machine = machine;
    return 0;
}
