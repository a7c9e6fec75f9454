/* SPDX-License-Identifier: Apache-2.0 */
/* json_pull: walking a value piece by piece and skipping it whole must agree. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/json_pull.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void unescape(struct json_str str) {
    struct buf plain = {.data = NULL};
    json_unescape(str, &plain);
    if (buf_failed(&plain) || plain.len > 3 * str.len)
        abort(); /* an escape never grows beyond a replacement character a byte */
    buf_fini(&plain);
}

/* Depth is limited by the reader itself, which is what this recursion relies on. */
static void walk(struct json_pull *p) {
    struct json_str key;
    switch (json_peek(p)) {
    case JSON_OBJECT:
        for (json_enter_object(p); json_next_key(p, &key); walk(p))
            unescape(key);
        return;
    case JSON_ARRAY:
        for (json_enter_array(p); json_next_item(p);)
            walk(p);
        return;
    case JSON_STRING:
        unescape(json_take_string(p));
        return;
    case JSON_NUMBER:
        (void)json_take_double(p); /* only the status counts */
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        (void)json_take_bool(p); /* only the status counts */
        return;
    case JSON_NULL:
        json_take_null(p);
        return;
    case JSON_INVALID:
        json_fail(p, "expected a value");
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct error error = {.message = ""};
    struct json_pull walked;
    json_pull_init(&walked, (const char *)data, size);
    walk(&walked);

    struct json_pull skipped;
    json_pull_init(&skipped, (const char *)data, size);
    (void)json_skip(&skipped); /* only the status counts */

    if ((json_pull_end(&walked, "walked", &error) == 0) !=
        (json_pull_end(&skipped, "skipped", &error) == 0))
        abort();
    return 0;
}
