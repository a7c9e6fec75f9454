/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/random.h"

#include <string.h>

void philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t ret[4]) {
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];
    uint32_t c[4];
    memcpy(c, counter, sizeof c);

    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xd2511f53u * c[0];
        const uint64_t p1 = (uint64_t)0xcd9e8d57u * c[2];
        const uint32_t next[4] = {
            (uint32_t)(p1 >> 32) ^ c[1] ^ k0,
            (uint32_t)p1,
            (uint32_t)(p0 >> 32) ^ c[3] ^ k1,
            (uint32_t)p0,
        };
        memcpy(c, next, sizeof c);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    memcpy(ret, c, sizeof c);
}

double random_uniform(uint64_t key, uint64_t counter) {
    const uint32_t k[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    const uint32_t c[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), 0, 0};
    uint32_t bits[4];

    philox4x32(k, c, bits);
    const uint64_t high = (uint64_t)bits[0] << 32 | bits[1];
    return (double)(high >> 11) * 0x1p-53;
}
