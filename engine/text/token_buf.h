/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_buf - appending to the ids that an encoder returns (the struct is in kvasir/tokenizer.h).
 */
#ifndef KVASIR_TEXT_TOKEN_BUF_H
#define KVASIR_TEXT_TOKEN_BUF_H

#include "kvasir/tokenizer.h"

/* Makes room for n more ids; -ENOMEM. */
int token_buf_grow(struct token_buf *buf, size_t n) KV_MUST_CHECK;

KV_MUST_CHECK static inline int token_buf_reserve(struct token_buf *buf, size_t n) {
    return buf->cap - buf->n >= n ? 0 : token_buf_grow(buf, n);
}

/* Into room that was reserved. */
static inline void token_buf_put(struct token_buf *buf, token_id id) {
    buf->ids[buf->n++] = id;
}

KV_MUST_CHECK static inline int token_buf_push(struct token_buf *buf, token_id id) {
    int r = token_buf_reserve(buf, 1);
    if (r < 0)
        return r;
    token_buf_put(buf, id);
    return 0;
}

#endif
