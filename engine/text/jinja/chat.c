/* SPDX-License-Identifier: Apache-2.0 */
/* The public face: builders of variables, parsing, rendering. The contract is kvasir/chat.h. */
#include "kvasir/chat.h"

#include <errno.h>
#include <string.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"

#include "exec.h"
#include "parser.h"

enum {
    DEFAULT_STEPS = 4 << 20,
    DEFAULT_OUTPUT = 16 << 20,
    DEFAULT_MEMORY = 64 << 20,
    DEFAULT_DEPTH = 128,
    MAX_DEPTH = 256,
    DEFAULT_TIME_US = 2000000,
    MAX_TREE_BYTES = 256 << 20,
};

/* --- Variables --------------------------------------------------------------------------------- */

static struct chat_value *new_value(struct arena *arena, struct value v) {
    struct chat_value *value = arena_alloc(arena, sizeof *value);
    if (value)
        value->v = v;
    return value;
}

struct chat_value *chat_none(struct arena *arena) {
    return new_value(arena, (struct value){.kind = V_NONE, .user = true});
}

struct chat_value *chat_bool(struct arena *arena, bool value) {
    return new_value(arena, (struct value){.kind = V_BOOL, .user = true, .boolean = value});
}

struct chat_value *chat_int(struct arena *arena, int64_t value) {
    return new_value(arena, (struct value){.kind = V_INT, .user = true, .integer = value});
}

struct chat_value *chat_float(struct arena *arena, double value) {
    return new_value(arena, (struct value){.kind = V_FLOAT, .user = true, .real = value});
}

struct chat_value *chat_string(struct arena *arena, const char *bytes, size_t len, bool trusted) {
    const struct str *s = str_copy(arena, bytes, len, !trusted);
    return s ? new_value(arena, value_str(s)) : NULL;
}

struct chat_value *chat_list(struct arena *arena) {
    struct seq *seq = seq_new(arena, 0);
    if (!seq)
        return NULL;
    seq->user = true;
    return new_value(arena, value_seq(V_LIST, seq));
}

int chat_list_add(struct arena *arena, struct chat_value *list, struct chat_value *item) {
    if (!list || !item)
        return -ENOMEM;
    INVARIANT(list->v.kind == V_LIST);
    return seq_add(arena, list->v.seq, item->v) ? 0 : -ENOMEM;
}

struct chat_value *chat_map(struct arena *arena) {
    struct dict *dict = dict_new(arena);
    if (!dict)
        return NULL;
    dict->user = true;
    return new_value(arena, value_dict(dict));
}

int chat_map_set(struct arena *arena, struct chat_value *map, const char *key, size_t key_len,
                 struct chat_value *value) {
    if (!map || !value)
        return -ENOMEM;
    INVARIANT(map->v.kind == V_DICT);
    const struct str *name = str_copy(arena, key, key_len, /* user= */ true);
    return name && dict_set(arena, map->v.dict, value_str(name), value->v) ? 0 : -ENOMEM;
}

/* An entry's value is what a chat_value holds, so a pointer to the one is a pointer to the other. */
const struct chat_value *chat_map_get(const struct chat_value *map, const char *key) {
    if (!map || map->v.kind != V_DICT)
        return NULL;
    const struct entry *entry = dict_get_text(map->v.dict, key, strlen(key));
    return entry ? (const struct chat_value *)(const void *)&entry->value : NULL;
}

/* --- Parsing ----------------------------------------------------------------------------------- */

static const struct str *known_name(const struct parser *p, const char *name) {
    const struct entry *entry = dict_get_text(p->names, name, strlen(name));
    return entry ? entry->key.str : NULL;
}

static int parse(struct chat_template *tmpl, const char *source, size_t len, struct error *reterr) {
    struct parser p = {.arena = &tmpl->arena};
    p.names = dict_new(&tmpl->arena);
    if (!p.names)
        return error_set(reterr, -ENOMEM, "out of memory while parsing a chat template");

    int r = lexer_init(&p.lexer, &tmpl->arena, source, len, tmpl->name);
    if (r == 0)
        parse_template(&p, &tmpl->body);
    if (p.lexer.failed) {
        if (reterr)
            *reterr = p.lexer.error;
        return p.lexer.code;
    }
    tmpl->loop_name = known_name(&p, "loop");
    tmpl->caller_name = known_name(&p, "caller");
    tmpl->kwargs_name = known_name(&p, "kwargs");
    tmpl->varargs_name = known_name(&p, "varargs");
    return 0;
}

int chat_template_parse(const char *source, size_t len, const char *name,
                        struct chat_template **ret_template, struct error *reterr) {
    struct chat_template *tmpl = mem_alloc_zero(1, sizeof *tmpl);
    if (!tmpl)
        return error_set(reterr, -ENOMEM, "out of memory while parsing a chat template");

    arena_init(&tmpl->arena, MAX_TREE_BYTES);
    tmpl->name = arena_dup(&tmpl->arena, name, strlen(name));
    int r = tmpl->name ? parse(tmpl, source, len, reterr)
                       : error_set(reterr, -ENOMEM, "out of memory while parsing a chat template");
    if (r < 0) {
        chat_template_free(tmpl);
        return r;
    }
    *ret_template = tmpl;
    return 0;
}

void chat_template_free(struct chat_template *tmpl) {
    if (!tmpl)
        return;
    arena_fini(&tmpl->arena);
    mem_free(tmpl);
}

/* --- Rendering --------------------------------------------------------------------------------- */

static struct chat_limits with_defaults(const struct chat_limits *given) {
    struct chat_limits limits = given ? *given : (struct chat_limits){.max_steps = 0};
    if (limits.max_steps == 0)
        limits.max_steps = DEFAULT_STEPS;
    if (limits.max_output_bytes == 0)
        limits.max_output_bytes = DEFAULT_OUTPUT;
    if (limits.max_memory_bytes == 0)
        limits.max_memory_bytes = DEFAULT_MEMORY;
    if (limits.max_depth == 0)
        limits.max_depth = DEFAULT_DEPTH;
    if (limits.max_depth > MAX_DEPTH)
        limits.max_depth = MAX_DEPTH; /* the evaluator recurses on the thread's stack */
    if (limits.max_time_us == 0)
        limits.max_time_us = DEFAULT_TIME_US;
    return limits;
}

/* The runs of what was rendered as ranges of user text. */
static int set_ranges(const struct str *text, struct chat_prompt *prompt) {
    const struct run whole = {.end = text->len, .user = text->user};
    const struct run *runs = text->runs ? text->runs : &whole;
    const size_t n_runs = text->runs ? text->n_runs : 1;
    prompt->user_ranges = mem_alloc_array(n_runs, sizeof *prompt->user_ranges);
    if (!prompt->user_ranges)
        return -ENOMEM;

    size_t start = 0;
    for (size_t i = 0; i < n_runs; i++) {
        if (runs[i].user && runs[i].end > start)
            prompt->user_ranges[prompt->n_user_ranges++] =
                (struct text_range){.start = start, .end = runs[i].end};
        start = runs[i].end;
    }
    return 0;
}

static int take_prompt(struct interp *in, struct strb *out, struct chat_prompt *ret_prompt) {
    struct chat_prompt prompt = {.n_user_ranges = 0};
    if (out->len > in->limits.max_output_bytes)
        interp_fail(in, "the prompt is longer than the %zu bytes it may have",
                    in->limits.max_output_bytes);
    const struct value text = interp_take(in, out);
    if (in->failed)
        return in->code;

    buf_append(&prompt.text, text.str->bytes, text.str->len);
    if (buf_failed(&prompt.text) || set_ranges(text.str, &prompt) < 0) {
        chat_prompt_fini(&prompt);
        return error_set(&in->error, -ENOMEM, "out of memory for the prompt");
    }
    *ret_prompt = prompt;
    return 0;
}

int chat_template_render(const struct chat_template *tmpl, const struct chat_value *vars,
                         const struct chat_limits *limits, struct chat_clock now,
                         struct chat_prompt *ret_prompt, struct error *reterr) {
    INVARIANT(!vars || vars->v.kind == V_DICT);
    struct interp in = {
        .name = tmpl->name,
        .vars = vars,
        .limits = with_defaults(limits),
        .now = now,
        .line = 1,
        .loop_name = tmpl->loop_name,
        .caller_name = tmpl->caller_name,
        .kwargs_name = tmpl->kwargs_name,
        .varargs_name = tmpl->varargs_name,
    };
    in.deadline_us = clock_now_us() + in.limits.max_time_us;
    arena_init(&in.arena, in.limits.max_memory_bytes);

    struct strb out = interp_builder(&in);
    in.out = &out;
    in.globals = scope_new(&in, NULL);
    in.top = in.globals ? scope_new(&in, in.globals) : NULL;
    in.scope = in.top;
    int r = in.failed ? in.code : 0;
    if (r == 0) {
        (void)exec_body(&in, &tmpl->body); /* failure is sticky; take_prompt looks */
        r = take_prompt(&in, &out, ret_prompt);
    }
    if (r < 0 && reterr)
        *reterr = in.error;
    arena_fini(&in.arena);
    return r;
}

void chat_prompt_fini(struct chat_prompt *prompt) {
    if (!prompt)
        return;
    buf_fini(&prompt->text);
    mem_free(prompt->user_ranges);
    *prompt = (struct chat_prompt){.n_user_ranges = 0};
}
