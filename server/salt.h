/* SPDX-License-Identifier: Apache-2.0 */
/*
 * salt - a client's cache_salt as the 64 bits that the prefix cache keeps apart by.
 *
 * SipHash-2-4 (Aumasson and Bernstein, 2012) under a key of this process, so that nobody can
 * compute two salts that meet.
 */
#ifndef KVASIR_SERVER_SALT_H
#define KVASIR_SERVER_SALT_H

#include <stddef.h>
#include <stdint.h>

uint64_t salt_hash(const uint64_t key[2], const void *data, size_t len);

#endif
