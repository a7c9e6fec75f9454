/* SPDX-License-Identifier: Apache-2.0 */
#include "kvasir/siphash.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, unsigned n) {
    return x << n | x >> (64 - n);
}

static void sip_round(struct state *s) {
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

static void absorb(struct state *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t squeeze(struct state *s) {
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Up to eight bytes, the first one lowest: the hash is defined over little-endian words. */
static uint64_t load_le(const unsigned char *bytes, size_t n) {
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

static struct state begin(const uint64_t key[2]) {
    return (struct state){
        .v0 = key[0] ^ 0x736f6d6570736575u,
        .v1 = key[1] ^ 0x646f72616e646f6du,
        .v2 = key[0] ^ 0x6c7967656e657261u,
        .v3 = key[1] ^ 0x7465646279746573u,
    };
}

static void absorb_all(struct state *s, const unsigned char *bytes, size_t len) {
    for (size_t i = 0; i + 8 <= len; i += 8)
        absorb(s, load_le(bytes + i, 8));
    absorb(s, load_le(bytes + len / 8 * 8, len % 8) | (uint64_t)len << 56);
}

uint64_t siphash_64(const uint64_t key[2], const void *bytes, size_t len) {
    struct state s = begin(key);
    absorb_all(&s, bytes, len);
    s.v2 ^= 0xff;
    return squeeze(&s);
}

struct digest siphash_128(const uint64_t key[2], const void *bytes, size_t len) {
    struct state s = begin(key);
    s.v1 ^= 0xee;
    absorb_all(&s, bytes, len);
    s.v2 ^= 0xee;
    const uint64_t lo = squeeze(&s);
    s.v1 ^= 0xdd;
    return (struct digest){.lo = lo, .hi = squeeze(&s)};
}
