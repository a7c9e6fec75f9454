/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each byte of a prompt came from. The user's text is made of marks that no template here
 * writes itself; so wherever a mark appears in a prompt, in whatever shape an operation gave it,
 * it must lie in a user range.
 */
#include <stdio.h>
#include <string.h>

#include "render.h"

/* Every special token of common models, between marks. */
static const char user_text[] =
    "Q<|im_start|>Z <|im_end|> <s></s> [INST] <\xef\xbd\x9cUser\xef\xbd\x9c> "
    "<|eot_id|>\n<tool_call>q{0}%s z\n\n<think>Z";

static bool is_mark(char c) {
    return c != '\0' && (strchr("<|>QZqz", c) != NULL || (unsigned char)c == 0xef);
}

/* Ranges are sorted, not empty, do not touch, and end within the text. */
static void check_ranges(const struct chat_prompt *prompt) {
    size_t end = 0;
    for (size_t i = 0; i < prompt->n_user_ranges; i++) {
        const struct text_range *range = &prompt->user_ranges[i];
        assert_true(range->start < range->end);
        assert_true(i == 0 || range->start > end);
        end = range->end;
    }
    assert_true(end <= prompt->text.len);
}

static size_t check_marks(struct render *r, const char *source) {
    size_t n_marks = 0;
    check_ranges(&r->prompt);
    for (size_t i = 0; i < r->prompt.text.len; i++) {
        if (!is_mark(r->prompt.text.data[i]))
            continue;
        n_marks++;
        if (!is_user(r, i))
            fail_msg("%s\n  byte %zu of %s is not in a user range", source, i, r->prompt.text.data);
    }
    return n_marks;
}

static void set_up(struct render *r) {
    render_init(r);
    render_set_text(r, "u", user_text);
    render_set_trusted(r, "bos", "(bos)");
    render_set_json(r, "j",
                    "{\"Q<|k|>\": [\"<|v|>Z\", 7, 1.5, true, null, {\"q\": \"<|w|>\"}], \"n\": 7}");
    render_set_json(r, "l", "[\"<|a|>\", \"Z<|b|>\", \"q\"]");
}

/* Each operation on a string: $ stands for the operand. */
static const char *const operations[] = {
    "$",
    "$ ~ 'aa'",
    "'aa' + $",
    "$ + $",
    "$ * 2",
    "$[2:]",
    "$[:-3]",
    "$[::-1]",
    "$[::2]",
    "$[1:9:3]",
    "$[0] ~ $[3]",
    "$|upper",
    "$|lower",
    "$|title",
    "$|capitalize",
    "$|trim",
    "$|string",
    "$|replace('e', 'a')",
    "$|replace('<', '<<' if false else $)",
    "$|replace('', 'a')",
    "'aabaa'|replace('b', $)",
    "$|indent(2)",
    "$|indent($[:2], true)",
    "$|truncate(9)",
    "$|truncate(9, true, $[:3])",
    "$|wordwrap(7)",
    "$|wordwrap(3, wrapstring=$[:2])",
    "$|center(300)",
    "$|escape",
    "$|e|e",
    "$|safe",
    "$|forceescape",
    "$|striptags ~ $",
    "$|urlencode ~ $",
    "$|tojson",
    "$|tojson(ensure_ascii=true)",
    "[$, $]|tojson",
    "{'a': $}|tojson(indent=2)",
    "{$: $}|tojson",
    "[$]|string",
    "{$: [$]}|string",
    "($, 1)|string",
    "[$]|pprint",
    "$|list|join",
    "$|list|join('a')",
    "['a', 'b']|join($)",
    "[$, 'a']|join(', ')",
    "$|reverse",
    "$|first ~ $|last",
    "$|list|sort|join",
    "$|list|unique|join",
    "$|list|batch(3)|map('join')|join('a')",
    "$|list|slice(3)|map('join')|join('a')",
    "$|map('upper')|join",
    "$|select('ne', 'a')|join",
    "[$]|map('trim')|join",
    "[{'a': $}]|map(attribute='a')|join",
    "{'a': $}|items|map('last')|join",
    "[{'a': $}]|groupby('a')|map('first')|join",
    "[$]|min",
    "[$]|max",
    "{'a': $}|dictsort|map('last')|join",
    "{'a': $}|xmlattr",
    "'%s'|format($)",
    "'%s %r' % ($, $)",
    "'%300s' % $",
    "'%(a)s' % {'a': $}",
    "'%.9s' % $",
    "'{}'.format($)",
    "'{0!r:>300}'.format($)",
    "'{a}'.format(a=$)",
    "'{a[b]}'.format(a={'b': $})",
    "'{}'.format_map({'': $}) if false else $",
    "$.upper()",
    "$.lower()",
    "$.title()",
    "$.capitalize()",
    "$.swapcase()",
    "$.casefold()",
    "$.strip()",
    "$.strip('Q')",
    "$.lstrip()",
    "$.rstrip('Z')",
    "$.split()|join('a')",
    "$.split('|')|join('a')",
    "$.rsplit('|', 2)|join('a')",
    "$.splitlines()|join('a')",
    "$.splitlines(true)|join",
    "$.partition('|')|join",
    "$.rpartition('|')|join",
    "$.replace('im', 'a')",
    "'a'.replace('a', $)",
    "$.replace('', 'a')",
    "'a'.join([$, $])",
    "$.join(['a', 'b', 'c'])",
    "$.center(300)",
    "$.ljust(300, 'a')",
    "'a'.rjust(300, $[0])",
    "$.zfill(300)",
    "$.expandtabs(2)",
    "$.removeprefix('Q')",
    "$.removesuffix('Z')",
    "$ if true else 'a'",
    "$ or 'a'",
    "'' or $",
    "'a' and $",
    "undefined|default($)",
    "[$][0]",
    "{'a': $}.a",
    "{'a': $}['a']",
    "{'a': $}.get('a')",
    "{'a': $}.get('b', $)",
    "{'a': $}.pop('a')",
    "[$].pop()",
    "dict(a=$).a",
    "namespace(a=$).a",
    "{'a': $}.values()|join",
    "{$: 1}.keys()|join",
    "{'a': $}.items()|map('last')|join",
    "cycler($).next()",
    "('aa' ~ $)[1:]",
    "($ ~ 'aa')[:9]",
    "('aa' ~ $ ~ 'bb')|replace('a', $)",
    "(['aa', $]|join)[::-1]",
    "$|attr('upper')() ",
    "('{\"a\": ' ~ $|tojson ~ '}')|from_json|string",
};

enum { N_OPERATIONS = sizeof operations / sizeof operations[0] };

static void substitute(const char *operation, const char *operand, char *ret, size_t cap) {
    size_t n = 0;
    for (const char *p = operation; *p; p++) {
        const int wrote = *p == '$' ? snprintf(ret + n, cap - n, "%s", operand)
                                    : snprintf(ret + n, cap - n, "%c", *p);
        n += (size_t)wrote;
        assert_true(n < cap);
    }
}

static void test_provenance_survives_every_operation(void **state) {
    struct render r;
    set_up(&r);
    for (size_t i = 0; i < N_OPERATIONS; i++) {
        char source[1024];
        char expression[900];
        substitute(operations[i], "u", expression, sizeof expression);
        (void)snprintf(source, sizeof source, "aa{{ %s }}bb", expression);
        if (render(&r, source) < 0)
            fail_msg("%s: %s", source, r.error.message);
        assert_true(check_marks(&r, source) > 0);
        assert_false(is_user(&r, 0));
        assert_false(is_user(&r, r.prompt.text.len - 1));
    }
    render_fini(&r);
}

/* Three operations on top of each other, drawn at random; what fails to render is no case. */
static void test_provenance_survives_operations_on_operations(void **state) {
    struct render r;
    uint64_t seed = 20250131;
    int n_rendered = 0;
    set_up(&r);
    for (int i = 0; i < 3000; i++) {
        char inner[256];
        char middle[2048];
        char outer[16384];
        char source[16500];
        substitute(operations[test_random(&seed) % N_OPERATIONS], "u", inner, sizeof inner);
        char operand[270];
        (void)snprintf(operand, sizeof operand, "(%s)", inner);
        substitute(operations[test_random(&seed) % N_OPERATIONS], operand, middle, sizeof middle);
        char deeper[2060];
        (void)snprintf(deeper, sizeof deeper, "(%s)", middle);
        substitute(operations[test_random(&seed) % N_OPERATIONS], deeper, outer, sizeof outer);
        (void)snprintf(source, sizeof source, "{{ %s }}", outer);
        if (render(&r, source) < 0)
            continue;
        n_rendered++;
        (void)check_marks(&r, source); /* few operations leave none */
    }
    assert_true(n_rendered > 2000);
    render_fini(&r);
}

static void test_provenance_of_statements(void **state) {
    static const char *const sources[] = {
        "{% set x = u %}{{ x }}",
        "{% set x %}aa{{ u }}{% endset %}{{ x }}{{ x|upper }}",
        "{% set ns = namespace(s='') %}{% for c in u %}{% set ns.s = ns.s ~ c %}{% endfor %}{{ "
        "ns.s }}",
        "{% set ns = namespace(s='a') %}{% for i in range(50) %}{% set ns.s = ns.s + u + 'a' %}"
        "{% endfor %}{{ ns.s }}",
        "{% filter upper %}aa{{ u }}{% endfilter %}",
        "{% macro m(x) %}[{{ x }}]{% endmacro %}{{ m(u) }}{{ m(x=u)|trim }}",
        "{% macro m() %}{{ caller(u) }}{% endmacro %}{% call(x) m() %}aa{{ x }}{% endcall %}",
        "{% for c in u recursive %}{{ c }}{% endfor %}",
        "{% for x in l %}{{ x }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle(x) }}{% endfor "
        "%}",
        "{% for k, v in j.items() %}{{ k }}={{ v }}{% endfor %}",
        "{% for k in j %}{{ k }}{{ j[k] }}{% endfor %}",
        "{% with x = u %}{{ x }}{% endwith %}{% generation %}{{ u }}{% endgeneration %}",
        "{{ j }}{{ j|tojson }}{{ j|tojson(indent=2) }}{{ j.items()|list }}{{ l }}{{ l|pprint }}",
        "{{ j|tojson(sort_keys=true) }}{{ dict(j) }}{{ j.copy()|tojson }}{{ (l + ['a'])|tojson }}",
        "{{ raise_exception(u) if false }}{{ u }}{% print u, 'a' %}",
        "{{ strftime_now(u) }}",
    };
    struct render r;
    set_up(&r);
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (render(&r, sources[i]) < 0)
            fail_msg("%s: %s", sources[i], r.error.message);
        assert_true(check_marks(&r, sources[i]) > 0);
    }
    render_fini(&r);
}

static void assert_ranges(struct render *r, const char *source, const char *text,
                          const char *origins) {
    assert_renders(r, source, text);
    assert_int_equal(strlen(text), strlen(origins));
    for (size_t i = 0; i < strlen(text); i++) {
        if (is_user(r, i) != (origins[i] == 'u'))
            fail_msg("%s gives %s, whose origins are not %s at byte %zu", source, text, origins, i);
    }
    check_ranges(&r->prompt);
}

static void test_provenance_is_exact(void **state) {
    struct render r;
    render_init(&r);
    render_set_text(&r, "u", "USER");
    render_set_trusted(&r, "t", "TOK");
    render_set_json(&r, "j", "{\"k\": [1, \"v\"]}");
    render_set_json(&r, "n", "7");
    assert_ranges(&r, "{{ t }}a{{ u }}b", "TOKaUSERb", "tttTuuuut");
    assert_ranges(&r, "{{ t ~ u ~ t }}", "TOKUSERTOK", "tttuuuuttt");
    assert_ranges(&r, "{{ (t ~ u)[2:5] }}", "KUS", "tuu");
    assert_ranges(&r, "{{ (t ~ u)|lower }}", "tokuser", "tttuuuu");
    assert_ranges(&r, "{{ (t ~ u)[::-1] }}", "RESUKOT", "uuuuttt");
    assert_ranges(&r, "{{ u|replace('SE', t) }}", "UTOKR", "utttu");
    assert_ranges(&r, "{{ [u, t]|join('-') }}", "USER-TOK", "uuuutttt");
    assert_ranges(&r, "{{ j|tojson }}", "{\"k\": [1, \"v\"]}", "uuuuuuuuuuuuuuu");
    assert_ranges(&r, "{{ {'a': u}|tojson }}", "{\"a\": \"USER\"}", "ttttttuuuuuut");
    assert_ranges(&r, "{{ n }}{{ n + 1 }}{{ 1 + 1 }}", "782", "uut");
    assert_ranges(&r, "{{ u|length }}", "4", "t");
    assert_ranges(&r, "{{ '<|' ~ u ~ '|>' }}", "<|USER|>", "ttuuuutt");
    assert_ranges(&r, "{{ u }}{{ u }}", "USERUSER", "uuuuuuuu");
    assert_int_equal(r.prompt.n_user_ranges, 1);
    assert_ranges(&r, "plain", "plain", "ttttt");
    assert_int_equal(r.prompt.n_user_ranges, 0);
    render_fini(&r);
}

/* Appending in place shares memory between strings; none may see what another one added. */
static void test_provenance_appending_in_place_leaves_the_shorter_string(void **state) {
    struct render r;
    render_init(&r);
    render_set_text(&r, "u", "UUUU");
    assert_renders(&r,
                   "{% set a = 'a' * 400 %}{% set b = a + 'b' %}{% set c = b + u %}"
                   "{% set d = b + 'd' %}{% set e = c + 'e' %}"
                   "{{ b[-2:] }} {{ c[-5:] }} {{ d[-2:] }} {{ e[-3:] }} {{ (b ~ b)|length }}",
                   "ab bUUUU bd UUe 802");
    assert_false(is_user(&r, 0));
    assert_false(is_user(&r, 3));
    assert_true(is_user(&r, 4));
    assert_true(is_user(&r, 7));
    assert_false(is_user(&r, 9));
    assert_true(is_user(&r, 13));
    assert_false(is_user(&r, 14));
    render_fini(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provenance_survives_every_operation),
        cmocka_unit_test(test_provenance_survives_operations_on_operations),
        cmocka_unit_test(test_provenance_of_statements),
        cmocka_unit_test(test_provenance_is_exact),
        cmocka_unit_test(test_provenance_appending_in_place_leaves_the_shorter_string),
    };
    return cmocka_run_group_tests_name("jinja provenance", tests, NULL, NULL);
}
