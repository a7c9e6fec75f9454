/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/linear.h"

#include "kvasir/mem.h"

enum { PREPARED_ALIGN = 64 };

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

static size_t part_prepared_bytes(const struct linear_part *part, uint32_t n_rows) {
    return round_up(matmul_prepared_bytes(&part->matrix, n_rows), PREPARED_ALIGN);
}

/* Parts that share a format share one prepared x; the others have theirs one after another. */
static void *part_prepared(const struct linear_call *call, uint32_t index) {
    const struct linear *linear = call->linear;
    unsigned char *at = call->prepared;

    for (uint32_t i = 0; i < linear->parts[index].shares; i++)
        if (linear->parts[i].shares == i)
            at += part_prepared_bytes(&linear->parts[i], call->n_rows);
    return at;
}

size_t linear_prepared_bytes(const struct linear *linear, uint32_t n_rows) {
    size_t n_bytes = 0;

    for (uint32_t i = 0; i < linear->n_parts; i++)
        if (linear->parts[i].shares == i)
            n_bytes += part_prepared_bytes(&linear->parts[i], n_rows);
    return n_bytes;
}

size_t linear_prepared_row_bound(uint32_t n_in, uint32_t n_parts) {
    /* no format is wider than float32, padded to whole chunks and an odd cache line */
    return n_parts * (round_up(n_in, 512) * sizeof(float) + 256);
}

static struct matmul_job part_job(const struct linear_call *call, uint32_t index) {
    const struct linear_part *part = &call->linear->parts[index];

    return (struct matmul_job){
        .matrix = &part->matrix,
        .prepared = part_prepared(call, index),
        .n_rows = call->n_rows,
        .bias = call->linear->bias ? call->linear->bias + part->y_offset : NULL,
        .y = call->y.at + part->y_offset,
        .y_stride = call->y.stride,
        .add = call->y.add,
    };
}

static void prepare_item(void *ctx, uint32_t item, uint32_t worker) {
    const struct linear_call *call = ctx;
    const struct linear *linear = call->linear;
    const uint32_t first = item * LINEAR_ROWS_PER_ITEM;
    const uint32_t n_left = call->n_rows - first;
    const uint32_t n = n_left < LINEAR_ROWS_PER_ITEM ? n_left : LINEAR_ROWS_PER_ITEM;

    (void)worker; /* rows need no scratch */
    if (call->x.make)
        call->x.make(call->x.make_ctx, first, n);
    for (uint32_t i = 0; i < linear->n_parts; i++)
        if (linear->parts[i].shares == i)
            matmul_prepare(&linear->parts[i].matrix, call->x.at, call->x.stride, first, n,
                           part_prepared(call, i));
}

struct product {
    struct matmul_job jobs[LINEAR_MAX_PARTS];
    uint32_t end[LINEAR_MAX_PARTS]; /* first item that is no longer of the part */
};

static void product_item(void *ctx, uint32_t item, uint32_t worker) {
    const struct product *product = ctx;
    uint32_t part = 0;

    while (item >= product->end[part])
        part++;
    matmul_item(&product->jobs[part], part ? item - product->end[part - 1] : item, worker);
}

void linear_run(struct workers *workers, const struct linear_call *call) {
    workers_for(workers, (call->n_rows + LINEAR_ROWS_PER_ITEM - 1) / LINEAR_ROWS_PER_ITEM,
                prepare_item, (void *)call);

    struct product product = {.end = {0}};
    uint32_t n_items = 0;
    for (uint32_t i = 0; i < call->linear->n_parts; i++) {
        product.jobs[i] = part_job(call, i);
        n_items += matmul_n_items(&product.jobs[i]);
        product.end[i] = n_items;
    }
    workers_for(workers, n_items, product_item, &product);
}

void linear_fini(struct linear *linear) {
    for (uint32_t i = 0; i < linear->n_parts; i++)
        matrix_fini(&linear->parts[i].matrix);
    mem_free(linear->bias);
    *linear = (struct linear){0};
}
