/* SPDX-License-Identifier: Apache-2.0 */
/*
 * support - what every test needs: cmocka in the right order, files of the tree and of shared/.
 */
#ifndef KVASIR_TEST_SUPPORT_H
#define KVASIR_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Writes "<source root>/<relative>" into a static buffer (one per call, four in turn). */
const char *test_path(const char *relative);

/*
 * The same below the folder of oracles and models that is not part of the repository:
 * $KVASIR_SHARED or ../shared. If the file is not there, the running test is skipped with a
 * message that names it.
 */
const char *test_shared_path(const char *relative);

/* Reads a whole file; the caller frees with test_release. Fails the test if it cannot be read. */
char *test_read_file(const char *path, size_t *ret_len);
void test_release(void *ptr);

/* Deterministic pseudo-random numbers (splitmix64); the state is the seed. */
uint64_t test_random(uint64_t *state);

#endif
