/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf - parses the container: header, keys, tensor infos, shards. The layout:
 *
 *   "GGUF", u32 version, u64 n_tensors, u64 n_kv
 *   n_kv times       string key, u32 type, value
 *   n_tensors times  string name, u32 n_dims, u64 dims[n_dims] (innermost first), u32 type,
 *                    u64 offset
 *   padding to `alignment`, then the data; offsets count from there
 *
 * A string is a u64 length and its bytes; an array is u32 item type, u64 count, items. Nothing is
 * trusted: see the header. Tensors may lie anywhere in the data as long as they do not overlap.
 */
#include "load/gguf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/mem.h"
#include "load/cursor.h"
#include "load/gguf_impl.h"
#include "load/tensor.h"

enum {
    GGUF_MAX_DIMS = 4,
    MAX_KEY_BYTES = 65535,
    DEFAULT_ALIGNMENT = 32,
    MAX_ALIGNMENT = 4096,
    MAX_SHARDS = 9999,

    /* The shortest records: an empty string is 8 bytes. */
    MIN_ENTRY_BYTES = 8 + 1 + 4 + 1,
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8,
};

size_t gguf_type_bytes(enum gguf_type type) {
    static const uint8_t sizes[GGUF_TYPE_END] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return type < GGUF_TYPE_END ? sizes[type] : 0;
}

static struct gguf_str read_string(struct cursor *c, const char *field) {
    const uint64_t len = cursor_u64(c, field);
    const char *bytes = cursor_bytes(c, field, len);

    return bytes ? (struct gguf_str){.bytes = bytes, .len = (size_t)len}
                 : (struct gguf_str){.bytes = "", .len = 0};
}

static enum gguf_type read_type(struct cursor *c, const char *field) {
    const uint32_t type = cursor_u32(c, field);
    if (type < GGUF_TYPE_END)
        return (enum gguf_type)type;
    cursor_fail(c, field, "unknown type", type);
    return GGUF_U8;
}

/* Steps over n items of a type; strings one by one, since their lengths are theirs. */
static void skip_items(struct cursor *c, enum gguf_type type, uint64_t n) {
    if (type == GGUF_ARRAY) {
        cursor_fail(c, "array", "arrays in arrays are not allowed", n);
        return;
    }
    if (type != GGUF_STRING) { /* n was checked against what is left, so this cannot overflow */
        (void)cursor_bytes(c, "array", n * gguf_type_bytes(type));
        return;
    }
    for (uint64_t i = 0; i < n && !c->reason; i++)
        (void)read_string(c, "string in an array"); /* only stepped over */
}

static struct gguf_entry read_entry(struct cursor *c) {
    struct gguf_entry entry = {.key = read_string(c, "key"), .n_items = 1};
    if (!c->reason && (entry.key.len == 0 || entry.key.len > MAX_KEY_BYTES))
        cursor_fail(c, "key", "expected 1 to 65535 bytes", entry.key.len);

    entry.type = read_type(c, "type of a value");
    entry.item_type = entry.type;
    if (entry.type == GGUF_ARRAY) {
        entry.item_type = read_type(c, "type of array elements");
        const size_t n_bytes = gguf_type_bytes(entry.item_type);
        entry.n_items = cursor_count(c, "array length", n_bytes ? n_bytes : sizeof(uint64_t));
    }
    entry.data = (const char *)c->data + c->pos;
    skip_items(c, entry.item_type, entry.n_items);
    entry.end = (const char *)c->data + c->pos;
    return entry;
}

static int compare_keys(struct gguf_str a, struct gguf_str b) {
    const int order = memcmp(a.bytes, b.bytes, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_key(const void *a, const void *b) {
    const struct gguf_entry *left = a, *right = b;
    return compare_keys(left->key, right->key);
}

const struct gguf_entry *gguf_find(const struct gguf *gguf, const char *key) {
    if (gguf->n_entries == 0)
        return NULL;
    const struct gguf_entry wanted = {.key = {.bytes = key, .len = strlen(key)}};
    return bsearch(&wanted, gguf->entries, gguf->n_entries, sizeof wanted, by_key);
}

/* The messages of a cursor, with the key or tensor that was being read. */
static int parse_error(const struct cursor *c, const char *what, const char *kind,
                       struct gguf_str name, struct error *reterr) {
    char where[400];
    const int len = (int)(name.len < 100 ? name.len : 100);

    (void)snprintf(where, sizeof where, "%.250s: %s '%.*s'", what, kind, len, name.bytes); /* cut */
    return cursor_status(c, where, reterr);
}

static int read_entries(struct cursor *c, const char *what, struct gguf_entry *entries, size_t n,
                        struct error *reterr) {
    for (size_t i = 0; i < n; i++) {
        entries[i] = read_entry(c);
        if (c->reason)
            return parse_error(c, what, "key", entries[i].key, reterr);
    }
    if (n > 0)
        qsort(entries, n, sizeof *entries, by_key);
    for (size_t i = 1; i < n; i++)
        if (compare_keys(entries[i - 1].key, entries[i].key) == 0)
            return error_set(reterr, -EINVAL, "%s: key '%.*s' is there twice", what,
                             (int)(entries[i].key.len < 100 ? entries[i].key.len : 100),
                             entries[i].key.bytes);
    return 0;
}

/* A tensor info as it stands in the file, shape turned round to outermost first. */
struct info {
    struct gguf_str name;
    struct stored_tensor tensor; /* data and n_bytes not set */
    uint64_t offset;
};

static struct info read_info(struct cursor *c) {
    struct info info = {.name = read_string(c, "tensor name")};
    struct stored_tensor *tensor = &info.tensor;
    for (uint32_t i = 0; i < STORED_MAX_DIMS; i++)
        tensor->shape[i] = 1;

    tensor->n_dims = cursor_u32(c, "n_dims");
    if (tensor->n_dims < 1 || tensor->n_dims > GGUF_MAX_DIMS) {
        cursor_fail(c, "n_dims", "expected 1 to 4", tensor->n_dims);
        tensor->n_dims = 1;
    }
    for (uint32_t i = tensor->n_dims; i > 0; i--) {
        tensor->shape[i - 1] = cursor_u64(c, "dimension");
        if (tensor->shape[i - 1] == 0)
            cursor_fail(c, "dimension", "expected at least 1", 0);
    }
    tensor->type = cursor_u32(c, "tensor type");
    info.offset = cursor_u64(c, "tensor offset");
    return info;
}

/* Bytes of the tensor; false where the row is no whole number of blocks or a product overflows. */
static bool info_bytes(const struct info *info, const struct weight_type_info *layout,
                       size_t *ret_bytes) {
    const struct stored_tensor *tensor = &info->tensor;
    const uint64_t n_cols = tensor->shape[tensor->n_dims - 1];
    if (n_cols % layout->block_len != 0)
        return false;

    size_t n_bytes;
    if (!size_mul(n_cols / layout->block_len, layout->block_bytes, &n_bytes))
        return false;
    for (uint32_t i = 0; i + 1 < tensor->n_dims; i++)
        if (!size_mul(n_bytes, tensor->shape[i], &n_bytes))
            return false;
    *ret_bytes = n_bytes;
    return true;
}

/* The data section of a file. */
struct section {
    const char *what;
    const uint8_t *data;
    size_t size;
    size_t alignment;
};

static int place_tensor(const struct section *section, struct info *info, struct tensor_dir *dir,
                        struct error *reterr) {
    char where[400];
    (void)snprintf(where, sizeof where, "%.250s: tensor '%.*s'", section->what,
                   (int)(info->name.len < 100 ? info->name.len : 100), info->name.bytes); /* cut */

    const struct weight_type_info *layout = weight_type_layout(info->tensor.type);
    if (!layout)
        return error_set(reterr, info->tensor.type >= 97 ? -ENOTSUP : -EINVAL,
                         "%s: type %" PRIu32 " is %s", where, info->tensor.type,
                         info->tensor.type >= 97 ? "of the fork ik_llama.cpp, not of GGUF"
                                                 : "unknown or was removed from GGUF");
    size_t n_bytes;
    if (!info_bytes(info, layout, &n_bytes))
        return error_set(reterr, -EINVAL,
                         "%s: a row of %" PRIu64
                         " values is no whole number of %s blocks, or its size overflows",
                         where, info->tensor.shape[info->tensor.n_dims - 1], layout->name);
    if (info->offset % section->alignment != 0)
        return error_set(reterr, -EINVAL, "%s: offset %" PRIu64 " is no multiple of %zu", where,
                         info->offset, section->alignment);
    if (info->offset > section->size || n_bytes > section->size - info->offset)
        return error_set(reterr, -EINVAL,
                         "%s: its %zu bytes at %" PRIu64
                         " do not lie in the %zu bytes of data: the file is cut off or damaged",
                         where, n_bytes, info->offset, section->size);

    info->tensor.type_name = layout->name;
    info->tensor.data = section->data + info->offset;
    info->tensor.n_bytes = n_bytes;
    const int r = tensor_dir_add(dir, &info->tensor, info->name.bytes, info->name.len, reterr);
    return r < 0 ? error_prefix(reterr, r, "%s", section->what) : 0;
}

static int by_place(const void *a, const void *b) {
    const struct stored_tensor *left = a, *right = b;
    return ((uintptr_t)left->data > (uintptr_t)right->data) -
           ((uintptr_t)left->data < (uintptr_t)right->data);
}

/*
 * The tensors from `first` on are of one file. Each has at least one byte, so those that overlap
 * are neighbours once they are sorted by place.
 */
static int check_overlap(const char *what, struct tensor_dir *dir, size_t first,
                         struct error *reterr) {
    if (dir->n - first < 2)
        return 0;

    qsort(dir->items + first, dir->n - first, sizeof *dir->items, by_place);
    for (size_t i = first + 1; i < dir->n; i++) {
        const struct stored_tensor *before = &dir->items[i - 1], *tensor = &dir->items[i];
        if ((const char *)before->data + before->n_bytes > (const char *)tensor->data)
            return error_set(reterr, -EINVAL, "%s: tensors '%.100s' and '%.100s' overlap", what,
                             before->name, tensor->name);
    }
    return 0;
}

static int read_alignment(const struct gguf_entry *entries, size_t n, const char *what,
                          size_t *ret_alignment, struct error *reterr) {
    const struct gguf gguf = {
        .entries = (struct gguf_entry *)(uintptr_t)entries, /* only read */
        .n_entries = n,
    };
    uint32_t alignment = DEFAULT_ALIGNMENT;
    const int r = gguf_get_u32(&gguf, "general.alignment", &alignment, reterr);
    if (r < 0 && r != -ENOENT)
        return error_prefix(reterr, r, "%s", what);
    if (alignment == 0 || alignment > MAX_ALIGNMENT || (alignment & (alignment - 1)) != 0)
        return error_set(reterr, -EINVAL,
                         "%s: general.alignment: expected a power of two up to %d, found %" PRIu32,
                         what, MAX_ALIGNMENT, alignment);
    *ret_alignment = alignment;
    return 0;
}

static int read_tensors(struct cursor *c, uint64_t n_tensors, struct section *section,
                        struct tensor_dir *dir, struct error *reterr) {
    const size_t first = dir->n;
    const struct cursor start = *c;

    /* Once to find where the data begins, once to place the tensors in it. */
    for (uint64_t i = 0; i < n_tensors; i++) {
        const struct info info = read_info(c);
        if (c->reason)
            return parse_error(c, section->what, "tensor", info.name, reterr);
    }
    const size_t padding = (section->alignment - c->pos % section->alignment) % section->alignment;
    if (n_tensors > 0 && padding > c->size - c->pos)
        return error_set(reterr, -EINVAL, "%s: ends before its tensor data", section->what);
    section->data = c->data + c->pos + padding;
    section->size = padding < c->size - c->pos ? c->size - c->pos - padding : 0;

    *c = start;
    for (uint64_t i = 0; i < n_tensors; i++) {
        struct info info = read_info(c);
        const int r = place_tensor(section, &info, dir, reterr);
        if (r < 0)
            return r;
    }
    return check_overlap(section->what, dir, first, reterr);
}

/* Magic and version; leaves the cursor at the counts. */
static void read_preamble(struct cursor *c) {
    const char *magic = cursor_bytes(c, "magic", 4);
    if (magic && memcmp(magic, "GGUF", 4) != 0)
        cursor_fail(c, "magic", "is not GGUF", 0);

    const uint32_t version = cursor_u32(c, "version");
    if (version != 0 && (version & 0xffff) == 0)
        cursor_fail(c, "version", "the file is big-endian, which is not served", version);
    else if (version != 2 && version != 3)
        cursor_fail(c, "version", "expected 2 or 3", version);
}

int gguf_parse(const void *data, size_t size, const char *what, struct tensor_dir *dir,
               struct gguf_entry **ret_entries, size_t *ret_n, struct error *reterr) {
    struct cursor c;

    cursor_init(&c, data, size);
    read_preamble(&c);
    const uint64_t n_tensors = cursor_count(&c, "number of tensors", MIN_TENSOR_BYTES);
    const uint64_t n_entries = cursor_count(&c, "number of keys", MIN_ENTRY_BYTES);
    int r = cursor_status(&c, what, reterr);
    if (r < 0)
        return r;

    struct gguf_entry *entries = mem_alloc_array((size_t)n_entries, sizeof *entries);
    if (!entries)
        return error_set(reterr, -ENOMEM, "%s: no memory for %" PRIu64 " keys", what, n_entries);

    struct section section = {.what = what};
    r = read_entries(&c, what, entries, (size_t)n_entries, reterr);
    if (r == 0)
        r = read_alignment(entries, (size_t)n_entries, what, &section.alignment, reterr);
    if (r == 0)
        r = read_tensors(&c, n_tensors, &section, dir, reterr);
    if (r < 0) {
        mem_free(entries);
        return r;
    }
    *ret_entries = entries;
    *ret_n = (size_t)n_entries;
    return 0;
}

/*
 * If path ends in -00001-of-0000N.gguf, writes the path of shard `number` (from 1) to ret_path.
 * Returns N, 0 if the file is not one of several, -EINVAL if it is not the first of them.
 */
static int shard_path(const char *path, uint32_t number, char *ret_path, size_t cap) {
    static const char form[] = "-00001-of-00002.gguf";
    const size_t n_form = sizeof form - 1, len = strlen(path);
    if (len < n_form)
        return 0;

    const char *tail = path + len - n_form;
    uint32_t numbers[2] = {0, 0};
    for (size_t i = 0, which = 0; i < n_form; i++) {
        const bool is_digit = form[i] >= '0' && form[i] <= '9';
        if (is_digit != (tail[i] >= '0' && tail[i] <= '9') || (!is_digit && tail[i] != form[i]))
            return 0;
        if (is_digit)
            numbers[which] = numbers[which] * 10 + (uint32_t)(tail[i] - '0');
        if (i == 6)
            which = 1;
    }
    if (numbers[0] != 1 || numbers[1] < 1)
        return -EINVAL;
    const int n = snprintf(ret_path, cap, "%.*s-%05" PRIu32 "-of-%05" PRIu32 ".gguf",
                           (int)(len - n_form), path, number, numbers[1]);
    return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : (int)numbers[1];
}

/* Maps and parses one file; the keys are kept only of the first. */
static int read_file(struct gguf *gguf, const char *path, struct error *reterr) {
    const struct file_map *map;
    struct gguf_entry *entries = NULL;
    size_t n = 0;
    int r = tensor_dir_map(&gguf->dir, path, &map, reterr);
    if (r == 0)
        r = gguf_parse(map->data, map->size, path, &gguf->dir, &entries, &n, reterr);
    if (r < 0)
        return r;

    if (gguf->entries) {
        mem_free(entries);
        return 0;
    }
    gguf->entries = entries;
    gguf->n_entries = n;
    return 0;
}

/* The first shard says how many there are and how many tensors they hold together. */
static int check_split(const struct gguf *gguf, uint32_t n_files, struct error *reterr) {
    uint32_t count = 1, n_tensors = (uint32_t)gguf->dir.n;
    int r = gguf_get_u32(gguf, "split.count", &count, reterr);
    if (r == 0 || r == -ENOENT)
        r = gguf_get_u32(gguf, "split.tensors.count", &n_tensors, reterr);
    if (r < 0 && r != -ENOENT)
        return r;

    if (count != n_files && count > 1)
        return error_set(reterr, -EINVAL,
                         "%s: split.count: the file is one of %" PRIu32 ", %" PRIu32
                         " were found by its name",
                         gguf->path, count, n_files);
    if (n_tensors != gguf->dir.n)
        return error_set(reterr, -EINVAL,
                         "%s: split.tensors.count: expected %" PRIu32 " tensors, found %zu",
                         gguf->path, n_tensors, gguf->dir.n);
    return 0;
}

static int read_files(struct gguf *gguf, struct error *reterr) {
    const size_t cap = strlen(gguf->path) + 32;
    char *path = mem_alloc(cap);
    if (!path)
        return error_set(reterr, -ENOMEM, "%s: no memory", gguf->path);

    const int n_files = shard_path(gguf->path, 1, path, cap);
    int r = 0;
    if (n_files < 0)
        r = error_set(reterr, -EINVAL,
                      "%s: is not the first shard; give the one that ends in -00001-of-...",
                      gguf->path);
    else
        r = read_file(gguf, gguf->path, reterr);
    for (uint32_t i = 2; r == 0 && (int)i <= n_files && i <= MAX_SHARDS; i++) {
        (void)shard_path(gguf->path, i, path, cap); /* as for the first */
        r = read_file(gguf, path, reterr);
    }
    mem_free(path);
    if (r == 0)
        r = check_split(gguf, n_files > 0 ? (uint32_t)n_files : 1, reterr);
    if (r == 0)
        r = tensor_dir_sort(&gguf->dir, reterr);
    return r;
}

int gguf_open(const char *path, struct gguf **ret_gguf, struct error *reterr) {
    struct gguf *gguf = mem_alloc_zero(1, sizeof *gguf);
    char *copy = mem_dup_string(path, strlen(path));
    if (!gguf || !copy) {
        mem_free(gguf);
        mem_free(copy);
        return error_set(reterr, -ENOMEM, "%s: no memory", path);
    }

    gguf->path = copy;
    const int r = read_files(gguf, reterr);
    if (r < 0) {
        gguf_close(gguf);
        return r;
    }
    *ret_gguf = gguf;
    return 0;
}

int gguf_open_memory(const void *data, size_t size, const char *what, struct gguf **ret_gguf,
                     struct error *reterr) {
    struct gguf *gguf = mem_alloc_zero(1, sizeof *gguf);
    if (!gguf)
        return error_set(reterr, -ENOMEM, "%s: no memory", what);

    int r = gguf_parse(data, size, what, &gguf->dir, &gguf->entries, &gguf->n_entries, reterr);
    if (r == 0)
        r = tensor_dir_sort(&gguf->dir, reterr);
    if (r < 0) {
        gguf_close(gguf);
        return r;
    }
    *ret_gguf = gguf;
    return 0;
}

void gguf_close(struct gguf *gguf) {
    if (!gguf)
        return;
    tensor_dir_fini(&gguf->dir);
    mem_free(gguf->entries);
    mem_free(gguf->path);
    mem_free(gguf);
}

const struct tensor_dir *gguf_tensors(const struct gguf *gguf) {
    return &gguf->dir;
}
