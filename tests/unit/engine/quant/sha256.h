/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256 - FIPS 180-4 over a whole buffer, for golden sums.
 */
#ifndef KVASIR_TEST_SHA256_H
#define KVASIR_TEST_SHA256_H

#include <stddef.h>

/* 64 lower-case hex digits and a NUL. */
void sha256_hex(const void *data, size_t len, char ret_hex[65]);

#endif
