/* SPDX-License-Identifier: Apache-2.0 */
/* machine: made-up /proc and /sys folders, with and without limits. */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kvasir/machine.h"

#include "scratch.h"

#define MIB (1024ull * 1024)

/* Four processors, 8 GiB of which 6 GiB are available, no limit. */
static int setup(void **state) {
    *state = (void *)(uintptr_t)scratch_create();
    scratch_write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree:          100000 kB\n"
                                  "MemAvailable:    6291456 kB\nBuffers: 5 kB\n");
    scratch_write("proc/self/status", "Name:\tx\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n");
    scratch_write("sys/devices/system/cpu/online", "0-3\n");
    scratch_write("proc/self/cgroup", "0::/\n");
    return 0;
}

static int teardown(void **state) {
    scratch_destroy();
    return 0;
}

static struct machine read_machine(void **state) {
    struct machine machine;
    struct error error = {.message = ""};
    if (machine_read(*state, &machine, &error) < 0)
        fail_msg("%s", error.message);
    return machine;
}

static void test_machine_without_limits_is_the_hardware(void **state) {
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_cpus, 4);
    assert_int_equal(machine.n_usable_cpus, 4);
    assert_false(machine.cpu_limited);
    assert_int_equal(machine.memory_total, 8192 * MIB);
    assert_int_equal(machine.memory_free, 6144 * MIB);
    assert_false(machine.memory_limited);
}

static void test_machine_affinity_mask_limits(void **state) {
    scratch_write("proc/self/status", "Cpus_allowed_list:\t0,2-3\n");
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_cpus, 4);
    assert_int_equal(machine.n_usable_cpus, 3);
    assert_true(machine.cpu_limited);
}

static void test_machine_mask_beyond_the_hardware_does_not_add(void **state) {
    scratch_write("proc/self/status", "Cpus_allowed_list:\t0-127\n");
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_usable_cpus, 4);
    assert_false(machine.cpu_limited);
}

static void test_machine_v2_limits_of_every_level_count(void **state) {
    scratch_write("proc/self/cgroup", "0::/pod/box\n");
    scratch_write("sys/fs/cgroup/pod/cpu.max", "250000 100000\n");
    scratch_write("sys/fs/cgroup/pod/box/cpu.max", "max 100000\n");
    scratch_write("sys/fs/cgroup/pod/memory.max", "1073741824\n"); /* 1 GiB */
    scratch_write("sys/fs/cgroup/pod/memory.current", "629145600\n");
    scratch_write("sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 104857600\nx 2\n");
    scratch_write("sys/fs/cgroup/pod/box/memory.max", "max\n");

    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_usable_cpus, 2); /* whole ones */
    assert_true(machine.cpu_limited);
    assert_int_equal(machine.memory_total, 1024 * MIB);
    assert_int_equal(machine.memory_free, (1024 - 600 + 100) * MIB);
    assert_true(machine.memory_limited);
}

static void test_machine_v2_in_a_container_reads_the_mount(void **state) {
    scratch_write("sys/fs/cgroup/cpu.max", "50000 100000\n");
    scratch_write("sys/fs/cgroup/memory.max", "536870912\n");
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_usable_cpus, 1); /* half a one is still one */
    assert_int_equal(machine.memory_total, 512 * MIB);
    assert_int_equal(machine.memory_free, 512 * MIB); /* no usage known */
}

static void test_machine_v1_limits(void **state) {
    scratch_write("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n"
                                      "1:name=systemd:/docker/abc\n");
    scratch_write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "300000\n");
    scratch_write("sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n");
    scratch_write("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2147483648\n");
    scratch_write("sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "1073741824\n");
    scratch_write("sys/fs/cgroup/memory/docker/abc/memory.stat",
                  "inactive_file 5\ntotal_inactive_file 536870912\n");
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_usable_cpus, 3);
    assert_int_equal(machine.memory_total, 2048 * MIB);
    assert_int_equal(machine.memory_free, 1536 * MIB);
}

/* Docker with v1: the path is the host's, but the mount shows the container's own group. */
static void test_machine_v1_with_the_path_of_the_host_reads_the_mount(void **state) {
    scratch_write("proc/self/cgroup", "5:memory:/docker/abc\n4:cpu:/docker/abc\n");
    scratch_write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
    scratch_write("sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
    scratch_write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    scratch_write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_usable_cpus, 4);
    assert_int_equal(machine.memory_total, 2048 * MIB);
}

static void test_machine_unlimited_values_do_not_limit(void **state) {
    scratch_write("proc/self/cgroup", "4:memory:/\n");
    scratch_write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    scratch_write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4096\n");
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.memory_total, 8192 * MIB);
    assert_int_equal(machine.memory_free, 6144 * MIB);
    assert_false(machine.memory_limited);
}

static void test_machine_usage_beyond_the_limit_leaves_nothing(void **state) {
    scratch_write("sys/fs/cgroup/memory.max", "1000000\n");
    scratch_write("sys/fs/cgroup/memory.current", "2000000\n");
    assert_int_equal(read_machine(state).memory_free, 0);
}

static void test_machine_strange_files_limit_nothing(void **state) {
    scratch_write("proc/self/cgroup", "nonsense\n:\n::\n0::\n99999999999999999999:cpu:/a\n");
    scratch_write("sys/fs/cgroup/cpu.max", "x y\n");
    scratch_write("sys/fs/cgroup/memory.max", "99999999999999999999999999\n");
    scratch_write("sys/devices/system/cpu/online", "-\n");
    const struct machine machine = read_machine(state);
    assert_int_equal(machine.n_usable_cpus, 4);
    assert_false(machine.memory_limited);
}

static void test_machine_without_proc_is_an_error(void **state) {
    struct machine machine;
    struct error error = {.message = ""};
    assert_int_equal(unlink(scratch_path("proc/self/status")), 0);
    assert_int_equal(machine_read(*state, &machine, &error), -ENOENT);
    assert_non_null(strstr(error.message, "/proc/self/status"));

    scratch_write("proc/meminfo", "MemFree: 5 kB\n");
    assert_int_equal(machine_read(*state, &machine, &error), -EINVAL);
    assert_non_null(strstr(error.message, "MemTotal"));
}

static void test_machine_of_this_process_is_plausible(void **state) {
    struct machine machine;
    struct error error = {.message = ""};
    assert_int_equal(machine_read("", &machine, &error), 0);
    assert_in_range(machine.n_usable_cpus, 1, machine.n_cpus);
    assert_in_range(machine.memory_free, 1, machine.memory_total);
    assert_true(machine.n_usable_cpus <= (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
}

int main(void) {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_machine_without_limits_is_the_hardware),
        CASE(test_machine_affinity_mask_limits),
        CASE(test_machine_mask_beyond_the_hardware_does_not_add),
        CASE(test_machine_v2_limits_of_every_level_count),
        CASE(test_machine_v2_in_a_container_reads_the_mount),
        CASE(test_machine_v1_limits),
        CASE(test_machine_v1_with_the_path_of_the_host_reads_the_mount),
        CASE(test_machine_unlimited_values_do_not_limit),
        CASE(test_machine_usage_beyond_the_limit_leaves_nothing),
        CASE(test_machine_strange_files_limit_nothing),
        CASE(test_machine_without_proc_is_an_error),
        cmocka_unit_test(test_machine_of_this_process_is_plausible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
