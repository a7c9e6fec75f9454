/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors: a sound file gives its tensors; headers that lie are refused by name. Files are
 * copied to blocks of exactly their size, so that the sanitizer sees a read behind the end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/mem.h"
#include "load/safetensors.h"
#include "load/tensor.h"
#include "support.h"

static void put_u64(struct buf *file, uint64_t value) {
    for (int i = 0; i < 8; i++)
        buf_append_char(file, (char)(value >> (8 * i) & 0xff));
}

/* A file of this header and n_data bytes of zeros. */
static void build(struct buf *file, const char *header, size_t n_data) {
    buf_init(file, 0);
    put_u64(file, strlen(header));
    buf_append_str(file, header);
    for (size_t i = 0; i < n_data; i++)
        buf_append_char(file, '\0');
}

static int parse_bytes(const char *data, size_t len, struct tensor_dir *dir,
                       struct error *ret_error) {
    *ret_error = (struct error){.message = ""};
    int r = safetensors_parse(data, len, "file", dir, ret_error);
    if (r == 0)
        r = tensor_dir_sort(dir, ret_error);
    return r;
}

/* Parses a copy of exactly len bytes and forgets the result. */
static int parse(const struct buf *file, size_t len, struct error *ret_error) {
    struct tensor_dir dir = {.items = NULL};
    char *copy = mem_alloc(len);
    assert_non_null(copy);
    memcpy(copy, file->data, len);

    const int r = parse_bytes(copy, len, &dir, ret_error);
    tensor_dir_fini(&dir);
    mem_free(copy);
    return r;
}

static void expect(const char *header, size_t n_data, const char *refusal) {
    struct buf file;
    struct error error;
    build(&file, header, n_data);

    const int r = parse(&file, file.len, &error);
    if (!refusal && r != 0)
        fail_msg("%s: refused: %s", header, error.message);
    if (refusal && (r != -EINVAL || !strstr(error.message, refusal)))
        fail_msg("%s: expected '%s', got %d: %s", header, refusal, r, error.message);
    buf_fini(&file);
}

static const char sound[] =
    "{\"__metadata__\":{\"format\":\"pt\"},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[16,28]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
    "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[28,36]},"
    "\"none\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[28,28]}}  ";

static void test_safetensors_sound_file_gives_its_tensors(void **state) {
    struct buf file;
    struct error error;
    struct tensor_dir dir = {.items = NULL};
    build(&file, sound, 36);

    assert_int_equal(parse_bytes(file.data, file.len, &dir, &error), 0);
    assert_int_equal(dir.n, 4);
    const struct stored_tensor *b = tensor_dir_find(&dir, "b");
    assert_int_equal(b->type, WEIGHT_BF16);
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->n_bytes, 12);
    assert_ptr_equal(b->data, file.data + file.len - 20);
    const struct stored_tensor *scalar = tensor_dir_find(&dir, "scalar");
    assert_int_equal(scalar->type, STORED_NO_WEIGHT);
    assert_string_equal(scalar->type_name, "I64");
    assert_int_equal(scalar->n_dims, 0);
    assert_int_equal(tensor_dir_find(&dir, "none")->n_bytes, 0);
    assert_null(tensor_dir_find(&dir, "__metadata__"));
    tensor_dir_fini(&dir);
    buf_fini(&file);
}

static void test_safetensors_cut_at_every_byte_is_refused(void **state) {
    struct buf file;
    struct error error;
    build(&file, sound, 36);

    assert_int_equal(parse(&file, file.len, &error), 0);
    for (size_t len = 1; len < file.len; len++)
        if (parse(&file, len, &error) != -EINVAL || !error.message[0])
            fail_msg("cut at byte %zu of %zu: %s", len, file.len, error.message);
    buf_fini(&file);
}

static void test_safetensors_every_byte_changed_is_taken_or_refused(void **state) {
    static const char values[] = {'\0', '"', '{', '}', '0', '9', ',', '\\', (char)0xff};
    struct buf file;
    struct error error;
    build(&file, sound, 36);

    for (size_t at = 0; at < file.len - 36; at++) {
        const char before = file.data[at];
        for (size_t i = 0; i < sizeof values; i++) {
            file.data[at] = values[i];
            const int r = parse(&file, file.len, &error);
            assert_true(r == 0 || (r == -EINVAL && error.message[0]));
        }
        file.data[at] = before;
    }
    buf_fini(&file);
}

static void test_safetensors_length_of_the_header(void **state) {
    static const uint64_t lengths[] = {
        0,
        1,
        100000001,
        ((uint64_t)1 << 31) - 1,
        (uint64_t)1 << 31,
        ((uint64_t)1 << 32) + 3,
        (uint64_t)1 << 63,
        UINT64_MAX - 7,
        UINT64_MAX,
    };
    struct error error;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct buf file;
        buf_init(&file, 0);
        put_u64(&file, lengths[i]);
        buf_append_str(&file, "{}");
        assert_int_equal(parse(&file, file.len, &error), -EINVAL);
        assert_non_null(strstr(error.message, lengths[i] < 2 ? "file: " : "header"));
        buf_fini(&file);
    }
    expect("{}", 0, NULL);
    expect("[]", 0, "does not begin with {");
    expect(" {}", 0, "does not begin with {");
}

static void test_safetensors_header_of_more_than_100_mb_is_refused_unread(void **state) {
    enum { N = 100 * 1000 * 1000 + 1 };
    struct error error;
    char *file = mem_map(8 + N + 1);
    struct tensor_dir dir = {.items = NULL};
    assert_non_null(file);

    /* The length is there, and so are the bytes: it is the ceiling that refuses. */
    for (int i = 0; i < 8; i++)
        file[i] = (char)((uint64_t)N >> (8 * i) & 0xff);
    file[8] = '{';
    assert_int_equal(parse_bytes(file, 8 + (size_t)N, &dir, &error), -EINVAL);
    assert_non_null(strstr(error.message, "more than 100 MB"));
    tensor_dir_fini(&dir);
    mem_unmap(file, 8 + N + 1);
}

/* One tensor called t. */
#define ONE(dtype, shape, offsets)                                                                 \
    "{\"t\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void test_safetensors_entries(void **state) {
    static const struct {
        const char *header;
        size_t n_data;
        const char *refusal; /* NULL: taken */
    } cases[] = {
        {ONE("F32", "[2]", "[0,8]"), 8, NULL},

        /* The range against the data. */
        {ONE("F32", "[2]", "[0,8]"), 7, "do not lie in the 7 bytes"},
        {ONE("F32", "[2]", "[0,8]"), 9, "1 bytes of data follow"},
        {ONE("F32", "[2]", "[1,9]"), 9, "a hole"},
        {ONE("F32", "[2]", "[8,0]"), 8, "do not lie in"},
        {ONE("F32", "[2]", "[0,18446744073709551615]"), 8, "do not lie in"},
        {ONE("F32", "[2]", "[18446744073709551608,18446744073709551615]"), 8, "do not lie in"},
        {ONE("F32", "[2]", "[0,18446744073709551616]"), 8, "out of range"},
        {ONE("F32", "[2]", "[-8,0]"), 8, "not negative"},
        {ONE("F32", "[2]", "[0,8.5]"), 8, "integer"},
        {ONE("F32", "[2]", "[0]"), 8, "without two numbers"},
        {ONE("F32", "[2]", "[0,8,8]"), 8, "more than two"},
        {ONE("F32", "[2]", "[]"), 8, "without two numbers"},
        {ONE("F32", "[2]", "{}"), 8, "expected an array"},

        /* The shape against the range. */
        {ONE("F32", "[1]", "[0,8]"), 8, "do not give the 8 bytes"},
        {ONE("F32", "[3]", "[0,8]"), 8, "do not give the 8 bytes"},
        {ONE("F16", "[2]", "[0,8]"), 8, "do not give the 8 bytes"},
        {ONE("F64", "[2]", "[0,8]"), 8, "do not give the 8 bytes"},
        {ONE("F4", "[16]", "[0,8]"), 8, NULL},
        {ONE("F4", "[15]", "[0,8]"), 8, "do not give"},
        {ONE("F6_E2M3", "[4]", "[0,3]"), 3, NULL},
        {ONE("F6_E2M3", "[5]", "[0,3]"), 3, "do not give"},
        {ONE("F32", "[0]", "[0,0]"), 0, NULL},
        {ONE("F32", "[0,18446744073709551615]", "[0,0]"), 0, NULL},
        {ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, "do not give"},
        {ONE("F32", "[4611686018427387904]", "[0,0]"), 0, "do not give"},
        {ONE("F32", "[2305843009213693953]", "[0,32]"), 32, "do not give"},
        {ONE("U8", "[2,9223372036854775808]", "[0,0]"), 0, "do not give"},
        {ONE("F32", "[-2]", "[0,8]"), 8, "not negative"},
        {ONE("F32", "[2.5]", "[0,8]"), 8, "integer"},
        {ONE("F32", "[1,1,1,1,1,1,1,2]", "[0,8]"), 8, NULL},
        {ONE("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8, "more than 8 dimensions"},
        {ONE("F32", "2", "[0,8]"), 8, "expected an array"},

        /* Types and fields. */
        {ONE("F33", "[2]", "[0,8]"), 8, "unknown dtype 'F33'"},
        {ONE("f32", "[2]", "[0,8]"), 8, "unknown dtype 'f32'"},
        {ONE("", "[2]", "[0,8]"), 8, "unknown dtype ''"},
        {"{\"t\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "without dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "without dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "without dtype"},
        {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "doubled or unknown"},
        {"{\"t\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "doubled or unknown"},
        {"{\"t\":{\"dtype\":\"F32\",\"x\":1,\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "doubled or unknown"},
        {"{\"t\":[]}", 0, "expected an object"},
        {"{\"t\":null}", 0, "expected an object"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor name of 0"},
        {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "NUL"},
        {"{} x", 0, "something follows"},
        {"{\"t\":", 0, "file: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(cases[i].header, cases[i].n_data, cases[i].refusal);
}
#undef ONE

/* Two F32 tensors of two values each. */
#define TWO(name, a, b)                                                                            \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" a "},\"" name                      \
    "\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" b "}}"

static void test_safetensors_ranges_must_tile(void **state) {
    expect(TWO("b", "[0,8]", "[8,16]"), 16, NULL);
    expect(TWO("b", "[8,16]", "[0,8]"), 16, NULL);
    expect(TWO("b", "[0,8]", "[0,8]"), 8, "an overlap");
    expect(TWO("b", "[0,8]", "[4,12]"), 12, "an overlap");
    expect(TWO("b", "[0,8]", "[12,20]"), 20, "a hole");
    expect(TWO("b", "[4,12]", "[12,20]"), 20, "a hole");
    expect(TWO("b", "[0,8]", "[8,16]"), 17, "follow the last tensor");
    expect(TWO("a", "[0,8]", "[8,16]"), 16, "'a' is there twice");
    expect(TWO("\\u0061", "[0,8]", "[8,16]"), 16, "'a' is there twice");
}
#undef TWO

static void test_safetensors_nested_metadata_is_bounded(void **state) {
    struct buf header;
    buf_init(&header, 0);
    buf_append_str(&header, "{\"__metadata__\":");
    for (int i = 0; i < 100000; i++)
        buf_append_char(&header, '[');
    expect(header.data, 0, "nested too deeply");
    buf_fini(&header);
}

static void test_safetensors_long_names(void **state) {
    struct buf header;
    for (size_t n = STORED_MAX_NAME - 1; n <= STORED_MAX_NAME + 1; n++) {
        buf_init(&header, 0);
        buf_append_str(&header, "{\"");
        for (size_t i = 0; i < n; i++)
            buf_append_char(&header, 'n');
        buf_append_str(&header, "\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}");
        expect(header.data, 4, n > STORED_MAX_NAME ? "tensor name of more than" : NULL);
        buf_fini(&header);
    }
}

static bool fail_at(void *ctx, size_t size) {
    uint32_t *left = ctx;
    return (*left)-- == 0;
}

static void test_safetensors_every_allocation_failed_in_turn(void **state) {
    struct buf file;
    struct error error;
    build(&file, sound, 36);

    int r = -ENOMEM;
    uint32_t n_failed = 0;
    for (; r != 0 && n_failed < 100; n_failed++) {
        struct tensor_dir dir = {.items = NULL};
        uint32_t left = n_failed;
        mem_set_fault_hook(fail_at, &left);
        r = parse_bytes(file.data, file.len, &dir, &error);
        mem_set_fault_hook(NULL, NULL);
        tensor_dir_fini(&dir);
        assert_true(r == 0 || error.message[0]);
    }
    assert_int_equal(r, 0);
    assert_true(n_failed > 3);
    buf_fini(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safetensors_sound_file_gives_its_tensors),
        cmocka_unit_test(test_safetensors_cut_at_every_byte_is_refused),
        cmocka_unit_test(test_safetensors_every_byte_changed_is_taken_or_refused),
        cmocka_unit_test(test_safetensors_length_of_the_header),
        cmocka_unit_test(test_safetensors_header_of_more_than_100_mb_is_refused_unread),
        cmocka_unit_test(test_safetensors_entries),
        cmocka_unit_test(test_safetensors_ranges_must_tile),
        cmocka_unit_test(test_safetensors_nested_metadata_is_bounded),
        cmocka_unit_test(test_safetensors_long_names),
        cmocka_unit_test(test_safetensors_every_allocation_failed_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
