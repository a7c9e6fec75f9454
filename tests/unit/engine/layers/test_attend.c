/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention over the paged store, without a model: against softmax in double over contexts of
 * several spans, and bit for bit under every way of cutting the work.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/mem.h"
#include "layers/attend.h"
#include "support.h"

enum { MAX_LEN = 1700, MAX_DIM = 48 };

/* Two layers that have nothing in common; most tests are about the first. */
static const struct layer_spec layers[] = {
    {.attention = {.n_heads = 6, .n_kv_heads = 2, .head_dim = 20, .scale = 1.0f}},
    {.attention = {.n_heads = 5, .n_kv_heads = 5, .head_dim = MAX_DIM, .scale = 0.25f}},
};
enum { N_LAYERS = sizeof layers / sizeof *layers };

struct world {
    struct hparams hparams;
    uint32_t layer; /* the one under test */
    const struct attention_shape *shape;
    uint32_t width, kv_width; /* floats of a position of q and out, of k and v */
    struct forward forward;
    struct forward_limits limits;
    uint32_t *table;
    float *q, *k, *v; /* [MAX_LEN, width or kv_width], positions of one sequence */
    float *out;
};

static void fill(float *x, size_t n, uint64_t *seed) {
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)(test_random(seed) >> 11) * 0x1p-52 - 1.0);
}

/* Keys and values of one layer; those of the others are huge, and must not be seen. */
static void write_layer(struct world *w, uint32_t layer) {
    const struct attention_shape *shape = &layers[layer].attention;
    float huge[MAX_DIM];
    for (uint32_t i = 0; i < MAX_DIM; i++)
        huge[i] = 1e30f;

    for (uint32_t p = 0; p < MAX_LEN; p++)
        for (uint32_t h = 0; h < shape->n_kv_heads; h++) {
            const size_t at = (size_t)p * w->kv_width + h * shape->head_dim;
            const bool is_seen = layer == w->layer;
            kv_store_write(&w->forward.kv, layer, h, w->table, p, is_seen ? w->k + at : huge,
                           is_seen ? w->v + at : huge);
        }
}

static void world_open_layer(struct world *w, uint32_t layer, uint32_t n_threads,
                             uint32_t block_size, const char *isa) {
    uint64_t seed = 11;
    *w = (struct world){.layer = layer, .shape = &layers[layer].attention};
    w->width = w->shape->n_heads * w->shape->head_dim;
    w->kv_width = w->shape->n_kv_heads * w->shape->head_dim;
    w->hparams = (struct hparams){
        .n_vocab = 16,
        .hidden_size = 16,
        .n_layers = N_LAYERS,
        .layers = (struct layer_spec *)(uintptr_t)layers, /* only read */
    };
    w->limits = (struct forward_limits){
        .max_batch_tokens = MAX_LEN,
        .max_model_len = MAX_LEN,
        .n_threads = n_threads,
        .prepared_row_bytes = 64,
    };
    const struct kv_shape shape = {
        .layers = layers,
        .n_layers = N_LAYERS,
        .n_blocks = MAX_LEN / block_size + 1,
        .block_size = block_size,
        .format = KV_FORMAT_F32,
    };
    struct forward *f = &w->forward;
    f->hparams = &w->hparams;
    assert_int_equal(ops_init(&f->ops, isa, NULL), 0);
    assert_int_equal(workers_create(n_threads, &f->workers, NULL), 0);
    assert_int_equal(kv_store_init(&f->kv, &shape, &f->ops, NULL), 0);
    step_scratch_lay_out(&f->scratch, f->hparams, &w->limits, NULL);
    void *data = mem_map(f->scratch.n_bytes);
    assert_non_null(data);
    step_scratch_lay_out(&f->scratch, f->hparams, &w->limits, data);

    w->table = malloc(shape.n_blocks * sizeof *w->table);
    for (uint32_t i = 0; i < shape.n_blocks; i++)
        w->table[i] = shape.n_blocks - 1 - i;
    w->q = malloc((size_t)MAX_LEN * w->width * sizeof *w->q);
    w->out = malloc((size_t)MAX_LEN * w->width * sizeof *w->out);
    w->k = malloc((size_t)MAX_LEN * w->kv_width * sizeof *w->k);
    w->v = malloc((size_t)MAX_LEN * w->kv_width * sizeof *w->v);
    fill(w->q, (size_t)MAX_LEN * w->width, &seed);
    fill(w->k, (size_t)MAX_LEN * w->kv_width, &seed);
    fill(w->v, (size_t)MAX_LEN * w->kv_width, &seed);
    memset(f->kv.data, 0xff, f->kv.n_bytes); /* NaNs, where nothing was stored */
    for (uint32_t i = 0; i < N_LAYERS; i++)
        write_layer(w, (layer + i) % N_LAYERS); /* the one under test first */
}

static void world_open(struct world *w, uint32_t n_threads, uint32_t block_size, const char *isa) {
    world_open_layer(w, /* layer= */ 0, n_threads, block_size, isa);
}

static void world_close(struct world *w) {
    workers_destroy(w->forward.workers);
    kv_store_fini(&w->forward.kv);
    mem_unmap(w->forward.scratch.data, w->forward.scratch.n_bytes);
    free(w->table);
    free(w->q);
    free(w->k);
    free(w->v);
    free(w->out);
}

/* Attention of positions first .. first + n - 1 into w->out, as one step of one sequence. */
static void attend(struct world *w, uint32_t first, uint32_t n, uint32_t window) {
    uint32_t *positions = malloc(n * sizeof *positions);
    const struct batch_seq seq = {
        .n_tokens = n,
        .n_context = first,
        .block_table = w->table,
        .n_blocks = w->forward.kv.shape.n_blocks,
    };
    const struct batch batch = {.positions = positions, .n_tokens = n, .seqs = &seq, .n_seqs = 1};
    for (uint32_t i = 0; i < n; i++) {
        positions[i] = first + i;
        w->forward.scratch.row_seq[i] = 0;
    }
    w->forward.batch = &batch;
    for (uint32_t row = 0; row < n; row += BAND_ROWS) {
        const struct band band = {row, n - row < BAND_ROWS ? n - row : BAND_ROWS};
        attend_run(&w->forward, &band,
                   &(struct attend_call){
                       .layer = w->layer,
                       .shape = w->shape,
                       .sliding_window = window,
                       .q = w->q + (size_t)(first + row) * w->width,
                       .q_stride = w->width,
                       .out = w->out + (size_t)(first + row) * w->width,
                       .out_stride = w->width,
                   });
    }
    free(positions);
}

static void assert_is_softmax(const struct world *w, uint32_t position, uint32_t window) {
    const uint32_t from = window && position >= window ? position - window + 1 : 0;
    const struct attention_shape *shape = w->shape;
    const uint32_t dim = shape->head_dim;

    for (uint32_t h = 0; h < shape->n_heads; h++) {
        const uint32_t g = h / (shape->n_heads / shape->n_kv_heads);
        const size_t at = (size_t)position * w->width + h * dim;
        double total = 0, mix[MAX_DIM] = {0};
        for (uint32_t j = from; j <= position; j++) {
            const float *k = w->k + (size_t)j * w->kv_width + g * dim;
            const float *v = w->v + (size_t)j * w->kv_width + g * dim;
            double s = 0;
            for (uint32_t i = 0; i < dim; i++)
                s += (double)w->q[at + i] * (double)k[i];
            const double p = exp(s * (double)shape->scale);
            total += p;
            for (uint32_t i = 0; i < dim; i++)
                mix[i] += p * (double)v[i];
        }
        for (uint32_t i = 0; i < dim; i++) {
            const double got = (double)w->out[at + i];
            if (!(fabs(got - mix[i] / total) < 2e-6))
                fail_msg("position %u head %u dim %u: %.9g, expected %.9g", position, h, i, got,
                         mix[i] / total);
        }
    }
}

/* Layers of different heads, dimensions and scales, each in its own part of the store. */
static void test_attend_takes_layers_of_different_shapes(void **state) {
    for (uint32_t layer = 0; layer < N_LAYERS; layer++) {
        struct world w;
        world_open_layer(&w, layer, 3, 16, NULL);
        attend(&w, 0, MAX_LEN, /* window= */ 0);
        for (uint32_t p = 0; p < MAX_LEN; p += 97)
            assert_is_softmax(&w, p, /* window= */ 0);
        for (uint32_t p = MAX_LEN - 3; p < MAX_LEN; p++) { /* alone: spans are shared out */
            attend(&w, p, 1, /* window= */ 0);
            assert_is_softmax(&w, p, /* window= */ 0);
        }
        assert_int_equal(kv_bytes_per_position(&w.forward.kv.shape),
                         2 * 4 * (2 * 20 + 5 * MAX_DIM));
        assert_int_equal(w.forward.kv.n_bytes, kv_bytes_per_position(&w.forward.kv.shape) * 16 *
                                                   w.forward.kv.shape.n_blocks);
        world_close(&w);
    }
}

static void test_attend_is_softmax_over_several_spans(void **state) {
    static const uint32_t windows[] = {0, 1, 7, 64, 500, 513};
    struct world w;
    world_open(&w, 2, 16, NULL);
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        attend(&w, 0, MAX_LEN, windows[i]);
        for (uint32_t p = 0; p < MAX_LEN; p += p < 130 ? 1 : 37)
            assert_is_softmax(&w, p, windows[i]);
    }
    world_close(&w);
}

static void test_attend_gives_the_same_bits_however_it_is_cut(void **state) {
    static const uint32_t windows[] = {0, 100};
    static const struct {
        uint32_t n_threads, block_size, chunk;
    } cuts[] = {{1, 16, 1},   {4, 16, 1},   {2, 8, 3},    {3, 64, 17},
                {1, 256, 64}, {7, 40, 255}, {2, 16, 300}, {16, 16, 5}};
    struct world whole;
    world_open(&whole, 1, 16, NULL);

    for (size_t i = 0; i < 2; i++) {
        attend(&whole, 0, MAX_LEN, windows[i]);
        for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
            struct world w;
            world_open(&w, cuts[c].n_threads, cuts[c].block_size, NULL);
            for (uint32_t at = 0; at < MAX_LEN; at += cuts[c].chunk)
                attend(&w, at, MAX_LEN - at < cuts[c].chunk ? MAX_LEN - at : cuts[c].chunk,
                       windows[i]);
            assert_memory_equal(w.out, whole.out, (size_t)MAX_LEN * w.width * sizeof *w.out);
            world_close(&w);
        }
    }
    world_close(&whole);
}

static void test_attend_gives_the_same_bits_on_every_isa(void **state) {
    static const char *const isas[] = {"avx2", "avx512"};
    struct world ref;
    struct ops ops;
    world_open(&ref, 1, 16, "ref");
    attend(&ref, 0, 700, 0);
    for (int i = 0; i < 2; i++) {
        struct world w;
        if (ops_init(&ops, isas[i], NULL) < 0)
            continue;
        world_open(&w, 2, 16, isas[i]);
        attend(&w, 0, 700, 0);
        assert_memory_equal(w.out, ref.out, (size_t)700 * w.width * sizeof *w.out);
        world_close(&w);
    }
    world_close(&ref);
}

/* Splitting really happens where it should, or the test of it above means nothing. */
static void test_attend_shares_a_long_context_among_workers(void **state) {
    struct world w;
    world_open(&w, 4, 16, NULL);
    attend(&w, MAX_LEN - 1, 1, 0);
    assert_int_equal(w.forward.scratch.tiles[0].partial_unit, 0);
    assert_int_equal(w.forward.scratch.tiles[0].n_spans, MAX_LEN / ATTEND_SPAN + 1);
    assert_int_equal(w.forward.scratch.items[3].span, 3);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attend_is_softmax_over_several_spans),
        cmocka_unit_test(test_attend_takes_layers_of_different_shapes),
        cmocka_unit_test(test_attend_gives_the_same_bits_however_it_is_cut),
        cmocka_unit_test(test_attend_gives_the_same_bits_on_every_isa),
        cmocka_unit_test(test_attend_shares_a_long_context_among_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
