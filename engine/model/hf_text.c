/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf_text - what a folder says about text: which ids begin and end a generation, the chat
 * template, and the sampling that the model's authors recommend.
 *
 * End ids are the union of eos_token_id in generation_config.json and config.json and of
 * tokenizer_config.json's eos_token. Ids outside the vocabulary are dropped: they cannot occur.
 */
#include <errno.h>
#include <string.h>

#include "kvasir/file.h"
#include "kvasir/mem.h"
#include "model/model_impl.h"

enum {
    MAX_TEMPLATE_BYTES = 1024 * 1024,
    MAX_TOKEN_BYTES = 64 * 1024,
};

/* Adds a key that holds an id, a list of ids, or null. */
static void add_eos_of(struct model_info *info, const struct hf_config *config) {
    struct json_pull items;

    switch (hf_kind(config, "eos_token_id")) {
    case JSON_INVALID:
    case JSON_NULL:
        return;
    case JSON_ARRAY:
        if (!hf_array(config, "eos_token_id", &items))
            return;
        while (json_next_item(&items))
            model_add_eos(info, json_take_int(&items));
        if (json_pull_status(&items, "eos_token_id", NULL) < 0)
            problems_add(config->problems, -EINVAL,
                         "%s: eos_token_id: expected an integer or a list of integers",
                         config->name);
        return;
    default:
        model_add_eos(info, (int64_t)hf_u32(config, "eos_token_id", 0, INT32_MAX, INT32_MAX));
    }
}

/* Reads a JSON file of the folder; *ret_text is NULL if it is not there. */
static int read_config(const struct model *model, const char *name, struct problems *problems,
                       char **ret_text, struct hf_config *ret_config, struct error *reterr) {
    char *text;
    size_t len;
    int r = hf_folder_read(&model->folder, name, HF_MAX_CONFIG_BYTES, &text, &len, reterr);
    if (r == -ENOENT) {
        *ret_text = NULL;
        return 0;
    }
    if (r < 0)
        return r;
    r = hf_config_init(ret_config, name, text, len, problems, reterr);
    if (r < 0) {
        mem_free(text);
        return r;
    }
    *ret_text = text;
    return 0;
}

static float read_ranged(const struct hf_config *config, const char *key, double min, double max,
                         float absent, bool *ret_found) {
    if (!hf_has(config, key))
        return absent;

    const double value = hf_double(config, key, (double)absent);
    if (value >= min && value <= max) {
        *ret_found = true;
        return (float)value;
    }
    problems_add(config->problems, -EINVAL, "%s: %s: expected %g to %g, found %g", config->name,
                 key, min, max, value);
    return absent;
}

/* The fields and ranges that the API has too. do_sample is not looked at, as vLLM does not. */
static void read_sampling(struct model_info *info, const struct hf_config *config) {
    struct sampling_params *p = &info->generation_defaults;
    bool *found = &info->has_generation_defaults;

    p->temperature = read_ranged(config, "temperature", 0, 2, p->temperature, found);
    p->top_p = read_ranged(config, "top_p", 1e-6, 1, p->top_p, found);
    p->min_p = read_ranged(config, "min_p", 0, 1, p->min_p, found);
    p->top_k = (int32_t)read_ranged(config, "top_k", -1, 1 << 24, (float)p->top_k, found);
    if (p->top_k < 0)
        p->top_k = 0; /* -1 is another way to say "off" */
    p->repetition_penalty =
        read_ranged(config, "repetition_penalty", 1e-6, 1e6, p->repetition_penalty, found);
}

static int read_generation_config(struct model *model, struct problems *problems,
                                  struct error *reterr) {
    char *text;
    struct hf_config config;
    const int r = read_config(model, "generation_config.json", problems, &text, &config, reterr);
    if (r < 0 || !text)
        return r;

    add_eos_of(&model->info, &config);
    read_sampling(&model->info, &config);
    if (model->info.bos == TOKEN_NONE && hf_kind(&config, "bos_token_id") == JSON_NUMBER)
        model->info.bos = (token_id)hf_u32(&config, "bos_token_id", 0, INT32_MAX, INT32_MAX);
    mem_free(text);
    return 0;
}

/* A token is written as "text" or as {"content": "text", ...}. */
static struct json_str token_text(const struct hf_config *config, const char *key) {
    struct hf_config token;

    if (hf_kind(config, key) == JSON_OBJECT && hf_object(config, key, config->name, &token))
        return hf_string(&token, "content");
    if (hf_kind(config, key) == JSON_STRING)
        return hf_string(config, key);
    return (struct json_str){.bytes = "", .len = 0};
}

/* Finds content in added_tokens_decoder: {"151643": {"content": ...}, ...}; -1 if not there. */
static int64_t find_in_decoder(const struct hf_config *config, const char *content) {
    struct hf_config decoder;
    if (!hf_object(config, "added_tokens_decoder", config->name, &decoder))
        return -1;

    struct json_pull json;
    struct json_str id_text;
    json_pull_init(&json, decoder.object.bytes, decoder.object.len);
    json_enter_object(&json);
    while (json_next_key(&json, &id_text)) {
        const bool is_object = json_peek(&json) == JSON_OBJECT;
        const struct json_str value = json_skip(&json);
        if (!is_object)
            continue;
        const struct hf_config token = {
            .name = config->name, .object = value, .problems = config->problems};
        if (!json_is(hf_string(&token, "content"), content))
            continue;

        struct json_pull id;
        json_pull_init(&id, id_text.bytes, id_text.len);
        const int64_t found = json_take_int(&id);
        return json_pull_end(&id, config->name, NULL) < 0 ? -1 : found;
    }
    return -1;
}

/* One element of tokenizer.json's added_tokens; its id if it has this content. */
static int64_t match_added_token(struct json_pull *json, const char *content) {
    struct json_str key;
    int64_t id = -1;
    bool matches = false;

    json_enter_object(json);
    while (json_next_key(json, &key)) {
        if (json_is(key, "id"))
            id = json_take_int(json);
        else if (json_is(key, "content"))
            matches = json_is(json_take_string(json), content);
        else
            (void)json_skip(json); /* flags */
    }
    return matches ? id : -1;
}

/*
 * Finds content among the added_tokens of tokenizer.json, which stand near its beginning: the
 * megabytes of vocabulary behind them are not walked. Mistakes there are the tokenizer's to report.
 */
static int64_t find_in_tokenizer(const struct model *model, const char *content) {
    char path[PATH_MAX];
    struct file_map map;
    if (hf_folder_path(&model->folder, "tokenizer.json", path, NULL) < 0 ||
        file_map_open(path, &map, NULL) < 0)
        return -1;

    struct json_pull json;
    struct json_str key;
    int64_t id = -1;
    json_pull_init(&json, map.data, map.size);
    json_enter_object(&json);
    while (id < 0 && json_next_key(&json, &key)) {
        if (!json_is(key, "added_tokens")) {
            (void)json_skip(&json); /* version, truncation, padding */
            continue;
        }
        json_enter_array(&json);
        while (id < 0 && json_next_item(&json))
            id = match_added_token(&json, content);
        break;
    }
    file_map_close(&map);
    return id;
}

/* The template called "default" of a list [{"name", "template"}, ...], else the first. */
static struct json_str choose_template(struct json_pull *items, const struct hf_config *config) {
    struct json_str chosen = {.bytes = "", .len = 0};

    while (json_next_item(items)) {
        const bool is_object = json_peek(items) == JSON_OBJECT;
        const struct json_str value = json_skip(items);
        if (!is_object)
            continue;
        const struct hf_config entry = {
            .name = config->name, .object = value, .problems = config->problems};
        const struct json_str source = hf_string(&entry, "template");
        if (chosen.len == 0 || json_is(hf_string(&entry, "name"), "default"))
            chosen = source;
    }
    return chosen;
}

/* Takes the key chat_template, a string or a list of named ones. */
static int take_template(struct model *model, const struct hf_config *config,
                         struct error *reterr) {
    struct json_str source = {.bytes = "", .len = 0};
    struct json_pull items;

    if (hf_kind(config, "chat_template") == JSON_STRING)
        source = hf_string(config, "chat_template");
    else if (hf_array(config, "chat_template", &items))
        source = choose_template(&items, config);
    if (source.len == 0)
        return 0;

    struct buf plain;
    buf_init(&plain, MAX_TEMPLATE_BYTES);
    json_unescape(source, &plain);
    if (buf_failed(&plain)) {
        buf_fini(&plain);
        return error_set(reterr, -EFBIG, "%s: chat_template of more than %d bytes, or no memory",
                         config->name, MAX_TEMPLATE_BYTES);
    }
    model->info.chat_template = arena_dup(&model->arena, plain.data, plain.len);
    model->info.chat_template_len = plain.len;
    buf_fini(&plain);
    return model->info.chat_template ? 0 : error_set(reterr, -ENOMEM, "chat_template: no memory");
}

/* The id of tokenizer_config.json's eos_token joins the end ids. */
static int add_eos_token(struct model *model, const struct hf_config *config,
                         struct error *reterr) {
    const struct json_str eos = token_text(config, "eos_token");
    if (eos.len == 0)
        return 0;

    struct buf content;
    buf_init(&content, MAX_TOKEN_BYTES);
    json_unescape(eos, &content);
    if (buf_failed(&content)) {
        buf_fini(&content);
        return error_set(reterr, -ENOMEM, "%s: eos_token: no memory for %zu bytes", config->name,
                         eos.len);
    }
    const int64_t id = find_in_decoder(config, content.data);
    model_add_eos(&model->info, id >= 0 ? id : find_in_tokenizer(model, content.data));
    buf_fini(&content);
    return 0;
}

static int read_tokenizer_config(struct model *model, struct problems *problems,
                                 struct error *reterr) {
    char *text;
    struct hf_config config;
    int r = read_config(model, "tokenizer_config.json", problems, &text, &config, reterr);
    if (r < 0 || !text)
        return r;

    r = add_eos_token(model, &config, reterr);
    if (r == 0 && !model->info.chat_template)
        r = take_template(model, &config, reterr);
    mem_free(text);
    return r;
}

/* chat_template.jinja stands before the other places, as the reference has it. */
static int read_template_file(struct model *model, struct error *reterr) {
    char *text;
    size_t len;
    const int r = hf_folder_read(&model->folder, "chat_template.jinja", MAX_TEMPLATE_BYTES, &text,
                                 &len, reterr);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;

    model->info.chat_template = arena_dup(&model->arena, text, len);
    model->info.chat_template_len = len;
    mem_free(text);
    return model->info.chat_template ? 0 : error_set(reterr, -ENOMEM, "chat_template: no memory");
}

/* chat_template.json, the form that came between, is asked last. */
static int read_template_json(struct model *model, struct problems *problems,
                              struct error *reterr) {
    if (model->info.chat_template)
        return 0;

    char *text;
    struct hf_config config;
    int r = read_config(model, "chat_template.json", problems, &text, &config, reterr);
    if (r < 0 || !text)
        return r;
    r = take_template(model, &config, reterr);
    mem_free(text);
    return r;
}

int model_read_hf_text(struct model *model, const struct hf_config *config,
                       struct problems *problems, struct error *reterr) {
    if (hf_kind(config, "bos_token_id") == JSON_NUMBER)
        model->info.bos = (token_id)hf_u32(config, "bos_token_id", 0, INT32_MAX, INT32_MAX);

    int r = read_generation_config(model, problems, reterr);
    add_eos_of(&model->info, config);
    if (r == 0)
        r = read_template_file(model, reterr);
    if (r == 0)
        r = read_tokenizer_config(model, problems, reterr);
    if (r == 0)
        r = read_template_json(model, problems, reterr);
    if (model->info.bos >= (token_id)model->info.n_vocab)
        model->info.bos = TOKEN_NONE;
    return r;
}
