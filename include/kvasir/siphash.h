/* SPDX-License-Identifier: Apache-2.0 */
/*
 * siphash - SipHash-2-4 with 64 or 128 bits of output: a short keyed hash of bytes.
 *
 * Keyed, so that nobody without the key can choose inputs that collide (Aumasson and Bernstein,
 * "SipHash: a fast short-input PRF"; the 128-bit variant is that of their reference code).
 */
#ifndef KVASIR_SIPHASH_H
#define KVASIR_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct digest {
    uint64_t lo, hi;
};

/* Any thread. O(len), about 1.5 ns a byte for short inputs and 0.7 for long ones. */
uint64_t siphash_64(const uint64_t key[2], const void *bytes, size_t len);
struct digest siphash_128(const uint64_t key[2], const void *bytes, size_t len);

#endif
