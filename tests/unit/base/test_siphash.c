/* SPDX-License-Identifier: Apache-2.0 */
#include "kvasir/siphash.h"

#include "support.h"

/*
 * Key 00 01 .. 0f, input 00 01 .. of the given length. From OpenSSL 3.0:
 *   openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt size:16 -in FILE SIPHASH
 */
static const struct {
    size_t len;
    unsigned char digest[16];
} vectors[] = {
    {0,
     {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02,
      0x93}},
    {1,
     {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44, 0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc,
      0x45}},
    {7,
     {0xa1, 0xf1, 0xeb, 0xbe, 0xd8, 0xdb, 0xc1, 0x53, 0xc0, 0xb8, 0x4a, 0xa6, 0x1f, 0xf0, 0x82,
      0x39}},
    {8,
     {0x3b, 0x62, 0xa9, 0xba, 0x62, 0x58, 0xf5, 0x61, 0x0f, 0x83, 0xe2, 0x64, 0xf3, 0x14, 0x97,
      0xb4}},
    {63,
     {0x51, 0x50, 0xd1, 0x77, 0x2f, 0x50, 0x83, 0x4a, 0x50, 0x3e, 0x06, 0x9a, 0x97, 0x3f, 0xbd,
      0x7c}},
    {80,
     {0xd2, 0xc7, 0x6a, 0xe1, 0x7a, 0x43, 0x70, 0xf8, 0x58, 0xfb, 0xa4, 0x79, 0x5a, 0x0d, 0xf8,
      0x22}},
};

static void test_siphash_128_matches_openssl(void **state) {
    (void)state;
    unsigned char input[80];
    for (unsigned i = 0; i < sizeof input; i++)
        input[i] = (unsigned char)i;
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

    for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) {
        const struct digest digest = siphash_128(key, input, vectors[v].len);
        unsigned char bytes[16];
        for (unsigned i = 0; i < 8; i++) {
            bytes[i] = (unsigned char)(digest.lo >> (8 * i));
            bytes[8 + i] = (unsigned char)(digest.hi >> (8 * i));
        }
        assert_memory_equal(bytes, vectors[v].digest, sizeof bytes);
    }
}

/* Vectors of the SipHash-2-4 reference: key 00..0f, input 00 01 02 ... */
static void test_siphash_64_matches_the_reference(void **state) {
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } expected[] = {
        {0, 0x726fdb47dd0e0e31u}, {1, 0x74f839c593dc67fdu},  {7, 0xab0200f58b01d137u},
        {8, 0x93f5f5799a932462u}, {15, 0xa129ca6149be45e5u},
    };
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    unsigned char input[16];
    for (unsigned i = 0; i < sizeof input; i++)
        input[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(siphash_64(key, input, expected[i].len) == expected[i].hash);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash_128_matches_openssl),
        cmocka_unit_test(test_siphash_64_matches_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
