/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_parts - the small components of a tokenizer.json: normalizer, pre-tokenizer,
 * post-processor, decoder.
 *
 * Every component is an object with a "type" and a few members from one common stock, so one
 * reader (struct component) gathers them and each kind takes its own. What is not served is
 * refused by name; nothing is ignored that would change an id.
 */
#include <errno.h>
#include <string.h>

#include "tokenizer_json.h"

enum { MAX_NESTING = 4 };

static const char metaspace[] = "\xe2\x96\x81";

/* --- components --- */

/* The members that components have; absent ones are empty (text) or as initialised. */
struct component {
    const char *part; /* "normalizer", ...: for messages */
    struct json_str type;
    struct json_str list; /* of a Sequence */
    struct json_str pattern;
    bool pattern_is_regex;
    struct json_str behavior;
    struct json_str content; /* text of the value */
    struct json_str prepend;
    struct json_str prepend_scheme;
    struct json_str replacement;
    struct json_str single;
    struct json_str special_tokens;
    struct json_str cls, sep;
    bool invert;
    bool add_prefix_space; /* default true */
    bool use_regex;        /* default true */
    bool split;            /* default true */
    bool individual_digits;
    uint64_t start, stop;
};

static void read_pattern(struct json_pull *p, struct component *c) {
    struct json_str key;
    if (json_peek(p) == JSON_STRING) { /* the oldest files */
        c->pattern = json_take_string(p);
        return;
    }
    json_enter_object(p);
    while (json_next_key(p, &key)) {
        c->pattern_is_regex = json_is(key, "Regex");
        c->pattern = json_take_string(p);
    }
}

static struct json_str string_or_text(struct json_pull *p) {
    return json_peek(p) == JSON_STRING ? json_take_string(p) : json_skip(p);
}

bool json_bool_or(struct json_pull *p, bool fallback) {
    if (json_peek(p) == JSON_NULL) {
        json_take_null(p);
        return fallback;
    }
    return json_take_bool(p);
}

static void read_member(struct json_pull *p, struct json_str key, struct component *c) {
    const struct {
        const char *name;
        struct json_str *text;
    } texts[] = {
        {"type", &c->type},
        {"normalizers", &c->list},
        {"pretokenizers", &c->list},
        {"processors", &c->list},
        {"decoders", &c->list},
        {"behavior", &c->behavior},
        {"content", &c->content},
        {"prepend", &c->prepend},
        {"prepend_scheme", &c->prepend_scheme},
        {"replacement", &c->replacement},
        {"single", &c->single},
        {"special_tokens", &c->special_tokens},
        {"cls", &c->cls},
        {"sep", &c->sep},
    };
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"invert", &c->invert},
        {"add_prefix_space", &c->add_prefix_space},
        {"use_regex", &c->use_regex},
        {"split", &c->split},
        {"individual_digits", &c->individual_digits},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (json_is(key, texts[i].name)) {
            *texts[i].text = string_or_text(p);
            return;
        }
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (json_is(key, flags[i].name)) {
            *flags[i].flag = json_bool_or(p, *flags[i].flag);
            return;
        }
    }
    if (json_is(key, "pattern"))
        read_pattern(p, c);
    else if (json_is(key, "start") && json_peek(p) == JSON_NUMBER)
        c->start = json_take_uint(p);
    else if (json_is(key, "stop") && json_peek(p) == JSON_NUMBER)
        c->stop = json_take_uint(p);
    else
        (void)json_skip(p); /* members of no consequence: trim_offsets, ... */
}

static int read_component(const struct json_tokenizer *reader, const char *part,
                          struct json_str text, struct component *ret_component) {
    struct component c = {
        .part = part,
        .add_prefix_space = true,
        .use_regex = true,
        .split = true,
    };
    struct json_pull p;
    struct json_str key;

    json_pull_init(&p, text.bytes, text.len);
    json_enter_object(&p);
    while (json_next_key(&p, &key))
        read_member(&p, key, &c);
    *ret_component = c;
    return json_pull_status(&p, part, reader->reterr);
}

static int refuse(const struct json_tokenizer *reader, const struct component *c) {
    return error_set_param(
        reader->reterr, -ENOTSUP, c->part, "tokenizer.json: the %s \"%.*s\" is not served", c->part,
        (int)(c->type.len < 64 ? c->type.len : 64), c->type.bytes ? c->type.bytes : "");
}

bool json_part_absent(struct json_str text) {
    return text.len == 0 || (text.len == 4 && memcmp(text.bytes, "null", 4) == 0);
}

typedef int (*component_fn)(struct json_tokenizer *reader, const struct component *c, int depth);

/* Calls take on the component, or on each of a Sequence in turn. */
static int read_part(struct json_tokenizer *reader, const char *part, struct json_str text,
                     component_fn take, int depth) {
    if (json_part_absent(text))
        return 0;
    struct component c;
    int r = read_component(reader, part, text, &c);
    if (r < 0)
        return r;
    if (!json_is(c.type, "Sequence"))
        return take(reader, &c, depth);
    if (depth == MAX_NESTING)
        return error_set_param(reader->reterr, -EINVAL, part,
                               "tokenizer.json: the %s is nested more than %d deep", part,
                               MAX_NESTING);

    struct json_pull p;
    json_pull_init(&p, c.list.bytes ? c.list.bytes : "", c.list.len);
    json_enter_array(&p);
    while (r == 0 && json_next_item(&p)) {
        const struct json_str item = json_skip(&p);
        if (item.len > 0)
            r = read_part(reader, part, item, take, depth + 1);
    }
    return r < 0 ? r : json_pull_status(&p, part, reader->reterr);
}

/* A short string of a component, unescaped. */
static int short_string(const struct json_tokenizer *reader, const struct component *c,
                        struct json_str str, struct normal_string *ret_string) {
    struct buf plain = {.data = NULL};
    json_unescape(str, &plain);
    int r = 0;
    if (buf_failed(&plain))
        r = error_set(reader->reterr, -ENOMEM, "no memory for a pattern");
    else if (plain.len > NORMAL_MAX_STRING)
        r = error_set_param(reader->reterr, -ENOTSUP, c->part,
                            "tokenizer.json: a string of the %s has %zu bytes (at most %d)",
                            c->part, plain.len, NORMAL_MAX_STRING);
    if (r == 0) {
        *ret_string = (struct normal_string){.len = plain.len};
        if (plain.len > 0)
            memcpy(ret_string->bytes, plain.data, plain.len);
    }
    buf_fini(&plain);
    return r;
}

/* --- normalizer --- */

static int take_normalizer(struct json_tokenizer *reader, const struct component *c, int depth) {
    (void)depth; /* only sequences nest */
    static const struct {
        const char *type;
        enum normal_kind kind;
    } forms[] = {
        {"NFC", NORMAL_NFC},
        {"NFD", NORMAL_NFD},
        {"NFKC", NORMAL_NFKC},
        {"NFKD", NORMAL_NFKD},
    };
    struct normalizer *normalizer = &reader->tokenizer->normalizer;
    struct normal_step step = {.kind = NORMAL_PREPEND};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (json_is(c->type, forms[i].type)) {
            step.kind = forms[i].kind;
            return normal_add(normalizer, &step, reader->reterr);
        }
    }
    int r;
    if (json_is(c->type, "Prepend")) {
        r = short_string(reader, c, c->prepend, &step.to);
    } else if (json_is(c->type, "Replace") && !c->pattern_is_regex && c->pattern.len > 0) {
        step.kind = NORMAL_REPLACE;
        r = short_string(reader, c, c->pattern, &step.from);
        if (r == 0)
            r = short_string(reader, c, c->content, &step.to);
    } else {
        return refuse(reader, c);
    }
    return r < 0 ? r : normal_add(normalizer, &step, reader->reterr);
}

/* --- pre-tokenizer --- */

static int take_split(struct json_tokenizer *reader, const struct component *c) {
    static const struct {
        const char *name;
        enum split_behavior behavior;
    } behaviors[] = {
        {"Isolated", SPLIT_ISOLATED},
        {"Removed", SPLIT_REMOVED},
        {"MergedWithPrevious", SPLIT_MERGED_WITH_PREVIOUS},
        {"MergedWithNext", SPLIT_MERGED_WITH_NEXT},
        {"Contiguous", SPLIT_CONTIGUOUS},
    };
    size_t i = 0;
    while (i < sizeof behaviors / sizeof behaviors[0] && !json_is(c->behavior, behaviors[i].name))
        i++;
    if (i == sizeof behaviors / sizeof behaviors[0] || c->pattern.len == 0)
        return refuse(reader, c);

    struct pretok *pretok = &reader->tokenizer->pretok;
    struct buf pattern = {.data = NULL};
    json_unescape(c->pattern, &pattern);
    int r;
    if (buf_failed(&pattern)) {
        r = error_set(reader->reterr, -ENOMEM, "no memory for a pattern");
    } else if (c->pattern_is_regex) {
        r = pretok_add_pattern(pretok, pattern.data, pattern.len, behaviors[i].behavior, c->invert,
                               reader->reterr);
    } else {
        struct pretok_step step = {
            .kind = PRETOK_SPLIT,
            .behavior = behaviors[i].behavior,
            .invert = c->invert,
        };
        r = matcher_init_literal(&step.matcher, pattern.data, pattern.len, reader->reterr);
        if (r == 0)
            r = pretok_add_owned(pretok, &step, reader->reterr);
    }
    buf_fini(&pattern);
    return r;
}

static int add_pattern(struct json_tokenizer *reader, const char *pattern,
                       enum split_behavior behavior) {
    return pretok_add_pattern(&reader->tokenizer->pretok, pattern, strlen(pattern), behavior,
                              /* invert= */ false, reader->reterr);
}

static int take_byte_level(struct json_tokenizer *reader, const struct component *c) {
    int r = 0;
    if (c->add_prefix_space) {
        const struct pretok_step step = {.kind = PRETOK_PREFIX_SPACE};
        r = pretok_add(&reader->tokenizer->pretok, &step, reader->reterr);
    }
    if (r == 0 && c->use_regex)
        r = add_pattern(reader, pretok_gpt2_pattern, SPLIT_ISOLATED);
    reader->bytes_alphabet = true;
    return r;
}

static int take_metaspace(struct json_tokenizer *reader, const struct component *c) {
    struct pretok_step step = {.kind = PRETOK_METASPACE, .prefix = PREFIX_ALWAYS};

    if (c->replacement.len > 0 && !json_is(c->replacement, metaspace))
        return refuse(reader, c);
    if (json_is(c->prepend_scheme, "first"))
        step.prefix = PREFIX_FIRST;
    if (json_is(c->prepend_scheme, "never") || !c->add_prefix_space)
        step.prefix = PREFIX_NEVER;
    int r = pretok_add(&reader->tokenizer->pretok, &step, reader->reterr);
    if (r < 0 || !c->split)
        return r;

    struct pretok_step split = {.kind = PRETOK_SPLIT, .behavior = SPLIT_MERGED_WITH_NEXT};
    r = matcher_init_literal(&split.matcher, metaspace, 3, reader->reterr);
    return r < 0 ? r : pretok_add_owned(&reader->tokenizer->pretok, &split, reader->reterr);
}

static int take_pre_tokenizer(struct json_tokenizer *reader, const struct component *c, int depth) {
    (void)depth; /* only sequences nest */
    if (reader->bytes_alphabet)
        return error_set_param(reader->reterr, -ENOTSUP, c->part,
                               "tokenizer.json: the pre_tokenizer \"%.*s\" after ByteLevel is not "
                               "served",
                               (int)(c->type.len < 64 ? c->type.len : 64), c->type.bytes);
    if (json_is(c->type, "Split"))
        return take_split(reader, c);
    if (json_is(c->type, "ByteLevel"))
        return take_byte_level(reader, c);
    if (json_is(c->type, "Digits"))
        return add_pattern(reader, c->individual_digits ? "\\p{N}" : "\\p{N}+", SPLIT_ISOLATED);
    if (json_is(c->type, "Punctuation") &&
        (c->behavior.len == 0 || json_is(c->behavior, "Isolated")))
        return add_pattern(reader, "[\\p{P}$+<->^`|~]", SPLIT_ISOLATED);
    if (json_is(c->type, "WhitespaceSplit"))
        return add_pattern(reader, "\\s", SPLIT_REMOVED);
    if (json_is(c->type, "Metaspace"))
        return take_metaspace(reader, c);
    return refuse(reader, c);
}

/* --- post-processor --- */

static int push_around(const struct json_tokenizer *reader, struct token_around *around,
                       uint64_t id) {
    if (around->n == TOKENIZER_MAX_AROUND || id >= VOCAB_MAX_IDS)
        return error_set_param(reader->reterr, -EINVAL, "post_processor",
                               "tokenizer.json: the post_processor adds more than %d tokens, or a "
                               "wrong one",
                               TOKENIZER_MAX_AROUND);
    around->ids[around->n++] = (token_id)id;
    return 0;
}

/* Appends the ids that the template's name stands for. */
static int push_template_token(const struct json_tokenizer *reader, const struct component *c,
                               struct json_str name, struct token_around *around) {
    struct json_pull p;
    struct json_str key;
    bool found = false;
    int r = 0;

    json_pull_init(&p, c->special_tokens.bytes ? c->special_tokens.bytes : "{}",
                   c->special_tokens.bytes ? c->special_tokens.len : 2);
    json_enter_object(&p);
    while (r == 0 && json_next_key(&p, &key)) {
        if (key.len != name.len || memcmp(key.bytes, name.bytes, key.len) != 0) {
            (void)json_skip(&p); /* another token */
            continue;
        }
        json_enter_object(&p);
        while (r == 0 && json_next_key(&p, &key)) {
            if (!json_is(key, "ids")) {
                (void)json_skip(&p); /* its texts */
                continue;
            }
            found = true;
            json_enter_array(&p);
            while (r == 0 && json_next_item(&p))
                r = push_around(reader, around, json_take_uint(&p));
        }
    }
    if (r == 0)
        r = json_pull_status(&p, "post_processor", reader->reterr);
    if (r == 0 && !found)
        r = error_set_param(
            reader->reterr, -EINVAL, "post_processor",
            "tokenizer.json: the template names the token \"%.*s\", which is not in "
            "special_tokens",
            (int)(name.len < 64 ? name.len : 64), name.bytes);
    return r;
}

/* The "id" of a template's item. */
static struct json_str item_id(struct json_pull *p) {
    struct json_str id = {.bytes = "", .len = 0};
    struct json_str key;
    json_enter_object(p);
    while (json_next_key(p, &key)) {
        if (json_is(key, "id"))
            id = json_take_string(p);
        else
            (void)json_skip(p); /* type_id */
    }
    return id;
}

static int take_template(struct json_tokenizer *reader, const struct component *c,
                         struct token_around *before, struct token_around *behind) {
    struct json_pull p;
    struct json_str key;
    bool seen_text = false;
    int r = 0;

    json_pull_init(&p, c->single.bytes ? c->single.bytes : "", c->single.len);
    json_enter_array(&p);
    while (r == 0 && json_next_item(&p)) {
        json_enter_object(&p);
        while (r == 0 && json_next_key(&p, &key)) {
            const bool is_text = json_is(key, "Sequence");
            const struct json_str id = item_id(&p);
            if (is_text)
                seen_text = true;
            else
                r = push_template_token(reader, c, id, seen_text ? behind : before);
        }
    }
    return r < 0 ? r : json_pull_status(&p, "post_processor", reader->reterr);
}

/* BertProcessing and RobertaProcessing: "sep": ["[SEP]", 102]. */
static int take_pair(struct json_tokenizer *reader, struct json_str pair,
                     struct token_around *around) {
    struct json_pull p;
    json_pull_init(&p, pair.bytes ? pair.bytes : "", pair.len);
    json_enter_array(&p);
    if (json_next_item(&p))
        (void)json_take_string(&p); /* the id says it all */
    const uint64_t id = json_next_item(&p) ? json_take_uint(&p) : 0;
    if (json_next_item(&p))
        json_fail(&p, "expected a token and its id");
    int r = json_pull_status(&p, "post_processor", reader->reterr);
    return r < 0 ? r : push_around(reader, around, id);
}

/* Processors work on what the ones before gave: a later one's tokens go around the outside. */
static int take_post_processor(struct json_tokenizer *reader, const struct component *c,
                               int depth) {
    (void)depth; /* only sequences nest */
    struct tokenizer *t = reader->tokenizer;
    struct token_around before = {.n = 0};
    struct token_around behind = {.n = 0};
    int r;

    if (json_is(c->type, "ByteLevel")) /* offsets only */
        return 0;
    if (json_is(c->type, "TemplateProcessing")) {
        r = take_template(reader, c, &before, &behind);
    } else if (json_is(c->type, "BertProcessing") || json_is(c->type, "RobertaProcessing")) {
        r = take_pair(reader, c->cls, &before);
        if (r == 0)
            r = take_pair(reader, c->sep, &behind);
    } else {
        return refuse(reader, c);
    }
    for (uint32_t i = 0; r == 0 && i < t->prefix.n; i++)
        r = push_around(reader, &before, (uint64_t)t->prefix.ids[i]);
    for (uint32_t i = 0; r == 0 && i < behind.n; i++)
        r = push_around(reader, &t->suffix, (uint64_t)behind.ids[i]);
    t->prefix = before;
    return r;
}

/* --- decoder --- */

static int take_decoder(struct json_tokenizer *reader, const struct component *c, int depth) {
    (void)depth; /* only sequences nest */
    struct token_decoding *d = &reader->tokenizer->decoding;

    if (json_is(c->type, "ByteLevel")) {
        d->bytes_alphabet = true;
        reader->bytes_alphabet = true;
    } else if (json_is(c->type, "ByteFallback")) {
        d->byte_fallback = true;
    } else if (json_is(c->type, "Metaspace")) {
        d->metaspace = true;
        d->strip_metaspaces = c->add_prefix_space && !json_is(c->prepend_scheme, "never");
    } else if (json_is(c->type, "Replace") && json_is(c->pattern, metaspace) &&
               json_is(c->content, " ")) {
        d->metaspace = true;
    } else if (json_is(c->type, "Strip") && json_is(c->content, " ") && c->start <= 1 &&
               c->stop == 0) {
        d->strip_space = c->start == 1;
    } else if (!json_is(c->type, "Fuse")) {
        return refuse(reader, c);
    }
    return 0;
}

int json_tokenizer_read_parts(struct json_tokenizer *reader) {
    int r = read_part(reader, "normalizer", reader->normalizer, take_normalizer, 0);
    if (r == 0)
        r = read_part(reader, "pre_tokenizer", reader->pre_tokenizer, take_pre_tokenizer, 0);
    if (r == 0)
        r = read_part(reader, "post_processor", reader->post_processor, take_post_processor, 0);
    if (r == 0)
        r = read_part(reader, "decoder", reader->decoder, take_decoder, 0);
    return r;
}
