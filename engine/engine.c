/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - see kvasir/engine.h: options checked, memory reserved, weights packed; then steps.
 *
 * The pass itself is layers/forward.c, the check of a batch is sound.c. Here stands what surrounds
 * them: what each option comes to, and the order in which things are opened.
 */
#include "kvasir/engine.h"

#include <errno.h>
#include <inttypes.h>

#include "kvasir/mem.h"
#include "kvasir/model.h"
#include "layers/forward.h"
#include "sound.h"

struct engine {
    struct engine_info info;
    struct engine_options options; /* its pointers are not kept */
    struct forward forward;
    struct sound sound; /* the check of a batch */
};

/* ---- what options come to ---- */

/*
 * Auto is float16 for every model: 8 times finer than bfloat16 at the same size and speed. What
 * it lacks in range is met by saturation (narrow.h); |k| or |v| beyond 65504 would mean a
 * broken model.
 */
static enum kv_format kv_format_of(enum kv_dtype dtype) {
    switch (dtype) {
    case KV_F32:
        return KV_FORMAT_F32;
    case KV_BF16:
        return KV_FORMAT_BF16;
    case KV_AUTO:
    case KV_F16:
        break;
    }
    return KV_FORMAT_F16;
}

static const char *kv_format_name(enum kv_format format) {
    static const char *const names[KV_FORMATS] = {
        [KV_FORMAT_F32] = "float32",
        [KV_FORMAT_F16] = "float16",
        [KV_FORMAT_BF16] = "bfloat16",
    };
    return names[format];
}

/* What the weights of the first layer are multiplied in: the answer to "auto". */
static const char *arithmetic_name(enum matmul_arithmetic arithmetic) {
    switch (arithmetic) {
    case MATMUL_INT8:
    case MATMUL_INT8_CHANNEL:
        return "int8";
    case MATMUL_BF16_ROUNDED:
    case MATMUL_BF16_DOT:
        return "bfloat16";
    case MATMUL_F32:
        break;
    }
    return "float32";
}

static struct kv_shape kv_shape_of(const struct hparams *hparams,
                                   const struct engine_options *options) {
    return (struct kv_shape){
        .layers = hparams->layers,
        .n_layers = hparams->n_layers,
        .n_blocks = options->n_blocks,
        .block_size = options->block_size,
        .format = kv_format_of(options->kv_dtype),
    };
}

static struct packer packer_of(const struct model *model, const struct engine_options *options) {
    return (struct packer){
        .model = model,
        .choice = {.dtype = options->dtype, .quantize = options->quantize, .isa = options->isa},
    };
}

/* Walks the weights without packing them: their bytes, and what their rows will need. */
static struct packer measure(const struct model *model, const struct engine_options *options) {
    struct packer packer = packer_of(model, options);
    struct network nothing;

    const int r = network_pack(&nothing, &packer, /* reterr= */ NULL);
    INVARIANT(r == 0); /* it allocates nothing and reads nothing */
    return packer;
}

static struct forward_limits limits_of(const struct engine_options *options,
                                       const struct packer *measured) {
    return (struct forward_limits){
        .max_batch_tokens = options->max_batch_tokens,
        .max_model_len = options->max_model_len,
        .n_threads = options->n_threads,
        .prepared_row_bytes = measured->prepared_row_bytes,
    };
}

uint64_t engine_kv_bytes_per_token(const struct model *model, enum kv_dtype kv_dtype) {
    const struct engine_options options = {.kv_dtype = kv_dtype};
    const struct kv_shape shape = kv_shape_of(model_hparams(model), &options);

    return kv_bytes_per_position(&shape);
}

uint64_t engine_scratch_bytes(const struct model *model, const struct engine_options *options) {
    const struct packer measured = measure(model, options);
    const struct forward_limits limits = limits_of(options, &measured);
    struct step_scratch scratch;

    step_scratch_lay_out(&scratch, model_hparams(model), &limits, /* base= */ NULL);
    return scratch.n_bytes;
}

uint64_t engine_weight_bytes(const struct model *model, const struct engine_options *options) {
    return measure(model, options).n_bytes;
}

/* ---- open and close ---- */

enum {
    MAX_TOKENS = 1 << 24, /* of a step or a sequence; keeps every size of scratch in range */
};

static int check_range(const char *name, uint32_t value, uint32_t most, struct error *reterr) {
    if (value >= 1 && value <= most)
        return 0;
    return error_set_param(reterr, -EINVAL, name, "%s must be from 1 to %" PRIu32 ", not %" PRIu32,
                           name, most, value);
}

static int check_options(const struct engine_options *options, struct error *reterr) {
    int r = check_range("max-num-batched-tokens", options->max_batch_tokens, MAX_TOKENS, reterr);
    if (r < 0)
        return r;
    r = check_range("max-model-len", options->max_model_len, INT32_MAX, reterr);
    if (r < 0)
        return r;
    r = check_range("max-num-seqs", options->max_num_seqs, MAX_TOKENS, reterr);
    if (r < 0)
        return r;
    if (options->n_blocks >= 1 && options->n_blocks <= INT32_MAX)
        return 0;
    return error_set_param(reterr, -EINVAL, "kv-memory",
                           "kv-memory must make 1 to %d blocks, not %" PRIu32, INT32_MAX,
                           options->n_blocks);
}

/* The shapes that this forward pass can compute; a family may describe others. */
static int check_shapes(const struct hparams *hparams, struct error *reterr) {
    for (uint32_t i = 0; i < hparams->n_layers; i++) {
        const struct attention_shape *shape = &hparams->layers[i].attention;
        if (shape->n_kv_heads == 0 || shape->n_heads % shape->n_kv_heads != 0)
            return error_set(reterr, -ENOTSUP,
                             "layer %" PRIu32 ": %" PRIu32
                             " query heads cannot be shared out to %" PRIu32 " kv heads",
                             i, shape->n_heads, shape->n_kv_heads);
    }
    return 0;
}

static int pack_weights(struct engine *engine, const struct model *model,
                        const struct packer *measured, struct error *reterr) {
    struct packer packer = packer_of(model, &engine->options);

    packer.workers = engine->forward.workers;
    packer.n_expected = measured->n_bytes;
    packer.on_progress = engine->options.on_progress;
    packer.progress_ctx = engine->options.progress_ctx;
    int r = network_pack(&engine->forward.network, &packer, reterr);
    if (r < 0)
        return r;

    engine->info.weight_bytes = packer.n_bytes;
    engine->info.dtype = arithmetic_name(packer.arithmetic);
    model_release(model); /* from here on its files are not read */
    return 0;
}

static int reserve_scratch(struct engine *engine, const struct packer *measured,
                           struct error *reterr) {
    struct forward *forward = &engine->forward;
    const struct forward_limits limits = limits_of(&engine->options, measured);

    step_scratch_lay_out(&forward->scratch, forward->hparams, &limits, /* base= */ NULL);
    const size_t n_bytes = forward->scratch.n_bytes;
    void *data = mem_map(n_bytes);
    if (!data)
        return error_set_param(reterr, -ENOMEM, "max-num-batched-tokens",
                               "no memory for %zu MiB of scratch", n_bytes >> 20);

    step_scratch_lay_out(&forward->scratch, forward->hparams, &limits, data);
    return 0;
}

static int init_sound(struct engine *engine, struct error *reterr) {
    const struct engine_options *options = &engine->options;
    const struct sound_limits limits = {
        .max_batch_tokens = options->max_batch_tokens,
        .max_num_seqs = options->max_num_seqs,
        .max_model_len = options->max_model_len,
        .block_size = options->block_size,
        .n_blocks = options->n_blocks,
        .n_vocab = engine->forward.hparams->n_vocab,
    };
    return sound_init(&engine->sound, &limits, reterr);
}

static void fill_info(struct engine *engine, const struct kv_shape *shape) {
    const struct engine_options *options = &engine->options;
    struct engine_info *info = &engine->info;

    info->n_vocab = engine->forward.network.head.n_out;
    info->block_size = options->block_size;
    info->n_blocks = options->n_blocks;
    info->max_model_len = options->max_model_len;
    info->n_threads = options->n_threads;
    info->kv_bytes_per_token = kv_bytes_per_position(shape);
    info->scratch_bytes = engine->forward.scratch.n_bytes;
    info->isa = engine->forward.ops.name;
    info->kv_dtype = kv_format_name(shape->format);
}

/* Opens the parts in order; what was opened is released by engine_close. */
static int open_parts(struct engine *engine, const struct model *model, struct error *reterr) {
    struct forward *forward = &engine->forward;
    const struct engine_options *options = &engine->options;
    const struct kv_shape shape = kv_shape_of(forward->hparams, options);
    const struct packer measured = measure(model, options);

    int r = ops_init(&forward->ops, options->isa, reterr);
    if (r < 0)
        return r;
    r = workers_create(options->n_threads, &forward->workers, reterr);
    if (r < 0)
        return r;
    r = rope_init(&forward->rope, &forward->hparams->rope, reterr);
    if (r < 0)
        return r;
    r = kv_store_init(&forward->kv, &shape, &forward->ops, reterr);
    if (r < 0)
        return r;
    r = reserve_scratch(engine, &measured, reterr);
    if (r < 0)
        return r;
    r = init_sound(engine, reterr);
    if (r < 0)
        return r;
    r = pack_weights(engine, model, &measured, reterr);
    if (r < 0)
        return r;

    fill_info(engine, &shape);
    return 0;
}

int engine_open(const struct model *model, const struct engine_options *options,
                struct engine **ret_engine, struct error *reterr) {
    int r = check_options(options, reterr);
    if (r < 0)
        return r;
    r = check_shapes(model_hparams(model), reterr);
    if (r < 0)
        return r;

    struct engine *engine = mem_alloc_zero(1, sizeof *engine);
    if (!engine)
        return error_set(reterr, -ENOMEM, "out of memory for the engine");

    engine->options = *options;
    engine->forward.hparams = model_hparams(model);
    r = open_parts(engine, model, reterr);
    if (r < 0) {
        engine_close(engine);
        return r;
    }

    engine->options.isa = NULL;
    engine->options.on_progress = NULL;
    engine->options.progress_ctx = NULL;
    *ret_engine = engine;
    return 0;
}

void engine_close(struct engine *engine) {
    if (!engine)
        return;

    network_fini(&engine->forward.network);
    sound_fini(&engine->sound);
    mem_unmap(engine->forward.scratch.data, engine->forward.scratch.n_bytes);
    kv_store_fini(&engine->forward.kv);
    rope_fini(&engine->forward.rope);
    workers_destroy(engine->forward.workers);
    mem_free(engine);
}

const struct engine_info *engine_info(const struct engine *engine) {
    return &engine->info;
}

uint64_t engine_rope_class(const void *engine, uint32_t length) {
    return rope_class(&((const struct engine *)engine)->forward.rope, length);
}

/* ---- step ---- */

int engine_step(void *engine_ptr, const struct batch *batch, struct step_result *ret_result) {
    struct engine *engine = engine_ptr;
    const struct batch *part;

    const int r = sound_part(&engine->sound, batch, &part);
    if (r < 0)
        return r;

    *ret_result = (struct step_result){.n_rows = 0};
    if (part->n_seqs > 0)
        forward_run(&engine->forward, part, ret_result);
    if (part != batch) {
        struct row_output *rows = engine->forward.scratch.outputs;
        ret_result->n_rows = sound_restore(&engine->sound, batch, rows, ret_result->n_rows);
        ret_result->rows = rows;
    }
    return 0;
}
