/* SPDX-License-Identifier: Apache-2.0 */
#include "token_buf.h"

#include <errno.h>

#include "kvasir/mem.h"

enum { FIRST_CAP = 64 };

int token_buf_grow(struct token_buf *buf, size_t n) {
    size_t need;
    if (!size_add(buf->n, n, &need))
        return -ENOMEM;
    size_t cap = buf->cap ? buf->cap : FIRST_CAP;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;

    size_t bytes;
    token_id *ids = size_mul(cap, sizeof *ids, &bytes) ? mem_realloc(buf->ids, bytes) : NULL;
    if (!ids)
        return -ENOMEM;
    buf->ids = ids;
    buf->cap = cap;
    return 0;
}

void token_buf_fini(struct token_buf *buf) {
    mem_free(buf->ids);
    *buf = (struct token_buf){.n = 0};
}
