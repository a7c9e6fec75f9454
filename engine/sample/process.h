/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process - what a request does to a row of logits before the distribution is formed: allowed ids,
 * bad words, min_tokens, logit_bias, penalties. The order is vLLM's.
 */
#ifndef KVASIR_ENGINE_PROCESS_H
#define KVASIR_ENGINE_PROCESS_H

#include <stdint.h>

#include "kvasir/sampling.h"

/* The tokens before the one to choose: prompt, then output. */
struct token_history {
    const token_id *ids;
    uint32_t n_prompt;
    uint32_t n; /* prompt and output */
};

/*
 * Returns logits itself when params ask for nothing, else work [n_vocab] f32 with the processed
 * row. counts [n_vocab] u32 is scratch. Ids outside the vocabulary are ignored.
 */
const float *logits_process(const float *logits, uint32_t n_vocab,
                            const struct sampling_params *params, struct token_history history,
                            float *work, uint32_t *counts);

#endif
