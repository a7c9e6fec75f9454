/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random - a uniform number that is a function of (key, counter) alone.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3",
 * SC'11): no state to carry, so a request's tokens cannot depend on its neighbours.
 */
#ifndef KVASIR_ENGINE_RANDOM_H
#define KVASIR_ENGINE_RANDOM_H

#include <stdint.h>

/* The ten rounds over one counter block. */
void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t ret[4]);

/* In [0, 1) with 53 bits. key: the request's seed; counter: the token's position. */
double random_uniform(uint64_t key, uint64_t counter);

#endif
