/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/forward.h"

#include "kvasir/clock.h"
#include "layers/attend.h"
#include "sample/sampler.h"

enum { ALIGN = 64 };

const struct branch_kind *mixer_of(enum mixer_kind kind) {
    static const struct branch_kind *const kinds[] = {[MIXER_ATTENTION] = &attention_kind};
    return kinds[kind];
}

const struct branch_kind *ffn_of(enum ffn_kind kind) {
    static const struct branch_kind *const kinds[] = {[FFN_GATED] = &gated_kind};
    return kinds[kind];
}

/* ---- the pass ---- */

static void note_sequences(struct forward *forward) {
    const struct batch *batch = forward->batch;

    for (uint32_t i = 0; i < batch->n_seqs; i++)
        for (uint32_t r = 0; r < batch->seqs[i].n_tokens; r++)
            forward->scratch.row_seq[batch->seqs[i].first + r] = i;
}

/* x[row] = the token's embedding; and the angles of its position. */
static void embed_row(const struct forward *forward, uint32_t row, struct rope_scratch *rope) {
    const struct step_scratch *s = &forward->scratch;
    const struct batch *batch = forward->batch;

    embedding_row(&forward->network.embedding, (uint32_t)batch->tokens[row],
                  s->x + (size_t)row * forward->hparams->hidden_size);

    const uint32_t half = forward->hparams->rope.n_dims / 2;
    const uint32_t position = batch->positions[row];
    const uint32_t n_prompt = batch->seqs[s->row_seq[row]].n_prompt;
    rope_angles(&forward->rope, position, n_prompt > position ? n_prompt : position + 1, rope,
                s->cosines + (size_t)row * half, s->sines + (size_t)row * half);
}

static void embed_item(void *ctx, uint32_t item, uint32_t worker) {
    const struct forward *forward = ctx;
    const uint32_t first = item * ROWS_PER_ITEM;
    struct rope_scratch *rope = worker_scratch(forward, worker);

    rope->rope_class = 0; /* the scratch is shared with others: it remembers nothing */
    for (uint32_t r = first; r < first + ROWS_PER_ITEM && r < forward->batch->n_tokens; r++)
        embed_row(forward, r, rope);
}

/* normed[r] = rms_norm(x[r]) */
struct norm_rows {
    const struct forward *forward;
    const float *weight;
    const float *x; /* [, hidden_size], the first row */
};

static void norm_rows_make(void *ctx, uint32_t first, uint32_t n) {
    const struct norm_rows *norm = ctx;
    const struct forward *forward = norm->forward;
    const uint32_t hidden = forward->hparams->hidden_size;

    for (uint32_t r = first; r < first + n; r++)
        forward->ops.rms_norm(forward->scratch.normed + (size_t)r * hidden,
                              norm->x + (size_t)r * hidden, norm->weight,
                              forward->hparams->norm_eps, hidden);
}

/*
 * x += f(norm(x)). The norm is made where f prepares its input, the sum where f ends: a kind
 * sees rows that come and rows that go, so that where they come from and go to is decided here.
 */
static void branch_run(struct forward *forward, const struct layer *layer,
                       const struct branch *branch, struct band band) {
    const uint32_t hidden = forward->hparams->hidden_size;
    float *x = forward->scratch.x + (size_t)band.first_row * hidden;
    struct norm_rows norm = {forward, branch->norm, x};
    const struct branch_call call = {
        .layer = layer,
        .weights = &branch->weights,
        .band = band,
        .x = {forward->scratch.normed, hidden, norm_rows_make, &norm},
        .y = {x, hidden, .add = true},
    };

    branch->kind->run(forward, &call);
}

static void layer_run(struct forward *forward, const struct layer *layer) {
    const uint32_t n_rows = forward->batch->n_tokens;

    for (uint32_t row = 0; row < n_rows; row += BAND_ROWS) {
        const struct band band = {
            .first_row = row,
            .n_rows = n_rows - row < BAND_ROWS ? n_rows - row : BAND_ROWS,
        };
        for (uint32_t i = 0; i < LAYER_BRANCHES; i++)
            branch_run(forward, layer, &layer->branches[i], band);
    }
}

void forward_run(struct forward *forward, const struct batch *batch,
                 struct step_result *ret_result) {
    const uint64_t start_ns = clock_now_ns();

    forward->batch = batch;
    *ret_result = (struct step_result){0};
    note_sequences(forward);
    workers_for(forward->workers, (batch->n_tokens + ROWS_PER_ITEM - 1) / ROWS_PER_ITEM, embed_item,
                forward);
    for (uint32_t i = 0; i < forward->network.n_layers; i++)
        layer_run(forward, &forward->network.layers[i]);
    ret_result->forward_ns = clock_now_ns() - start_ns;
    head_run(forward, ret_result);
    forward->batch = NULL;
}

/* ---- scratch ---- */

/* Hands out pieces of one mapping; without one, only counts. */
struct carver {
    unsigned char *base;
    size_t used;
};

static void *carve(struct carver *carver, size_t count, size_t size) {
    const size_t at = carver->used;

    carver->used += (count * size + ALIGN - 1) / ALIGN * ALIGN;
    return carver->base ? carver->base + at : NULL;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t worker_bytes(const struct hparams *hparams, const struct attend_sizes *attend) {
    size_t n_bytes = sizeof(struct rope_scratch);

    n_bytes = max_size(n_bytes, attend->worker_bytes);
    n_bytes = max_size(n_bytes, sampler_scratch_bytes(hparams->n_vocab));
    return (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static size_t most_work_floats(const struct hparams *hparams) {
    size_t most = 0;

    for (uint32_t i = 0; i < hparams->n_layers; i++) {
        const struct layer_spec *spec = &hparams->layers[i];
        most = max_size(most, mixer_of(spec->mixer)->work_floats(spec));
        most = max_size(most, ffn_of(spec->ffn)->work_floats(spec));
    }
    return most;
}

void step_scratch_lay_out(struct step_scratch *s, const struct hparams *hparams,
                          const struct forward_limits *limits, void *base) {
    struct carver carver = {.base = base};
    const size_t n_rows = limits->max_batch_tokens;
    const size_t hidden = hparams->hidden_size;
    const size_t half = hparams->rope.n_dims / 2;
    const uint32_t band_rows =
        limits->max_batch_tokens < BAND_ROWS ? limits->max_batch_tokens : BAND_ROWS;
    const size_t logit_rows = n_rows < LOGIT_ROWS ? n_rows : LOGIT_ROWS;
    const size_t work_floats = most_work_floats(hparams);
    const struct attend_sizes attend = attend_sizes(hparams, limits);
    const size_t units = attend.partial_units;

    *s = (struct step_scratch){
        .data = base,
        .partial_units = (uint32_t)units,
        .worker_bytes = worker_bytes(hparams, &attend),
    };
    s->x = carve(&carver, n_rows * hidden, sizeof *s->x);
    s->row_seq = carve(&carver, n_rows, sizeof *s->row_seq);
    s->cosines = carve(&carver, n_rows * half, sizeof *s->cosines);
    s->sines = carve(&carver, n_rows * half, sizeof *s->sines);
    s->normed = carve(&carver, band_rows * hidden, sizeof *s->normed);
    s->work = carve(&carver, band_rows * work_floats, sizeof *s->work);
    s->prepared = carve(&carver, band_rows, limits->prepared_row_bytes);
    s->tiles = carve(&carver, band_rows, sizeof *s->tiles);
    s->items = carve(&carver, band_rows + units, sizeof *s->items);
    s->partials = carve(&carver, units * attend.partial_floats, sizeof *s->partials);
    s->logits = carve(&carver, logit_rows * hparams->n_vocab, sizeof *s->logits);
    s->head_rows = carve(&carver, n_rows, sizeof *s->head_rows);
    s->outputs = carve(&carver, n_rows, sizeof *s->outputs);
    s->worker = carve(&carver, limits->n_threads, s->worker_bytes);
    s->n_bytes = carver.used;
}
