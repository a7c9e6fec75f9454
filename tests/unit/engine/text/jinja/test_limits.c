/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A template comes from a model file, its variables from a client: neither may take more than the
 * limits say, nor end the process. Each shape here did so to some server.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "render.h"

#include "kvasir/clock.h"
#include "kvasir/mem.h"

/* before, n times; middle; after, n times. */
static char *repeated(const char *before, const char *middle, const char *after, size_t n) {
    struct buf text = {.data = NULL};
    for (size_t i = 0; i < n; i++)
        buf_append_str(&text, before);
    buf_append_str(&text, middle);
    for (size_t i = 0; i < n; i++)
        buf_append_str(&text, after);
    size_t len;
    char *data = buf_take(&text, &len);
    assert_non_null(data);
    return data;
}

static void test_limits_nesting_in_the_source_is_refused(void **state) {
    static const char *const shapes[][3] = {
        {"{% if 1 %}", "", "{% endif %}"},
        {"{% for i in [1] %}", "", "{% endfor %}"},
        {"{% filter upper %}", "", "{% endfilter %}"},
        {"{% set x %}", "", "{% endset %}"},
        {"{% with %}", "", "{% endwith %}"},
        {"{% macro m() %}", "", "{% endmacro %}"},
        {"{{ (", "1", ") }}"},
        {"[", "1", "]"},
        {"{{ {1:", "1", "} }}"},
        {"{{ f(", "1", ") }}"},
        {"{{ a[", "1", "] }}"},
        {"{{ not ", "1", " }}"},
        {"{{ -", "1", " }}"},
        {"{{ 1 if 1 else ", "1", " }}"},
        {"{% set (", "x", ") = 1 %}"},
        {"{{ 1 is divisibleby(", "1", ") }}"},
        {"{{ a|f(", "1", ") }}"},
    };
    struct render r;
    render_init(&r);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        /* An opening that begins a tag is repeated only in what follows the {{. */
        const char *open = shapes[i][0];
        const bool output = strncmp(open, "{{ ", 3) == 0 || open[0] == '[';
        const bool set = strncmp(open, "{% set (", 8) == 0;
        char *inner = repeated(output && open[0] != '[' ? open + 3
                               : set                    ? "("
                                                        : open,
                               shapes[i][1], "", 5500);
        struct buf source = {.data = NULL};
        buf_append_str(&source, output ? "{{ " : set ? "{% set " : "");
        buf_append_str(&source, inner);
        assert_int_equal(render_bytes(&r, source.data, source.len), -EINVAL);
        if (!strstr(r.error.message, "deep"))
            fail_msg("%s: %s", open, r.error.message);
        buf_fini(&source);
        test_release(inner);
    }
    render_fini(&r);
}

static void test_limits_long_chains_are_no_nesting(void **state) {
    static const char *const chains[][3] = {
        {"{{ 1", " + 1", " }}"},           {"{{ 1", " - 1 + 1", " }}"},
        {"{{ 'a'", " ~ 'a'", " }}"},       {"{{ 1", " and 1", " }}"},
        {"{{ 0", " or 0", " }}"},          {"{{ 1", " == 1 ", " }}"},
        {"{{ 1", "|abs", " }}"},           {"{{ 1", " * 1", " }}"},
        {"{{ [", "1,", "]|length }}"},     {"", "{{ 1 }}", ""},
        {"", "{% if 0 %}{% endif %}", ""}, {"{% if 0 %}", "{% elif 0 %}", "{% endif %}"},
    };
    struct render r;
    render_init(&r);
    for (size_t i = 0; i < sizeof chains / sizeof chains[0]; i++) {
        char *middle = repeated(chains[i][1], "", "", 20000);
        struct buf source = {.data = NULL};
        buf_append_str(&source, chains[i][0]);
        buf_append_str(&source, middle);
        buf_append_str(&source, chains[i][2]);
        if (render_bytes(&r, source.data, source.len) < 0)
            fail_msg("%s...: %s", chains[i][0], r.error.message);
        buf_fini(&source);
        test_release(middle);
    }
    render_fini(&r);
}

static void test_limits_endless_work_is_stopped(void **state) {
    static const char *const bombs[][2] = {
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deep"},
        {"{% macro m() %}{% if 1 %}{% for i in [1] %}{{ [m()]|join }}{% endfor %}{% endif %}"
         "{% endmacro %}{{ m() }}",
         "deep"},
        {"{% macro m() %}{{ caller() }}{% endmacro %}{% macro w() %}{% call m() %}{{ w() }}"
         "{% endcall %}{% endmacro %}{{ w() }}",
         "deep"},
        {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "deep"},
        {"{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}x"
         "{% endfor %}{% endfor %}{% endfor %}",
         "more than"},
        {"{{ range(999999999999) }}", "Range too big"},
        {"{% set ns = namespace(l=range(99999)|list) %}{% for i in range(99) %}"
         "{% set ns.l = ns.l + ns.l %}{% endfor %}",
         "more than"},
        {"{% set ns = namespace(s='abcdefgh') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s "
         "%}"
         "{% endfor %}",
         "more than"},
        {"{{ 'a' * 999999999999 }}", "more than"},
        {"{{ [1] * 999999999999 }}", "more than"},
        {"{{ 'a'.center(999999999999) }}", "memory"},
        {"{{ 'a'|indent(999999999999) }}", "memory"},
        {"{{ '%999999999999d' % 1 }}", "too large"},
        {"{{ '{:999999999999}'.format(1) }}", "invalid format"},
        {"{{ [1]|tojson(indent=999999999999) }}", "memory"},
        {"{{ 'a b'|wordwrap(1, wrapstring='x' * 9999999) * 99 }}", "more than"},
        {"{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "more than"},
        {"{{ 9999999999 ** 99 }}", "64 bits"},
        {"{{ 2 ** 9999999999999 }}", "64 bits"},
        {"{% set l = [] %}{% set _ = l.append(l) %}{{ l }}", "deep"},
        {"{% set l = [] %}{% set _ = l.append(l) %}{{ l|tojson }}", "deep"},
        {"{% set l = [] %}{% set _ = l.append(l) %}{{ l|pprint }}", "deep"},
        {"{% set d = {} %}{% set _ = d.update(a=d) %}{{ d }}", "deep"},
        {"{% set ns = namespace(g=[1]) %}{% for i in range(999) %}"
         "{% set ns.g = ns.g|map('string') %}{% endfor %}{{ ns.g|list }}",
         "on top of each other"},
        {"{% set ns = namespace(t=()) %}{% for i in range(9999) %}{% set ns.t = (ns.t,) %}"
         "{% endfor %}{{ ns.t }}",
         "deep"},
        {"{% for x in xs %}{% set _ = xs.append(1) %}{% endfor %}", "more than"},
        {"{% set s = 'ab' * 4000000 %}{% for i in range(99999) %}{{ s.count('ba') }}{% endfor %}",
         "more than"},
        {"{% set s = ('a' * 400000) ~ 'é' %}{% for i in range(99999) %}{% set c = s[399999] %}"
         "{% endfor %}",
         "more than"},
        {"{{ ('[' * 5000)|from_json }}", "deep"},
        /* Lists that share their parts: 60 of them print and compare as 2^60. */
        {"{% set ns = namespace(a=1, b=1) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
         "{% set ns.b = [ns.b, ns.b] %}{% endfor %}{{ ns.a == ns.b }}",
         "steps"},
        {"{% set ns = namespace(a=1) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}"
         "{% endfor %}{{ ns.a }}",
         "more than"},
        {"{% set ns = namespace(a=1) %}{% for i in range(60) %}{% set ns.a = (ns.a, ns.a) %}"
         "{% endfor %}{{ {ns.a: 1} }}",
         "unhashable"},
        {"{% set ns = namespace(a={}) %}{% for i in range(60) %}{% set ns.a = {1: ns.a, 2: ns.a} %}"
         "{% endfor %}{{ ns.a|tojson }}",
         "more than"},
    };
    struct render r;
    render_init(&r);
    render_set_json(&r, "xs", "[1]");
    /* The other limits are under test: a slow build must not meet that of time before them. */
    r.limits.max_time_us = 60 * 1000000ull;
    for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
        const uint64_t start = clock_now_us();
        assert_refuses(&r, bombs[i][0], bombs[i][1]);
        const uint64_t took = clock_now_us() - start;
        if (took > 20 * 1000000ull) /* under sanitizers, on a busy machine */
            fail_msg("%s took %llu us", bombs[i][0], (unsigned long long)took);
    }
    render_fini(&r);
}

/* Compared, not printed: equality of lists that hold themselves ends too. */
static void test_limits_comparing_endless_lists_ends(void **state) {
    struct render r;
    render_init(&r);
    assert_renders(
        &r,
        "{% set a = [] %}{% set b = [] %}{% set _ = a.append(a) %}{% set _ = b.append(b) %}"
        "{{ a == b }}{{ a == a }}{{ a in b }}",
        "FalseTrueFalse");
    render_fini(&r);
}

static void test_limits_each_can_be_set(void **state) {
    struct render r;
    render_init(&r);
    r.limits = (struct chat_limits){.max_steps = 1000};
    assert_refuses(&r, "{% for i in range(999) %}{% endfor %}", "1000 steps");
    r.limits = (struct chat_limits){.max_output_bytes = 10};
    assert_renders(&r, "0123456789", "0123456789");
    assert_refuses(&r, "0123456789a", "10 bytes");
    r.limits = (struct chat_limits){.max_memory_bytes = 10000};
    assert_refuses(&r, "{{ 'a' * 10000 }}", "10000 bytes of memory");
    r.limits = (struct chat_limits){.max_depth = 3};
    assert_renders(&r, "{% macro m(n) %}{{ m(n - 1) if n > 1 else 'x' }}{% endmacro %}{{ m(3) }}",
                   "x");
    assert_refuses(&r, "{% macro m(n) %}{{ m(n - 1) if n > 1 else 'x' }}{% endmacro %}{{ m(4) }}",
                   "3 deep");
    r.limits = (struct chat_limits){.max_time_us = 1, .max_steps = 1ull << 40};
    assert_refuses(&r, "{% for i in range(99999) %}{% endfor %}", "longer than");
    render_fini(&r);
}

static void test_limits_deep_variables_are_refused(void **state) {
    struct render r;
    render_init(&r);
    struct chat_value *value = chat_list(&r.arena);
    for (int i = 0; i < 100000; i++) {
        struct chat_value *outer = chat_list(&r.arena);
        assert_int_equal(chat_list_add(&r.arena, outer, value), 0);
        value = outer;
    }
    render_set(&r, "deep", value);
    assert_refuses(&r, "{{ deep|tojson }}", "deep");
    assert_renders(&r, "not touched", "not touched");
    render_fini(&r);
}

/* Searching is linear whatever is searched for, forwards and backwards. */
static void test_limits_searching_is_linear(void **state) {
    static const char *const sources[] = {
        "{% set h = 'a' * 4000000 %}{% set n = 'a' * 2000000 ~ 'b' %}"
        "{{ n in h }}{{ h.find(n) }}{{ h.count(n) }}{{ h.rfind('b' ~ 'a' * 2000000) }}"
        "{{ h.replace(n, '')|length }}{{ h.split(n)|length }}",
        "{% set h = 'ab' * 2000000 %}{% set n = 'ab' * 1000000 ~ 'b' %}"
        "{{ n in h }}{{ h.find(n) }}{{ h.count(n) }}{{ h.rfind('bb' ~ 'ab' * 1000000) }}"
        "{{ h.replace(n, '')|length }}{{ h.split(n)|length }}",
    };
    struct render r;
    render_init(&r);
    for (size_t i = 0; i < 2; i++)
        assert_renders(&r, sources[i], "False-10-140000001");
    assert_renders(&r, "{{ ('<' * 1000000)|striptags|length }}", "1000000");
    assert_renders(&r, "{{ ('-' * 300000)|wordwrap(300000)|length }}", "300000");
    render_fini(&r);
}

struct countdown {
    uint64_t left;
};

static bool fails_at_zero(void *ctx, size_t size) {
    struct countdown *countdown = ctx;
    return countdown->left-- == 0;
}

/* Every allocation fails in turn: -ENOMEM (or the whole success), nothing lost (sanitizers). */
static void test_limits_every_allocation_may_fail(void **state) {
    static const char source[] =
        "{% macro m(a, b=2) %}{{ a }}{{ varargs }}{{ kwargs }}{{ caller() }}{% endmacro %}"
        "{% call m(1, 2, 3, x=4) %}{{ u|upper }}{% endcall %}"
        "{% set ns = namespace(s='') %}{% for c in u * 40 if c != 'x' %}"
        "{% set ns.s = ns.s ~ c %}{{ loop.length }}{% endfor %}{{ ns.s }}"
        "{{ j|tojson(indent=2) }}{{ j|pprint }}{{ u.split('|')|sort|join(',') }}"
        "{{ '%s {}' % u }}{{ '{:>40}'.format(u) }}{{ u|wordwrap(3) }}{{ ('[1]' * 1)|from_json }}"
        "{{ [u, u]|unique|list }}{{ j.items()|groupby(0)|list }}{% filter trim %} a {% endfilter "
        "%}";
    bool succeeded = false;
    for (uint64_t n = 0; !succeeded; n++) {
        struct render r;
        render_init(&r);
        render_set_text(&r, "u", "a<|b|> c");
        render_set_json(&r, "j", "{\"a\": [1, 2, {\"b\": null}], \"c\": \"d\"}");
        struct countdown countdown = {.left = n};
        mem_set_fault_hook(fails_at_zero, &countdown);
        const int result = render(&r, source);
        mem_set_fault_hook(NULL, NULL);
        succeeded = result == 0;
        if (!succeeded && result != -ENOMEM)
            fail_msg("allocation %llu: %s", (unsigned long long)n, r.error.message);
        render_fini(&r);
        assert_true(n < 10000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_nesting_in_the_source_is_refused),
        cmocka_unit_test(test_limits_long_chains_are_no_nesting),
        cmocka_unit_test(test_limits_endless_work_is_stopped),
        cmocka_unit_test(test_limits_comparing_endless_lists_ends),
        cmocka_unit_test(test_limits_each_can_be_set),
        cmocka_unit_test(test_limits_deep_variables_are_refused),
        cmocka_unit_test(test_limits_searching_is_linear),
        cmocka_unit_test(test_limits_every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("jinja limits", tests, NULL, NULL);
}
