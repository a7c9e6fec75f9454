/* SPDX-License-Identifier: Apache-2.0 */
#include "normal.h"

#include <errno.h>
#include <string.h>

int normal_add(struct normalizer *normalizer, const struct normal_step *step,
               struct error *reterr) {
    if (normalizer->n_steps == NORMAL_MAX_STEPS)
        return error_set(reterr, -ENOTSUP, "more than %d normalizer steps", NORMAL_MAX_STEPS);
    normalizer->steps[normalizer->n_steps++] = *step;
    return 0;
}

static const char *find_string(const char *text, size_t len, const struct normal_string *string) {
    while (len >= string->len) {
        const char *at = memchr(text, string->bytes[0], len - string->len + 1);
        if (!at)
            return NULL;
        if (memcmp(at, string->bytes, string->len) == 0)
            return at;
        len -= (size_t)(at - text) + 1;
        text = at + 1;
    }
    return NULL;
}

static void replace(const struct normal_step *step, const char *text, size_t len, struct buf *out) {
    const char *at;
    while ((at = find_string(text, len, &step->from))) {
        buf_append(out, text, (size_t)(at - text));
        buf_append(out, step->to.bytes, step->to.len);
        len -= (size_t)(at - text) + step->from.len;
        text = at + step->from.len;
    }
    buf_append(out, text, len);
}

/* True if the step would only copy the text. */
static bool changes_nothing(const struct normal_step *step, const char *text, size_t len,
                            bool at_start) {
    switch (step->kind) {
    case NORMAL_PREPEND:
        return len == 0 || !at_start;
    case NORMAL_REPLACE:
        return !find_string(text, len, &step->from);
    default:
        return normal_is_stable(step->kind, text, len);
    }
}

static int apply(const struct normal_step *step, const char *text, size_t len, struct buf *out) {
    switch (step->kind) {
    case NORMAL_PREPEND:
        buf_append(out, step->to.bytes, step->to.len);
        buf_append(out, text, len);
        break;
    case NORMAL_REPLACE:
        replace(step, text, len, out);
        break;
    default:
        return normal_unicode(step->kind, text, len, out);
    }
    return buf_failed(out) ? -ENOMEM : 0;
}

int normal_run(const struct normalizer *normalizer, const char *text, size_t len, bool at_start,
               struct buf scratch[2], const char **ret_text, size_t *ret_len) {
    uint32_t next = 0; /* the scratch that does not hold text */

    for (uint32_t i = 0; i < normalizer->n_steps; i++) {
        const struct normal_step *step = &normalizer->steps[i];
        if (changes_nothing(step, text, len, at_start))
            continue;
        struct buf *out = &scratch[next];
        buf_clear(out);
        int r = apply(step, text, len, out);
        if (r < 0)
            return r;
        text = out->data ? out->data : "";
        len = out->len;
        next = 1 - next;
    }
    *ret_text = text;
    *ret_len = len;
    return 0;
}
