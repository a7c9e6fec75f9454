# SPDX-License-Identifier: Apache-2.0
"""Clients that come, go away and talk nonsense, for some seconds: the daemon must go on answering,
give every block back, and not grow. Only the standard library.

    soak.py BINARY SECONDS [SEED]
"""

import collections
import json
import pathlib
import random
import socket
import sys
import threading
import time

from daemon import Daemon

N_CLIENTS = 24
MAX_GROWTH = 32 << 20  # bytes of resident memory after the warm-up
QUESTIONS = ["What is a KV cache?", "Write a story about a little boat.", "什么是首 Token 延时？",
             "What is paged attention?", "hello " * 150]


class Client(threading.Thread):
    """One client after the other, each with one of the behaviours below."""

    def __init__(self, daemon, seed, end, counts):
        super().__init__()
        self.daemon_under_test = daemon
        self.random = random.Random(seed)
        self.end = end
        self.counts = counts
        self.failure = None

    def run(self):
        behaviours = [self.whole, self.stream, self.leave, self.leave_early, self.nonsense,
                      self.broken_json, self.half_request, self.slow_reader, self.scrape]
        while time.monotonic() < self.end and self.failure is None:
            behaviour = self.random.choice(behaviours)
            try:
                behaviour()
                self.counts[behaviour.__name__] += 1
            except AssertionError as failure:
                self.failure = f"{behaviour.__name__}: {failure}"
            except OSError as failure:
                self.failure = f"{behaviour.__name__}: {failure!r}"

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.daemon_under_test.port), timeout=60)

    def chat(self, **fields):
        body = {"messages": [{"role": "user", "content": self.random.choice(QUESTIONS)}],
                "max_tokens": self.random.randint(1, 80), "temperature": 1,
                "n": self.random.choice([1, 1, 1, 3]), **fields}
        text = json.dumps(body).encode()
        head = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
                f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n").encode()
        return head + text

    def read_all(self, peer):
        data = b""
        while chunk := peer.recv(65536):
            data += chunk
        return data

    def whole(self):
        with self.connect() as peer:
            peer.sendall(self.chat())
            answer = self.read_all(peer)
        status = answer.split(b" ", 2)[1]
        assert status in (b"200", b"429"), answer[:300]

    def stream(self):
        with self.connect() as peer:
            peer.sendall(self.chat(stream=True))
            answer = self.read_all(peer)
        if answer.split(b" ", 2)[1] == b"200":
            assert b"data: [DONE]\n\n" in answer, answer[-300:]

    def leave(self):
        with self.connect() as peer:
            peer.sendall(self.chat(stream=True, max_tokens=1500, ignore_eos=True))
            peer.recv(4096)
            time.sleep(self.random.random() * 0.3)

    def leave_early(self):
        with self.connect() as peer:
            peer.sendall(self.chat(stream=self.random.random() < 0.5, max_tokens=500))

    def nonsense(self):
        with self.connect() as peer:
            peer.sendall(self.random.randbytes(self.random.randint(1, 3000)))
            peer.shutdown(socket.SHUT_WR)
            try:
                self.read_all(peer)
            except ConnectionResetError:
                pass  # an answer to nonsense is a courtesy

    def broken_json(self):
        with self.connect() as peer:
            request = bytearray(self.chat())
            request[-self.random.randint(2, 40)] = self.random.randrange(256)
            peer.sendall(bytes(request))
            answer = self.read_all(peer)
        assert answer.startswith(b"HTTP/1.1 "), answer[:100]

    def half_request(self):
        request = self.chat()
        with self.connect() as peer:
            peer.sendall(request[: self.random.randrange(len(request))])

    def slow_reader(self):
        with self.connect() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.sendall(self.chat(stream=True))
            while peer.recv(512):
                time.sleep(0.01)

    def scrape(self):
        page = self.daemon_under_test.request("GET", "/metrics").text
        assert "kvasir_kv_blocks" in page


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def crowd(daemon, seconds, seed, counts):
    end = time.monotonic() + seconds
    clients = [Client(daemon, seed + i, end, counts) for i in range(N_CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    failures = [client.failure for client in clients if client.failure]
    if daemon.process.poll() is not None:
        failures.insert(0, f"the daemon is gone:\n{daemon.log_text()[-4000:]}")
    return failures


def main():
    binary, seconds = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())
    print(f"seed {seed}, {N_CLIENTS} clients, {seconds} s")
    # A small KV cache: it is full after the warm-up, so that growth is a leak, and it preempts.
    daemon = Daemon(binary, "--kv-memory", "24MiB")
    counts = collections.Counter()

    failures = crowd(daemon, seconds / 4, seed, counts)
    before = resident(daemon.process.pid) if not failures else 0
    if not failures:
        failures = crowd(daemon, seconds * 3 / 4, seed + 1000, counts)
    if not failures:
        daemon.wait_until_idle(seconds=30)
        growth = resident(daemon.process.pid) - before
        print(f"resident memory: {before >> 20} MiB, growth {growth / (1 << 20):+.1f} MiB")
        if growth > MAX_GROWTH:
            failures.append(f"grew by {growth >> 20} MiB")
    print(", ".join(f"{name} {n}" for name, n in sorted(counts.items())))
    for failure in failures:
        print("FAILED", failure)
    if daemon.process.poll() is None:
        daemon.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
