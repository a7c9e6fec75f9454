/* SPDX-License-Identifier: Apache-2.0 */
#include "pretok.h"

#include <errno.h>
#include <string.h>

#include "kvasir/buf.h"
#include "kvasir/mem.h"

static const char metaspace[] = "\xe2\x96\x81"; /* U+2581, "▁" */

/* --- matchers --- */

enum { MAX_LITERAL = 16 };

struct literal {
    char bytes[MAX_LITERAL];
    size_t len;
};

static int find_literal(const struct matcher *matcher, const unsigned char *text, size_t len,
                        size_t from, struct span *ret_match) {
    const struct literal *literal = matcher->arg;

    while (len - from >= literal->len) {
        const unsigned char *at =
            memchr(text + from, literal->bytes[0], len - from - literal->len + 1);
        if (!at)
            return 0;
        from = (size_t)(at - text);
        if (memcmp(at, literal->bytes, literal->len) == 0) {
            *ret_match = (struct span){.start = from, .end = from + literal->len};
            return 1;
        }
        from++;
    }
    return 0;
}

int matcher_init_literal(struct matcher *matcher, const char *bytes, size_t len,
                         struct error *reterr) {
    if (len == 0 || len > MAX_LITERAL)
        return error_set(reterr, -ENOTSUP, "a split by a string of %zu bytes (1 to %d are served)",
                         len, MAX_LITERAL);
    struct literal *literal = mem_alloc_zero(1, sizeof *literal);
    if (!literal)
        return error_set(reterr, -ENOMEM, "no memory for a pattern");
    memcpy(literal->bytes, bytes, len);
    literal->len = len;
    *matcher = (struct matcher){.find = find_literal, .arg = literal, .release = mem_free};
    return 0;
}

static int find_metaspace_word(const struct matcher *matcher, const unsigned char *text, size_t len,
                               size_t from, struct span *ret_match) {
    (void)matcher; /* needs nothing */
    size_t end = from;
    while (len - end >= 3 && memcmp(text + end, metaspace, 3) == 0)
        end += 3;
    const unsigned char *at = text + end;
    while ((at = memchr(at, 0xe2, (size_t)(text + len - at)))) {
        if (text + len - at >= 3 && memcmp(at, metaspace, 3) == 0 && at > text + from)
            break;
        at++;
    }
    *ret_match = (struct span){.start = from, .end = at ? (size_t)(at - text) : len};
    return 1;
}

void matcher_init_metaspace_words(struct matcher *matcher) {
    *matcher = (struct matcher){.find = find_metaspace_word};
}

int matcher_init(struct matcher *matcher, const char *pattern, size_t len, const char **ret_family,
                 struct error *reterr) {
    *matcher = (struct matcher){.find = NULL};
    *ret_family = NULL;

    int r = pretok_match_init(matcher, pattern, len, ret_family);
    if (r == 0)
        r = pretok_run_init(matcher, pattern, len);
    if (r < 0)
        return error_set(reterr, r, "no memory for a pattern");
    if (r > 0)
        return 0;
    *ret_family = "regex";
    return pretok_regex_init(matcher, pattern, len, reterr);
}

void matcher_fini(struct matcher *matcher) {
    if (matcher->release)
        matcher->release(matcher->arg);
    *matcher = (struct matcher){.find = NULL};
}

/* --- building --- */

int pretok_add(struct pretok *pretok, const struct pretok_step *step, struct error *reterr) {
    if (pretok->n_steps == PRETOK_MAX_STEPS)
        return error_set(reterr, -ENOTSUP, "more than %d pre-tokenizer steps", PRETOK_MAX_STEPS);
    pretok->steps[pretok->n_steps++] = *step;
    return 0;
}

int pretok_add_owned(struct pretok *pretok, struct pretok_step *step, struct error *reterr) {
    int r = pretok_add(pretok, step, reterr);
    if (r < 0)
        matcher_fini(&step->matcher);
    return r;
}

int pretok_add_pattern(struct pretok *pretok, const char *pattern, size_t len,
                       enum split_behavior behavior, bool invert, struct error *reterr) {
    struct pretok_step step = {
        .kind = PRETOK_SPLIT,
        .behavior = behavior,
        .invert = invert,
    };
    const char *family;
    int r = matcher_init(&step.matcher, pattern, len, &family, reterr);
    if (r < 0)
        return r;
    r = pretok_add_owned(pretok, &step, reterr);
    if (r == 0 && family)
        pretok->family = family;
    return r;
}

void pretok_fini(struct pretok *pretok) {
    for (uint32_t i = 0; i < pretok->n_steps; i++)
        matcher_fini(&pretok->steps[i].matcher);
    *pretok = (struct pretok){.n_steps = 0};
}

/* --- running --- */

/* What every level of the recursion shares. Depth is the number of steps. */
struct run {
    const struct pretok *pretok;
    const struct pretok_sink *sink;
};

static int run_step(const struct run *run, uint32_t i, const char *text, size_t len, bool at_start);

/* The piece that is being put together from matches and the stretches between them. */
struct assembly {
    const struct run *run;
    uint32_t next_step;
    const char *text;
    bool at_start;
    enum split_behavior behavior;
    struct span held;
    bool held_any;
    bool held_is_match; /* kind of the last stretch in it */
};

static int flush(struct assembly *a) {
    if (!a->held_any)
        return 0;
    a->held_any = false;
    if (a->behavior == SPLIT_REMOVED && a->held_is_match)
        return 0;
    return run_step(a->run, a->next_step, a->text + a->held.start, a->held.end - a->held.start,
                    a->at_start && a->held.start == 0);
}

static bool joins(const struct assembly *a, bool is_match) {
    if (!a->held_any)
        return false;
    switch (a->behavior) {
    case SPLIT_MERGED_WITH_PREVIOUS:
        return is_match && !a->held_is_match;
    case SPLIT_MERGED_WITH_NEXT:
        return !is_match && a->held_is_match;
    case SPLIT_CONTIGUOUS:
        return is_match == a->held_is_match;
    default:
        return false;
    }
}

static int take_stretch(struct assembly *a, size_t start, size_t end, bool is_match) {
    if (start == end)
        return 0;
    if (joins(a, is_match)) {
        a->held.end = end;
        a->held_is_match = is_match;
        return 0;
    }
    int r = flush(a);
    a->held = (struct span){.start = start, .end = end};
    a->held_any = true;
    a->held_is_match = is_match;
    return r;
}

static int split(const struct run *run, uint32_t i, const char *text, size_t len, bool at_start) {
    const struct pretok_step *step = &run->pretok->steps[i];
    struct assembly a = {
        .run = run,
        .next_step = i + 1,
        .text = text,
        .at_start = at_start,
        .behavior = step->behavior,
    };
    size_t done = 0;

    while (done < len) {
        struct span match;
        int r = step->matcher.find(&step->matcher, (const unsigned char *)text, len, done, &match);
        if (r < 0)
            return r;
        if (r == 0)
            match = (struct span){.start = len, .end = len};
        r = take_stretch(&a, done, match.start, step->invert);
        if (r == 0)
            r = take_stretch(&a, match.start, match.end, !step->invert);
        if (r < 0)
            return r;
        done = match.end;
    }
    return flush(&a);
}

/* Splits whose pieces are words need none of the above: the usual last step (rule 47). */
static int split_to_words(const struct run *run, const struct pretok_step *step, const char *text,
                          size_t len) {
    size_t done = 0;
    while (done < len) {
        struct span match;
        int r = step->matcher.find(&step->matcher, (const unsigned char *)text, len, done, &match);
        if (r < 0)
            return r;
        if (r == 0)
            match = (struct span){.start = len, .end = len};
        r = 0;
        if (match.start > done)
            r = run->sink->word(run->sink->ctx, text + done, match.start - done);
        if (r == 0 && match.end > match.start)
            r = run->sink->word(run->sink->ctx, text + match.start, match.end - match.start);
        if (r < 0)
            return r;
        done = match.end;
    }
    return 0;
}

static void append_with_metaspaces(struct buf *out, const char *text, size_t len) {
    size_t i = 0;
    while (i < len) {
        const char *space = memchr(text + i, ' ', len - i);
        const size_t run = space ? (size_t)(space - text) - i : len - i;
        buf_append(out, text + i, run);
        if (space)
            buf_append(out, metaspace, 3);
        i += run + (space ? 1 : 0);
    }
}

static bool begins_with(const char *text, size_t len, const char *prefix) {
    const size_t n = strlen(prefix);
    return len >= n && memcmp(text, prefix, n) == 0;
}

/* Runs the next step on a changed copy of the text. */
static int rewrite(const struct run *run, uint32_t i, const char *text, size_t len, bool at_start) {
    const struct pretok_step *step = &run->pretok->steps[i];
    struct buf copy = {.data = NULL};

    if (step->kind == PRETOK_PREFIX_SPACE) {
        if (begins_with(text, len, " "))
            return run_step(run, i + 1, text, len, at_start);
        buf_append_char(&copy, ' ');
        buf_append(&copy, text, len);
    } else {
        const bool wanted =
            step->prefix == PREFIX_ALWAYS || (step->prefix == PREFIX_FIRST && at_start);
        if (wanted && !begins_with(text, len, " ") && !begins_with(text, len, metaspace))
            buf_append(&copy, metaspace, 3);
        append_with_metaspaces(&copy, text, len);
    }
    int r = buf_failed(&copy) ? -ENOMEM : run_step(run, i + 1, copy.data, copy.len, at_start);
    buf_fini(&copy);
    return r;
}

static int run_step(const struct run *run, uint32_t i, const char *text, size_t len,
                    bool at_start) {
    if (len == 0)
        return 0;
    if (i == run->pretok->n_steps)
        return run->sink->word(run->sink->ctx, text, len);

    const struct pretok_step *step = &run->pretok->steps[i];
    if (step->kind != PRETOK_SPLIT)
        return rewrite(run, i, text, len, at_start);
    if (step->behavior == SPLIT_ISOLATED && i + 1 == run->pretok->n_steps)
        return split_to_words(run, step, text, len);
    return split(run, i, text, len, at_start);
}

int pretok_run(const struct pretok *pretok, const char *text, size_t len, bool at_start,
               const struct pretok_sink *sink) {
    const struct run run = {.pretok = pretok, .sink = sink};
    return run_step(&run, 0, text, len, at_start);
}
