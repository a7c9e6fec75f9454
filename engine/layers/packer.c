/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/packer.h"

#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"

static size_t n_values(const struct tensor *tensor) {
    size_t n = 1;
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        n *= tensor->shape[i];
    return n;
}

static void count(struct packer *packer, size_t n_bytes) {
    packer->n_bytes += n_bytes;
    if (packer->on_progress && packer->n_expected > 0)
        packer->on_progress(packer->progress_ctx,
                            (double)packer->n_bytes / (double)packer->n_expected);
}

int packer_vector(struct packer *packer, float **ret_values, const struct tensor *tensor,
                  struct error *reterr) {
    *ret_values = NULL;
    if (!tensor->name)
        return 0;

    const size_t n = n_values(tensor);
    count(packer, n * sizeof **ret_values);
    if (!packer->workers)
        return 0;

    float *values = mem_alloc_array(n, sizeof *values);
    if (!values)
        return error_set(reterr, -ENOMEM, "out of memory for tensor %s", tensor->name);

    weight_type_info(tensor->type)->dequantize(tensor->data, values, n);
    *ret_values = values;
    return 0;
}

enum { COPY_PIECE = 1 << 20 }; /* bytes that a worker copies at once */

struct copy {
    unsigned char *to;
    const struct tensor *tensor;
};

static void copy_piece(void *ctx, uint32_t item, uint32_t worker) {
    const struct copy *copy = ctx;
    const size_t first = (size_t)item * COPY_PIECE;
    const size_t left = copy->tensor->n_bytes - first;

    (void)worker; /* needs no scratch */
    memcpy(copy->to + first, (const unsigned char *)copy->tensor->data + first,
           left < COPY_PIECE ? left : COPY_PIECE);
}

int packer_copy(struct packer *packer, unsigned char **ret_data, const struct tensor *tensor,
                struct error *reterr) {
    const size_t n_bytes = tensor->n_bytes;

    *ret_data = NULL;
    if (packer->workers) {
        struct copy copy = {.to = mem_map(n_bytes), .tensor = tensor};
        if (!copy.to)
            return error_set(reterr, -ENOMEM, "no memory for %zu bytes of tensor %s", n_bytes,
                             tensor->name);

        workers_for(packer->workers, (uint32_t)((n_bytes + COPY_PIECE - 1) / COPY_PIECE),
                    copy_piece, &copy);
        model_release_tensor(packer->model, tensor);
        *ret_data = copy.to;
    }
    count(packer, n_bytes);
    return 0;
}

static bool has_bias(const struct packer_source *source) {
    return source->bias && source->bias->name;
}

/* One vector of all biases, zero where a source has none. */
static int pack_bias(struct packer *packer, struct linear *linear,
                     const struct packer_source *sources, uint32_t n_sources,
                     struct error *reterr) {
    bool any = false;
    for (uint32_t i = 0; i < n_sources; i++)
        any = any || has_bias(&sources[i]);
    if (!any)
        return 0;

    count(packer, linear->n_out * sizeof *linear->bias);
    if (!packer->workers)
        return 0;

    linear->bias = mem_alloc_zero(linear->n_out, sizeof *linear->bias);
    if (!linear->bias)
        return error_set(reterr, -ENOMEM, "out of memory for biases of %s",
                         sources[0].weight->name);

    size_t at = 0;
    for (uint32_t i = 0; i < n_sources; i++) {
        const struct tensor *bias = sources[i].bias;
        if (has_bias(&sources[i]))
            weight_type_info(bias->type)->dequantize(bias->data, linear->bias + at, n_values(bias));
        at += sources[i].weight->shape[0];
    }
    return 0;
}

static int pack_part(struct packer *packer, struct linear *linear,
                     const struct tensor *const *tensors, uint32_t n_tensors,
                     struct error *reterr) {
    struct linear_part *part = &linear->parts[linear->n_parts];

    part->y_offset = linear->n_out;
    for (uint32_t i = 0; i < n_tensors; i++)
        linear->n_out += (uint32_t)tensors[i]->shape[0];
    if (!packer->workers) {
        count(packer, matrix_packed_bytes(tensors, n_tensors, &packer->choice));
        return 0;
    }

    int r =
        matrix_pack(&part->matrix, tensors, n_tensors, &packer->choice, packer->workers, reterr);
    if (r < 0)
        return r;

    part->shares = linear->n_parts;
    for (uint32_t i = linear->n_parts; i-- > 0;)
        if (matmul_format(&linear->parts[i].matrix) == matmul_format(&part->matrix))
            part->shares = i;
    linear->n_parts++;
    if (packer->n_matrices++ == 0)
        packer->arithmetic = part->matrix.arithmetic;
    count(packer, part->matrix.n_bytes);
    for (uint32_t i = 0; i < n_tensors; i++)
        model_release_tensor(packer->model, tensors[i]);
    return 0;
}

int packer_linear(struct packer *packer, struct linear *ret_linear,
                  const struct packer_source *sources, uint32_t n_sources, struct error *reterr) {
    INVARIANT(n_sources >= 1 && n_sources <= LINEAR_MAX_PARTS);
    struct linear linear = {.n_in = (uint32_t)sources[0].weight->shape[1]};
    uint32_t n_parts = 0;
    int r = 0;

    for (uint32_t first = 0, end; first < n_sources && r == 0; first = end) {
        const struct tensor *stacked[LINEAR_MAX_PARTS];
        for (end = first; end < n_sources; end++) {
            if (sources[end].weight->type != sources[first].weight->type)
                break;
            stacked[end - first] = sources[end].weight;
        }
        r = pack_part(packer, &linear, stacked, end - first, reterr);
        n_parts++;
    }
    if (r == 0)
        r = pack_bias(packer, &linear, sources, n_sources, reterr);
    if (r < 0) {
        linear_fini(&linear);
        return r;
    }

    const size_t row_bytes = linear_prepared_row_bound(linear.n_in, n_parts);
    if (row_bytes > packer->prepared_row_bytes)
        packer->prepared_row_bytes = row_bytes;
    *ret_linear = linear;
    return 0;
}
