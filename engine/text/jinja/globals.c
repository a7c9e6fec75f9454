/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that every template can call by name. */
#include <string.h>
#include <time.h>

#include "exec.h"
#include "iter.h"
#include "methods.h"
#include "ops.h"
#include "text.h"

enum { MAX_RANGE = 100000 }; /* as the sandbox's */

static BUILTIN(global_range) {
    struct range *range = interp_alloc(in, 1, sizeof *range);
    if (!range)
        return value_none();
    const bool one = args->pos[1].kind == V_MISSING;
    const int64_t start = one ? 0 : arg_int(in, args, 0, 0);
    const int64_t stop = arg_int(in, args, one ? 0 : 1, 0);
    const int64_t step = arg_int(in, args, 2, 1);
    *range = (struct range){.start = start, .stop = stop, .step = step};
    if (step == 0)
        interp_fail(in, "range() arg 3 must not be zero");
    else if (start > INT64_MAX / 4 || start < -INT64_MAX / 4 || stop > INT64_MAX / 4 ||
             stop < -INT64_MAX / 4 || step > INT64_MAX / 4 || step < -INT64_MAX / 4)
        interp_fail(in, "range(): a number is too large");
    else if (step > 0 && stop > start)
        range->n = (stop - start - 1) / step + 1;
    else if (step < 0 && start > stop)
        range->n = (start - stop - 1) / -step + 1;
    if (range->n > MAX_RANGE) {
        interp_fail(in, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                    MAX_RANGE);
        range->n = 0;
    }
    return (struct value){.kind = V_RANGE, .range = range};
}

static BUILTIN(global_dict) {
    struct dict *dict = interp_dict(in);
    dict_merge_args(in, dict, "dict", args);
    return value_dict(dict);
}

static BUILTIN(global_namespace) {
    struct value v = global_dict(in, self, args);
    v.kind = V_NAMESPACE;
    return v;
}

static BUILTIN(global_cycler) {
    struct cycler *cycler = interp_alloc(in, 1, sizeof *cycler);
    if (args->n_pos == 0)
        interp_fail(in, "at least one item has to be provided");
    if (!cycler)
        return value_none();
    cycler->items = interp_seq(in, args->n_pos);
    for (size_t i = 0; i < args->n_pos; i++)
        interp_add(in, cycler->items, args->pos[i]);
    return (struct value){.kind = V_CYCLER, .cycler = cycler};
}

static BUILTIN(global_joiner) {
    struct joiner *joiner = interp_alloc(in, 1, sizeof *joiner);
    if (!joiner)
        return value_none();
    joiner->separator = args->pos[0].kind == V_MISSING ? interp_text(in, ", ") : args->pos[0];
    return (struct value){.kind = V_JOINER, .joiner = joiner};
}

/* The template's own refusal: its words stand first in the message. */
static BUILTIN(global_raise_exception) {
    const struct str *words = text_of(in, args->pos[0]).str;
    interp_fail(in, "%.*s", (int)words->len, words->bytes);
    return value_none();
}

/* One directive of a date format, as datetime.now().strftime does it: naive, so no zone. */
static void append_directive(struct interp *in, struct strb *b, const struct tm *tm,
                             const char *directive) {
    char text[128];
    const char type = directive[strlen(directive) - 1];
    if (type == 'z' || type == 'Z')
        return;
    if (type == 'f') {
        strb_append_text(b, "000000");
        return;
    }
    if (type == 's') {
        const struct value seconds = value_int(in->now.unix_seconds);
        text_append(in, b, seconds);
        return;
    }
    const size_t n = strftime(text, sizeof text, directive, tm); /* in the C locale */
    strb_append(b, text, n, /* user= */ false);
}

static BUILTIN(global_strftime_now) {
    const struct str *format = arg_str(in, args, 0, NULL);
    const time_t local = (time_t)(in->now.unix_seconds + in->now.utc_offset_s);
    struct tm tm;
    if (!gmtime_r(&local, &tm)) {
        interp_fail(in, "strftime_now: the time is out of range");
        return value_none();
    }
    struct strb b = interp_builder(in);
    for (size_t i = 0; i < format->len && interp_charge(in, 1);) {
        const bool flagged = i + 2 < format->len && text_is_one_of(format->bytes[i + 1], "-_0^#EO");
        const size_t n = flagged ? 3 : 2;
        if (format->bytes[i] != '%' || i + n > format->len) {
            strb_append_part(&b, format, i, i + 1);
            i++;
            continue;
        }
        char directive[4] = "";
        memcpy(directive, format->bytes + i, n);
        append_directive(in, &b, &tm, directive);
        i += n;
    }
    return interp_take(in, &b);
}

static const struct builtin globals[] = {
    {"cycler", NULL, global_cycler},
    {"dict", NULL, global_dict},
    {"joiner", "sep?", global_joiner},
    {"namespace", NULL, global_namespace},
    {"raise_exception", "message", global_raise_exception},
    {"range", "start stop? step?", global_range},
    {"strftime_now", "format", global_strftime_now},
};

const struct builtin *global_find(const char *name, size_t len) {
    return builtin_find(globals, sizeof globals / sizeof globals[0], name, len);
}
