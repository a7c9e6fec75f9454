/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The accessors: every type of the file against every type that is asked for, ranges, and array
 * lengths. Nothing but the right type is ever read.
 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "gguf_build.h"
#include "load/gguf_impl.h"
#include "support.h"

/* A value of each type, all of them 1 (or "1"). */
static void add_value(struct buf *file, enum gguf_type type) {
    const float single = 1;
    const double twice = 1;

    if (type == GGUF_STRING)
        gguf_put_string(file, "1");
    else if (type == GGUF_F32)
        buf_append(file, &single, sizeof single);
    else if (type == GGUF_F64)
        buf_append(file, &twice, sizeof twice);
    else
        for (size_t i = 0; i < gguf_type_bytes(type); i++)
            buf_append_char(file, i == 0 ? '\1' : '\0');
}

static struct gguf *build_value(struct buf *file, enum gguf_type type, bool is_array) {
    struct gguf *gguf;
    struct error error;

    gguf_begin(file, 3, 0, 1);
    if (is_array) {
        gguf_add_key(file, "k", GGUF_ARRAY);
        gguf_put_u32(file, type);
        gguf_put_u64(file, 2);
        add_value(file, type);
    } else {
        gguf_add_key(file, "k", type);
    }
    add_value(file, type);
    assert_int_equal(gguf_open_memory(file->data, file->len, "file", &gguf, &error), 0);
    return gguf;
}

static bool is_integer(enum gguf_type type) {
    return type <= GGUF_I32 || type == GGUF_U64 || type == GGUF_I64;
}

static bool is_float(enum gguf_type type) {
    return type == GGUF_F32 || type == GGUF_F64;
}

/* 0 where the type is taken, -EINVAL where not. */
static int want(bool is_taken) {
    return is_taken ? 0 : -EINVAL;
}

static void test_gguf_single_value_of_every_type_by_every_accessor(void **state) {
    for (uint32_t i = 0; i < GGUF_TYPE_END; i++) {
        const enum gguf_type type = (enum gguf_type)i;
        if (type == GGUF_ARRAY)
            continue;
        struct buf file;
        struct gguf *gguf = build_value(&file, type, /* is_array= */ false);
        struct error error;
        uint32_t u32 = 0, u32s[2];
        uint64_t u64 = 0;
        int32_t i32 = 0, i32s[2];
        float f32 = 0, f32s[2];
        bool flag = false, flags[2];
        struct gguf_str str;
        struct gguf_strings strings;

        assert_int_equal(gguf_get_u32(gguf, "k", &u32, &error), want(is_integer(type)));
        assert_int_equal(gguf_get_u64(gguf, "k", &u64, &error), want(is_integer(type)));
        assert_int_equal(gguf_get_i32(gguf, "k", &i32, &error), want(is_integer(type)));
        assert_int_equal(gguf_get_f32(gguf, "k", &f32, &error), want(is_float(type)));
        assert_int_equal(gguf_get_bool(gguf, "k", &flag, &error), want(type == GGUF_BOOL));
        assert_int_equal(gguf_get_str(gguf, "k", &str, &error), want(type == GGUF_STRING));
        assert_int_equal(u32 + u64 + (uint64_t)i32, is_integer(type) ? 3 : 0);
        assert_true(f32 == (is_float(type) ? 1.0f : 0.0f));

        /* A single value serves for all only where that is said. */
        assert_int_equal(gguf_copy_u32(gguf, "k", 2, u32s, &error), want(is_integer(type)));
        assert_int_equal(gguf_copy_bool(gguf, "k", 2, flags, &error), want(type == GGUF_BOOL));
        assert_int_equal(gguf_copy_i32(gguf, "k", 1, i32s, &error), -EINVAL);
        assert_int_equal(gguf_copy_f32(gguf, "k", 1, f32s, &error), -EINVAL);
        assert_int_equal(gguf_get_strings(gguf, "k", &strings, &error), -EINVAL);
        assert_int_equal(gguf_array_len(gguf, "k"), 0);
        gguf_close(gguf);
        buf_fini(&file);
    }
}

static void test_gguf_array_of_every_type_by_every_accessor(void **state) {
    for (uint32_t i = 0; i < GGUF_TYPE_END; i++) {
        const enum gguf_type type = (enum gguf_type)i;
        if (type == GGUF_ARRAY)
            continue;
        struct buf file;
        struct gguf *gguf = build_value(&file, type, /* is_array= */ true);
        struct error error;
        uint32_t u32, u32s[3];
        int32_t i32s[3];
        float f32, f32s[3];
        bool flag, flags[3];
        struct gguf_str str;
        struct gguf_strings strings;

        assert_int_equal(gguf_get_u32(gguf, "k", &u32, &error), -EINVAL);
        assert_int_equal(gguf_get_f32(gguf, "k", &f32, &error), -EINVAL);
        assert_int_equal(gguf_get_bool(gguf, "k", &flag, &error), -EINVAL);
        assert_int_equal(gguf_get_str(gguf, "k", &str, &error), -EINVAL);
        assert_int_equal(gguf_array_len(gguf, "k"), 2);

        assert_int_equal(gguf_copy_u32(gguf, "k", 2, u32s, &error), want(is_integer(type)));
        assert_int_equal(gguf_copy_i32(gguf, "k", 2, i32s, &error), want(is_integer(type)));
        assert_int_equal(gguf_copy_f32(gguf, "k", 2, f32s, &error), want(is_float(type)));
        assert_int_equal(gguf_copy_bool(gguf, "k", 2, flags, &error), want(type == GGUF_BOOL));
        assert_int_equal(gguf_get_strings(gguf, "k", &strings, &error), want(type == GGUF_STRING));
        for (uint64_t n = 0; n <= 3; n++) {
            if (n == 2)
                continue;
            assert_int_equal(gguf_copy_u32(gguf, "k", n, u32s, &error), -EINVAL);
            assert_int_equal(gguf_copy_i32(gguf, "k", n, i32s, &error), -EINVAL);
            assert_int_equal(gguf_copy_f32(gguf, "k", n, f32s, &error), -EINVAL);
            assert_int_equal(gguf_copy_bool(gguf, "k", n, flags, &error), -EINVAL);
        }
        gguf_close(gguf);
        buf_fini(&file);
    }
}

static void test_gguf_strings_are_walked_with_their_lengths(void **state) {
    struct buf file;
    struct gguf *gguf;
    struct error error;
    struct gguf_strings strings;
    struct gguf_str str;
    gguf_begin(&file, 3, 0, 1);
    gguf_add_key(&file, "k", GGUF_ARRAY);
    gguf_put_u32(&file, GGUF_STRING);
    gguf_put_u64(&file, 3);
    gguf_put_string(&file, "one");
    gguf_put_string(&file, "");
    gguf_put_u64(&file, 2);
    buf_append(&file, "\0x", 2);
    assert_int_equal(gguf_open_memory(file.data, file.len, "file", &gguf, &error), 0);

    assert_int_equal(gguf_get_strings(gguf, "k", &strings, &error), 0);
    assert_int_equal(strings.n, 3);
    assert_true(gguf_next_string(&strings, &str));
    assert_int_equal(str.len, 3);
    assert_memory_equal(str.bytes, "one", 3);
    assert_true(gguf_next_string(&strings, &str));
    assert_int_equal(str.len, 0);
    assert_true(gguf_next_string(&strings, &str));
    assert_int_equal(str.len, 2);
    assert_memory_equal(str.bytes, "\0x", 2);
    assert_false(gguf_next_string(&strings, &str));
    gguf_close(gguf);
    buf_fini(&file);
}

/* An integer of n_bytes, all its bits given. */
static struct gguf *build_integer(struct buf *file, enum gguf_type type, uint64_t bits) {
    struct gguf *gguf;
    struct error error;

    gguf_begin(file, 3, 0, 1);
    gguf_add_key(file, "k", type);
    for (size_t i = 0; i < gguf_type_bytes(type); i++)
        buf_append_char(file, (char)(bits >> (8 * i) & 0xff));
    assert_int_equal(gguf_open_memory(file->data, file->len, "file", &gguf, &error), 0);
    return gguf;
}

static void test_gguf_integers_are_checked_for_range(void **state) {
    static const struct {
        enum gguf_type type;
        uint64_t bits;
        bool fits_u32, fits_i32, fits_u64;
        int64_t value;
    } cases[] = {
        {GGUF_U8, 0xff, true, true, true, 255},
        {GGUF_I8, 0x7f, true, true, true, 127},
        {GGUF_I8, 0xff, false, true, false, -1},
        {GGUF_I8, 0x80, false, true, false, -128},
        {GGUF_U16, 0xffff, true, true, true, 65535},
        {GGUF_I16, 0x8000, false, true, false, -32768},
        {GGUF_U32, 0x7fffffff, true, true, true, INT32_MAX},
        {GGUF_U32, 0x80000000, true, false, true, 0x80000000},
        {GGUF_U32, 0xffffffff, true, false, true, 0xffffffff},
        {GGUF_I32, 0x80000000, false, true, false, INT32_MIN},
        {GGUF_I32, 0xffffffff, false, true, false, -1},
        {GGUF_U64, 0x100000000, false, false, true, 0x100000000},
        {GGUF_U64, 0x7fffffffffffffff, false, false, true, INT64_MAX},
        {GGUF_I64, 0xffffffff80000000, false, true, false, INT32_MIN},
        {GGUF_I64, 0xffffffff7fffffff, false, false, false, 0},
        {GGUF_I64, 0x8000000000000000, false, false, false, 0},
        {GGUF_I64, 0xffffffffffffffff, false, true, false, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf file;
        struct gguf *gguf = build_integer(&file, cases[i].type, cases[i].bits);
        struct error error;
        uint32_t u32 = 0;
        int32_t i32 = 0;
        uint64_t u64 = 0;

        assert_int_equal(gguf_get_u32(gguf, "k", &u32, &error), want(cases[i].fits_u32));
        assert_int_equal(gguf_get_i32(gguf, "k", &i32, &error), want(cases[i].fits_i32));
        assert_int_equal(gguf_get_u64(gguf, "k", &u64, &error), want(cases[i].fits_u64));
        if (cases[i].fits_u32)
            assert_true((int64_t)u32 == cases[i].value);
        if (cases[i].fits_i32)
            assert_true((int64_t)i32 == cases[i].value);
        if (cases[i].fits_u64)
            assert_true((int64_t)u64 == cases[i].value);
        gguf_close(gguf);
        buf_fini(&file);
    }
}

static void test_gguf_floats_must_be_finite(void **state) {
    static const double values[] = {NAN, INFINITY, -INFINITY, 1e300, DBL_MAX};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct buf file;
        struct gguf *gguf;
        struct error error;
        float value;
        gguf_begin(&file, 3, 0, 1);
        gguf_add_key(&file, "k", GGUF_F64);
        buf_append(&file, &values[i], sizeof values[i]);
        assert_int_equal(gguf_open_memory(file.data, file.len, "file", &gguf, &error), 0);
        assert_int_equal(gguf_get_f32(gguf, "k", &value, &error), -EINVAL);
        assert_string_equal(error.param, "k");
        gguf_close(gguf);
        buf_fini(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gguf_single_value_of_every_type_by_every_accessor),
        cmocka_unit_test(test_gguf_array_of_every_type_by_every_accessor),
        cmocka_unit_test(test_gguf_strings_are_walked_with_their_lengths),
        cmocka_unit_test(test_gguf_integers_are_checked_for_range),
        cmocka_unit_test(test_gguf_floats_must_be_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
