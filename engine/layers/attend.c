/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/attend.h"

#include <math.h>
#include <string.h>

#include "cpu/exp2.h"

enum {
    ITEMS_PER_THREAD = 4, /* below this, long contexts are shared by workers */
    ALIGN_FLOATS = 16,
};

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t max_u32(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Query heads that share a kv head. */
static uint32_t group_of(const struct attention_shape *shape) {
    return shape->n_heads / shape->n_kv_heads;
}

static uint32_t tokens_per_tile(const struct attention_shape *shape) {
    return max_u32(ATTEND_ROWS / group_of(shape), 1);
}

static uint32_t max_rows(const struct attention_shape *shape) {
    return tokens_per_tile(shape) * group_of(shape);
}

/* Columns of v and of the result: head_dim in whole vectors. */
static uint32_t value_width(const struct attention_shape *shape) {
    return (shape->head_dim + OPS_LANES - 1) / OPS_LANES * OPS_LANES;
}

/* ---- state of the online softmax ---- */

/* Of n_rows rows; see struct attention_tile. sum == 0 means that a row has seen nothing. */
struct softmax_state {
    uint32_t n_rows;
    uint32_t width;
    float *max; /* [n_rows] */
    float *sum; /* [n_rows] */
    float *out; /* [n_rows, width] */
};

static size_t state_floats(size_t n_rows, uint32_t width) {
    return n_rows * (width + 2);
}

/* Of one token in one span, all heads. */
static size_t partial_floats(const struct attention_shape *shape) {
    return state_floats(shape->n_heads, value_width(shape));
}

static struct softmax_state state_at(float *at, uint32_t n_rows, uint32_t width) {
    return (struct softmax_state){
        .n_rows = n_rows,
        .width = width,
        .max = at,
        .sum = at + n_rows,
        .out = at + (size_t)2 * n_rows,
    };
}

static void state_clear(const struct softmax_state *state) {
    for (uint32_t r = 0; r < state->n_rows; r++) {
        state->max[r] = -INFINITY;
        state->sum[r] = 0.0f;
    }
    memset(state->out, 0, (size_t)state->n_rows * state->width * sizeof *state->out);
}

/* total = total, then part, as if part's positions had been seen after total's. */
static void state_merge(const struct softmax_state *total, const struct softmax_state *part) {
    for (uint32_t r = 0; r < total->n_rows; r++) {
        float *out = total->out + (size_t)r * total->width;
        const float *more = part->out + (size_t)r * part->width;

        if (part->sum[r] == 0.0f)
            continue;
        const float m = part->max[r] > total->max[r] ? part->max[r] : total->max[r];
        /* a first part is taken as it is: weight 1, and 0 for the empty total */
        const float keep = total->sum[r] == 0.0f ? 0.0f : exp2_approx(total->max[r] - m);
        const float take = total->sum[r] == 0.0f ? 1.0f : exp2_approx(part->max[r] - m);
        for (uint32_t c = 0; c < total->width; c++)
            out[c] = out[c] * keep + more[c] * take;
        total->sum[r] = total->sum[r] * keep + part->sum[r] * take;
        total->max[r] = m;
    }
}

/* ---- the plan: which rows together, and who does what ---- */

struct plan {
    struct forward *forward;
    const struct band *band;
    const struct attend_call *call;
    uint32_t n_tiles;
    uint32_t n_items;
};

/* The first position that the token at position sees. */
static uint32_t first_visible(const struct plan *plan, uint32_t position) {
    const uint32_t window = plan->call->sliding_window;
    return window == 0 || position < window ? 0 : position - window + 1;
}

static void plan_tiles(struct plan *plan) {
    const struct step_scratch *s = &plan->forward->scratch;
    const struct batch *batch = plan->forward->batch;
    const uint32_t end_row = plan->band->first_row + plan->band->n_rows;
    const uint32_t most = tokens_per_tile(plan->call->shape);

    for (uint32_t row = plan->band->first_row; row < end_row;) {
        const struct batch_seq *seq = &batch->seqs[s->row_seq[row]];
        const uint32_t seq_end = min_u32(seq->first + seq->n_tokens, end_row);
        const uint32_t n_tokens = min_u32(seq_end - row, most);
        const uint32_t position = batch->positions[row];
        const uint32_t first_span = first_visible(plan, position) / ATTEND_SPAN;

        s->tiles[plan->n_tiles++] = (struct attend_tile){
            .seq = seq,
            .first_row = row,
            .n_tokens = n_tokens,
            .position = position,
            .first_span = first_span,
            .n_spans = (position + n_tokens - 1) / ATTEND_SPAN - first_span + 1,
            .partial_unit = ATTEND_WHOLE,
        };
        row += n_tokens;
    }
}

/* Where there are too few tiles for the workers, shares out the spans of the long ones. */
static void plan_items(struct plan *plan) {
    struct step_scratch *s = &plan->forward->scratch;
    const uint32_t n_threads = workers_n_threads(plan->forward->workers);
    const uint64_t n_whole = (uint64_t)plan->n_tiles * plan->call->shape->n_kv_heads;
    const bool may_split = n_threads > 1 && n_whole < (uint64_t)ITEMS_PER_THREAD * n_threads;
    uint32_t n_units = 0;

    for (uint32_t t = 0; t < plan->n_tiles; t++) {
        struct attend_tile *tile = &s->tiles[t];
        const uint64_t units = (uint64_t)tile->n_tokens * tile->n_spans;

        if (!may_split || tile->n_spans == 1 || units > s->partial_units - n_units) {
            s->items[plan->n_items++] = (struct attend_item){.tile = t, .span = ATTEND_WHOLE};
            continue;
        }
        tile->partial_unit = n_units;
        n_units += (uint32_t)units;
        for (uint32_t i = 0; i < tile->n_spans; i++)
            s->items[plan->n_items++] = (struct attend_item){.tile = t, .span = i};
    }
}

/* ---- one tile of queries ---- */

/* A worker's scratch for one tile of one kv head. */
struct workspace {
    const struct plan *plan;
    const struct attend_tile *tile;
    uint32_t head; /* kv head */
    uint32_t n_rows;
    uint32_t q_stride;
    float *q; /* [head_dim, q_stride] */
    float *k; /* [head_dim, ATTENTION_TILE] */
    float *v; /* [ATTENTION_TILE, width] */
    float *p; /* [rows, ATTENTION_TILE] */
    struct softmax_state part;
    struct softmax_state total;
};

static size_t carve_workspace(struct workspace *w, const struct attention_shape *shape,
                              float *base) {
    const uint32_t rows = max_rows(shape);
    const uint32_t width = value_width(shape);
    size_t at = 0;

    w->q_stride = rows;
    w->q = base + at;
    at += (size_t)shape->head_dim * rows;
    at += (ALIGN_FLOATS - at % ALIGN_FLOATS) % ALIGN_FLOATS;
    w->k = base + at;
    at += (size_t)shape->head_dim * ATTENTION_TILE;
    w->v = base + at;
    at += (size_t)width * ATTENTION_TILE;
    w->p = base + at;
    at += (size_t)rows * ATTENTION_TILE;
    w->part = state_at(base + at, w->n_rows, width);
    at += state_floats(rows, width);
    at += (ALIGN_FLOATS - at % ALIGN_FLOATS) % ALIGN_FLOATS;
    w->total = state_at(base + at, w->n_rows, width);
    return at + state_floats(rows, width);
}

static struct workspace open_workspace(const struct plan *plan, const struct attend_tile *tile,
                                       uint32_t head, uint32_t worker) {
    const struct attention_shape *shape = plan->call->shape;
    struct workspace w = {
        .plan = plan,
        .tile = tile,
        .head = head,
        .n_rows = tile->n_tokens * group_of(shape),
    };

    (void)carve_workspace(&w, shape, worker_scratch(plan->forward, worker)); /* fits */
    return w;
}

/* Rows become columns; the scale and the change to base 2 go into them. */
static void load_queries(const struct workspace *w) {
    const struct attend_call *call = w->plan->call;
    const struct attention_shape *shape = w->plan->call->shape;
    const uint32_t head_dim = shape->head_dim;
    const uint32_t group = group_of(shape);
    const float factor = shape->scale * LOG2_E;
    const uint32_t first = w->tile->first_row - w->plan->band->first_row;

    for (uint32_t t = 0; t < w->tile->n_tokens; t++)
        for (uint32_t g = 0; g < group; g++) {
            const float *from =
                call->q + (first + t) * call->q_stride + (size_t)(w->head * group + g) * head_dim;
            float *to = w->q + t * group + g;
            for (uint32_t i = 0; i < head_dim; i++)
                to[(size_t)i * w->q_stride] = from[i] * factor;
        }
}

/* Few rows take keys and values straight from the store, where the ISA can. */
static bool reads_stored(const struct workspace *w) {
    const struct forward *forward = w->plan->forward;

    return w->n_rows <= ATTENTION_FEW_ROWS && w->part.width == w->plan->call->shape->head_dim &&
           forward->ops.attention_stored[forward->kv.shape.format];
}

/* Where the groups of the tile of positions from base on lie, of a context that has end. */
static uint32_t locate(const struct workspace *w, uint32_t base, uint32_t end,
                       const void *ret_groups[ATTENTION_TILE / KV_GROUP]) {
    if (base >= end)
        return 0;
    return kv_store_locate(&w->plan->forward->kv, w->plan->call->layer, w->head,
                           w->tile->seq->block_table, base, min_u32(end - base, ATTENTION_TILE),
                           ret_groups);
}

/* All rows against the tile of positions from base on, its keys and values at hand. */
static struct attention_tile open_positions(const struct workspace *w, uint32_t base) {
    const struct forward *forward = w->plan->forward;
    const struct attention_shape *shape = w->plan->call->shape;
    const uint32_t end = w->tile->position + w->tile->n_tokens;
    struct attention_tile rows = {
        .n_rows = w->n_rows,
        .head_dim = shape->head_dim,
        .value_width = w->part.width,
        .q = w->q,
        .q_stride = w->q_stride,
        .k = w->k,
        .v = w->v,
        .p = w->p,
        .max = w->part.max,
        .sum = w->part.sum,
        .out = w->part.out,
        .ahead_step = forward->kv.layers[w->plan->call->layer].group_bytes / shape->head_dim,
    };

    rows.n_ahead = locate(w, base + ATTENTION_TILE, end, rows.ahead);
    if (reads_stored(w)) {
        const uint32_t n_groups = locate(w, base, end, rows.groups);
        for (uint32_t g = n_groups; g < ATTENTION_TILE / KV_GROUP; g++)
            rows.groups[g] = rows.groups[0];
    } else {
        kv_store_read(&forward->kv, w->plan->call->layer, w->head, w->tile->seq->block_table, base,
                      min_u32(end - base, ATTENTION_TILE), w->k, w->v, w->part.width);
    }
    return rows;
}

/*
 * The rows of tokens first_token .. + n_tokens - 1 alone, against positions [from, end) of the
 * tile.
 */
static void attend_rows(const struct workspace *w, struct attention_tile rows, uint32_t first_token,
                        uint32_t n_tokens, uint32_t from, uint32_t end) {
    const struct ops *ops = &w->plan->forward->ops;
    const uint32_t group = group_of(w->plan->call->shape);
    const size_t row = (size_t)first_token * group;

    rows.n_rows = n_tokens * group;
    rows.first = from;
    rows.end = end;
    rows.q += row;
    rows.p += row * ATTENTION_TILE;
    rows.max += row;
    rows.sum += row;
    rows.out += row * rows.value_width;
    if (reads_stored(w))
        ops->attention_stored[w->plan->forward->kv.shape.format](&rows);
    else
        ops->attention_tile(&rows);
}

/*
 * All rows against one tile of positions. Where they do not all see the whole of it (the
 * diagonal, the edges of a window), token by token, so that no row ever touches a position that
 * it does not see: not even with weight 0, which would let an infinite value through.
 */
static void attend_positions(const struct workspace *w, uint32_t base) {
    const struct attend_tile *tile = w->tile;
    const uint32_t last = tile->position + tile->n_tokens - 1;
    const uint32_t end = base + ATTENTION_TILE;
    const struct attention_tile rows = open_positions(w, base);

    if (first_visible(w->plan, last) <= base && tile->position + 1 >= end) {
        attend_rows(w, rows, 0, tile->n_tokens, 0, ATTENTION_TILE);
        return;
    }
    for (uint32_t t = 0; t < tile->n_tokens; t++) {
        const uint32_t position = tile->position + t;
        const uint32_t from = max_u32(base, first_visible(w->plan, position));
        const uint32_t to = min_u32(end, position + 1);
        if (from < to)
            attend_rows(w, rows, t, 1, from - base, to - base);
    }
}

/* The partial result of one span, in w->part. */
static void attend_span(const struct workspace *w, uint32_t span) {
    const struct attend_tile *tile = w->tile;
    const uint32_t first = first_visible(w->plan, tile->position);
    const uint32_t start = (tile->first_span + span) * ATTEND_SPAN;
    const uint32_t end = min_u32(start + ATTEND_SPAN, tile->position + tile->n_tokens);

    state_clear(&w->part);
    for (uint32_t base = start; base < end; base += ATTENTION_TILE)
        if (base + ATTENTION_TILE > first) /* else before every row's window */
            attend_positions(w, base);
}

static void write_rows(const struct workspace *w) {
    const struct attend_call *call = w->plan->call;
    const struct attention_shape *shape = w->plan->call->shape;
    const uint32_t group = group_of(shape);
    const uint32_t first = w->tile->first_row - w->plan->band->first_row;

    for (uint32_t r = 0; r < w->n_rows; r++) {
        const size_t head = (size_t)w->head * group + r % group;
        float *to = call->out + (first + r / group) * call->out_stride + head * shape->head_dim;
        const float *from = w->total.out + (size_t)r * w->total.width;
        for (uint32_t c = 0; c < shape->head_dim; c++)
            to[c] = from[c] / w->total.sum[r];
    }
}

/* The stored partial result of a span of a tile that several workers share. */
static struct softmax_state partial_at(const struct workspace *w, uint32_t span) {
    const struct forward *forward = w->plan->forward;
    const size_t unit_floats = partial_floats(w->plan->call->shape);
    const size_t unit = w->tile->partial_unit + (size_t)span * w->tile->n_tokens;
    const size_t head_floats = state_floats(w->n_rows, w->total.width);
    float *at = forward->scratch.partials + unit * unit_floats + w->head * head_floats;

    return state_at(at, w->n_rows, w->total.width);
}

static void attend_item_run(void *ctx, uint32_t index, uint32_t worker) {
    const struct plan *plan = ctx;
    const uint32_t n_heads = plan->call->shape->n_kv_heads;
    /* from the last on: later tiles have longer contexts, and the long ones should begin */
    const struct attend_item *item =
        &plan->forward->scratch.items[plan->n_items - 1 - index / n_heads];
    const struct attend_tile *tile = &plan->forward->scratch.tiles[item->tile];
    struct workspace w = open_workspace(plan, tile, index % n_heads, worker);

    load_queries(&w);
    if (item->span != ATTEND_WHOLE) {
        w.part = partial_at(&w, item->span);
        attend_span(&w, item->span);
        return;
    }

    state_clear(&w.total);
    for (uint32_t span = 0; span < tile->n_spans; span++) {
        attend_span(&w, span);
        state_merge(&w.total, &w.part);
    }
    write_rows(&w);
}

static void merge_item_run(void *ctx, uint32_t index, uint32_t worker) {
    const struct plan *plan = ctx;
    const uint32_t n_heads = plan->call->shape->n_kv_heads;
    const struct attend_tile *tile = &plan->forward->scratch.tiles[index / n_heads];
    if (tile->partial_unit == ATTEND_WHOLE)
        return;

    const struct workspace w = open_workspace(plan, tile, index % n_heads, worker);
    state_clear(&w.total);
    for (uint32_t span = 0; span < tile->n_spans; span++) {
        const struct softmax_state part = partial_at(&w, span);
        state_merge(&w.total, &part);
    }
    write_rows(&w);
}

void attend_run(struct forward *forward, const struct band *band, const struct attend_call *call) {
    struct plan plan = {.forward = forward, .band = band, .call = call};
    const uint32_t n_heads = call->shape->n_kv_heads;

    plan_tiles(&plan);
    plan_items(&plan);
    workers_for(forward->workers, plan.n_items * n_heads, attend_item_run, &plan);
    if (plan.n_items > plan.n_tiles)
        workers_for(forward->workers, plan.n_tiles * n_heads, merge_item_run, &plan);
}

/* ---- sizing ---- */

/* Room to share out as many one-token tiles of the longest context as would be split. */
static uint32_t partial_units(const struct attention_shape *shape,
                              const struct forward_limits *limits) {
    if (limits->n_threads == 1)
        return 0;

    const uint64_t tiles =
        ((uint64_t)ITEMS_PER_THREAD * limits->n_threads + shape->n_kv_heads - 1) /
        shape->n_kv_heads;
    const uint64_t units = tiles * (limits->max_model_len / ATTEND_SPAN + 1);
    return units < UINT32_MAX / 2 ? (uint32_t)units : UINT32_MAX / 2;
}

static size_t worker_bytes(const struct attention_shape *shape) {
    struct workspace w = {.n_rows = max_rows(shape)};
    return carve_workspace(&w, shape, /* base= */ NULL) * sizeof(float);
}

struct attend_sizes attend_sizes(const struct hparams *hparams,
                                 const struct forward_limits *limits) {
    struct attend_sizes most = {.partial_units = 0};

    for (uint32_t i = 0; i < hparams->n_layers; i++) {
        const struct attention_shape *shape = &hparams->layers[i].attention;
        most.partial_units = max_u32(most.partial_units, partial_units(shape, limits));
        most.partial_floats = max_size(most.partial_floats, partial_floats(shape));
        most.worker_bytes = max_size(most.worker_bytes, worker_bytes(shape));
    }
    return most;
}
