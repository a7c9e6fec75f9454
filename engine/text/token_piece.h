/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_piece - a piece as a file spells it, as the bytes that the model matches.
 *
 * Byte-level vocabularies spell bytes in their alphabet, others as they are. Two results can be
 * held at once, because a merge has two parts.
 */
#ifndef KVASIR_TEXT_TOKEN_PIECE_H
#define KVASIR_TEXT_TOKEN_PIECE_H

#include <stdbool.h>
#include <stddef.h>

#include "kvasir/buf.h"
#include "kvasir/error.h"

struct piece {
    const char *bytes;
    size_t len;
    bool literal; /* not spelled in the alphabet: bytes are the text itself */
};

/* Zeroed but for bytes_alphabet before the first use; owns the bytes of the last two pieces. */
struct piece_reader {
    bool bytes_alphabet;
    struct buf bytes[2];
};

/* *ret_piece lives until the next call with the same which (0 or 1), or as text does. -ENOMEM. */
int piece_read(struct piece_reader *reader, int which, const char *text, size_t len,
               struct piece *ret_piece) KV_MUST_CHECK;

/* Cuts "a b" into its two parts at the first space behind its first byte; false if there is none. */
bool piece_cut_merge(const char *line, size_t len, struct piece ret_parts[2]);
void piece_reader_fini(struct piece_reader *reader);

#endif
