/* SPDX-License-Identifier: Apache-2.0 */
#include "sound.h"

#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"

int sound_init(struct sound *sound, const struct sound_limits *limits, struct error *reterr) {
    *sound = (struct sound){
        .limits = *limits,
        .seqs = mem_alloc_array(limits->max_num_seqs, sizeof *sound->seqs),
        .origins = mem_alloc_array(limits->max_num_seqs, sizeof *sound->origins),
        .tokens = mem_alloc_array(limits->max_batch_tokens, sizeof *sound->tokens),
        .positions = mem_alloc_array(limits->max_batch_tokens, sizeof *sound->positions),
    };
    if (sound->seqs && sound->origins && sound->tokens && sound->positions)
        return 0;
    sound_fini(sound);
    return error_set(reterr, -ENOMEM, "out of memory for the engine");
}

void sound_fini(struct sound *sound) {
    mem_free(sound->seqs);
    mem_free(sound->origins);
    mem_free(sound->tokens);
    mem_free(sound->positions);
    *sound = (struct sound){.seqs = NULL};
}

/* Do the slices cover the tokens, one behind the other? */
static bool is_partition(const struct sound_limits *limits, const struct batch *batch) {
    uint32_t next = 0;

    if (batch->n_tokens == 0 || batch->n_tokens > limits->max_batch_tokens ||
        batch->n_seqs > limits->max_num_seqs)
        return false;
    for (uint32_t i = 0; i < batch->n_seqs; i++) {
        const struct batch_seq *seq = &batch->seqs[i];
        if (seq->first != next || seq->n_tokens == 0 || seq->n_tokens > batch->n_tokens - next)
            return false;
        next += seq->n_tokens;
    }
    return next == batch->n_tokens;
}

/* One sequence within the limits: its positions, its blocks, and what its rows need. */
static bool is_sound(const struct sound_limits *limits, const struct batch *batch,
                     const struct batch_seq *seq) {
    const uint64_t end = (uint64_t)seq->n_context + seq->n_tokens;
    const uint64_t block_size = limits->block_size;

    if (end > limits->max_model_len || end > seq->n_blocks * block_size)
        return false;
    for (uint64_t i = 0; i * block_size < end; i++)
        if (seq->block_table[i] >= limits->n_blocks)
            return false;
    for (uint32_t i = 0; i < seq->n_tokens; i++) {
        const token_id token = batch->tokens[seq->first + i];
        if (batch->positions[seq->first + i] != seq->n_context + i || token < 0 ||
            (uint32_t)token >= limits->n_vocab)
            return false;
    }
    return seq->rows == BATCH_ROWS_NONE || seq->params != NULL;
}

static bool is_all_sound(const struct sound *sound, const struct batch *batch) {
    for (uint32_t i = 0; i < batch->n_seqs; i++)
        if (!is_sound(&sound->limits, batch, &batch->seqs[i]))
            return false;
    return true;
}

static void copy(struct sound *sound, const struct batch *batch, uint32_t index) {
    const struct batch_seq *seq = &batch->seqs[index];
    const uint32_t first = sound->batch.n_tokens;

    memcpy(sound->tokens + first, batch->tokens + seq->first, seq->n_tokens * sizeof(token_id));
    memcpy(sound->positions + first, batch->positions + seq->first,
           seq->n_tokens * sizeof(uint32_t));
    sound->origins[sound->batch.n_seqs] = index;
    sound->seqs[sound->batch.n_seqs] = *seq;
    sound->seqs[sound->batch.n_seqs++].first = first;
    sound->batch.n_tokens += seq->n_tokens;
}

int sound_part(struct sound *sound, const struct batch *batch, const struct batch **ret_part) {
    if (!is_partition(&sound->limits, batch))
        return -EINVAL;
    if (is_all_sound(sound, batch)) {
        *ret_part = batch;
        return 0;
    }
    sound->batch = (struct batch){
        .tokens = sound->tokens,
        .positions = sound->positions,
        .seqs = sound->seqs,
    };
    for (uint32_t i = 0; i < batch->n_seqs; i++)
        if (is_sound(&sound->limits, batch, &batch->seqs[i]))
            copy(sound, batch, i);
    *ret_part = &sound->batch;
    return 0;
}

uint32_t sound_restore(const struct sound *sound, const struct batch *batch,
                       struct row_output *rows, uint32_t n_rows) {
    const uint32_t n_all = n_rows + batch->n_seqs - sound->batch.n_seqs;
    uint32_t n_sound = sound->batch.n_seqs;
    uint32_t end = n_all;

    /* From the last to the first, in place: a row moves back, or stays. */
    for (uint32_t i = batch->n_seqs; i-- > 0;) {
        if (n_sound == 0 || sound->origins[n_sound - 1] != i) {
            rows[--end] = (struct row_output){
                .seq = i,
                .token = TOKEN_NONE,
                .problem = ROW_NOT_COMPUTED,
            };
            continue;
        }
        n_sound--;
        while (n_rows > 0 && rows[n_rows - 1].seq == n_sound) {
            rows[--end] = rows[--n_rows];
            rows[end].seq = i;
        }
    }
    return n_all;
}
