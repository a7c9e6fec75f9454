/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container: sound files give what was written, and every count, length, type, shape, offset
 * and cut that is wrong is refused with words that name it. Files are copied to blocks of exactly
 * their size, so that the sanitizer sees a read behind the end.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gguf_build.h"
#include "kvasir/mem.h"
#include "load/gguf_impl.h"
#include "load/tensor.h"
#include "scratch.h"
#include "support.h"

/* Parses a copy of exactly len bytes; returns what gguf_open_memory does. */
static int parse(const struct buf *file, size_t len, struct error *ret_error) {
    struct gguf *gguf;
    char *copy = mem_alloc(len);
    assert_non_null(copy);
    memcpy(copy, file->data, len);
    *ret_error = (struct error){.message = ""};

    const int r = gguf_open_memory(copy, len, "file", &gguf, ret_error);
    if (r == 0)
        gguf_close(gguf);
    mem_free(copy);
    return r;
}

/* Expects a refusal whose message has this text; releases file. */
static void expect_refused(struct buf *file, const char *text) {
    struct error error;

    assert_false(buf_failed(file));
    assert_int_equal(parse(file, file->len, &error), -EINVAL);
    if (!strstr(error.message, text))
        fail_msg("expected '%s' in: %s", text, error.message);
    buf_fini(file);
}

static void expect_taken(struct buf *file) {
    struct error error;

    assert_false(buf_failed(file));
    if (parse(file, file->len, &error) != 0)
        fail_msg("refused: %s", error.message);
    buf_fini(file);
}

/* Two keys, three tensors: F32 [4], Q8_0 [2, 32], F16 [3, 2, 4]; alignment 32. */
static void build_sound(struct buf *file) {
    gguf_begin(file, 3, 3, 2);
    gguf_add_string(file, "general.architecture", "test");
    gguf_add_u32(file, "test.answer", 42);
    gguf_add_info(file, "vector", 1, (uint64_t[]){4}, WEIGHT_F32, 0);
    gguf_add_info(file, "matrix", 2, (uint64_t[]){32, 2}, WEIGHT_Q8_0, 32);
    gguf_add_info(file, "cube", 3, (uint64_t[]){4, 2, 3}, WEIGHT_F16, 128);
    gguf_pad(file, 32);
    gguf_put_zeros(file, 128 + 48);
}

static void test_gguf_sound_file_gives_what_was_written(void **state) {
    struct buf file;
    struct gguf *gguf;
    struct error error;
    uint32_t answer;
    build_sound(&file);
    assert_int_equal(gguf_open_memory(file.data, file.len, "file", &gguf, &error), 0);

    assert_int_equal(gguf_get_u32(gguf, "test.answer", &answer, &error), 0);
    assert_int_equal(answer, 42);
    assert_int_equal(gguf_get_u32(gguf, "test.question", &answer, &error), -ENOENT);

    const struct tensor_dir *dir = gguf_tensors(gguf);
    assert_int_equal(dir->n, 3);
    const struct stored_tensor *matrix = tensor_dir_find(dir, "matrix");
    assert_int_equal(matrix->n_dims, 2);
    assert_int_equal(matrix->shape[0], 2);
    assert_int_equal(matrix->shape[1], 32);
    assert_int_equal(matrix->n_bytes, 68);
    const struct stored_tensor *cube = tensor_dir_find(dir, "cube");
    assert_int_equal(cube->shape[0], 3);
    assert_int_equal(cube->shape[2], 4);
    assert_ptr_equal(cube->data, file.data + file.len - 48);
    assert_null(tensor_dir_find(dir, "nothing"));
    gguf_close(gguf);
    buf_fini(&file);
}

static void test_gguf_cut_at_every_byte_is_refused(void **state) {
    struct buf file;
    struct error error;
    build_sound(&file);

    assert_int_equal(parse(&file, file.len, &error), 0);
    for (size_t len = 1; len < file.len; len++)
        if (parse(&file, len, &error) != -EINVAL || !error.message[0])
            fail_msg("cut at byte %zu of %zu: %s", len, file.len, error.message);
    buf_fini(&file);
}

/* Whatever one byte becomes, the file is taken or refused; the sanitizer watches. */
static void test_gguf_every_byte_changed_is_taken_or_refused(void **state) {
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};
    struct buf file;
    struct error error;
    build_sound(&file);

    for (size_t at = 0; at < file.len - 176; at++) {
        const char before = file.data[at];
        for (size_t i = 0; i < sizeof values; i++) {
            file.data[at] = (char)values[i];
            const int r = parse(&file, file.len, &error);
            assert_true(r == 0 || ((r == -EINVAL || r == -ENOTSUP) && error.message[0]));
        }
        file.data[at] = before;
    }
    buf_fini(&file);
}

/* Counts that no small file can hold. */
static const uint64_t absurd[] = {
    (uint64_t)1 << 20,
    ((uint64_t)1 << 31) - 1,
    (uint64_t)1 << 31,
    ((uint64_t)1 << 31) + 1,
    ((uint64_t)1 << 32) - 1,
    (uint64_t)1 << 32,
    ((uint64_t)1 << 32) + 1,
    ((uint64_t)1 << 63) - 1,
    (uint64_t)1 << 63,
    UINT64_MAX - 7,
    UINT64_MAX,
};
enum { N_ABSURD = sizeof absurd / sizeof *absurd };

static void test_gguf_preamble(void **state) {
    struct buf file;

    gguf_begin(&file, 3, 0, 0);
    expect_taken(&file);
    gguf_begin(&file, 2, 0, 0);
    expect_taken(&file);

    static const uint32_t versions[] = {0, 1, 4, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        gguf_begin(&file, versions[i], 0, 0);
        expect_refused(&file, "expected 2 or 3");
    }
    gguf_begin(&file, 3u << 24, 0, 0);
    expect_refused(&file, "big-endian");
    gguf_begin(&file, 3, 0, 0);
    file.data[0] = 'g';
    expect_refused(&file, "is not GGUF");
}

static void test_gguf_number_of_keys(void **state) {
    struct buf file;

    gguf_begin(&file, 3, 0, 1);
    gguf_add_u32(&file, "k", 1);
    expect_taken(&file);
    gguf_begin(&file, 3, 0, 2); /* one more than there are */
    gguf_add_u32(&file, "k", 1);
    expect_refused(&file, "number of keys");
    for (size_t i = 0; i < N_ABSURD; i++) {
        gguf_begin(&file, 3, 0, absurd[i]);
        gguf_add_u32(&file, "k", 1);
        expect_refused(&file, "number of keys");
    }
}

static void test_gguf_number_of_tensors(void **state) {
    struct buf file;

    gguf_begin(&file, 3, 2, 0); /* one more than there are */
    gguf_add_info(&file, "t", 1, (uint64_t[]){8}, WEIGHT_F32, 0);
    gguf_pad(&file, 32);
    gguf_put_zeros(&file, 32);
    expect_refused(&file, "tensor");
    for (size_t i = 0; i < N_ABSURD; i++) {
        gguf_begin(&file, 3, absurd[i], 0);
        gguf_add_info(&file, "t", 1, (uint64_t[]){8}, WEIGHT_F32, 0);
        expect_refused(&file, "number of tensors");
    }
}

static void test_gguf_length_of_strings(void **state) {
    struct buf file;

    for (size_t i = 0; i < N_ABSURD; i++) {
        gguf_begin(&file, 3, 0, 1); /* a key's own length */
        gguf_put_u64(&file, absurd[i]);
        gguf_put_zeros(&file, 64);
        expect_refused(&file, "key");

        gguf_begin(&file, 3, 0, 1); /* a value's */
        gguf_add_key(&file, "k", GGUF_STRING);
        gguf_put_u64(&file, absurd[i]);
        gguf_put_zeros(&file, 64);
        expect_refused(&file, "key 'k'");

        gguf_begin(&file, 3, 1, 0); /* a tensor name's */
        gguf_put_u64(&file, absurd[i]);
        gguf_put_zeros(&file, 64);
        expect_refused(&file, "tensor name");
    }
    gguf_begin(&file, 3, 0, 1);
    gguf_add_u32(&file, "", 1);
    gguf_put_zeros(&file, 16);
    expect_refused(&file, "expected 1 to 65535 bytes");
}

static void test_gguf_length_of_arrays(void **state) {
    struct buf file;

    for (uint32_t type = 0; type < GGUF_TYPE_END; type++) {
        if (type == GGUF_ARRAY)
            continue;
        const size_t n_bytes = type == GGUF_STRING ? 8 : gguf_type_bytes((enum gguf_type)type);
        const uint64_t fit = 64 / n_bytes;
        for (uint64_t n = 0; n <= fit + 1; n++) {
            gguf_begin(&file, 3, 0, 1);
            gguf_add_key(&file, "k", GGUF_ARRAY);
            gguf_put_u32(&file, type);
            gguf_put_u64(&file, n);
            gguf_put_zeros(&file, 64);
            if (n <= fit)
                expect_taken(&file);
            else
                expect_refused(&file, "array length");
        }
        for (size_t i = 0; i < N_ABSURD; i++) {
            gguf_begin(&file, 3, 0, 1);
            gguf_add_key(&file, "k", GGUF_ARRAY);
            gguf_put_u32(&file, type);
            gguf_put_u64(&file, absurd[i]);
            gguf_put_zeros(&file, 64);
            expect_refused(&file, "array length");
        }
    }
}

static void test_gguf_types_of_values(void **state) {
    struct buf file;
    static const uint32_t unknown[] = {13, 14, 255, 1u << 31, UINT32_MAX};

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        gguf_begin(&file, 3, 0, 1);
        gguf_add_key(&file, "k", (enum gguf_type)unknown[i]);
        gguf_put_zeros(&file, 64);
        expect_refused(&file, "unknown type");
    }
    gguf_begin(&file, 3, 0, 1);
    gguf_add_key(&file, "k", GGUF_ARRAY);
    gguf_put_u32(&file, GGUF_ARRAY);
    gguf_put_u64(&file, 1);
    gguf_put_zeros(&file, 64);
    expect_refused(&file, "arrays in arrays");
}

static void test_gguf_doubled_names_are_refused(void **state) {
    struct buf file;

    gguf_begin(&file, 3, 0, 3);
    gguf_add_u32(&file, "twice", 1);
    gguf_add_u32(&file, "once", 1);
    gguf_add_u32(&file, "twice", 2);
    expect_refused(&file, "key 'twice' is there twice");

    gguf_begin(&file, 3, 2, 0);
    gguf_add_info(&file, "twice", 1, (uint64_t[]){8}, WEIGHT_F32, 0);
    gguf_add_info(&file, "twice", 1, (uint64_t[]){8}, WEIGHT_F32, 32);
    gguf_pad(&file, 32);
    gguf_put_zeros(&file, 64);
    expect_refused(&file, "tensor 'twice' is there twice");
}

/* One F32 tensor of these dims at this offset before 64 bytes of data. */
static void build_one(struct buf *file, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                      uint64_t offset) {
    gguf_begin(file, 3, 1, 0);
    gguf_add_info(file, "t", n_dims, dims, type, offset);
    gguf_pad(file, 32);
    gguf_put_zeros(file, 64);
}

static void test_gguf_shapes(void **state) {
    struct buf file;
    uint64_t dims[8] = {1, 1, 1, 1, 1, 1, 1, 1};

    for (uint32_t n_dims = 0; n_dims <= 5; n_dims++) {
        build_one(&file, n_dims, dims, WEIGHT_F32, 0);
        if (n_dims >= 1 && n_dims <= 4)
            expect_taken(&file);
        else
            expect_refused(&file, "n_dims: expected 1 to 4");
    }
    for (uint32_t at = 0; at < 4; at++) {
        dims[at] = 0;
        build_one(&file, 4, dims, WEIGHT_F32, 0);
        expect_refused(&file, "expected at least 1");
        dims[at] = 16;
        build_one(&file, 4, dims, WEIGHT_F32, 0);
        expect_taken(&file);
        dims[at] = 17;
        build_one(&file, 4, dims, WEIGHT_F32, 0);
        expect_refused(&file, "do not lie in the 64 bytes");
        for (size_t i = 0; i < N_ABSURD; i++) {
            dims[at] = absurd[i];
            build_one(&file, 4, dims, WEIGHT_F32, 0);
            expect_refused(&file, "tensor 't'");
        }
        dims[at] = 1;
    }
    /* Products that come round to something small. */
    build_one(&file, 2, (uint64_t[]){(uint64_t)1 << 32, (uint64_t)1 << 32}, WEIGHT_F32, 0);
    expect_refused(&file, "overflows");
    build_one(&file, 2, (uint64_t[]){(uint64_t)1 << 62, 1}, WEIGHT_F32, 0);
    expect_refused(&file, "overflows");
    build_one(&file, 3, (uint64_t[]){((uint64_t)1 << 32) + 1, ((uint64_t)1 << 32) - 1, 1},
              WEIGHT_F32, 0);
    expect_refused(&file, "overflows");
}

static void test_gguf_rows_must_be_whole_blocks(void **state) {
    struct buf file;

    for (uint64_t n_cols = 1; n_cols <= 64; n_cols++) {
        build_one(&file, 1, &n_cols, WEIGHT_Q4_0, 0);
        if (n_cols % 32 == 0)
            expect_taken(&file);
        else
            expect_refused(&file, "no whole number of Q4_0 blocks");
    }
}

static void test_gguf_tensor_types(void **state) {
    struct buf file;
    struct error error;
    const uint64_t n_cols = 256;

    for (uint32_t type = 0; type < 60; type++) {
        gguf_begin(&file, 3, 1, 0);
        gguf_add_info(&file, "t", 1, &n_cols, type, 0);
        gguf_pad(&file, 32);
        gguf_put_zeros(&file, 256 * 8);
        if (weight_type_layout(type))
            expect_taken(&file);
        else
            expect_refused(&file, "unknown or was removed");
    }
    build_one(&file, 1, &n_cols, 137, 0);
    assert_int_equal(parse(&file, file.len, &error), -ENOTSUP);
    assert_non_null(strstr(error.message, "ik_llama.cpp"));
    buf_fini(&file);
}

static void test_gguf_offsets(void **state) {
    struct buf file;
    const uint64_t n = 8; /* 32 bytes */

    static const struct {
        uint64_t offset;
        const char *refusal;
    } cases[] = {
        {0, NULL},
        {32, NULL},
        {64, "do not lie in"},
        {1, "no multiple of 32"},
        {31, "no multiple of 32"},
        {33, "no multiple of 32"},
        {((uint64_t)1 << 32), "do not lie in"},
        {((uint64_t)1 << 63), "do not lie in"},
        {UINT64_MAX - 31, "do not lie in"},
        {UINT64_MAX, "no multiple of 32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        build_one(&file, 1, &n, WEIGHT_F32, cases[i].offset);
        if (cases[i].refusal)
            expect_refused(&file, cases[i].refusal);
        else
            expect_taken(&file);
    }
}

static void test_gguf_overlap_is_refused_order_and_holes_are_not(void **state) {
    struct buf file;

    gguf_begin(&file, 3, 2, 0);
    gguf_add_info(&file, "a", 1, (uint64_t[]){16}, WEIGHT_F32, 0);
    gguf_add_info(&file, "b", 1, (uint64_t[]){8}, WEIGHT_F32, 32);
    gguf_pad(&file, 32);
    gguf_put_zeros(&file, 64);
    expect_refused(&file, "overlap");

    gguf_begin(&file, 3, 2, 0);
    gguf_add_info(&file, "a", 1, (uint64_t[]){8}, WEIGHT_F32, 64);
    gguf_add_info(&file, "b", 1, (uint64_t[]){8}, WEIGHT_F32, 0);
    gguf_pad(&file, 32);
    gguf_put_zeros(&file, 96);
    expect_taken(&file);
}

static void test_gguf_alignment(void **state) {
    struct buf file;

    static const struct {
        uint32_t alignment;
        bool taken;
    } cases[] = {
        {0, false},    {1, true},         {2, true},         {3, false},          {8, true},
        {32, true},    {33, false},       {64, true},        {4096, true},        {4097, false},
        {8192, false}, {1u << 20, false}, {1u << 31, false}, {UINT32_MAX, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gguf_begin(&file, 3, 1, 1);
        gguf_add_u32(&file, "general.alignment", cases[i].alignment);
        gguf_add_info(&file, "t", 1, (uint64_t[]){8}, WEIGHT_F32, 0);
        if (cases[i].taken)
            gguf_pad(&file, cases[i].alignment);
        gguf_put_zeros(&file, 32);
        if (cases[i].taken)
            expect_taken(&file);
        else
            expect_refused(&file, "general.alignment");
    }
    gguf_begin(&file, 3, 0, 1);
    gguf_add_string(&file, "general.alignment", "32");
    expect_refused(&file, "general.alignment: expected an integer, found string");
    gguf_begin(&file, 3, 0, 1);
    gguf_add_key(&file, "general.alignment", GGUF_I32);
    gguf_put_u32(&file, (uint32_t)-32);
    expect_refused(&file, "general.alignment");
}

/* Writes a shard with one tensor to the scratch folder. */
static void write_shard(const char *name, const char *tensor, uint32_t count, uint32_t n_tensors) {
    struct buf file;

    gguf_begin(&file, 3, 1, 2);
    gguf_add_u32(&file, "split.count", count);
    gguf_add_u32(&file, "split.tensors.count", n_tensors);
    gguf_add_info(&file, tensor, 1, (uint64_t[]){8}, WEIGHT_F32, 0);
    gguf_pad(&file, 32);
    gguf_put_zeros(&file, 32);
    FILE *out = fopen(scratch_path(name), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file.data, 1, file.len, out), file.len);
    assert_int_equal(fclose(out), 0);
    buf_fini(&file);
}

static void expect_open(const char *name, int expected, const char *text) {
    struct gguf *gguf;
    struct error error = {.message = ""};
    const int r = gguf_open(scratch_path(name), &gguf, &error);

    if (r != expected || (text && !strstr(error.message, text)))
        fail_msg("%s: %d, %s", name, r, error.message);
    if (r == 0)
        gguf_close(gguf);
}

static void test_gguf_split_files(void **state) {
    (void)scratch_create();
    write_shard("m-00001-of-00002.gguf", "a", 2, 2);
    write_shard("m-00002-of-00002.gguf", "b", 2, 2);
    expect_open("m-00001-of-00002.gguf", 0, NULL);
    expect_open("m-00002-of-00002.gguf", -EINVAL, "not the first shard");

    write_shard("short-00001-of-00002.gguf", "a", 2, 2);
    expect_open("short-00001-of-00002.gguf", -ENOENT, "short-00002-of-00002.gguf");

    write_shard("twice-00001-of-00002.gguf", "a", 2, 2);
    write_shard("twice-00002-of-00002.gguf", "a", 2, 2);
    expect_open("twice-00001-of-00002.gguf", -EINVAL, "'a' is there twice");

    write_shard("count-00001-of-00002.gguf", "a", 3, 2);
    write_shard("count-00002-of-00002.gguf", "b", 3, 2);
    expect_open("count-00001-of-00002.gguf", -EINVAL, "split.count");

    write_shard("sum-00001-of-00002.gguf", "a", 2, 3);
    write_shard("sum-00002-of-00002.gguf", "b", 2, 3);
    expect_open("sum-00001-of-00002.gguf", -EINVAL, "split.tensors.count");

    write_shard("renamed.gguf", "a", 2, 2);
    expect_open("renamed.gguf", -EINVAL, "split.count");
    write_shard("one-00001-of-00001.gguf", "a", 1, 1);
    expect_open("one-00001-of-00001.gguf", 0, NULL);
    write_shard("zero-00001-of-00000.gguf", "a", 1, 1);
    expect_open("zero-00001-of-00000.gguf", -EINVAL, NULL);
    scratch_destroy();
}

static bool fail_at(void *ctx, size_t size) {
    uint32_t *left = ctx;
    return (*left)-- == 0;
}

static void test_gguf_open_every_allocation_failed_in_turn(void **state) {
    struct buf file;
    struct gguf *gguf;
    struct error error;
    build_sound(&file);

    int r = -ENOMEM;
    uint32_t n_failed = 0;
    for (; r == -ENOMEM; n_failed++) {
        uint32_t left = n_failed;
        mem_set_fault_hook(fail_at, &left);
        r = gguf_open_memory(file.data, file.len, "file", &gguf, &error);
        mem_set_fault_hook(NULL, NULL);
    }
    assert_int_equal(r, 0);
    assert_true(n_failed > 3);
    gguf_close(gguf);
    buf_fini(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_sound_file_gives_what_was_written),
        cmocka_unit_test(test_gguf_cut_at_every_byte_is_refused),
        cmocka_unit_test(test_gguf_every_byte_changed_is_taken_or_refused),
        cmocka_unit_test(test_gguf_preamble),
        cmocka_unit_test(test_gguf_number_of_keys),
        cmocka_unit_test(test_gguf_number_of_tensors),
        cmocka_unit_test(test_gguf_length_of_strings),
        cmocka_unit_test(test_gguf_length_of_arrays),
        cmocka_unit_test(test_gguf_types_of_values),
        cmocka_unit_test(test_gguf_doubled_names_are_refused),
        cmocka_unit_test(test_gguf_shapes),
        cmocka_unit_test(test_gguf_rows_must_be_whole_blocks),
        cmocka_unit_test(test_gguf_tensor_types),
        cmocka_unit_test(test_gguf_offsets),
        cmocka_unit_test(test_gguf_overlap_is_refused_order_and_holes_are_not),
        cmocka_unit_test(test_gguf_alignment),
        cmocka_unit_test(test_gguf_split_files),
        cmocka_unit_test(test_gguf_open_every_allocation_failed_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
