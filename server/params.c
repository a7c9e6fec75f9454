/* SPDX-License-Identifier: Apache-2.0 */
/*
 * params - the fields of a generation request: one table of name, type, range and default, and
 * one of what is known but not served.
 *
 * null counts as absent. A field that stands in neither table nor in the code below is unknown
 * and ignored, as OpenAI's clients expect.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "kvasir/server.h"

#include "gen_request.h"
#include "json_read.h"

enum {
    CHAT = ENDPOINT_CHAT,
    TEXT = ENDPOINT_COMPLETIONS,
    BOTH = CHAT | TEXT,
    TOK = ENDPOINT_TOKENIZE
};

enum param_type { PARAM_BOOL, PARAM_INT, PARAM_FLOAT };

struct param_rule {
    const char *name;
    unsigned endpoints;
    enum param_type type;
    double min, max;
    bool above_min; /* min itself is not allowed */
    size_t offset;  /* in struct gen_request */
};

#define FIELD(member) offsetof(struct gen_request, member)
#define INT32_LIMIT 2147483647.0

static const struct param_rule rules[] = {
    {"temperature", BOTH, PARAM_FLOAT, 0, 2, false, FIELD(temperature)},
    {"top_p", BOTH, PARAM_FLOAT, 0, 1, true, FIELD(top_p)},
    {"min_p", BOTH, PARAM_FLOAT, 0, 1, false, FIELD(min_p)},
    {"top_k", BOTH, PARAM_INT, -1, INT32_LIMIT, false, FIELD(top_k)},
    {"repetition_penalty", BOTH, PARAM_FLOAT, 0, 1e6, true, FIELD(repetition_penalty)},
    {"presence_penalty", BOTH, PARAM_FLOAT, -2, 2, false, FIELD(presence_penalty)},
    {"frequency_penalty", BOTH, PARAM_FLOAT, -2, 2, false, FIELD(frequency_penalty)},
    {"seed", BOTH, PARAM_INT, -9223372036854775808.0, 9223372036854775807.0, false, FIELD(seed)},
    {"n", BOTH, PARAM_INT, 1, 16384, false, FIELD(n)},
    {"max_tokens", BOTH, PARAM_INT, 0, INT32_LIMIT, false, FIELD(max_tokens)},
    {"max_completion_tokens", CHAT, PARAM_INT, 1, INT32_LIMIT, false, FIELD(max_completion_tokens)},
    {"min_tokens", BOTH, PARAM_INT, 0, INT32_LIMIT, false, FIELD(min_tokens)},
    {"stream", BOTH, PARAM_BOOL, 0, 0, false, FIELD(stream)},
    {"ignore_eos", BOTH, PARAM_BOOL, 0, 0, false, FIELD(ignore_eos)},
    {"skip_special_tokens", BOTH, PARAM_BOOL, 0, 0, false, FIELD(skip_special_tokens)},
    {"include_stop_str_in_output", BOTH, PARAM_BOOL, 0, 0, false,
     FIELD(include_stop_str_in_output)},
    {"echo", TEXT, PARAM_BOOL, 0, 0, false, FIELD(echo)},
    {"return_token_ids", BOTH, PARAM_BOOL, 0, 0, false, FIELD(return_token_ids)},
    {"logprobs", CHAT, PARAM_BOOL, 0, 0, false, FIELD(chat_logprobs)},
    {"logprobs", TEXT, PARAM_INT, 0, SAMPLING_MAX_LOGPROBS, false, FIELD(n_logprobs)},
    {"top_logprobs", CHAT, PARAM_INT, 0, SAMPLING_MAX_LOGPROBS, false, FIELD(top_logprobs)},
    {"prompt_logprobs", BOTH, PARAM_INT, 0, SAMPLING_MAX_LOGPROBS, false, FIELD(prompt_logprobs)},
    {"priority", BOTH, PARAM_INT, -INT32_LIMIT, INT32_LIMIT, false, FIELD(priority)},
    {"truncate_prompt_tokens", BOTH, PARAM_INT, -1, INT32_LIMIT, false,
     FIELD(truncate_prompt_tokens)},
    {"add_special_tokens", BOTH | TOK, PARAM_BOOL, 0, 0, false, FIELD(add_special_tokens)},
    {"add_generation_prompt", CHAT | TOK, PARAM_BOOL, 0, 0, false, FIELD(add_generation_prompt)},
    {"continue_final_message", CHAT | TOK, PARAM_BOOL, 0, 0, false, FIELD(continue_final_message)},
    {"parallel_tool_calls", CHAT, PARAM_BOOL, 0, 0, false, FIELD(parallel_tool_calls)},
    {"include_reasoning", CHAT, PARAM_BOOL, 0, 0, false, FIELD(include_reasoning)},
};

/* Values of an unsupported field that change nothing and are let pass (null always is). */
enum { PASS_FALSE = 1, PASS_TRUE = 2, PASS_EMPTY = 4, PASS_ONE = 8, PASS_TYPE_TEXT = 16 };

static const struct {
    const char *name;
    unsigned endpoints;
    unsigned pass;
} unsupported[] = {
    {"response_format", BOTH, PASS_TYPE_TEXT},
    {"structured_outputs", BOTH, 0},
    {"guided_json", BOTH, 0},
    {"guided_regex", BOTH, 0},
    {"guided_choice", BOTH, 0},
    {"guided_grammar", BOTH, 0},
    {"best_of", BOTH, PASS_ONE},
    {"suffix", TEXT, PASS_EMPTY},
    {"prompt_embeds", TEXT, PASS_EMPTY},
    {"use_beam_search", BOTH, PASS_FALSE},
    {"length_penalty", BOTH, PASS_ONE},
    {"bad_words", BOTH, PASS_EMPTY},
    {"logits_processors", BOTH, PASS_EMPTY},
    {"logprob_token_ids", BOTH, PASS_EMPTY},
    {"return_tokens_as_token_ids", BOTH, PASS_FALSE},
    {"spaces_between_special_tokens", BOTH, PASS_TRUE},
    {"stream_interval", BOTH, PASS_ONE},
    {"thinking_token_budget", BOTH, 0},
    {"repetition_detection", BOTH, PASS_EMPTY},
    {"chat_template", CHAT | TOK, PASS_EMPTY},
    {"mm_processor_kwargs", BOTH, PASS_EMPTY},
    {"media_io_kwargs", BOTH, PASS_EMPTY},
    {"kv_transfer_params", BOTH, PASS_EMPTY},
    {"ec_transfer_params", BOTH, PASS_EMPTY},
    {"vllm_xargs", BOTH, PASS_EMPTY},
    {"functions", CHAT, PASS_EMPTY},
    {"function_call", CHAT, 0},
    {"audio", CHAT, 0},
    {"web_search_options", CHAT, 0},
};

#define N_RULES (sizeof rules / sizeof rules[0])
#define N_UNSUPPORTED (sizeof unsupported / sizeof unsupported[0])

static void set_defaults(enum gen_endpoint endpoint, const struct gen_context *context,
                         struct gen_request *request) {
    struct sampling_params sampling = sampling_defaults();
    if (context->service && context->service->info->has_generation_defaults &&
        !context->api_defaults)
        sampling = context->service->info->generation_defaults;

    *request = (struct gen_request){
        .temperature = sampling.temperature,
        .top_p = sampling.top_p,
        .min_p = sampling.min_p,
        .top_k = sampling.top_k,
        .repetition_penalty = sampling.repetition_penalty,
        .presence_penalty = sampling.presence_penalty,
        .frequency_penalty = sampling.frequency_penalty,
        .seed = -1,
        .n = 1,
        .max_tokens = endpoint == ENDPOINT_COMPLETIONS ? 16 : -1,
        .max_completion_tokens = -1,
        .top_logprobs = -1,
        .n_logprobs = -1,
        .prompt_logprobs = -1,
        .skip_special_tokens = true,
        .add_special_tokens = endpoint == ENDPOINT_COMPLETIONS,
        .add_generation_prompt = true,
        .parallel_tool_calls = true,
        .include_reasoning = true,
    };
}

/* ---- the table's fields ---- */

static const char *type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    default:
        return "null";
    }
}

static int wrong_type(const char *name, const char *expected, const json_t *found,
                      struct error *reterr) {
    return error_set_param(reterr, -EINVAL, name, "'%s' must be %s, not %s.", name, expected,
                           type_name(found));
}

static int out_of_range(const struct param_rule *rule, double found, struct error *reterr) {
    if (rule->type == PARAM_INT)
        return error_set_param(reterr, -EINVAL, rule->name,
                               "'%s' must be an integer from %.0f to %.0f, not %.17g.", rule->name,
                               rule->min, rule->max, found);
    return error_set_param(reterr, -EINVAL, rule->name,
                           "'%s' must be %s %g and at most %g, not %g.", rule->name,
                           rule->above_min ? "above" : "at least", rule->min, rule->max, found);
}

static int set_int(const struct param_rule *rule, const json_t *value, int64_t *field,
                   struct error *reterr) {
    if (!json_is_number(value))
        return wrong_type(rule->name, "an integer", value, reterr);
    if (json_is_integer(value)) {
        const int64_t number = json_integer_value(value);
        /* The bounds of seed are those of int64 itself, which doubles cannot compare. */
        const bool whole_range = rule->max > 9e18;
        if (!whole_range && ((double)number < rule->min || (double)number > rule->max))
            return out_of_range(rule, (double)number, reterr);
        *field = number;
        return 0;
    }
    /* 16.0 is 16 (some clients know only one kind of number). */
    const double real = json_real_value(value);
    if (real != floor(real) || real < rule->min || real > rule->max || fabs(real) > 9e15)
        return out_of_range(rule, real, reterr);
    *field = (int64_t)real;
    return 0;
}

static int set_float(const struct param_rule *rule, const json_t *value, double *field,
                     struct error *reterr) {
    if (!json_is_number(value))
        return wrong_type(rule->name, "a number", value, reterr);
    const double number = json_number_value(value);
    const bool low = rule->above_min ? !(number > rule->min) : !(number >= rule->min);
    if (low || !(number <= rule->max))
        return out_of_range(rule, number, reterr);
    *field = number;
    return 0;
}

static int set_field(const struct param_rule *rule, const json_t *value,
                     struct gen_request *request, struct error *reterr) {
    void *field = (char *)request + rule->offset;
    switch (rule->type) {
    case PARAM_BOOL:
        if (!json_is_boolean(value))
            return wrong_type(rule->name, "true or false", value, reterr);
        *(bool *)field = json_is_true(value);
        return 0;
    case PARAM_INT:
        return set_int(rule, value, field, reterr);
    default:
        return set_float(rule, value, field, reterr);
    }
}

static int parse_table(const json_t *root, enum gen_endpoint endpoint, struct gen_request *request,
                       struct error *reterr) {
    for (size_t i = 0; i < N_RULES; i++) {
        const json_t *value =
            rules[i].endpoints & (unsigned)endpoint ? json_member(root, rules[i].name) : NULL;
        if (!value)
            continue;
        const int r = set_field(&rules[i], value, request, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool passes(const json_t *value, unsigned pass) {
    if (json_is_boolean(value))
        return (pass & (json_is_true(value) ? PASS_TRUE : PASS_FALSE)) != 0;
    if (json_is_string(value))
        return (pass & PASS_EMPTY) && json_string_length(value) == 0;
    if (json_is_array(value))
        return (pass & PASS_EMPTY) && json_array_size(value) == 0;
    if (json_is_number(value))
        return (pass & PASS_ONE) && json_number_value(value) == 1;
    if (!json_is_object(value))
        return false;
    if ((pass & PASS_EMPTY) && json_object_size(value) == 0)
        return true;
    const char *type = json_string_value(json_object_get(value, "type"));
    return (pass & PASS_TYPE_TEXT) && type && strcmp(type, "text") == 0;
}

static int refuse_unsupported(const json_t *root, enum gen_endpoint endpoint,
                              struct error *reterr) {
    for (size_t i = 0; i < N_UNSUPPORTED; i++) {
        const json_t *value = unsupported[i].endpoints & (unsigned)endpoint
                                  ? json_member(root, unsupported[i].name)
                                  : NULL;
        if (value && !passes(value, unsupported[i].pass))
            return error_set_param(reterr, -ENOTSUP, unsupported[i].name,
                                   "'%s' is not supported by this server.", unsupported[i].name);
    }
    return 0;
}

/* ---- fields with a form of their own ---- */

static int parse_model(const json_t *root, const struct gen_context *context,
                       struct error *reterr) {
    const json_t *value = json_member(root, "model");
    if (!value)
        return 0;
    if (!json_is_string(value))
        return wrong_type("model", "a string", value, reterr);
    const char *name = json_string_value(value);
    for (uint32_t i = 0; i < context->n_model_names; i++) {
        if (strcmp(name, context->model_names[i]) == 0)
            return 0;
    }
    if (context->n_model_names == 0)
        return 0; /* `kvasir render` serves no name */
    return error_set_param(reterr, -ENOENT, "model",
                           "The model '%.200s' does not exist; this server has '%s'.", name,
                           context->model_names[0]);
}

static int add_stop(const json_t *value, const struct gen_context *context,
                    struct gen_request *request, struct error *reterr) {
    if (!json_is_string(value))
        return wrong_type("stop", "a string or an array of strings", value, reterr);
    const size_t len = json_string_length(value);
    if (len == 0 || len > GEN_MAX_STOP_BYTES)
        return error_set_param(reterr, -EINVAL, "stop",
                               "A stop string must have 1 to %d bytes, not %zu.",
                               GEN_MAX_STOP_BYTES, len);
    const char *copy = arena_dup(context->arena, json_string_value(value), len);
    if (!copy)
        return -ENOMEM;
    request->stops[request->n_stops++] = copy;
    return 0;
}

static int parse_stop(const json_t *root, const struct gen_context *context,
                      struct gen_request *request, struct error *reterr) {
    const json_t *value = json_member(root, "stop");
    if (!value)
        return 0;
    if (!json_is_array(value))
        return add_stop(value, context, request, reterr);

    const size_t n = json_array_size(value);
    if (n > GEN_MAX_STOPS)
        return error_set_param(reterr, -EINVAL, "stop",
                               "'stop' must have at most %d strings, not %zu.", GEN_MAX_STOPS, n);
    for (size_t i = 0; i < n; i++) {
        const int r = add_stop(json_array_get(value, i), context, request, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static uint32_t n_vocab(const struct gen_context *context) {
    return context->service ? context->service->info->n_vocab
                            : tokenizer_n_vocab(context->tokenizer);
}

int params_parse_ids(const json_t *array, const char *param, uint32_t max_ids,
                     const struct gen_context *context, const token_id **ret_ids, uint32_t *ret_n,
                     struct error *reterr) {
    const size_t n = json_array_size(array);
    if (n > max_ids)
        return error_set_param(reterr, -EINVAL, param, "'%s' must have at most %u ids, not %zu.",
                               param, max_ids, n);
    token_id *ids = arena_alloc(context->arena, (n ? n : 1) * sizeof *ids);
    if (!ids)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_integer(value))
            return error_set_param(reterr, -EINVAL, param,
                                   "'%s' must hold token ids; item %zu is %s.", param, i,
                                   json_is_real(value) ? "not an integer" : type_name(value));
        const int64_t id = json_integer_value(value);
        if (id < 0 || id >= n_vocab(context))
            return error_set_param(reterr, -EINVAL, param,
                                   "'%s' has the token id %lld; the model's ids are 0 to %u.",
                                   param, (long long)id, n_vocab(context) - 1);
        ids[i] = (token_id)id;
    }
    *ret_ids = ids;
    *ret_n = (uint32_t)n;
    return 0;
}

static int parse_id_list(const json_t *root, const char *name, uint32_t max_ids,
                         const struct gen_context *context, const token_id **ret_ids,
                         uint32_t *ret_n, struct error *reterr) {
    const json_t *value = json_member(root, name);
    if (!value)
        return 0;
    if (!json_is_array(value))
        return wrong_type(name, "an array of token ids", value, reterr);
    return params_parse_ids(value, name, max_ids, context, ret_ids, ret_n, reterr);
}

/* A key of logit_bias: decimal digits of an id. */
static bool parse_id_key(const char *key, uint32_t vocab, token_id *ret_id) {
    uint64_t id = 0;
    if (!key[0])
        return false;
    for (const char *c = key; *c; c++) {
        if (*c < '0' || *c > '9' || id >= vocab)
            return false;
        id = id * 10 + (uint64_t)(*c - '0');
    }
    *ret_id = (token_id)id;
    return id < vocab;
}

static int parse_logit_bias(const json_t *root, const struct gen_context *context,
                            struct gen_request *request, struct error *reterr) {
    const json_t *object = json_member(root, "logit_bias");
    if (!object)
        return 0;
    if (!json_is_object(object))
        return wrong_type("logit_bias", "an object", object, reterr);
    const size_t n = json_object_size(object);
    if (n > GEN_MAX_LOGIT_BIAS)
        return error_set_param(reterr, -EINVAL, "logit_bias",
                               "'logit_bias' must have at most %d entries, not %zu.",
                               GEN_MAX_LOGIT_BIAS, n);
    struct token_bias *biases = arena_alloc_zero(context->arena, n ? n : 1, sizeof *biases);
    if (!biases)
        return -ENOMEM;

    uint32_t i = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) { /* the macro's type; nothing is changed */
        if (!parse_id_key(key, n_vocab(context), &biases[i].token))
            return error_set_param(reterr, -EINVAL, "logit_bias",
                                   "'logit_bias' has the key '%.64s'; keys are token ids from 0 to "
                                   "%u.",
                                   key, n_vocab(context) - 1);
        if (!json_is_number(value) || !isfinite(json_number_value(value)))
            return error_set_param(reterr, -EINVAL, "logit_bias",
                                   "'logit_bias' of token %s must be a number.", key);
        const double bias = json_number_value(value);
        biases[i++].bias = bias < -100 ? -100.0f : bias > 100 ? 100.0f : (float)bias;
    }
    request->logit_bias = biases;
    request->n_logit_bias = (uint32_t)n;
    return 0;
}

static int parse_stream_options(const json_t *root, struct gen_request *request,
                                struct error *reterr) {
    const json_t *options = json_member(root, "stream_options");
    if (!options)
        return 0;
    if (!json_is_object(options))
        return wrong_type("stream_options", "an object", options, reterr);
    if (!request->stream)
        return error_set_param(reterr, -EINVAL, "stream_options",
                               "'stream_options' may only be given together with 'stream': true.");
    static const char *const names[2] = {"include_usage", "continuous_usage_stats"};
    bool *const fields[2] = {&request->include_usage, &request->continuous_usage};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_member(options, names[i]);
        if (value && !json_is_boolean(value))
            return error_set_param(reterr, -EINVAL, "stream_options",
                                   "'stream_options.%s' must be true or false, not %s.", names[i],
                                   type_name(value));
        *fields[i] = value && json_is_true(value);
    }
    return 0;
}

static int parse_cache_salt(const json_t *root, const struct gen_context *context,
                            struct gen_request *request, struct error *reterr) {
    const json_t *value = json_member(root, "cache_salt");
    if (!value)
        return 0;
    if (!json_is_string(value))
        return wrong_type("cache_salt", "a string", value, reterr);
    const size_t len = json_string_length(value);
    if (len == 0 || len > GEN_MAX_SALT_BYTES)
        return error_set_param(reterr, -EINVAL, "cache_salt",
                               "'cache_salt' must have 1 to %d bytes, not %zu.", GEN_MAX_SALT_BYTES,
                               len);
    request->cache_salt = arena_dup(context->arena, json_string_value(value), len);
    request->cache_salt_len = len;
    return request->cache_salt ? 0 : -ENOMEM;
}

static int parse_truncation_side(const json_t *root, struct gen_request *request,
                                 struct error *reterr) {
    const json_t *value = json_member(root, "truncation_side");
    if (!value)
        return 0;
    const char *side = json_string_value(value);
    if (!side || (strcmp(side, "left") != 0 && strcmp(side, "right") != 0))
        return error_set_param(reterr, -EINVAL, "truncation_side",
                               "'truncation_side' must be \"left\" or \"right\".");
    request->truncate_right = strcmp(side, "right") == 0;
    return 0;
}

int64_t gen_request_answer_tokens(const struct gen_request *q) {
    return q->max_completion_tokens >= 0 ? q->max_completion_tokens : q->max_tokens;
}

/* What each field allows by itself may still not go together. */
static int check_pairs(enum gen_endpoint endpoint, const struct gen_context *context,
                       const struct gen_request *q, struct error *reterr) {
    const int64_t max_tokens = gen_request_answer_tokens(q);
    if (q->n > context->max_n)
        return error_set_param(reterr, -EINVAL, "n", "'n' must be from 1 to %u, not %lld.",
                               context->max_n, (long long)q->n);
    if (max_tokens == 0 && !(endpoint == ENDPOINT_COMPLETIONS && q->echo))
        return error_set_param(reterr, -EINVAL, "max_tokens",
                               "'max_tokens' must be at least 1 (0 only together with 'echo').");
    if (max_tokens >= 0 && q->min_tokens > max_tokens)
        return error_set_param(reterr, -EINVAL, "min_tokens",
                               "'min_tokens' (%lld) must not be more than 'max_tokens' (%lld).",
                               (long long)q->min_tokens, (long long)max_tokens);
    if (q->min_tokens > 0 && q->n_stops > 0)
        return error_set_param(reterr, -ENOTSUP, "min_tokens",
                               "'min_tokens' together with 'stop' strings is not supported by this "
                               "server; stop_token_ids work.");
    if (q->top_logprobs > 0 && !q->chat_logprobs)
        return error_set_param(reterr, -EINVAL, "top_logprobs",
                               "'top_logprobs' may only be given together with 'logprobs': true.");
    if (q->prompt_logprobs >= 0 && q->stream)
        return error_set_param(reterr, -EINVAL, "prompt_logprobs",
                               "'prompt_logprobs' cannot be streamed.");
    if (q->add_generation_prompt && q->continue_final_message)
        return error_set_param(reterr, -EINVAL, "continue_final_message",
                               "'continue_final_message' needs 'add_generation_prompt': false.");
    return 0;
}

int params_parse(const json_t *root, enum gen_endpoint endpoint, const struct gen_context *context,
                 struct gen_request *request, struct error *reterr) {
    set_defaults(endpoint, context, request);
    int r = parse_model(root, context, reterr);
    if (r == 0)
        r = refuse_unsupported(root, endpoint, reterr);
    if (r == 0)
        r = parse_table(root, endpoint, request, reterr);
    if (r < 0 || endpoint == ENDPOINT_TOKENIZE)
        return r < 0 ? r : check_pairs(endpoint, context, request, reterr);

    r = parse_stop(root, context, request, reterr);
    if (r == 0)
        r = parse_id_list(root, "stop_token_ids", GEN_MAX_STOP_IDS, context, &request->stop_ids,
                          &request->n_stop_ids, reterr);
    if (r == 0)
        r = parse_id_list(root, "allowed_token_ids", n_vocab(context), context,
                          &request->allowed_ids, &request->n_allowed_ids, reterr);
    if (r == 0 && request->allowed_ids && request->n_allowed_ids == 0)
        r = error_set_param(reterr, -EINVAL, "allowed_token_ids",
                            "'allowed_token_ids' must not be empty.");
    if (r == 0)
        r = parse_logit_bias(root, context, request, reterr);
    if (r == 0)
        r = parse_stream_options(root, request, reterr);
    if (r == 0)
        r = parse_cache_salt(root, context, request, reterr);
    if (r == 0)
        r = parse_truncation_side(root, request, reterr);
    if (r == 0)
        r = check_pairs(endpoint, context, request, reterr);
    return r;
}

struct sampling_params gen_request_sampling(const struct gen_request *q, uint32_t choice) {
    /* vLLM's floor: below it the division by the temperature loses all its digits. */
    const double least = 0.01;
    const double t = q->temperature;
    int64_t n_top = q->top_logprobs > q->n_logprobs ? q->top_logprobs : q->n_logprobs;
    if (q->prompt_logprobs > n_top)
        n_top = q->prompt_logprobs;

    return (struct sampling_params){
        .temperature = (float)(t >= SAMPLING_GREEDY_TEMPERATURE && t < least ? least : t),
        .top_p = (float)q->top_p,
        .min_p = (float)q->min_p,
        .top_k = q->top_k < 0 ? 0 : (int32_t)q->top_k,
        .repetition_penalty = (float)q->repetition_penalty,
        .presence_penalty = (float)q->presence_penalty,
        .frequency_penalty = (float)q->frequency_penalty,
        .seed = (uint64_t)q->seed + choice, /* each choice its own stream, as in vLLM */
        .min_tokens = (uint32_t)q->min_tokens,
        .logit_bias = q->logit_bias,
        .n_logit_bias = q->n_logit_bias,
        .allowed_ids = q->allowed_ids,
        .n_allowed_ids = q->n_allowed_ids,
        .wants_logprobs = q->chat_logprobs || q->n_logprobs >= 0,
        .n_top = n_top > 0 ? (uint32_t)n_top : 0,
    };
}

unsigned gen_request_encode_flags(const struct gen_request *q) {
    return TOKENIZER_PARSE_SPECIAL | (q->add_special_tokens ? (unsigned)TOKENIZER_ADD_SPECIAL : 0u);
}
