/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gated - the feed-forward of the LLaMA family: y = W_down (act(W_gate x) * W_up x).
 *
 * gate and up are one product; the gate is applied in place, just before the rows are prepared
 * for down.
 */
#include "layers/forward.h"

static int gated_pack(union branch_weights *weights, struct packer *packer,
                      const struct layer_weights *stored, struct error *reterr) {
    const struct tensor *slots = stored->slots;
    const struct packer_source gate_up[] = {
        {&slots[W_FFN_GATE], &slots[W_FFN_GATE_BIAS]},
        {&slots[W_FFN_UP], &slots[W_FFN_UP_BIAS]},
    };
    const struct packer_source down = {&slots[W_FFN_DOWN], &slots[W_FFN_DOWN_BIAS]};
    struct gated_weights *gated = &weights->gated;

    int r = packer_linear(packer, &gated->gate_up, gate_up, /* n_sources= */ 2, reterr);
    if (r < 0)
        return r;
    return packer_linear(packer, &gated->down, &down, /* n_sources= */ 1, reterr);
}

static void gated_fini(union branch_weights *weights) {
    linear_fini(&weights->gated.gate_up);
    linear_fini(&weights->gated.down);
}

static uint32_t gated_work_floats(const struct layer_spec *spec) {
    return 2 * spec->intermediate_size;
}

/* gate | up of each row; the product replaces the gate. */
struct gate_rows {
    const struct forward *forward;
    uint32_t width; /* intermediate size */
    float *gate_up; /* [, 2 * width] */
};

static void gate_rows_make(void *ctx, uint32_t first, uint32_t n) {
    const struct gate_rows *rows = ctx;
    const enum activation activation = rows->forward->hparams->activation;

    for (uint32_t r = first; r < first + n; r++) {
        float *gate = rows->gate_up + (size_t)r * 2 * rows->width;
        rows->forward->ops.gate[activation](gate, gate, gate + rows->width, rows->width);
    }
}

static void gated_run(struct forward *forward, const struct branch_call *call) {
    const struct gated_weights *gated = &call->weights->gated;
    const uint32_t width = gated->down.n_in;
    const struct step_scratch *s = &forward->scratch;

    linear_run(forward->workers, &(struct linear_call){
                                     .linear = &gated->gate_up,
                                     .n_rows = call->band.n_rows,
                                     .x = call->x,
                                     .prepared = s->prepared,
                                     .y = {s->work, (size_t)2 * width},
                                 });

    struct gate_rows gate = {forward, width, s->work};
    linear_run(forward->workers, &(struct linear_call){
                                     .linear = &gated->down,
                                     .n_rows = call->band.n_rows,
                                     .x = {s->work, (size_t)2 * width, gate_rows_make, &gate},
                                     .prepared = s->prepared,
                                     .y = call->y,
                                 });
}

const struct branch_kind gated_kind = {
    .pack = gated_pack,
    .fini = gated_fini,
    .work_floats = gated_work_floats,
    .run = gated_run,
};
