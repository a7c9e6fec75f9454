/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The for loop and its variable loop. Items are taken one by one, and filtered (for .. if) as
 * they are taken; loop.last and loop.nextitem look one item ahead, loop.length all of them.
 */
#include <string.h>

#include "exec.h"
#include "ops.h"
#include "text.h"

/* Whether the item passes the loop's if, which sees the item but nothing of the loop's body. */
static bool passes(struct interp *in, struct loop *loop, struct value item) {
    if (!loop->filtered)
        return true;

    struct scope *scope = in->scope;
    struct scope *inner = scope_new(in, loop->outer);
    if (!inner)
        return false;
    in->scope = inner;
    exec_assign(in, loop->def->target, item);
    const bool result = value_truth(eval(in, loop->def->test));
    in->scope = scope;
    return result;
}

static bool take_source(struct interp *in, struct loop *loop, struct value *ret) {
    while (iter_next(in, &loop->source, ret)) {
        if (passes(in, loop, *ret))
            return !in->failed;
    }
    return false;
}

static bool peek(struct interp *in, struct loop *loop) {
    if (!loop->has_after)
        loop->has_after = take_source(in, loop, &loop->after);
    return loop->has_after;
}

static bool advance(struct interp *in, struct loop *loop) {
    if (!peek(in, loop))
        return false;
    loop->has_after = false;
    loop->index0++;
    loop->before = loop->current;
    loop->current = loop->after;
    return true;
}

/* The number of items; of a filtered loop or a generator, by taking the rest into a list. */
static int64_t length(struct interp *in, struct loop *loop) {
    if (loop->length >= 0)
        return loop->length;
    if (!loop->filtered && op_has_length(loop->items))
        return loop->length = op_length(in, loop->items);

    struct seq *rest = interp_seq(in, 0);
    struct value item;
    while (take_source(in, loop, &item))
        interp_add(in, rest, item);
    loop->length = loop->index0 + 1 + (loop->has_after ? 1 : 0) + (int64_t)rest->n;
    loop->filtered = false; /* what was taken has passed */
    loop->source = iter_init(in, value_seq(V_LIST, rest));
    return loop->length;
}

static struct value loop_value(struct loop *loop) {
    return (struct value){.kind = V_LOOP, .loop = loop};
}

/* Only if the template mentions loop at all. */
static void bind_loop(struct interp *in, struct loop *loop) {
    if (in->loop_name)
        scope_set(in, in->scope, in->loop_name, loop_value(loop));
}

static enum flow run_item(struct interp *in, struct loop *loop) {
    struct scope *inner = scope_new(in, loop->outer);
    if (!inner)
        return FLOW_BREAK;
    in->scope = inner;
    bind_loop(in, loop);
    exec_assign(in, loop->def->target, loop->current);
    const enum flow flow = exec_body(in, &loop->def->body);
    in->scope = loop->outer;
    return flow;
}

void loop_run(struct interp *in, const struct for_def *def, struct value items, struct scope *outer,
              int64_t depth0) {
    struct loop *loop = interp_alloc(in, 1, sizeof *loop);
    if (!loop)
        return;
    *loop = (struct loop){
        .def = def,
        .outer = outer,
        .items = items,
        .source = iter_init(in, items),
        .index0 = -1,
        .length = -1,
        .depth0 = depth0,
        .filtered = def->test != NULL,
    };
    struct scope *scope = in->scope;
    in->scope = outer;
    while (!in->failed && advance(in, loop)) {
        if (run_item(in, loop) == FLOW_BREAK)
            break;
    }
    if (loop->index0 < 0 && !in->failed && def->otherwise.n > 0) {
        in->scope = scope_new(in, outer);
        if (in->scope)
            (void)exec_body(in, &def->otherwise); /* the parser keeps break out of it */
    }
    in->scope = scope;
}

struct value loop_attribute(struct interp *in, struct loop *loop, const struct str *name) {
    if (str_is(name, "index"))
        return value_int(loop->index0 + 1);
    if (str_is(name, "index0"))
        return value_int(loop->index0);
    if (str_is(name, "first"))
        return value_bool(loop->index0 == 0);
    if (str_is(name, "last"))
        return value_bool(!peek(in, loop));
    if (str_is(name, "length"))
        return value_int(length(in, loop));
    if (str_is(name, "revindex"))
        return value_int(length(in, loop) - loop->index0);
    if (str_is(name, "revindex0"))
        return value_int(length(in, loop) - loop->index0 - 1);
    if (str_is(name, "depth"))
        return value_int(loop->depth0 + 1);
    if (str_is(name, "depth0"))
        return value_int(loop->depth0);
    if (str_is(name, "previtem"))
        return loop->index0 == 0 ? value_undefined("there is no previous item") : loop->before;
    if (str_is(name, "nextitem"))
        return peek(in, loop) ? loop->after : value_undefined("there is no next item");
    return (struct value){.kind = V_MISSING};
}

/* loop(children): the body again, over other items, one level deeper; what it prints. */
struct value loop_call(struct interp *in, struct loop *loop, const struct args *args) {
    if (!loop->def->recursive)
        interp_fail(in, "the loop must have the 'recursive' marker to be called recursively");
    if (args->n_pos != 1 || args->n_kw != 0)
        interp_fail(in, "loop() takes one argument, what to loop over");
    if (in->calls >= in->limits.max_depth)
        interp_fail(in, "calls are nested more than %u deep", in->limits.max_depth);
    if (in->failed || !interp_enter(in))
        return value_none();

    struct strb captured = interp_builder(in);
    struct strb *out = in->out;
    in->out = &captured;
    in->calls++;
    loop_run(in, loop->def, args->pos[0], loop->outer, loop->depth0 + 1);
    in->calls--;
    in->out = out;
    interp_leave(in);
    return interp_take(in, &captured);
}
