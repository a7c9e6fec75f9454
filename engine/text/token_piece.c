/* SPDX-License-Identifier: Apache-2.0 */
#include "token_piece.h"

#include <errno.h>
#include <string.h>

#include "token_alphabet.h"

int piece_read(struct piece_reader *reader, int which, const char *text, size_t len,
               struct piece *ret_piece) {
    *ret_piece = (struct piece){.bytes = text, .len = len};
    if (!reader->bytes_alphabet)
        return 0;

    struct buf *bytes = &reader->bytes[which];
    buf_clear(bytes);
    char *out = buf_reserve(bytes, len);
    if (!out)
        return -ENOMEM;
    size_t n;
    if (token_alphabet_decode(text, len, out, &n))
        *ret_piece = (struct piece){.bytes = out, .len = n};
    else
        ret_piece->literal = true;
    return 0;
}

bool piece_cut_merge(const char *line, size_t len, struct piece ret_parts[2]) {
    const char *space = len > 1 ? memchr(line + 1, ' ', len - 1) : NULL;
    if (!space)
        return false;
    const size_t left_len = (size_t)(space - line);
    ret_parts[0] = (struct piece){.bytes = line, .len = left_len};
    ret_parts[1] = (struct piece){.bytes = space + 1, .len = len - left_len - 1};
    return true;
}

void piece_reader_fini(struct piece_reader *reader) {
    buf_fini(&reader->bytes[0]);
    buf_fini(&reader->bytes[1]);
}
