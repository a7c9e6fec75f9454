#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes expressions.jsonl: small templates and what Jinja2 makes of them.

    pip install jinja2==3.1.6
    python3 make_expressions.py > expressions.jsonl

The environment is that of transformers' apply_chat_template, but lists and dicts may be changed,
since published templates do. Each line: template, vars, and output or error ("Type: words").
"""

import datetime
import json
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

NOW = datetime.datetime(2025, 1, 31, 12, 0, 0)


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_render")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def environment():
    env = jinja2.sandbox.SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = NOW.strftime
    return env


VARS = {
    "n": 7, "f": 2.5, "neg": -3, "zero": 0, "big": 9007199254740993, "t": True, "no": False,
    "none": None, "s": "Hello, World", "empty": "", "u": "Grüße, 世界 😀", "sp": "  a b  ",
    "quote": "it's \"quoted\"\n\t\\", "lines": "one\ntwo\r\nthree\n\n  four\n",
    "xs": [3, 1, 2], "ws": ["b", "A", "c", "a"], "nest": [[1, 2], [3, [4]]], "el": [],
    "d": {"b": 1, "a": 2, "items": "shadow", "C": None},
    "users": [
        {"name": "Bob", "age": 30, "city": "Rome", "on": True},
        {"name": "alice", "age": 25, "city": "Oslo", "on": False},
        {"name": "Carol", "age": 30, "city": "rome", "on": True, "x": {"y": [10, 20]}},
    ],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi <|im_end|>"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "function": {"name": "f", "arguments": {"q": "é", "n": 1.0}}}]},
        {"role": "tool", "content": "18C"},
    ],
    "tree": [{"v": 1, "c": [{"v": 2, "c": [{"v": 3, "c": []}]}, {"v": 4, "c": []}]}],
}


def expressions():
    """Each becomes {{ expression }}."""
    with open(__file__.replace("make_expressions.py", "expressions.txt"), encoding="utf-8") as f:
        for line in f:
            line = line.rstrip("\n")
            if line and not line.startswith("## "):
                yield line


def templates():
    """Whole templates, separated by lines of ====."""
    with open(__file__.replace("make_expressions.py", "templates.txt"), encoding="utf-8",
              newline="") as f:
        for text in f.read().split("\n====\n"):
            if text:
                yield text
    yield "a\r\nb\r\n{% if 1 %}\r\nc\r\n{% endif %}\r\n"
    yield "a\rb\r"
    yield "{{ 'x\r\ny'|length }}"


def used(source):
    """The variables that a template mentions: the others would only make the file long."""
    names = jinja2.meta.find_undeclared_variables(environment().parse(source))
    return {k: v for k, v in VARS.items() if k in names}


def record(source):
    result = {"template": source, "vars": VARS}
    try:
        result["vars"] = used(source)
        # The variables go through JSON, so that a template cannot change them for the next.
        template = environment().from_string(source)
        result["output"] = template.render(**json.loads(json.dumps(result["vars"])))
        if " at 0x" in result["output"]:
            raise ValueError("the text is an address")
    except Exception as e:  # every kind of failure is a case
        result["vars"] = result["vars"] if len(result["vars"]) < len(VARS) else {}
        result.pop("output", None)
        result["error"] = f"{type(e).__name__}: {e}"
    return result


def main():
    import jinja2.meta  # noqa: F401 (used() needs it loaded)
    for expression in expressions():
        print(json.dumps(record("{{ " + expression + " }}"), ensure_ascii=False))
    for template in templates():
        print(json.dumps(record(template), ensure_ascii=False))
    return 0


sys.exit(main())
