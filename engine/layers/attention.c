/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention - the mixer of the LLaMA family: grouped queries over paged keys and values.
 *
 *   q | k | v = W x + b;  q and k: norm of each head (Qwen3), then rope;  k, v into the store
 *   y = W_o softmax(q k) v
 *
 * A work row is  q [n_heads * d] | k, v [n_kv_heads * d each] | mixed [n_heads * d].
 */
#include "layers/attend.h"
#include "layers/forward.h"

#include "kvasir/mem.h"

static int attention_pack(union branch_weights *weights, struct packer *packer,
                          const struct layer_weights *stored, struct error *reterr) {
    const struct tensor *slots = stored->slots;
    const struct packer_source qkv[] = {
        {&slots[W_ATTN_Q], &slots[W_ATTN_Q_BIAS]},
        {&slots[W_ATTN_K], &slots[W_ATTN_K_BIAS]},
        {&slots[W_ATTN_V], &slots[W_ATTN_V_BIAS]},
    };
    const struct packer_source o = {&slots[W_ATTN_O], &slots[W_ATTN_O_BIAS]};
    struct attention_weights *attention = &weights->attention;

    int r = packer_linear(packer, &attention->qkv, qkv, /* n_sources= */ 3, reterr);
    if (r < 0)
        return r;
    r = packer_linear(packer, &attention->o, &o, /* n_sources= */ 1, reterr);
    if (r < 0)
        return r;
    r = packer_vector(packer, &attention->q_norm, &slots[W_ATTN_Q_NORM], reterr);
    if (r < 0)
        return r;
    return packer_vector(packer, &attention->k_norm, &slots[W_ATTN_K_NORM], reterr);
}

static void attention_fini(union branch_weights *weights) {
    struct attention_weights *attention = &weights->attention;

    linear_fini(&attention->qkv);
    linear_fini(&attention->o);
    mem_free(attention->q_norm);
    mem_free(attention->k_norm);
}

static uint32_t attention_work_floats(const struct layer_spec *spec) {
    const struct attention_shape *shape = &spec->attention;
    return 2 * (shape->n_heads + shape->n_kv_heads) * shape->head_dim;
}

/* Between the projections and attention: what happens to the q, k and v of each row. */
struct place_rows {
    const struct forward *forward;
    const struct branch_call *call;
    uint32_t stride; /* of work rows */
};

/* Norm (if any) and rope of n_heads heads side by side. */
static void turn_heads(const struct place_rows *rows, float *heads, uint32_t n_heads,
                       const float *norm, uint32_t row) {
    const struct forward *forward = rows->forward;
    const struct layer_spec *spec = rows->call->layer->spec;
    const uint32_t head_dim = spec->attention.head_dim;
    const uint32_t half = forward->hparams->rope.n_dims / 2;
    const float *cosines = forward->scratch.cosines + (size_t)row * half;
    const float *sines = forward->scratch.sines + (size_t)row * half;

    for (uint32_t h = 0; h < n_heads; h++) {
        float *head = heads + (size_t)h * head_dim;
        if (norm)
            forward->ops.rms_norm(head, head, norm, forward->hparams->norm_eps, head_dim);
        if (!spec->no_rope)
            rope_rotate(&forward->rope, head, cosines, sines);
    }
}

static void place_row(const struct place_rows *rows, uint32_t index) {
    const struct forward *forward = rows->forward;
    const struct attention_shape *shape = &rows->call->layer->spec->attention;
    const struct attention_weights *attention = &rows->call->weights->attention;
    const uint32_t row = rows->call->band.first_row + index;
    const struct batch_seq *seq = &forward->batch->seqs[forward->scratch.row_seq[row]];

    float *q = forward->scratch.work + (size_t)index * rows->stride;
    float *k = q + (size_t)shape->n_heads * shape->head_dim;
    const float *v = k + (size_t)shape->n_kv_heads * shape->head_dim;
    turn_heads(rows, q, shape->n_heads, attention->q_norm, row);
    turn_heads(rows, k, shape->n_kv_heads, attention->k_norm, row);
    for (uint32_t h = 0; h < shape->n_kv_heads; h++)
        kv_store_write(&forward->kv, rows->call->layer->index, h, seq->block_table,
                       forward->batch->positions[row], k + (size_t)h * shape->head_dim,
                       v + (size_t)h * shape->head_dim);
}

static void place_item(void *ctx, uint32_t item, uint32_t worker) {
    const struct place_rows *rows = ctx;
    const uint32_t first = item * ROWS_PER_ITEM;

    (void)worker; /* rows need no scratch */
    for (uint32_t i = first; i < first + ROWS_PER_ITEM && i < rows->call->band.n_rows; i++)
        place_row(rows, i);
}

static void attention_run(struct forward *forward, const struct branch_call *call) {
    const struct attention_weights *attention = &call->weights->attention;
    const uint32_t n_rows = call->band.n_rows;
    const uint32_t stride = attention_work_floats(call->layer->spec);
    const struct step_scratch *s = &forward->scratch;
    float *q = s->work;
    float *mixed = q + attention->qkv.n_out;

    linear_run(forward->workers, &(struct linear_call){
                                     .linear = &attention->qkv,
                                     .n_rows = n_rows,
                                     .x = call->x,
                                     .prepared = s->prepared,
                                     .y = {q, stride},
                                 });

    struct place_rows rows = {forward, call, stride};
    workers_for(forward->workers, (n_rows + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM, place_item, &rows);

    attend_run(forward, &call->band,
               &(struct attend_call){
                   .layer = call->layer->index,
                   .shape = &call->layer->spec->attention,
                   .sliding_window = call->layer->spec->sliding_window,
                   .q = q,
                   .q_stride = stride,
                   .out = mixed,
                   .out_stride = stride,
               });

    linear_run(forward->workers, &(struct linear_call){
                                     .linear = &attention->o,
                                     .n_rows = n_rows,
                                     .x = {mixed, stride},
                                     .prepared = s->prepared,
                                     .y = call->y,
                                 });
}

const struct branch_kind attention_kind = {
    .pack = attention_pack,
    .fini = attention_fini,
    .work_floats = attention_work_floats,
    .run = attention_run,
};
