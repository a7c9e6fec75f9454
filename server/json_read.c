/* SPDX-License-Identifier: Apache-2.0 */
#include "json_read.h"

#include <errno.h>
#include <stdint.h>

#include "kvasir/mem.h"

enum { BUDGET_PER_BYTE = 24, BUDGET_FLOOR = 1 << 20, BUDGET_CEILING = 64 << 20 };

/*
 * What jansson may still allocate on this thread, inside json_read; elsewhere (files of the
 * operator) there is no limit. A mutable global (style rule 9), though thread-local, because
 * jansson's allocator hooks take no context. Frees are not credited: the budget bounds what one
 * parse takes in all.
 */
static _Thread_local struct {
    bool active;
    size_t left;
    bool exceeded; /* asked for more than was left */
    bool failed;   /* memory itself ran out */
} budget;

static void *budget_alloc(size_t size) {
    if (!budget.active)
        return mem_alloc(size);
    if (size > budget.left) {
        budget.exceeded = true;
        return NULL;
    }
    budget.left -= size;
    void *ptr = mem_alloc(size);
    if (!ptr)
        budget.failed = true;
    return ptr;
}

void json_read_init(void) {
    json_set_alloc_funcs(budget_alloc, mem_free);
}

/* The look before the leap: positions only, no tree. Syntax is jansson's to judge. */
struct scan {
    const char *bytes;
    size_t len;
    size_t pos;
    uint32_t depth;
    uint32_t n_values;
};

static void skip_string(struct scan *scan) {
    scan->pos++;
    while (scan->pos < scan->len && scan->bytes[scan->pos] != '"')
        scan->pos += scan->bytes[scan->pos] == '\\' ? 2 : 1;
    scan->pos++;
}

static bool is_scalar_byte(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

/* A number or a word; false if it is longer than any that means something. */
static bool skip_scalar(struct scan *scan) {
    const size_t start = scan->pos;
    while (scan->pos < scan->len && is_scalar_byte(scan->bytes[scan->pos]))
        scan->pos++;
    return scan->pos - start <= JSON_READ_MAX_NUMBER;
}

int json_read_scan(const char *bytes, size_t len, struct error *reterr) {
    struct scan scan = {.bytes = bytes, .len = len};
    while (scan.pos < len) {
        const char c = bytes[scan.pos];
        if (c == '"')
            skip_string(&scan);
        else if (is_scalar_byte(c)) {
            if (!skip_scalar(&scan))
                return error_set(reterr, -EINVAL,
                                 "The JSON body has a number of more than %d characters.",
                                 JSON_READ_MAX_NUMBER);
        } else {
            if (c == '[' || c == '{') {
                if (++scan.depth > JSON_READ_MAX_DEPTH)
                    return error_set(reterr, -EINVAL,
                                     "The JSON body is nested more than %d levels deep.",
                                     JSON_READ_MAX_DEPTH);
            } else if ((c == ']' || c == '}') && scan.depth > 0)
                scan.depth--;
            scan.pos++;
            if (c != '[' && c != '{')
                continue;
        }
        if (++scan.n_values > JSON_READ_MAX_VALUES)
            return error_set(reterr, -EINVAL, "The JSON body has more than %d values.",
                             JSON_READ_MAX_VALUES);
    }
    return 0;
}

size_t json_read_cost(size_t len) {
    if (len >= BUDGET_CEILING / BUDGET_PER_BYTE)
        return BUDGET_CEILING;
    const size_t cost = BUDGET_FLOOR + len * BUDGET_PER_BYTE;
    return cost < BUDGET_CEILING ? cost : BUDGET_CEILING;
}

int json_read(const char *bytes, size_t len, json_t **ret_root, struct error *reterr) {
    if (len == 0)
        return error_set(reterr, -EINVAL, "The request body is empty; a JSON object is expected.");
    int r = json_read_scan(bytes, len, reterr);
    if (r < 0)
        return r;

    budget.left = json_read_cost(len);
    budget.exceeded = false;
    budget.failed = false;
    budget.active = true;

    json_error_t error;
    json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
    budget.active = false;
    if (!root && budget.exceeded)
        return error_set(reterr, -EINVAL, "The JSON body has too many values for its size.");
    if (!root && budget.failed) /* jansson has other words for it, or none */
        return error_set(reterr, -ENOMEM, "There is not enough memory to read the request now.");
    if (!root)
        return error_set(reterr, -EINVAL,
                         "The request body is not valid JSON: %s (line %d, column %d).", error.text,
                         error.line, error.column);
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(reterr, -EINVAL, "The request body must be a JSON object.");
    }
    *ret_root = root;
    return 0;
}

const json_t *json_member(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return value && !json_is_null(value) ? value : NULL;
}
