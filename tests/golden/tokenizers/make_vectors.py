#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes vectors.jsonl and variants.jsonl with the reference implementation.

    pip install tokenizers==0.23.3; python3 make_vectors.py

vectors.jsonl: texts for the three tiny tokenizers beside this file. variants.jsonl: tokenizers
that differ from one of the three in some members of tokenizer.json, which each line holds in
"parts"; the test puts them into the file and expects the same ids.
"""
import copy
import json
import random
import unicodedata

from tokenizers import Tokenizer

NAMES = ["qwen", "llama3", "spm"]
TEXTS = [
    "", " ", "  ", "\n", "\n\n", "a", "Hello world", "Hello   world\n\n  x", " leading", "trailing ",
    "don't I'LL it'S we'RE 'tis", "it'\u017f", "x \n y", "\r\n\r\n a\t\tb", "3.14159 1234567 \u00b2\u00bd\u0663",
    "foo_bar(baz) == qux!!! //\n/\n", "HTTPServer camelCase \u00c9cole na\u00efve", "e\u0301 \u212b \u1e9b\u0323 \ufb01",
    "\u0301\u0323a\u0323\u0301", "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4ec0\u4e48", "\u3053\u3093\u306b\u3061\u306f \u30ab\u30bf\u30ab\u30ca\u30fb\u30c6\u30b9\u30c8", "\ud55c\uad6d\uc5b4 \u0939\u093f\u0928\u094d\u0926\u0940",
    "\U0001f642\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u00a0\u3000\u2028x\u0085y\u1680z", "<|im_start|>user\nhi<|im_end|>\n",
    "a<|begin_of_text|>b<|eot_id|>", "<s>a</s> b<unk>", "<|im_<|im_end|>end|>", "\u2581a \u2581\u2581 b", "<0x0A>\x00\x01\x7f",
    "the theory of the the", "\u01c5\u02b0A\u0301bC\u4e2dD", "<a> x <b>  y  <c>  z", "foo foobar food bar. bar1 \u00e9bar",
    "dont don't  the  'S", "<s1> \u00c5 \u00e9 \u4e16\u754c\u4e16",
]
SPLIT_REGEX = "\\p{L}{2}|[0-9]+ ?"


def random_text(r):
    blocks = [(0x20, 0x7E)] * 4 + [(9, 13), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x900, 0x97F),
              (0x1100, 0x11FF), (0x2000, 0x206F), (0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3),
              (0xF900, 0xFAFF), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF), (0x1F300, 0x1F6FF)]
    text = ""
    while len(text) < r.randint(1, 40):
        c = chr(r.randint(*r.choice(blocks)))
        if unicodedata.category(c) != "Cn":
            text += c
        elif r.random() < 0.5:
            text += r.choice(TEXTS)
    return text


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def metaspace(scheme, cut):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": cut}


def added(base):
    flags = [("<a>", "l"), ("<b>", "r"), ("<c>", "lr"), ("foo", "w"), ("foobar", ""), ("bar", "wn"), ("\u4e16", "l"),
             ("\u4e16\u754c", ""), ("  ", ""), ("\n", "r"), ("<s1>", "sl"), ("<s2>", "sn"), ("don't", "n"), (" the", "nw"),
             ("'S", "")]
    return base["added_tokens"] + [
        {"id": 512 + i, "content": content, "single_word": "w" in f, "lstrip": "l" in f, "rstrip": "r" in f,
         "normalized": "n" in f, "special": "s" in f} for i, (content, f) in enumerate(flags)]


def variants(bases, families):
    for family, patterns in families.items():
        yield "qwen", {"normalizer": None, "pre_tokenizer": sequence(*[split(p) for p in patterns], byte_level())}
    for behavior in ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        for invert in [False, True]:
            yield "qwen", {"pre_tokenizer": sequence(split(SPLIT_REGEX, behavior, invert), byte_level())}
            yield "qwen", {"pre_tokenizer": sequence(split(" ", behavior, invert, "String"), byte_level())}
    for individual in [False, True]:
        digits = {"type": "Digits", "individual_digits": individual}
        yield "qwen", {"pre_tokenizer": sequence(digits, byte_level(True, True))}
    yield "qwen", {"pre_tokenizer": byte_level(True, True),
                   "post_processor": {"type": "RobertaProcessing", "sep": ["<|im_end|>", 511],
                                      "cls": ["<|im_start|>", 510], "trim_offsets": True, "add_prefix_space": True}}
    yield "qwen", {"pre_tokenizer": sequence({"type": "Punctuation", "behavior": "Isolated"}, byte_level())}
    yield "qwen", {"pre_tokenizer": sequence({"type": "WhitespaceSplit"}, byte_level())}
    for form in ["NFD", "NFKC", "NFKD"]:
        yield "qwen", {"normalizer": {"type": form}}
    yield "qwen", {"added_tokens": added(bases["qwen"])}
    yield "qwen", {"normalizer": {"type": "NFKC"}, "added_tokens": added(bases["qwen"])}
    yield "spm", {"added_tokens": added(bases["spm"])}
    for scheme in ["first", "always", "never"]:
        for cut in [True, False]:
            yield "spm", {"normalizer": None, "pre_tokenizer": metaspace(scheme, cut), "decoder": metaspace(scheme, cut),
                          "added_tokens": added(bases["spm"])}
    for change in [{"byte_fallback": False}, {"byte_fallback": False, "fuse_unk": False},
                   {"byte_fallback": False, "unk_token": None}, {"ignore_merges": True}]:
        yield "spm", {"model": dict(bases["spm"]["model"], **change)}


def main():
    bases = {name: json.load(open(name + "/tokenizer.json")) for name in NAMES}
    families = json.load(open("families.json"))
    r = random.Random(1)
    with open("vectors.jsonl", "w") as out:
        texts = TEXTS + [random_text(r) for _ in range(60)]
        for name in NAMES:
            t = Tokenizer.from_file(name + "/tokenizer.json")
            for text in texts:
                ids = t.encode(text, add_special_tokens=False).ids
                print(json.dumps({"tokenizer": name, "text": text, "ids": ids, "ids_special": t.encode(text).ids,
                                  "decoded": t.decode(ids, skip_special_tokens=False)}), file=out)
    with open("variants.jsonl", "w") as out:
        for base, parts in variants(bases, families):
            whole = dict(copy.deepcopy(bases[base]), **parts)
            t = Tokenizer.from_str(json.dumps(whole))
            texts = TEXTS + [random_text(r) for _ in range(8)]
            if "model" in parts:  # the vocabulary is that of the base: only the changes are written
                parts = {"model": {k: v for k, v in parts["model"].items() if k not in ("vocab", "merges")}}
            print(json.dumps({"base": base, "parts": parts, "texts": texts,
                              "ids": [t.encode(text).ids for text in texts]}), file=out)


main()
