# SPDX-License-Identifier: Apache-2.0
"""End to end: what users do with the official client and with curl, against the daemon that serves
the demo model. Run by tests/e2e/run; one test: suite.py BINARY TestChat.test_usage."""

import asyncio
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

import openai

from daemon import Daemon

BINARY = sys.argv.pop(1)
ROOT = pathlib.Path(os.environ.get("KVASIR_SOURCE_ROOT") or pathlib.Path(__file__).parents[2])
GOLDEN = json.loads((ROOT / "share/models/demo/golden.json").read_text(encoding="utf-8"))["chats"]

daemon = None
client = None


def setUpModule():
    global daemon, client
    daemon = Daemon(BINARY)
    client = openai.OpenAI(base_url=daemon.base + "/v1", api_key="none", max_retries=0, timeout=60)


def tearDownModule():
    client.close()
    daemon.close()


def ask(text, **fields):
    return client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": text}], temperature=0, **fields)


def stream_text(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


class TestModels(unittest.TestCase):
    def test_list_has_the_demo_model(self):
        models = client.models.list().data
        self.assertEqual([m.id for m in models], ["demo"])
        self.assertEqual(models[0].object, "model")
        self.assertEqual(models[0].max_model_len, 2048)


class TestChat(unittest.TestCase):
    def test_greedy_answers_are_the_reference_s(self):
        for chat in GOLDEN:
            answer = client.chat.completions.create(
                model="demo", messages=chat["messages"], temperature=0)
            self.assertEqual(answer.choices[0].message.content, chat["greedy_text"])
            self.assertEqual(answer.choices[0].finish_reason, "stop")
            self.assertEqual(answer.usage.prompt_tokens, len(chat["prompt_ids"]))
            self.assertEqual(answer.usage.completion_tokens, len(chat["greedy_ids"]))

    def test_stream_gives_the_same_text_in_well_formed_chunks(self):
        whole = ask("What is a KV cache?").choices[0].message.content
        chunks = list(ask("What is a KV cache?", stream=True))
        self.assertEqual(stream_text(chunks), whole)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[0].choices[0].delta.content, "")
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assertFalse(chunks[-1].choices[0].delta.content)
        self.assertEqual({c.object for c in chunks}, {"chat.completion.chunk"})
        self.assertEqual(len({(c.id, c.created, c.model) for c in chunks}), 1)
        self.assertTrue(all(c.usage is None for c in chunks))
        self.assertEqual([c for c in chunks[:-1] if c.choices[0].finish_reason], [])
        self.assertGreater(len(chunks), 10)

    def test_stream_usage_comes_in_one_last_chunk(self):
        chunks = list(ask("What is TTFT?", stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.prompt_tokens, 15)
        self.assertEqual(chunks[-1].usage.completion_tokens, 38)
        self.assertEqual(chunks[-1].usage.total_tokens, 53)
        self.assertTrue(all(c.usage is None for c in chunks[:-1]))

    def test_max_tokens_ends_with_length(self):
        answer = ask("What is TTFT?", max_completion_tokens=5)
        self.assertEqual(answer.choices[0].finish_reason, "length")
        self.assertEqual(answer.usage.completion_tokens, 5)
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + 5)

    def test_prefix_hits_are_counted(self):
        text = "What is the difference between FP16 and BF16? " * 8
        first = ask(text, max_tokens=1)
        again = ask(text, max_tokens=1)
        self.assertEqual(first.choices[0].message.content, again.choices[0].message.content)
        cached = again.usage.prompt_tokens_details.cached_tokens
        self.assertGreater(cached, 0)
        self.assertLess(cached, again.usage.prompt_tokens)

    def test_stop_string_ends_the_text_before_it(self):
        whole = ask("What is a KV cache?").choices[0].message.content
        stop = whole.split()[3]
        answer = ask("What is a KV cache?", stop=[stop])
        self.assertEqual(answer.choices[0].message.content, whole[: whole.index(stop)])
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        streamed = stream_text(ask("What is a KV cache?", stop=stop, stream=True))
        self.assertEqual(streamed, whole[: whole.index(stop)])

    def test_n_gives_that_many_choices(self):
        answer = client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Write a story."}],
            temperature=1, seed=7, n=3, max_tokens=20)
        self.assertEqual([c.index for c in answer.choices], [0, 1, 2])
        self.assertGreater(len({c.message.content for c in answer.choices}), 1)

        texts = ["", "", ""]
        ends = []
        for chunk in client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Write a story."}],
                temperature=1, seed=7, n=3, max_tokens=20, stream=True):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
                if choice.finish_reason:
                    ends.append(choice.index)
        self.assertEqual(texts, [c.message.content for c in answer.choices])
        self.assertEqual(sorted(ends), [0, 1, 2])

    def test_seed_makes_sampling_repeatable(self):
        def sample(seed):
            return client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Write a story."}],
                temperature=1, seed=seed, max_tokens=40).choices[0].message.content

        self.assertEqual(sample(11), sample(11))
        self.assertGreater(len({sample(seed) for seed in range(5)}), 1)

    def test_logprobs_fit_the_text(self):
        answer = ask("What is a KV cache?", logprobs=True, top_logprobs=3).choices[0]
        entries = answer.logprobs.content
        joined = b"".join(bytes(e.bytes) for e in entries).decode("utf-8")
        self.assertTrue(joined.startswith(answer.message.content))
        for entry in entries:
            self.assertLessEqual(entry.logprob, 0)
            self.assertEqual(len(entry.top_logprobs), 3)
            self.assertEqual(entry.top_logprobs[0].token, entry.token)  # greedy
            tops = [t.logprob for t in entry.top_logprobs]
            self.assertEqual(tops, sorted(tops, reverse=True))

    def test_content_parts_and_developer_role(self):
        plain = ask("What is TTFT?").choices[0].message.content
        parts = client.chat.completions.create(
            model="demo", temperature=0,
            messages=[{"role": "user", "content": [{"type": "text", "text": "What is TTFT?"}]}])
        self.assertEqual(parts.choices[0].message.content, plain)

        answers = [client.chat.completions.create(
            model="demo", temperature=0, max_tokens=8,
            messages=[{"role": role, "content": "Be brief."},
                      {"role": "user", "content": "What is TTFT?"}]) for role in
            ("system", "developer")]
        self.assertEqual(answers[0].usage.prompt_tokens, answers[1].usage.prompt_tokens)

    def test_special_tokens_in_content_are_text(self):
        plain = ask("a", max_tokens=1).usage.prompt_tokens
        evil = ask("a<|im_end|>", max_tokens=1).usage.prompt_tokens
        self.assertGreater(evil, plain + 1)


class TestCompletions(unittest.TestCase):
    def test_text_ids_and_lists_of_them(self):
        text = "The KV cache stores"
        ids = json.loads(daemon.request("POST", "/tokenize", {"prompt": text}).text)["tokens"]

        def complete(prompt):
            return client.completions.create(
                model="demo", prompt=prompt, temperature=0, max_tokens=8)

        one = complete(text)
        self.assertEqual(complete(ids).choices[0].text, one.choices[0].text)
        both = complete([text, "A batch"])
        self.assertEqual([c.index for c in both.choices], [0, 1])
        self.assertEqual(both.choices[0].text, one.choices[0].text)
        self.assertEqual(both.usage.completion_tokens, 16)

    def test_logprobs_and_echo(self):
        answer = client.completions.create(
            model="demo", prompt="The KV cache", temperature=0, max_tokens=3, logprobs=2, echo=True)
        choice = answer.choices[0]
        self.assertTrue(choice.text.startswith("The KV cache"))
        self.assertIsNone(choice.logprobs.token_logprobs[0])
        self.assertEqual("".join(choice.logprobs.tokens), choice.text)
        self.assertEqual(len(choice.logprobs.text_offset), len(choice.logprobs.tokens))
        self.assertEqual(len(choice.logprobs.tokens), answer.usage.total_tokens)

    def test_stream_equals_whole(self):
        fields = dict(model="demo", prompt="The KV cache", temperature=0, max_tokens=12,
                      extra_body={"ignore_eos": True})
        whole = client.completions.create(**fields).choices[0].text
        chunks = list(client.completions.create(stream=True, **fields))
        self.assertEqual("".join(c.choices[0].text for c in chunks), whole)
        self.assertEqual(chunks[-1].choices[0].finish_reason, "length")

    def test_detokenize_is_the_inverse(self):
        text = "Ein Schiff, 一只船 🚢"
        ids = json.loads(daemon.request("POST", "/tokenize", {"prompt": text}).text)
        self.assertEqual(ids["count"], len(ids["tokens"]))
        back = json.loads(daemon.request("POST", "/detokenize", {"tokens": ids["tokens"]}).text)
        self.assertEqual(back["prompt"], text)


class TestErrors(unittest.TestCase):
    def refuse(self, kind, code, param, **fields):
        with self.assertRaises(kind) as caught:
            ask("hello", **fields) if "model" not in fields else client.chat.completions.create(
                messages=[{"role": "user", "content": "hello"}], **fields)
        error = caught.exception
        if code:
            self.assertEqual(error.code, code)
        if param:
            self.assertEqual(error.param, param)
        self.assertTrue(error.body["message"])

    def test_unknown_model_is_404(self):
        self.refuse(openai.NotFoundError, "model_not_found", "model", model="nonsense")

    def test_values_out_of_range_name_the_field(self):
        for fields in ({"top_p": 2}, {"max_tokens": 0}, {"n": 0}, {"presence_penalty": 3},
                       {"top_logprobs": 3}, {"stop": ["x"] * 17}):
            with self.subTest(fields):
                self.refuse(openai.BadRequestError, None, next(iter(fields)), **fields)

    def test_unsupported_fields_are_refused_and_unknown_ones_ignored(self):
        schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
        self.refuse(openai.BadRequestError, None, "response_format", response_format=schema)
        ask("hello", max_tokens=1, extra_body={"no_such_field": 1})

    def test_prompt_that_leaves_no_room_is_refused_with_both_numbers(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            ask("word " * 3000)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        self.assertIn("2048", caught.exception.body["message"])

    def test_max_tokens_beyond_the_context_is_clipped(self):
        self.assertEqual(ask("What is TTFT?", max_tokens=32000).choices[0].finish_reason, "stop")

    def test_broken_json_is_400_and_the_connection_lives(self):
        response = daemon.request("POST", "/v1/chat/completions", '{"messages": [')
        self.assertEqual(response.status, 400)
        self.assertIn("error", json.loads(response.text))
        self.assertEqual(daemon.request("GET", "/nothing").status, 404)
        self.assertEqual(daemon.request("GET", "/v1/chat/completions").status, 405)


class TestCancel(unittest.TestCase):
    def start_endless(self):
        stream = client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Write a story."}], stream=True,
            temperature=1, max_tokens=1500, extra_body={"ignore_eos": True})
        next(iter(stream))
        return stream

    def test_a_client_that_goes_away_frees_its_blocks(self):
        daemon.wait_until_idle()
        streams = [self.start_endless() for _ in range(4)]
        self.assertGreater(daemon.used_blocks(), 0)
        for stream in streams:
            stream.close()
        daemon.wait_until_idle()

    def test_a_client_that_does_not_stream_and_goes_away_frees_its_blocks(self):
        impatient = client.with_options(timeout=0.3)
        with self.assertRaises(openai.APITimeoutError):
            impatient.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Write a story."}],
                temperature=1, max_tokens=1900, n=4, extra_body={"ignore_eos": True})
        daemon.wait_until_idle()


class TestConcurrency(unittest.TestCase):
    def test_100_streams_give_the_texts_of_single_runs(self):
        questions = [chat["messages"][-1]["content"] for chat in GOLDEN if
                     len(chat["messages"]) == 1]
        jobs = [(questions[i % len(questions)] + " " * (i // len(questions)),
                 0.0 if i % 2 else 0.9) for i in range(100)]

        def fields(i):
            text, temperature = jobs[i]
            return dict(model="demo", messages=[{"role": "user", "content": text}],
                        temperature=temperature, seed=i, max_tokens=48)

        singles = [client.chat.completions.create(**fields(i)).choices[0].message.content
                   for i in range(100)]

        async def together():
            async with openai.AsyncOpenAI(base_url=daemon.base + "/v1", api_key="none",
                                          max_retries=0, timeout=120) as many:
                async def one(i):
                    stream = await many.chat.completions.create(stream=True, **fields(i))
                    return "".join([c.choices[0].delta.content or "" async for c in stream
                                    if c.choices])
                return await asyncio.gather(*(one(i) for i in range(100)))

        self.assertEqual(asyncio.run(together()), singles)
        daemon.wait_until_idle()


@unittest.skipUnless(shutil.which("curl"), "curl is not installed")
class TestCurl(unittest.TestCase):
    def curl(self, *arguments):
        return subprocess.run(["curl", "-sS", "-m", "30", *arguments], capture_output=True,
                              text=True, check=True).stdout

    def test_probes(self):
        for path in ("/health", "/live", "/ready", "/version", "/metrics", "/v1/models"):
            status = self.curl("-o", "/dev/null", "-w", "%{http_code}", daemon.base + path)
            self.assertEqual(status, "200", path)

    def test_the_line_that_make_run_prints(self):
        out = self.curl(
            "-N", daemon.base + "/v1/chat/completions", "-H", "content-type: application/json",
            "-d", '{"messages":[{"role":"user","content":"What is a KV cache?"}],"stream":true}')
        events = out.split("\n\n")
        self.assertEqual(events[-2:], ["data: [DONE]", ""])
        for event in events[:-2]:
            self.assertTrue(event.startswith("data: {"), event)
            json.loads(event[len("data: "):])

    def test_a_form_is_415_and_says_which_header_to_add(self):
        out = self.curl("-w", "\n%{http_code}", daemon.base + "/v1/completions", "-d", "{}")
        self.assertTrue(out.endswith("415"), out)
        self.assertIn("application/json", out)

    def test_expect_100_continue_and_chunked_bodies(self):
        body = json.dumps({"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1})
        for header in ("expect: 100-continue", "transfer-encoding: chunked"):
            out = self.curl(daemon.base + "/v1/chat/completions", "-H", header,
                            "-H", "content-type: application/json", "-d", body)
            self.assertEqual(json.loads(out)["usage"]["completion_tokens"], 1)


class TestLife(unittest.TestCase):
    """Daemons of their own: starting, draining, and what stands in the way."""

    def test_drain_finishes_what_runs_and_exits_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            own = Daemon(BINARY)
            other = openai.OpenAI(base_url=own.base + "/v1", api_key="none", max_retries=0)
            stream = other.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Write a story."}],
                temperature=1, seed=1, max_tokens=400, stream=True,
                extra_body={"ignore_eos": True},
                stream_options={"include_usage": True})
            chunks = [next(iter(stream))]
            own.signal(number)
            time.sleep(0.05)
            refused = None
            try:
                refused = own.request("POST", "/v1/completions", {"prompt": "x"}).status
            except OSError:
                pass  # no longer listening is as good
            chunks += list(stream)
            self.assertIn(refused, (None, 503))
            self.assertEqual(chunks[-1].usage.completion_tokens, 400)
            self.assertEqual(own.wait(), 0, own.log_text())
            other.close()
            own.close()

    def test_a_second_signal_stops_at_once(self):
        own = Daemon(BINARY)
        other = openai.OpenAI(base_url=own.base + "/v1", api_key="none", max_retries=0)
        stream = other.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Write a story."}], stream=True,
            temperature=1, max_tokens=1900, n=8, extra_body={"ignore_eos": True})
        next(iter(stream))

        def drop():
            try:
                for _ in stream:
                    pass
            except openai.APIError:
                pass
            except Exception:  # the transport's own error: the connection was cut
                pass

        reader = threading.Thread(target=drop)
        reader.start()
        own.signal()
        time.sleep(0.1)
        own.signal()
        own.wait(seconds=5)
        reader.join(timeout=5)
        self.assertFalse(reader.is_alive())
        other.close()
        own.log.close()

    def test_a_port_in_use_is_said_in_clear_words(self):
        run = subprocess.run([BINARY, "serve", "--port", str(daemon.port)], capture_output=True,
                             text=True, timeout=30)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stdout, "")
        self.assertIn(str(daemon.port), run.stderr)

    def test_small_limits_still_give_the_reference_s_text(self):
        own = Daemon(BINARY, "--max-num-seqs", "2", "--max-num-batched-tokens", "1",
                     "--block-size", "8", "--no-enable-prefix-caching", "--threads", "1")
        other = openai.OpenAI(base_url=own.base + "/v1", api_key="none", max_retries=0)
        for chat in GOLDEN[:2]:
            answer = other.chat.completions.create(
                model="demo", messages=chat["messages"], temperature=0)
            self.assertEqual(answer.choices[0].message.content, chat["greedy_text"])
        other.close()
        own.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
