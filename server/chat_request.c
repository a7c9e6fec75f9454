/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_request - messages and tools of a chat request as template variables, and the prompt that
 * the template makes of them.
 *
 * Normalised as the callers of these templates do it (transformers, vLLM): content becomes one
 * string (text parts are joined by newlines, null is ""), "developer" is "system", the arguments
 * of tool calls are objects. Every string of the client is untrusted: the template engine keeps
 * track of it, so that it cannot become special tokens.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kvasir/clock.h"
#include "kvasir/server.h"

#include "gen_request.h"
#include "json_read.h"
#include "json_value.h"

enum { MAX_TOOLS = 1024, MAX_ROLE_BYTES = 64 };

/* Where in the request we are, for messages: "messages[3].content". */
struct place {
    char text[96];
};

static struct place place_of(const char *fmt, ...) KV_PRINTF(1, 2);
static struct place place_of(const char *fmt, ...) {
    struct place place = {{0}};
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(place.text, sizeof place.text, fmt, args); /* a cut name is fine */
    va_end(args);
    return place;
}

static int refuse(struct error *reterr, struct place place, const char *reason) {
    (void)error_set_param(reterr, -EINVAL, place.text, "'%s' %s.", place.text, reason);
    return -EINVAL; /* not what error_set_param returns, though equal: compilers see it is not 0 */
}

/* A JSON value of the client as a template value; NULL without memory (the depth was checked by
 * json_read). */
static struct chat_value *value_of(struct arena *arena, const json_t *json) {
    struct chat_value *value = NULL;
    return json_value_convert(json, arena, &value, NULL) < 0 ? NULL : value;
}

static int set(struct arena *arena, struct chat_value *map, const char *key,
               struct chat_value *value) {
    return chat_map_set(arena, map, key, strlen(key), value);
}

/* ---- one message ---- */

/* The text of a content part; NULL with an error if it is none. */
static const json_t *part_text(const json_t *part, struct place place, struct error *reterr) {
    if (json_is_string(part))
        return part;
    const char *type = json_string_value(json_object_get(part, "type"));
    if (!type) {
        (void)refuse(reterr, place, "must be an object with a 'type', or a string");
        return NULL;
    }
    const bool refusal = strcmp(type, "refusal") == 0;
    if (!refusal && strcmp(type, "text") != 0 && strcmp(type, "input_text") != 0 &&
        strcmp(type, "output_text") != 0) {
        (void)error_set_param(reterr, -EINVAL, place.text,
                              "'%s' has the type '%.64s'; this model takes only text.", place.text,
                              type);
        return NULL;
    }
    const json_t *text = json_object_get(part, refusal ? "refusal" : "text");
    if (!json_is_string(text)) {
        (void)refuse(reterr, place,
                     refusal ? "needs the string 'refusal'" : "needs the string 'text'");
        return NULL;
    }
    return text;
}

static int join_parts(const json_t *parts, struct arena *arena, size_t index, const char **ret_text,
                      size_t *ret_len, struct error *reterr) {
    struct buf joined = {0};
    int r = 0;
    for (size_t i = 0; i < json_array_size(parts) && r == 0; i++) {
        const struct place place = place_of("messages[%zu].content[%zu]", index, i);
        const json_t *text = part_text(json_array_get(parts, i), place, reterr);
        if (!text) {
            r = -EINVAL;
            break;
        }
        if (i > 0)
            buf_append_char(&joined, '\n');
        buf_append(&joined, json_string_value(text), json_string_length(text));
    }
    if (r == 0) {
        *ret_text = buf_failed(&joined)
                        ? NULL
                        : arena_dup(arena, joined.data ? joined.data : "", joined.len);
        *ret_len = joined.len;
        r = *ret_text ? 0 : -ENOMEM;
    }
    buf_fini(&joined);
    return r;
}

/* The content as one string (lent from the JSON, or in the arena). */
static int content_text(const json_t *message, size_t index, bool optional, struct arena *arena,
                        const char **ret_text, size_t *ret_len, struct error *reterr) {
    const struct place place = place_of("messages[%zu].content", index);
    const json_t *content = json_member(message, "content");
    if (!content) {
        if (!optional)
            return refuse(reterr, place, "is missing");
        *ret_text = "";
        *ret_len = 0;
        return 0;
    }
    if (json_is_string(content)) {
        *ret_text = json_string_value(content);
        *ret_len = json_string_length(content);
        return 0;
    }
    if (!json_is_array(content))
        return refuse(reterr, place, "must be a string or an array of parts");
    return join_parts(content, arena, index, ret_text, ret_len, reterr);
}

/*
 * Arguments come as a JSON text in a string; templates expect what is in it. The text is parsed
 * under a budget of its own, for it may be as hostile as the body around it.
 */
static int call_arguments(const json_t *arguments, struct place place, struct arena *arena,
                          struct chat_value **ret_value, struct error *reterr) {
    if (!arguments || (json_is_string(arguments) && json_string_length(arguments) == 0)) {
        *ret_value = chat_map(arena);
        return 0;
    }
    if (!json_is_string(arguments)) {
        *ret_value = value_of(arena, arguments);
        return 0;
    }
    json_t *parsed;
    struct error inner = {0};
    const int r =
        json_read(json_string_value(arguments), json_string_length(arguments), &parsed, &inner);
    if (r == -ENOMEM)
        return r;
    if (r < 0)
        return refuse(reterr, place, "must be a JSON object written as a string");
    *ret_value = value_of(arena, parsed);
    json_decref(parsed);
    return 0;
}

static int one_call(const json_t *call, size_t index, size_t n, struct arena *arena,
                    struct chat_value **ret_value, struct error *reterr) {
    const struct place place = place_of("messages[%zu].tool_calls[%zu].function", index, n);
    const json_t *function = json_object_get(call, "function");
    const json_t *name = json_object_get(function, "name");
    if (!json_is_object(function) || !json_is_string(name))
        return refuse(reterr, place, "must be an object with a 'name'");

    struct chat_value *arguments;
    const int r =
        call_arguments(json_member(function, "arguments"),
                       place_of("messages[%zu].tool_calls[%zu].function.arguments", index, n),
                       arena, &arguments, reterr);
    if (r < 0)
        return r;

    struct chat_value *inner = chat_map(arena);
    struct chat_value *map = chat_map(arena);
    const json_t *id = json_member(call, "id");
    if (set(arena, inner, "name", value_of(arena, name)) < 0 ||
        set(arena, inner, "arguments", arguments) < 0)
        return -ENOMEM;
    if (json_is_string(id) && set(arena, map, "id", value_of(arena, id)) < 0)
        return -ENOMEM;
    if (set(arena, map, "type", chat_string(arena, "function", 8, /* trusted= */ true)) < 0 ||
        set(arena, map, "function", inner) < 0)
        return -ENOMEM;
    *ret_value = map;
    return 0;
}

static int add_calls(const json_t *calls, size_t index, struct arena *arena,
                     struct chat_value *message, struct error *reterr) {
    if (!json_is_array(calls))
        return refuse(reterr, place_of("messages[%zu].tool_calls", index), "must be an array");
    if (json_array_size(calls) == 0)
        return 0;
    struct chat_value *list = chat_list(arena);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        struct chat_value *call;
        const int r = one_call(json_array_get(calls, i), index, i, arena, &call, reterr);
        if (r < 0)
            return r;
        if (chat_list_add(arena, list, call) < 0)
            return -ENOMEM;
    }
    return set(arena, message, "tool_calls", list) < 0 ? -ENOMEM : 0;
}

/* A string member under the names that templates know it by. */
static int copy_string(const json_t *message, const char *from, const char *to, size_t index,
                       struct arena *arena, struct chat_value *map, struct error *reterr) {
    const json_t *value = json_member(message, from);
    if (!value)
        return 0;
    if (!json_is_string(value))
        return refuse(reterr, place_of("messages[%zu].%s", index, from), "must be a string");
    return set(arena, map, to, value_of(arena, value)) < 0 ? -ENOMEM : 0;
}

static int add_optional(const json_t *message, size_t index, struct arena *arena,
                        struct chat_value *map, struct error *reterr) {
    static const char *const copies[][2] = {
        {"name", "name"},
        {"tool_call_id", "tool_call_id"},
        {"reasoning", "reasoning_content"},
        {"reasoning", "reasoning"},
        {"reasoning_content", "reasoning_content"},
    };
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++) {
        const int r = copy_string(message, copies[i][0], copies[i][1], index, arena, map, reterr);
        if (r < 0)
            return r;
    }
    const json_t *calls = json_member(message, "tool_calls");
    return calls ? add_calls(calls, index, arena, map, reterr) : 0;
}

static int one_message(const json_t *message, size_t index, const struct gen_context *context,
                       struct gen_request *request, struct chat_value **ret_value,
                       struct error *reterr) {
    struct arena *arena = context->arena;
    if (!json_is_object(message))
        return refuse(reterr, place_of("messages[%zu]", index), "must be an object");
    const json_t *role_json = json_object_get(message, "role");
    const char *role = json_string_value(role_json);
    if (!role || json_string_length(role_json) == 0 ||
        json_string_length(role_json) > MAX_ROLE_BYTES)
        return refuse(reterr, place_of("messages[%zu].role", index),
                      "must be a string such as system, user, assistant or tool");
    if (strcmp(role, "developer") == 0)
        role = "system";

    const bool optional = strcmp(role, "assistant") == 0 || strcmp(role, "tool") == 0;
    const char *text;
    size_t len;
    int r = content_text(message, index, optional, arena, &text, &len, reterr);
    if (r < 0)
        return r;

    struct chat_value *map = chat_map(arena);
    if (set(arena, map, "role", chat_string(arena, role, strlen(role), /* trusted= */ false)) < 0 ||
        set(arena, map, "content", chat_string(arena, text, len, /* trusted= */ false)) < 0)
        return -ENOMEM;
    if (request->continue_final_message) { /* the last one stays */
        request->continue_text = arena_dup(arena, text, len);
        request->continue_len = len;
        if (!request->continue_text)
            return -ENOMEM;
    }
    *ret_value = map;
    return add_optional(message, index, arena, map, reterr);
}

static int parse_messages(const json_t *root, const struct gen_context *context,
                          struct gen_request *request, struct error *reterr) {
    const json_t *messages = json_member(root, "messages");
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return refuse(reterr, place_of("messages"), "must be an array of at least one message");

    struct chat_value *list = chat_list(context->arena);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        struct chat_value *message;
        const int r =
            one_message(json_array_get(messages, i), i, context, request, &message, reterr);
        if (r < 0)
            return r;
        if (chat_list_add(context->arena, list, message) < 0)
            return -ENOMEM;
    }
    return set(context->arena, request->vars, "messages", list) < 0 ? -ENOMEM : 0;
}

/* ---- tools and the other variables ---- */

/*
 * Tools are shown to the model through its template. Nothing yet holds the output to a tool's
 * schema, so a choice that would have to be enforced is refused.
 */
static int parse_tool_choice(const json_t *root, bool *ret_use, struct error *reterr) {
    const json_t *choice = json_member(root, "tool_choice");
    *ret_use = true;
    if (!choice)
        return 0;
    const char *word = json_string_value(choice);
    if (word && strcmp(word, "auto") == 0)
        return 0;
    if (word && strcmp(word, "none") == 0) {
        *ret_use = false; /* a tool that the model does not see is not called */
        return 0;
    }
    if (json_is_object(choice) || (word && strcmp(word, "required") == 0))
        return error_set_param(reterr, -ENOTSUP, "tool_choice",
                               "'tool_choice' can be \"auto\" or \"none\" on this server; forced "
                               "calls are not supported.");
    return error_set_param(reterr, -EINVAL, "tool_choice",
                           "'tool_choice' must be \"none\" or \"auto\".");
}

static int parse_tools(const json_t *root, const struct gen_context *context,
                       struct gen_request *request, struct error *reterr) {
    bool use;
    const int r = parse_tool_choice(root, &use, reterr);
    if (r < 0)
        return r;
    const json_t *tools = json_member(root, "tools");
    if (tools && (!json_is_array(tools) || json_array_size(tools) > MAX_TOOLS))
        return error_set_param(reterr, -EINVAL, "tools",
                               "'tools' must be an array of at most %d tools.", MAX_TOOLS);
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *type = json_string_value(json_object_get(tool, "type"));
        const json_t *function = json_object_get(tool, "function");
        if (!type || strcmp(type, "function") != 0 ||
            !json_is_string(json_object_get(function, "name")))
            return refuse(reterr, place_of("tools[%zu]", i),
                          "must have the type \"function\" and a function with a name");
    }
    struct arena *arena = context->arena;
    struct chat_value *value =
        use && json_array_size(tools) > 0 ? value_of(arena, tools) : chat_none(arena);
    return set(arena, request->vars, "tools", value) < 0 ? -ENOMEM : 0;
}

static int parse_kwargs(const json_t *root, const struct gen_context *context,
                        struct gen_request *request, struct error *reterr) {
    const json_t *kwargs = json_member(root, "chat_template_kwargs");
    if (kwargs && !json_is_object(kwargs))
        return refuse(reterr, place_of("chat_template_kwargs"), "must be an object");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)kwargs, key, value) { /* the macro's type; nothing is changed */
        if (set(context->arena, request->vars, key, value_of(context->arena, value)) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int parse_effort(const json_t *root, const struct gen_context *context,
                        struct gen_request *request, struct error *reterr) {
    static const char *const efforts[] = {"none", "minimal", "low", "medium",
                                          "high", "xhigh",   "max"};
    const json_t *effort = json_member(root, "reasoning_effort");
    if (!effort)
        return 0;
    const char *word = json_string_value(effort);
    for (size_t i = 0; word && i < sizeof efforts / sizeof efforts[0]; i++) {
        if (strcmp(word, efforts[i]) == 0)
            return set(context->arena, request->vars, "reasoning_effort",
                       value_of(context->arena, effort)) < 0
                       ? -ENOMEM
                       : 0;
    }
    return refuse(reterr, place_of("reasoning_effort"),
                  "must be none, minimal, low, medium, high, xhigh or max");
}

static int set_documents(const json_t *root, const struct gen_context *context,
                         struct gen_request *request, struct error *reterr) {
    const json_t *documents = json_member(root, "documents");
    if (documents && !json_is_array(documents))
        return refuse(reterr, place_of("documents"), "must be an array");
    struct chat_value *value =
        documents ? value_of(context->arena, documents) : chat_none(context->arena);
    return set(context->arena, request->vars, "documents", value) < 0 ? -ENOMEM : 0;
}

static int set_special_text(struct arena *arena, struct chat_value *vars, const char *name,
                            const char *text) {
    if (!text[0])
        return 0; /* undefined, as in transformers */
    return set(arena, vars, name, chat_string(arena, text, strlen(text), /* trusted= */ true));
}

int chat_request_parse(const json_t *root, const struct gen_context *context,
                       struct gen_request *request, struct error *reterr) {
    struct arena *arena = context->arena;
    request->vars = chat_map(arena);
    if (!request->vars)
        return -ENOMEM;

    /* The client's own variables first: what follows replaces any of the same name. */
    int r = parse_kwargs(root, context, request, reterr);
    if (r == 0)
        r = parse_effort(root, context, request, reterr);
    if (r == 0)
        r = parse_messages(root, context, request, reterr);
    if (r == 0)
        r = parse_tools(root, context, request, reterr);
    if (r == 0)
        r = set_documents(root, context, request, reterr);
    if (r < 0)
        return r;

    const bool prompt = request->add_generation_prompt && !request->continue_final_message;
    if (set(arena, request->vars, "add_generation_prompt", chat_bool(arena, prompt)) < 0 ||
        set_special_text(arena, request->vars, "bos_token",
                         tokenizer_bos_text(context->tokenizer)) < 0 ||
        set_special_text(arena, request->vars, "eos_token",
                         tokenizer_eos_text(context->tokenizer)) < 0)
        return -ENOMEM;
    return 0;
}

/* ---- the prompt ---- */

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * The last occurrence of needle, or NULL. Templates put little behind a message; searching further
 * back would let a client buy quadratic time with one long message.
 */
static const char *find_last(const char *text, size_t len, const char *needle, size_t needle_len) {
    enum { MAX_TAIL = 4096 };
    for (size_t tail = 0; tail <= MAX_TAIL && tail + needle_len <= len; tail++) {
        const char *at = text + len - tail - needle_len;
        if (memcmp(at, needle, needle_len) == 0)
            return at;
    }
    return NULL;
}

/*
 * continue_final_message: what the template wrote behind the last message (its end token) is cut
 * off. Templates trim content, so the trimmed text is looked for, from the end.
 */
static int cut_after_final(const struct gen_request *request, struct chat_prompt *prompt,
                           struct error *reterr) {
    const char *text = request->continue_text;
    size_t len = request->continue_len;
    while (len > 0 && is_space(text[len - 1]))
        len--;
    const size_t n_trailing = request->continue_len - len;
    size_t start = 0;
    while (start < len && is_space(text[start]))
        start++;

    struct buf *out = &prompt->text;
    const char *at = out->data ? find_last(out->data, out->len, text + start, len - start) : NULL;
    if (!at)
        return error_set_param(reterr, -EINVAL, "continue_final_message",
                               "The chat template does not show the text of the final message, so "
                               "it cannot be continued.");
    size_t end = (size_t)(at - out->data) + (len - start);
    if (n_trailing <= out->len - end && memcmp(out->data + end, text + len, n_trailing) == 0)
        end += n_trailing; /* a template that does not trim */

    out->len = end;
    out->data[end] = '\0';
    while (prompt->n_user_ranges > 0 && prompt->user_ranges[prompt->n_user_ranges - 1].start >= end)
        prompt->n_user_ranges--;
    if (prompt->n_user_ranges > 0 && prompt->user_ranges[prompt->n_user_ranges - 1].end > end)
        prompt->user_ranges[prompt->n_user_ranges - 1].end = end;
    return 0;
}

int chat_request_render(const struct gen_request *request,
                        const struct chat_template *chat_template, struct chat_clock now,
                        struct chat_prompt *ret_prompt, struct error *reterr) {
    const struct chat_limits limits = {0};
    *ret_prompt = (struct chat_prompt){0};
    int r = chat_template_render(chat_template, request->vars, &limits, now, ret_prompt, reterr);
    if (r == 0 && request->continue_final_message)
        r = cut_after_final(request, ret_prompt, reterr);
    if (r < 0) {
        chat_prompt_fini(ret_prompt);
        *ret_prompt = (struct chat_prompt){0};
    }
    return r;
}

/* POSIX has no field for the offset: it is the difference of the two readings of one moment. */
struct chat_clock chat_request_clock(void) {
    const time_t now = (time_t)clock_wall_s();
    struct tm local;
    struct tm utc;
    struct chat_clock clock = {.unix_seconds = now};
    if (!localtime_r(&now, &local) || !gmtime_r(&now, &utc))
        return clock;
    int days = local.tm_yday - utc.tm_yday;
    if (local.tm_year != utc.tm_year)
        days = local.tm_year > utc.tm_year ? 1 : -1;
    clock.utc_offset_s =
        ((days * 24 + local.tm_hour - utc.tm_hour) * 60 + local.tm_min - utc.tm_min) * 60 +
        local.tm_sec - utc.tm_sec;
    return clock;
}

int chat_request_encode(const struct gen_request *request, const struct service *service,
                        struct token_buf *ret_ids, struct error *reterr) {
    struct chat_prompt prompt;
    int r =
        chat_request_render(request, service->chat_template, chat_request_clock(), &prompt, reterr);
    if (r < 0)
        return r;
    r = tokenizer_encode(service->tokenizer, prompt.text.data ? prompt.text.data : "",
                         prompt.text.len, gen_request_encode_flags(request), prompt.user_ranges,
                         prompt.n_user_ranges, ret_ids);
    chat_prompt_fini(&prompt);
    return r;
}
