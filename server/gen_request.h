/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen_request - what a client asked to generate, checked and complete: a plain value whose
 * arrays live in the context's arena: what stands under "chat" and "completions" in one that goes
 * when the prompts are ids, the rest in one that stays.
 *
 * Both endpoints fill it: the shared fields through the table of params.c, the prompts each in
 * its own way. After parsing no JSON is left.
 */
#ifndef KVASIR_SERVER_GEN_REQUEST_H
#define KVASIR_SERVER_GEN_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "kvasir/arena.h"
#include "kvasir/chat.h"
#include "kvasir/error.h"
#include "kvasir/sampling.h"
#include "kvasir/tokenizer.h"
#include "kvasir/types.h"

struct server;
struct service;

enum {
    GEN_MAX_STOPS = 16,
    GEN_MAX_STOP_BYTES = 256,
    GEN_MAX_STOP_IDS = 128,
    GEN_MAX_LOGIT_BIAS = 1024,
    GEN_MAX_SALT_BYTES = 128,
    GEN_MAX_PROMPT_SCORES = 1 << 19, /* entries of prompt_logprobs in one response */
};

/* A prompt of /v1/completions: text, or ids. */
struct gen_prompt {
    const char *text; /* NULL: ids */
    size_t len;
    const token_id *ids;
    uint32_t n_ids;
};

struct gen_request {
    /* The table's fields, in the units of the API. */
    double temperature, top_p, min_p;
    double repetition_penalty, presence_penalty, frequency_penalty;
    int64_t top_k;
    int64_t seed; /* -1: a random one */
    int64_t n;
    int64_t max_tokens;            /* -1: not given */
    int64_t max_completion_tokens; /* -1: not given; supersedes max_tokens */
    int64_t min_tokens;
    int64_t top_logprobs;    /* chat; -1: not given */
    int64_t n_logprobs;      /* completions' logprobs; -1: none */
    int64_t prompt_logprobs; /* -1: none */
    int64_t priority;
    int64_t truncate_prompt_tokens; /* 0: off; -1: to what fits */
    bool stream, ignore_eos, skip_special_tokens, include_stop_str_in_output;
    bool echo, return_token_ids, add_special_tokens;
    bool add_generation_prompt, continue_final_message;
    bool chat_logprobs;
    bool parallel_tool_calls; /* accepted; the template has no say in it */
    bool include_reasoning;   /* accepted; reasoning is not split off yet */

    bool include_usage, continuous_usage;
    bool truncate_right; /* truncation_side: keep the beginning */
    const char *stops[GEN_MAX_STOPS];
    uint32_t n_stops;
    const token_id *stop_ids; /* of the request */
    uint32_t n_stop_ids;
    const struct token_bias *logit_bias;
    uint32_t n_logit_bias;
    const token_id *allowed_ids;
    uint32_t n_allowed_ids;
    const char *cache_salt; /* NULL: none */
    size_t cache_salt_len;

    /* chat */
    struct chat_value *vars;   /* the template's variables */
    const char *continue_text; /* continue_final_message: the last message's text */
    size_t continue_len;

    /* completions */
    struct gen_prompt *prompts;
    uint32_t n_prompts;
};

/* What parsing needs to know; immutable. */
struct gen_context {
    const struct service *service; /* NULL in `kvasir render`: no vocabulary, no defaults */
    const struct tokenizer *tokenizer;
    const char *const *model_names; /* accepted in "model" */
    uint32_t n_model_names;
    uint32_t max_n, max_sequences;
    bool api_defaults;
    struct arena *arena;
};

enum gen_endpoint { ENDPOINT_CHAT = 1, ENDPOINT_COMPLETIONS = 2, ENDPOINT_TOKENIZE = 4 };

/* What the server knows, for parsing into the arena. Needs the service. */
struct gen_context gen_context_of(const struct server *server, struct arena *arena);

/* The shared fields: the table, "model", "stop", "logit_bias" and their like. -EINVAL, -ENOTSUP
 * (known, not served), -ENOENT (model), -ENOMEM; param names the field. Any thread. */
int params_parse(const json_t *root, enum gen_endpoint endpoint, const struct gen_context *context,
                 struct gen_request *request, struct error *reterr) KV_MUST_CHECK;

/* messages, tools and template variables (chat, tokenize). */
int chat_request_parse(const json_t *root, const struct gen_context *context,
                       struct gen_request *request, struct error *reterr) KV_MUST_CHECK;

/* The prompt of a chat request. Any thread. */
int chat_request_render(const struct gen_request *request,
                        const struct chat_template *chat_template, struct chat_clock now,
                        struct chat_prompt *ret_prompt, struct error *reterr) KV_MUST_CHECK;

/* The same as ids, appended; needs the service's template. Any thread. */
int chat_request_encode(const struct gen_request *request, const struct service *service,
                        struct token_buf *ret_ids, struct error *reterr) KV_MUST_CHECK;

/* This moment with the machine's time zone. */
struct chat_clock chat_request_clock(void);

/* The prompts of a completions request. */
int completions_parse_prompts(const json_t *root, const struct gen_context *context,
                              struct gen_request *request, struct error *reterr) KV_MUST_CHECK;

/* An array of token ids, each inside the vocabulary. */
int params_parse_ids(const json_t *array, const char *param, uint32_t max_ids,
                     const struct gen_context *context, const token_id **ret_ids, uint32_t *ret_n,
                     struct error *reterr) KV_MUST_CHECK;

/* Tokens that the answer may have at most as far as the client said; -1: it did not. */
int64_t gen_request_answer_tokens(const struct gen_request *q);

/* How its texts become ids: flags of tokenizer_encode. */
unsigned gen_request_encode_flags(const struct gen_request *q);

/* The sampling parameters of one choice (arrays lent). */
struct sampling_params gen_request_sampling(const struct gen_request *q, uint32_t choice);

#endif
