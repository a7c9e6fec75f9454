/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors - see the header. Layout: u64 length N, N bytes of JSON
 * {"name": {"dtype", "shape", "data_offsets": [begin, end]}, ..., "__metadata__": {...}}, data.
 */
#include "load/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/json_pull.h"
#include "kvasir/mem.h"
#include "load/cursor.h"
#include "load/tensor.h"

enum { MAX_HEADER_BYTES = 100 * 1000 * 1000 };

/* A dtype of the format; weights are a few of them, the others may stand beside. */
struct dtype {
    const char *name;
    uint32_t n_bits;
    uint32_t type;
};

static const struct dtype dtypes[] = {
    {"F32", 32, WEIGHT_F32},
    {"F16", 16, WEIGHT_F16},
    {"BF16", 16, WEIGHT_BF16},
    {"F64", 64, STORED_NO_WEIGHT},
    {"I64", 64, STORED_NO_WEIGHT},
    {"U64", 64, STORED_NO_WEIGHT},
    {"C64", 64, STORED_NO_WEIGHT},
    {"I32", 32, STORED_NO_WEIGHT},
    {"U32", 32, STORED_NO_WEIGHT},
    {"I16", 16, STORED_NO_WEIGHT},
    {"U16", 16, STORED_NO_WEIGHT},
    {"I8", 8, STORED_NO_WEIGHT},
    {"U8", 8, STORED_NO_WEIGHT},
    {"BOOL", 8, STORED_NO_WEIGHT},
    {"F8_E4M3", 8, STORED_NO_WEIGHT},
    {"F8_E5M2", 8, STORED_NO_WEIGHT},
    {"F8_E8M0", 8, STORED_NO_WEIGHT},
    {"F8_E4M3FNUZ", 8, STORED_NO_WEIGHT},
    {"F8_E5M2FNUZ", 8, STORED_NO_WEIGHT},
    {"F6_E2M3", 6, STORED_NO_WEIGHT},
    {"F6_E3M2", 6, STORED_NO_WEIGHT},
    {"F4", 4, STORED_NO_WEIGHT},
};

/* One entry of the header as it stands, nothing checked. */
struct entry {
    struct json_str dtype;
    uint64_t shape[STORED_MAX_DIMS];
    uint32_t n_dims;
    uint64_t begin, end; /* of the data buffer */
    bool has_dtype, has_shape, has_offsets;
};

/* The state of one parse. */
struct parse {
    struct json_pull json;
    const char *what;
    const uint8_t *buffer; /* the data behind the header */
    size_t buffer_size;
    struct tensor_dir *dir;
    size_t first;    /* items of dir that were there before */
    struct buf name; /* the name being read, unescaped */
};

static void read_shape(struct json_pull *json, struct entry *entry) {
    json_enter_array(json);
    while (json_next_item(json)) {
        const uint64_t dim = json_take_uint(json);
        if (entry->n_dims == STORED_MAX_DIMS) {
            json_fail(json, "shape with more than 8 dimensions");
            return;
        }
        entry->shape[entry->n_dims++] = dim;
    }
    entry->has_shape = true;
}

static void read_offsets(struct json_pull *json, struct entry *entry) {
    uint64_t offsets[2] = {0, 0};
    int n = 0;

    json_enter_array(json);
    while (json_next_item(json)) {
        const uint64_t offset = json_take_uint(json);
        if (n == 2) {
            json_fail(json, "data_offsets with more than two numbers");
            return;
        }
        offsets[n++] = offset;
    }
    if (n != 2) {
        json_fail(json, "data_offsets without two numbers");
        return;
    }
    entry->begin = offsets[0];
    entry->end = offsets[1];
    entry->has_offsets = true;
}

static struct entry read_entry(struct json_pull *json) {
    struct entry entry = {.n_dims = 0};
    for (uint32_t i = 0; i < STORED_MAX_DIMS; i++)
        entry.shape[i] = 1;

    struct json_str key;
    json_enter_object(json);
    while (json_next_key(json, &key)) {
        if (json_is(key, "dtype") && !entry.has_dtype) {
            entry.dtype = json_take_string(json);
            entry.has_dtype = true;
        } else if (json_is(key, "shape") && !entry.has_shape) {
            read_shape(json, &entry);
        } else if (json_is(key, "data_offsets") && !entry.has_offsets) {
            read_offsets(json, &entry);
        } else {
            json_fail(json, "tensor with a doubled or unknown field");
        }
    }
    if (!entry.has_dtype || !entry.has_shape || !entry.has_offsets)
        json_fail(json, "tensor without dtype, shape or data_offsets");
    return entry;
}

static const struct dtype *find_dtype(struct json_str name) {
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (json_is(name, dtypes[i].name))
            return &dtypes[i];
    return NULL;
}

/* Bytes of a tensor of this shape; false where the product overflows or is no whole byte. */
static bool shape_bytes(const struct entry *entry, uint32_t n_bits, size_t *ret_bytes) {
    size_t n = 1;
    for (uint32_t i = 0; i < entry->n_dims; i++)
        if (entry->shape[i] == 0)
            n = 0;
    for (uint32_t i = 0; i < entry->n_dims && n > 0; i++)
        if (!size_mul(n, entry->shape[i], &n))
            return false;

    size_t total_bits;
    if (!size_mul(n, n_bits, &total_bits) || total_bits % 8 != 0)
        return false;
    *ret_bytes = total_bits / 8;
    return true;
}

static int add_tensor(struct parse *p, struct json_str name, const struct entry *entry,
                      struct error *reterr) {
    buf_clear(&p->name);
    json_unescape(name, &p->name);
    if (buf_failed(&p->name))
        return error_set(reterr, -EINVAL, "%s: tensor name of more than %d bytes", p->what,
                         STORED_MAX_NAME);
    const char *shown = p->name.data ? p->name.data : "";

    const struct dtype *dtype = find_dtype(entry->dtype);
    if (!dtype)
        return error_set(reterr, -EINVAL, "%s: tensor '%.200s': unknown dtype '%.*s'", p->what,
                         shown, (int)(entry->dtype.len < 32 ? entry->dtype.len : 32),
                         entry->dtype.bytes);
    if (entry->begin > entry->end || entry->end > p->buffer_size)
        return error_set(reterr, -EINVAL,
                         "%s: tensor '%.200s': data_offsets [%" PRIu64 ", %" PRIu64
                         "] do not lie in the %zu bytes of data",
                         p->what, shown, entry->begin, entry->end, p->buffer_size);
    size_t n_bytes;
    if (!shape_bytes(entry, dtype->n_bits, &n_bytes) || n_bytes != entry->end - entry->begin)
        return error_set(reterr, -EINVAL,
                         "%s: tensor '%.200s': shape and dtype %s do not give the %" PRIu64
                         " bytes of its data_offsets",
                         p->what, shown, dtype->name, entry->end - entry->begin);

    struct stored_tensor tensor = {
        .type_name = dtype->name,
        .type = dtype->type,
        .n_dims = entry->n_dims,
        .data = p->buffer + entry->begin,
        .n_bytes = n_bytes,
    };
    memcpy(tensor.shape, entry->shape, sizeof tensor.shape);

    const int r = tensor_dir_add(p->dir, &tensor, shown, p->name.len, reterr);
    return r < 0 ? error_prefix(reterr, r, "%s", p->what) : 0;
}

static int read_header(struct parse *p, struct error *reterr) {
    struct json_str name;

    json_enter_object(&p->json);
    while (json_next_key(&p->json, &name)) {
        if (json_is(name, "__metadata__")) {
            (void)json_skip(&p->json); /* free text of the writer */
            continue;
        }
        const struct entry entry = read_entry(&p->json);
        int r = json_pull_status(&p->json, p->what, reterr);
        if (r < 0)
            return error_prefix(reterr, r, "tensor '%.*s'", (int)(name.len < 200 ? name.len : 200),
                                name.bytes);
        r = add_tensor(p, name, &entry, reterr);
        if (r < 0)
            return r;
    }
    return json_pull_end(&p->json, p->what, reterr);
}

static int by_place(const void *a, const void *b) {
    const struct stored_tensor *left = a, *right = b;

    if (left->data != right->data)
        return (uintptr_t)left->data < (uintptr_t)right->data ? -1 : 1;
    return left->n_bytes < right->n_bytes ? -1 : left->n_bytes > right->n_bytes;
}

/* The byte ranges, in order, must tile the buffer: what belongs to nobody could hide anything. */
static int check_tiling(struct parse *p, struct error *reterr) {
    struct tensor_dir *dir = p->dir;
    if (dir->n > p->first)
        qsort(dir->items + p->first, dir->n - p->first, sizeof *dir->items, by_place);

    size_t expected = 0;
    for (size_t i = p->first; i < dir->n; i++) {
        const struct stored_tensor *tensor = &dir->items[i];
        const size_t begin = (size_t)((const uint8_t *)tensor->data - p->buffer);
        if (begin != expected)
            return error_set(reterr, -EINVAL,
                             "%s: tensor '%.200s' begins at byte %zu of the data, expected %zu: "
                             "there is %s",
                             p->what, tensor->name, begin, expected,
                             begin < expected ? "an overlap" : "a hole");
        expected = begin + tensor->n_bytes;
    }
    if (expected != p->buffer_size)
        return error_set(reterr, -EINVAL, "%s: %zu bytes of data follow the last tensor", p->what,
                         p->buffer_size - expected);
    return 0;
}

int safetensors_parse(const void *data, size_t size, const char *what, struct tensor_dir *dir,
                      struct error *reterr) {
    struct cursor c;
    cursor_init(&c, data, size);

    const uint64_t n_header = cursor_u64(&c, "header length");
    if (n_header > MAX_HEADER_BYTES)
        cursor_fail(&c, "header length", "more than 100 MB", n_header);
    const char *header = cursor_bytes(&c, "header", n_header);
    if (header && (n_header == 0 || header[0] != '{'))
        cursor_fail(&c, "header", "does not begin with {", n_header);
    int r = cursor_status(&c, what, reterr);
    if (r < 0)
        return r;

    struct parse p = {
        .what = what,
        .buffer = c.data + c.pos,
        .buffer_size = cursor_left(&c),
        .dir = dir,
        .first = dir->n,
    };
    json_pull_init(&p.json, header, (size_t)n_header);
    buf_init(&p.name, STORED_MAX_NAME);

    r = read_header(&p, reterr);
    if (r == 0)
        r = check_tiling(&p, reterr);
    buf_fini(&p.name);
    return r;
}

int safetensors_read(const char *path, struct tensor_dir *dir, struct error *reterr) {
    const struct file_map *map;
    const int r = tensor_dir_map(dir, path, &map, reterr);
    if (r < 0)
        return r;
    return safetensors_parse(map->data, map->size, path, dir, reterr);
}
