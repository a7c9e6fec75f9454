/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_engine - an engine without a model: same batches, same contract, tokens by a pure function.
 *
 * It keeps what a real engine would keep as K and V: in each slot of each block, which token was
 * computed there, at which position and under which rope class. The next token of a sequence is
 * a hash of what its block table leads to. So a wrong block, a wrong order, a stale or missing
 * slot or a wrongly shared rope class gives a wrong token, and the tokens a right scheduler must
 * give are known without running one (fake_engine_next).
 *
 * Its step function has the signature of scheduler_options::step. One thread at a time.
 */
#ifndef KVASIR_TEST_FAKE_ENGINE_H
#define KVASIR_TEST_FAKE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "kvasir/batch.h"
#include "kvasir/types.h"

struct fake_engine;

struct fake_engine_options {
    uint32_t n_vocab; /* >= 2 */
    uint32_t n_blocks;
    uint32_t block_size;
    uint32_t max_batch_tokens; /* also the most rows of a step */

    /* Tokens. With a script, output token i of every sequence is script[i], and eos behind it. */
    const token_id *script;
    uint32_t n_script;
    token_id eos;       /* given behind a script, and by eos_every; never otherwise */
    uint32_t eos_every; /* one of so many histories has eos as its next token; 0: none */

    /* Trouble. */
    uint32_t nan_every;       /* one of so many histories gives a row that is not finite; 0: none */
    uint32_t nan_at;          /* the row of this output token, from 1 on, is not finite; 0: none */
    uint64_t fail_step_every; /* every so many steps fails with -EIO, nothing computed; 0: none */
    uint64_t step_us;         /* sleeps so long in each step */
    uint64_t token_us;        /* and so long for each token of it */

    /* Lengths below this are of rope class 0, then of 1 as long, then of 0 again, and so on: unlike
     * any model, so that each token's own class has to be looked at. 0: one class for all. */
    uint32_t rope_length;
};

/* NULL without memory. */
struct fake_engine *fake_engine_create(const struct fake_engine_options *options);
void fake_engine_destroy(struct fake_engine *engine);

int fake_engine_step(void *engine, const struct batch *batch, struct step_result *ret_result);

/* For scheduler_options::rope_class. */
uint64_t fake_engine_rope_class(const void *engine, uint32_t length);

/*
 * The oracle: the token that follows this history (prompt and output) for a sequence with this
 * prompt length; TOKEN_NONE if that row is not finite. Depends on nothing but its arguments.
 */
token_id fake_engine_next(const struct fake_engine_options *options, const token_id *history,
                          uint32_t n_history, uint32_t n_prompt);

/* What row_output::logprob says for token behind this history, sampled or scored. */
float fake_engine_logprob(const struct fake_engine_options *options, const token_id *history,
                          uint32_t n_history, uint32_t n_prompt, token_id token);

/* What logits_out gets for token v behind this history. */
float fake_engine_logit(const struct fake_engine_options *options, const token_id *history,
                        uint32_t n_history, uint32_t n_prompt, token_id token);

/* Sum of all tokens of all steps: what a perfect prefix cache would keep small. */
uint64_t fake_engine_tokens_computed(const struct fake_engine *engine);

/* A batch broke the contract of batch.h: says how; NULL if none ever did. */
const char *fake_engine_complaint(const struct fake_engine *engine);

#endif
