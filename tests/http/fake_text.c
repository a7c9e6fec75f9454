/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_text.h"

#include <errno.h>
#include <string.h>

#include "kvasir/chat.h"
#include "kvasir/mem.h"
#include "kvasir/tokenizer.h"
#include "kvasir/utf8.h"

/* ---- tokenizer ---- */

struct tokenizer {
    int unused;
};

static const char *const specials[] = {"<eos>", "<bos>", "<|im_start|>", "<|im_end|>"};
static const unsigned char all_bytes[256] = {
#define ROW(n)                                                                                     \
    n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, n + 10, n + 11, n + 12,      \
        n + 13, n + 14, n + 15
    ROW(0),   ROW(16),  ROW(32),  ROW(48),  ROW(64),  ROW(80),  ROW(96),  ROW(112),
    ROW(128), ROW(144), ROW(160), ROW(176), ROW(192), ROW(208), ROW(224), ROW(240),
#undef ROW
};

void token_buf_fini(struct token_buf *buf) {
    mem_free(buf->ids);
    *buf = (struct token_buf){0};
}

static int push_id(struct token_buf *buf, token_id id) {
    if (buf->n == buf->cap) {
        const size_t cap = buf->cap ? buf->cap * 2 : 64;
        token_id *ids = mem_realloc(buf->ids, cap * sizeof *ids);
        if (!ids)
            return -ENOMEM;
        buf->ids = ids;
        buf->cap = cap;
    }
    buf->ids[buf->n++] = id;
    return 0;
}

static bool touches_user(size_t start, size_t end, const struct text_range *ranges, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (start < ranges[i].end && ranges[i].start < end)
            return true;
    }
    return false;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t len,
                     unsigned flags, const struct text_range *user_ranges, size_t n_user_ranges,
                     struct token_buf *ret_ids) {
    (void)tokenizer;
    const size_t before = ret_ids->n;
    int r = flags & TOKENIZER_ADD_SPECIAL ? push_id(ret_ids, FAKE_BOS) : 0;
    for (size_t i = 0; i < len && r == 0;) {
        token_id id = (unsigned char)text[i];
        size_t n = 1;
        for (int s = 0; s < 4 && (flags & TOKENIZER_PARSE_SPECIAL); s++) {
            const size_t special_len = strlen(specials[s]);
            if (special_len <= len - i && memcmp(text + i, specials[s], special_len) == 0 &&
                !touches_user(i, i + special_len, user_ranges, n_user_ranges)) {
                id = FAKE_EOS + s;
                n = special_len;
            }
        }
        r = push_id(ret_ids, id);
        i += n;
    }
    if (r < 0)
        ret_ids->n = before;
    return r;
}

const char *tokenizer_token_bytes(const struct tokenizer *tokenizer, token_id id, size_t *ret_len) {
    (void)tokenizer;
    *ret_len = 0;
    if (id < 0 || id >= FAKE_N_VOCAB)
        return "";
    if (id >= FAKE_EOS) {
        *ret_len = strlen(specials[id - FAKE_EOS]);
        return specials[id - FAKE_EOS];
    }
    *ret_len = 1;
    return (const char *)&all_bytes[id];
}

bool tokenizer_is_special(const struct tokenizer *tokenizer, token_id id) {
    (void)tokenizer;
    return id >= FAKE_EOS && id < FAKE_N_VOCAB;
}

int tokenizer_decode(const struct tokenizer *tokenizer, const token_id *ids, size_t n,
                     bool skip_special, struct buf *ret_text) {
    for (size_t i = 0; i < n; i++) {
        if (skip_special && tokenizer_is_special(tokenizer, ids[i]))
            continue;
        size_t len;
        const char *bytes = tokenizer_token_bytes(tokenizer, ids[i], &len);
        buf_append(ret_text, bytes, len);
    }
    return buf_failed(ret_text) ? -ENOMEM : 0;
}

uint32_t tokenizer_n_vocab(const struct tokenizer *tokenizer) {
    (void)tokenizer;
    return FAKE_N_VOCAB;
}

token_id tokenizer_bos(const struct tokenizer *tokenizer) {
    (void)tokenizer;
    return FAKE_BOS;
}

bool tokenizer_adds_bos(const struct tokenizer *tokenizer) {
    (void)tokenizer;
    return true;
}

const char *tokenizer_bos_text(const struct tokenizer *tokenizer) {
    (void)tokenizer;
    return specials[1];
}

const char *tokenizer_eos_text(const struct tokenizer *tokenizer) {
    (void)tokenizer;
    return specials[0];
}

/* ---- detokenizer ---- */

struct detokenizer {
    const struct tokenizer *tokenizer;
    const char *const *stops;
    size_t n_stops;
    bool skip_special, include_stop, stopped;
    struct buf held; /* bytes that are not certain yet */
};

int detokenizer_open(const struct tokenizer *tokenizer, bool skip_special, const char *const *stops,
                     size_t n_stops, bool include_stop, struct detokenizer **ret_detok,
                     struct error *reterr) {
    (void)reterr;
    struct detokenizer *detok = mem_alloc_zero(1, sizeof *detok);
    if (!detok)
        return -ENOMEM;
    *detok = (struct detokenizer){
        .tokenizer = tokenizer,
        .stops = stops,
        .n_stops = n_stops,
        .skip_special = skip_special,
        .include_stop = include_stop,
    };
    *ret_detok = detok;
    return 0;
}

void detokenizer_close(struct detokenizer *detok) {
    if (!detok)
        return;
    buf_fini(&detok->held);
    mem_free(detok);
}

static void drop_front(struct buf *held, size_t n) {
    memmove(held->data, held->data + n, held->len - n);
    held->len -= n;
    held->data[held->len] = '\0';
}

/* The longest tail that begins a stop string. */
static size_t tail_of_stop(const struct detokenizer *detok) {
    size_t best = 0;
    for (size_t s = 0; s < detok->n_stops; s++) {
        const size_t len = strlen(detok->stops[s]);
        for (size_t n = len - 1; n > best; n--) {
            if (n <= detok->held.len &&
                memcmp(detok->held.data + detok->held.len - n, detok->stops[s], n) == 0)
                best = n;
        }
    }
    return best;
}

int detokenizer_push(struct detokenizer *detok, token_id id, struct buf *ret_text, int *ret_stop) {
    *ret_stop = -1;
    if (detok->stopped)
        return 0;
    if (detok->skip_special && tokenizer_is_special(detok->tokenizer, id))
        return 0;
    size_t len;
    const char *bytes = tokenizer_token_bytes(detok->tokenizer, id, &len);
    buf_append(&detok->held, bytes, len);
    if (buf_failed(&detok->held))
        return -ENOMEM;

    for (size_t s = 0; s < detok->n_stops; s++) {
        const char *at = strstr(detok->held.data, detok->stops[s]);
        if (!at)
            continue;
        const size_t end =
            (size_t)(at - detok->held.data) + (detok->include_stop ? strlen(detok->stops[s]) : 0);
        buf_append(ret_text, detok->held.data, end);
        detok->stopped = true;
        *ret_stop = (int)s;
        return 0;
    }
    size_t certain = 0;
    while (certain < detok->held.len) {
        const char *rest = detok->held.data + certain;
        const size_t n = utf8_sequence(rest, detok->held.len - certain);
        if (n == 0 && utf8_is_incomplete(rest, detok->held.len - certain))
            break;
        certain += n ? n : 1;
    }
    const size_t tail = tail_of_stop(detok);
    if (certain > detok->held.len - tail)
        certain = detok->held.len - tail;
    for (size_t i = 0; i < certain;) {
        const size_t n = utf8_sequence(detok->held.data + i, certain - i);
        if (n)
            buf_append(ret_text, detok->held.data + i, n);
        else
            buf_append_str(ret_text, "\xef\xbf\xbd");
        i += n ? n : 1;
    }
    drop_front(&detok->held, certain);
    return buf_failed(ret_text) ? -ENOMEM : 0;
}

int detokenizer_finish(struct detokenizer *detok, struct buf *ret_text, int *ret_stop) {
    struct buf rest = {.len = 0};
    *ret_stop = -1;
    for (size_t i = 0; !detok->stopped && i < detok->held.len;) {
        const size_t n = utf8_sequence(detok->held.data + i, detok->held.len - i);
        if (n)
            buf_append(&rest, detok->held.data + i, n);
        else
            buf_append_str(&rest, "\xef\xbf\xbd");
        i += n ? n : detok->held.len - i;
    }
    for (size_t s = 0; rest.data && *ret_stop < 0 && s < detok->n_stops; s++) {
        const char *at = strstr(rest.data, detok->stops[s]);
        if (!at)
            continue;
        rest.len = (size_t)(at - rest.data); /* not with include_stop: no case asks for it */
        *ret_stop = (int)s;
    }
    buf_append(ret_text, rest.data, rest.len);
    const bool failed = buf_failed(&rest) || buf_failed(ret_text);
    buf_fini(&rest);
    return failed ? -ENOMEM : 0;
}

/* ---- chat values ---- */

struct chat_value {
    enum { NONE, BOOL, INT, FLOAT, STRING, LIST, MAP } kind;
    bool truth, trusted;
    int64_t integer;
    double real;
    const char *bytes;
    size_t len;
    struct chat_value *first, *last, *next; /* items; next links the item itself */
    const char *key;                        /* of an item of a map */
};

static struct chat_value *make(struct arena *arena, int kind) {
    struct chat_value *value = arena_alloc_zero(arena, 1, sizeof *value);
    if (value)
        value->kind = kind;
    return value;
}

struct chat_value *chat_none(struct arena *arena) {
    return make(arena, NONE);
}

struct chat_value *chat_bool(struct arena *arena, bool truth) {
    struct chat_value *value = make(arena, BOOL);
    if (value)
        value->truth = truth;
    return value;
}

struct chat_value *chat_int(struct arena *arena, int64_t integer) {
    struct chat_value *value = make(arena, INT);
    if (value)
        value->integer = integer;
    return value;
}

struct chat_value *chat_float(struct arena *arena, double real) {
    struct chat_value *value = make(arena, FLOAT);
    if (value)
        value->real = real;
    return value;
}

struct chat_value *chat_string(struct arena *arena, const char *bytes, size_t len, bool trusted) {
    struct chat_value *value = make(arena, STRING);
    if (!value)
        return NULL;
    value->bytes = arena_dup(arena, bytes, len);
    value->len = len;
    value->trusted = trusted;
    return value->bytes ? value : NULL;
}

struct chat_value *chat_list(struct arena *arena) {
    return make(arena, LIST);
}

int chat_list_add(struct arena *arena, struct chat_value *list, struct chat_value *item) {
    (void)arena;
    if (!list || !item)
        return -ENOMEM;
    if (list->last)
        list->last->next = item;
    else
        list->first = item;
    list->last = item;
    return 0;
}

struct chat_value *chat_map(struct arena *arena) {
    return make(arena, MAP);
}

const struct chat_value *chat_map_get(const struct chat_value *map, const char *key) {
    const struct chat_value *found = NULL;
    for (const struct chat_value *item = map->first; item; item = item->next) {
        if (strcmp(item->key, key) == 0)
            found = item; /* the last one set wins */
    }
    return found;
}

int chat_map_set(struct arena *arena, struct chat_value *map, const char *key, size_t key_len,
                 struct chat_value *value) {
    if (!map || !value)
        return -ENOMEM;
    value->key = arena_dup(arena, key, key_len);
    return value->key ? chat_list_add(arena, map, value) : -ENOMEM;
}

/* ---- template ---- */

struct chat_template {
    int unused;
};

int chat_template_parse(const char *source, size_t len, const char *name,
                        struct chat_template **ret_template, struct error *reterr) {
    (void)source;
    (void)len;
    (void)name;
    (void)reterr;
    *ret_template = mem_alloc_zero(1, sizeof **ret_template);
    return *ret_template ? 0 : -ENOMEM;
}

void chat_template_free(struct chat_template *tmpl) {
    mem_free(tmpl);
}

void chat_prompt_fini(struct chat_prompt *prompt) {
    buf_fini(&prompt->text);
    mem_free(prompt->user_ranges);
}

static int emit_user(struct chat_prompt *prompt, const struct chat_value *value) {
    const size_t start = prompt->text.len;
    if (!value || value->kind != STRING)
        return 0;
    buf_append(&prompt->text, value->bytes, value->len);
    if (value->trusted || value->len == 0)
        return 0;
    struct text_range *ranges =
        mem_realloc(prompt->user_ranges, (prompt->n_user_ranges + 1) * sizeof *prompt->user_ranges);
    if (!ranges)
        return -ENOMEM;
    ranges[prompt->n_user_ranges++] = (struct text_range){start, prompt->text.len};
    prompt->user_ranges = ranges;
    return 0;
}

/* A tool call as {name(key=value ...)}, which shows that arguments are a map. */
static int emit_calls(struct chat_prompt *prompt, const struct chat_value *message) {
    const struct chat_value *calls = chat_map_get(message, "tool_calls");
    int r = 0;
    for (const struct chat_value *call = calls ? calls->first : NULL; call && r == 0;
         call = call->next) {
        const struct chat_value *function = chat_map_get(call, "function");
        const struct chat_value *arguments = chat_map_get(function, "arguments");
        buf_append_char(&prompt->text, '{');
        r = emit_user(prompt, chat_map_get(function, "name"));
        buf_append_char(&prompt->text, '(');
        for (const struct chat_value *a = arguments->first; a && r == 0; a = a->next) {
            buf_printf(&prompt->text, "%s=", a->key);
            if (a->kind == INT)
                buf_printf(&prompt->text, "%lld", (long long)a->integer);
            r = emit_user(prompt, a);
            buf_append_char(&prompt->text, a->next ? ' ' : ')');
        }
        if (!arguments->first)
            buf_append_char(&prompt->text, ')');
        buf_append_char(&prompt->text, '}');
    }
    return r;
}

static int render_message(struct chat_prompt *prompt, const struct chat_value *message) {
    buf_append_str(&prompt->text, "<|im_start|>");
    int r = emit_user(prompt, chat_map_get(message, "role"));
    buf_append_char(&prompt->text, '\n');
    if (r == 0)
        r = emit_user(prompt, chat_map_get(message, "content"));
    if (r == 0)
        r = emit_calls(prompt, message);
    buf_append_str(&prompt->text, "<|im_end|>\n");
    return r;
}

int chat_template_render(const struct chat_template *tmpl, const struct chat_value *vars,
                         const struct chat_limits *limits, struct chat_clock now,
                         struct chat_prompt *ret_prompt, struct error *reterr) {
    (void)tmpl;
    (void)limits;
    (void)now;
    const struct chat_value *messages = chat_map_get(vars, "messages");
    const struct chat_value *tools = chat_map_get(vars, "tools");
    const struct chat_value *raise = chat_map_get(vars, "raise");
    if (raise && raise->kind == STRING)
        return error_set(reterr, -EINVAL, "%s", raise->bytes); /* raise_exception's words */

    int r = 0;
    for (const struct chat_value *tool = tools->first; tool && r == 0; tool = tool->next) {
        buf_append_str(&ret_prompt->text, "[tool ");
        r = emit_user(ret_prompt, chat_map_get(chat_map_get(tool, "function"), "name"));
        buf_append_str(&ret_prompt->text, "]\n");
    }
    for (const struct chat_value *m = messages->first; m && r == 0; m = m->next)
        r = render_message(ret_prompt, m);
    if (chat_map_get(vars, "add_generation_prompt")->truth)
        buf_append_str(&ret_prompt->text, "<|im_start|>assistant\n");
    return r < 0 || buf_failed(&ret_prompt->text) ? -ENOMEM : 0;
}
