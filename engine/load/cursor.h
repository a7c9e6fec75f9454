/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cursor - reads little-endian values from bytes that nobody vouches for.
 *
 * Errors are sticky: after the first, every read returns zero and moves nothing, so code reads as
 * the list of fields and asks cursor_status once. No read goes past the end.
 */
#ifndef KVASIR_ENGINE_CURSOR_H
#define KVASIR_ENGINE_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "kvasir/error.h"

struct cursor {
    const uint8_t *data;
    size_t size;
    size_t pos;
    /* private */
    const char *reason; /* NULL: no error */
    const char *field;
    size_t error_pos;
    uint64_t found; /* the value at fault */
};

void cursor_init(struct cursor *c, const void *data, size_t size);

/* field names what is read, in messages. */
uint8_t cursor_u8(struct cursor *c, const char *field);
uint16_t cursor_u16(struct cursor *c, const char *field);
uint32_t cursor_u32(struct cursor *c, const char *field);
uint64_t cursor_u64(struct cursor *c, const char *field);

/*
 * A u64 that counts records of at least min_bytes each which follow: more than the rest of the
 * data can hold is an error, so that what is allocated for them is bounded by the file.
 */
uint64_t cursor_count(struct cursor *c, const char *field, size_t min_bytes);

/* The next n bytes, lent; NULL after an error. */
const void *cursor_bytes(struct cursor *c, const char *field, uint64_t n);

/* Makes the error sticky; found is printed. reason and field are static strings. */
void cursor_fail(struct cursor *c, const char *field, const char *reason, uint64_t found);

size_t cursor_left(const struct cursor *c);

/* 0, or -EINVAL with "<what>: <field>: <reason> ... at byte N". */
int cursor_status(const struct cursor *c, const char *what, struct error *reterr) KV_MUST_CHECK;

#endif
