/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/embedding.h"

#include "kvasir/mem.h"

int embedding_pack(struct packer *packer, struct embedding *ret_embedding,
                   const struct tensor *table, const struct matrix *head, struct error *reterr) {
    struct embedding embedding = {.n_in = (uint32_t)table->shape[1]};

    if (head && matrix_keeps_values(table, &packer->choice)) {
        embedding.head = head;
        *ret_embedding = embedding;
        return 0;
    }

    embedding.type = weight_type_info(table->type);
    embedding.row_bytes =
        (size_t)embedding.n_in / embedding.type->block_len * embedding.type->block_bytes;
    embedding.n_bytes = table->n_bytes;
    const int r = packer_copy(packer, &embedding.rows, table, reterr);
    if (r < 0)
        return r;
    *ret_embedding = embedding;
    return 0;
}

void embedding_fini(struct embedding *embedding) {
    mem_unmap(embedding->rows, embedding->n_bytes);
    *embedding = (struct embedding){.head = NULL};
}

void embedding_row(const struct embedding *embedding, uint32_t token, float *ret_values) {
    if (embedding->head)
        matrix_row(embedding->head, token, ret_values);
    else
        embedding->type->dequantize(embedding->rows + token * embedding->row_bytes, ret_values,
                                    embedding->n_in);
}
