/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedding - the table of token vectors, in memory of our own.
 *
 * Where the head is the same table and its packed form keeps the stored values, a row is read
 * back from that; else the table is copied as it is stored. Either way the model's file is not
 * needed any more: it may be replaced or cut short while the engine runs. Immutable after packing.
 */
#ifndef KVASIR_ENGINE_EMBEDDING_H
#define KVASIR_ENGINE_EMBEDDING_H

#include "cpu/matmul.h"
#include "layers/packer.h"

struct embedding {
    uint32_t n_in;             /* of a row */
    const struct matrix *head; /* lent: holds the table; NULL: rows does */
    const struct weight_type_info *type;
    size_t row_bytes;
    unsigned char *rows; /* [n_vocab, row_bytes], mem_map'ed */
    size_t n_bytes;
};

/* head: the packed table where it is the head too (lent until embedding_fini), else NULL. */
int embedding_pack(struct packer *packer, struct embedding *ret_embedding,
                   const struct tensor *table, const struct matrix *head, struct error *reterr)
    KV_MUST_CHECK;
void embedding_fini(struct embedding *embedding);

/* The vector of a token, float32 [n_in]. Any worker. */
void embedding_row(const struct embedding *embedding, uint32_t token, float *ret_values);

#endif
