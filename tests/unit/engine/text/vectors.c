/* SPDX-License-Identifier: Apache-2.0 */
#include "vectors.h"

#include <stdio.h>
#include <string.h>

#include "text/token_buf.h"

struct tokenizer *vectors_open(const char *dir) {
    struct tokenizer *tokenizer = NULL;
    struct error err = {.message = ""};
    if (tokenizer_open_dir(dir, &tokenizer, &err) < 0)
        fail_msg("%s", err.message);
    return tokenizer;
}

const char *vectors_shared_dir(const char *path) {
    static char dir[4096];
    const char *full = test_shared_path(path);
    const char *slash = strrchr(full, '/');
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(slash - full), full); /* shorter than full */
    return dir;
}

void vectors_take_ids(struct json_pull *p, struct token_buf *ret_ids) {
    ret_ids->n = 0;
    json_enter_array(p);
    while (json_next_item(p))
        assert_int_equal(token_buf_push(ret_ids, (token_id)json_take_int(p)), 0);
}

void vectors_check(const struct tokenizer *tokenizer, const char *name, const char *text,
                   size_t len, unsigned flags, const struct token_buf *want) {
    struct token_buf got = {.n = 0};
    assert_int_equal(tokenizer_encode(tokenizer, text, len, flags, NULL, 0, &got), 0);
    size_t same = 0;
    while (same < got.n && same < want->n && got.ids[same] == want->ids[same])
        same++;
    if (got.n != want->n || same < want->n)
        fail_msg("%s, text \"%.*s\": %zu ids, expected %zu; at %zu: %d, expected %d", name,
                 (int)len, text, got.n, want->n, same, same < got.n ? (int)got.ids[same] : -1,
                 same < want->n ? (int)want->ids[same] : -1);
    token_buf_fini(&got);
}

int vectors_lines(const char *path, void (*line)(void *ctx, const char *json, size_t len),
                  void *ctx) {
    size_t len;
    char *text = test_read_file(path, &len);
    int n = 0;
    for (size_t start = 0; start < len; n++) {
        const char *newline = memchr(text + start, '\n', len - start);
        const size_t end = newline ? (size_t)(newline - text) : len;
        line(ctx, text + start, end - start);
        start = end + 1;
    }
    test_release(text);
    return n;
}
