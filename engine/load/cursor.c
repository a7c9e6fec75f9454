/* SPDX-License-Identifier: Apache-2.0 */
#include "load/cursor.h"

#include <errno.h>
#include <inttypes.h>

void cursor_init(struct cursor *c, const void *data, size_t size) {
    *c = (struct cursor){.data = data, .size = size};
}

void cursor_fail(struct cursor *c, const char *field, const char *reason, uint64_t found) {
    if (c->reason)
        return;
    c->reason = reason;
    c->field = field;
    c->error_pos = c->pos;
    c->found = found;
}

size_t cursor_left(const struct cursor *c) {
    return c->reason ? 0 : c->size - c->pos;
}

const void *cursor_bytes(struct cursor *c, const char *field, uint64_t n) {
    if (c->reason)
        return NULL;
    if (n > c->size - c->pos) {
        cursor_fail(c, field, "more bytes than the file has left", n);
        return NULL;
    }
    const void *bytes = c->data + c->pos;
    c->pos += (size_t)n;
    return bytes;
}

/* n_bytes <= 8 of a little-endian integer. */
static uint64_t read_le(struct cursor *c, const char *field, size_t n_bytes) {
    const uint8_t *bytes = cursor_bytes(c, field, n_bytes);
    if (!bytes)
        return 0;

    uint64_t value = 0;
    for (size_t i = n_bytes; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

uint8_t cursor_u8(struct cursor *c, const char *field) {
    return (uint8_t)read_le(c, field, 1);
}

uint16_t cursor_u16(struct cursor *c, const char *field) {
    return (uint16_t)read_le(c, field, 2);
}

uint32_t cursor_u32(struct cursor *c, const char *field) {
    return (uint32_t)read_le(c, field, 4);
}

uint64_t cursor_u64(struct cursor *c, const char *field) {
    return read_le(c, field, 8);
}

uint64_t cursor_count(struct cursor *c, const char *field, size_t min_bytes) {
    const size_t start = c->pos;
    const uint64_t n = cursor_u64(c, field);

    if (n > cursor_left(c) / min_bytes) { /* never after an error: n is 0 then */
        c->pos = start;
        cursor_fail(c, field, "more records than the file can hold", n);
        return 0;
    }
    return n;
}

int cursor_status(const struct cursor *c, const char *what, struct error *reterr) {
    if (!c->reason)
        return 0;
    return error_set(reterr, -EINVAL, "%s: %s: %s (found %" PRIu64 ") at byte %zu of %zu", what,
                     c->field, c->reason, c->found, c->error_pos, c->size);
}
