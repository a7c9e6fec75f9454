/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_json - reads tokenizer.json and, if there is one, tokenizer_config.json.
 *
 * The file is a pipeline written as JSON: added tokens, normalizer, pre-tokenizer, model,
 * post-processor, decoder. The model is all but a few kilobytes of it and is read in one pass
 * where it stands, if what must be known before stands before it, as it does in every file that
 * the usual library wrote.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tokenizer_json.h"

/* A kind of model and its reader; NULL: known, not served yet. */
static const struct {
    const char *type;
    json_model_fn read;
} model_kinds[] = {
    {"BPE", bpe_read_json},
    {"WordPiece", NULL},
    {"Unigram", NULL},
    {"WordLevel", NULL},
};

/* --- model and added tokens --- */

/* The type of the model that p stands before. Files older than types are taken for BPE. */
static struct json_str model_type(struct json_pull p) {
    struct json_str type = {.bytes = "BPE", .len = 3};
    struct json_str key;
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        if (json_is(key, "type"))
            return json_take_string(&p);
        (void)json_skip(&p); /* the type comes first in all files but those by hand */
    }
    return type;
}

/* Takes the model from p. */
static int read_model(struct json_tokenizer *reader, struct json_pull *p) {
    const struct json_str type = model_type(*p);
    const struct json_model_source source = {.p = p, .bytes_alphabet = reader->bytes_alphabet};

    for (size_t i = 0; i < sizeof model_kinds / sizeof model_kinds[0]; i++)
        if (json_is(type, model_kinds[i].type) && model_kinds[i].read)
            return model_kinds[i].read(&source, reader->tokenizer, reader->reterr);
    return error_set_param(reader->reterr, -ENOTSUP, "model.type",
                           "tokenizer.json: the model is \"%.*s\"; only BPE is served",
                           (int)(type.len < 64 ? type.len : 64), type.bytes);
}

static int read_added_token(struct json_tokenizer *reader, struct json_pull *p) {
    const struct {
        const char *name;
        unsigned flag;
    } names[] = {
        {"single_word", ADDED_SINGLE_WORD},
        {"lstrip", ADDED_LSTRIP},
        {"rstrip", ADDED_RSTRIP},
        {"special", ADDED_SPECIAL},
    };
    struct json_str content = {.bytes = "", .len = 0};
    struct json_str key;
    uint64_t id = VOCAB_MAX_IDS;
    unsigned flags = 0;
    int normalized = -1; /* not said */

    json_enter_object(p);
    while (json_next_key(p, &key)) {
        unsigned flag = 0;
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            if (json_is(key, names[i].name))
                flag = names[i].flag;
        if (flag)
            flags |= json_bool_or(p, false) ? flag : 0;
        else if (json_is(key, "normalized"))
            normalized = json_bool_or(p, true);
        else if (json_is(key, "id"))
            id = json_take_uint(p);
        else if (json_is(key, "content"))
            content = json_take_string(p);
        else
            (void)json_skip(p); /* unknown members mean nothing to us */
    }
    int r = json_pull_status(p, "added_tokens", reader->reterr);
    if (r < 0)
        return r;
    if (normalized < 0)
        normalized = !(flags & ADDED_SPECIAL);

    struct buf plain = {.data = NULL};
    json_unescape(content, &plain);
    r = buf_failed(&plain)
            ? error_set(reader->reterr, -ENOMEM, "no memory for the added tokens")
            : tokenizer_add_token(reader->tokenizer, id, plain.data ? plain.data : "", plain.len,
                                  flags, normalized, reader->reterr);
    buf_fini(&plain);
    return r;
}

static int read_added_tokens(struct json_tokenizer *reader) {
    if (json_part_absent(reader->added_tokens))
        return 0;
    struct json_pull p;
    int r = 0;

    json_pull_init(&p, reader->added_tokens.bytes, reader->added_tokens.len);
    json_enter_array(&p);
    while (r == 0 && json_next_item(&p))
        r = read_added_token(reader, &p);
    return r < 0 ? r : json_pull_status(&p, "added_tokens", reader->reterr);
}

/* --- the whole --- */

/* Where the model stands, if it could not be read on the way. */
struct postponed {
    struct json_pull at;
    bool any;
};

static int read_member(struct json_tokenizer *reader, struct json_pull *p, struct json_str key,
                       struct postponed *model) {
    const struct {
        const char *name;
        struct json_str *text;
    } parts[] = {
        {"added_tokens", &reader->added_tokens},
        {"normalizer", &reader->normalizer},
        {"pre_tokenizer", &reader->pre_tokenizer},
        {"post_processor", &reader->post_processor},
        {"decoder", &reader->decoder},
    };
    bool all_seen = true;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (json_is(key, parts[i].name)) {
            *parts[i].text = json_skip(p);
            return 0;
        }
        all_seen = all_seen && parts[i].text->len > 0;
    }
    if (!json_is(key, "model")) {
        (void)json_skip(p); /* version, truncation, padding: nothing to us */
        return 0;
    }
    if (reader->tokenizer->model.ops || model->any)
        return error_set_param(reader->reterr, -EINVAL, "model", "tokenizer.json has two models");
    if (!all_seen) {
        *model = (struct postponed){.at = *p, .any = true};
        (void)json_skip(p); /* taken later */
        return 0;
    }
    int r = json_tokenizer_read_parts(reader);
    return r < 0 ? r : read_model(reader, p);
}

static int read_top(struct json_tokenizer *reader, const char *json, size_t len) {
    struct postponed model = {.any = false};
    struct json_pull p;
    struct json_str key;
    int r = 0;

    json_pull_init(&p, json, len);
    json_enter_object(&p);
    while (r == 0 && json_next_key(&p, &key))
        r = read_member(reader, &p, key, &model);
    if (r == 0)
        r = json_pull_end(&p, "tokenizer.json", reader->reterr);
    if (r == 0 && model.any) {
        r = json_tokenizer_read_parts(reader);
        if (r == 0)
            r = read_model(reader, &model.at);
    }
    if (r == 0 && !reader->tokenizer->model.ops)
        r = error_set_param(reader->reterr, -EINVAL, "model", "tokenizer.json has no model");
    return r < 0 ? r : read_added_tokens(reader);
}

/* "bos_token": "<s>" or {"content": "<s>", ...} or null. */
static struct json_str config_token(struct json_pull *p) {
    struct json_str content = {.bytes = "", .len = 0};
    struct json_str key;

    if (json_peek(p) == JSON_STRING)
        return json_take_string(p);
    if (json_peek(p) != JSON_OBJECT) {
        (void)json_skip(p); /* null: there is none */
        return content;
    }
    json_enter_object(p);
    while (json_next_key(p, &key)) {
        if (json_is(key, "content"))
            content = json_take_string(p);
        else
            (void)json_skip(p); /* flags, which tokenizer.json has too */
    }
    return content;
}

static int set_token(struct json_tokenizer *reader, struct json_str content,
                     int (*set)(struct tokenizer *, const char *, size_t, struct error *)) {
    struct buf plain = {.data = NULL};
    json_unescape(content, &plain);
    int r = buf_failed(&plain)
                ? error_set(reader->reterr, -ENOMEM, "no memory for a token")
                : set(reader->tokenizer, plain.data ? plain.data : "", plain.len, reader->reterr);
    buf_fini(&plain);
    return r;
}

static int read_config(struct json_tokenizer *reader, const char *config, size_t len) {
    struct json_pull p;
    struct json_str key;
    struct json_str bos = {.bytes = "", .len = 0};
    struct json_str eos = {.bytes = "", .len = 0};

    json_pull_init(&p, config, len);
    json_enter_object(&p);
    while (json_next_key(&p, &key)) {
        if (json_is(key, "bos_token"))
            bos = config_token(&p);
        else if (json_is(key, "eos_token"))
            eos = config_token(&p);
        else
            (void)json_skip(&p); /* the chat template has its own reader */
    }
    int r = json_pull_end(&p, "tokenizer_config.json", reader->reterr);
    if (r == 0)
        r = set_token(reader, bos, tokenizer_set_bos);
    if (r == 0)
        r = set_token(reader, eos, tokenizer_set_eos);
    return r;
}

int tokenizer_read_json(const char *json, size_t len, const char *config, size_t config_len,
                        struct tokenizer **ret_tokenizer, struct error *reterr) {
    struct json_tokenizer reader = {.tokenizer = tokenizer_new(), .reterr = reterr};
    if (!reader.tokenizer)
        return error_set(reterr, -ENOMEM, "no memory for a tokenizer");

    int r = read_top(&reader, json, len);
    if (r == 0 && config)
        r = read_config(&reader, config, config_len);
    if (r == 0)
        r = tokenizer_ready(reader.tokenizer, reterr);
    if (r < 0) {
        tokenizer_close(reader.tokenizer);
        return r;
    }
    *ret_tokenizer = reader.tokenizer;
    return 0;
}
