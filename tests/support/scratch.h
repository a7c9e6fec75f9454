/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch - a temporary folder of a test, with files in it; removed at the end.
 */
#ifndef KVASIR_TEST_SCRATCH_H
#define KVASIR_TEST_SCRATCH_H

/* The folder's path; fails the test if it cannot be made. Static storage, one folder at a time. */
const char *scratch_create(void);
void scratch_destroy(void);

/* FOLDER/name, in one of sixteen static buffers in turn. */
const char *scratch_path(const char *name);

/* Writes a file (or, with a NULL text, makes only the folders before its last '/'). */
void scratch_write(const char *name, const char *text);

#endif
