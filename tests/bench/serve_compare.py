#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares kvasir with another OpenAI-compatible server, interleaved in one run.

Both servers are started once with the same model file and number of threads; then every round
measures each figure on the one and on the other in turn (A B, B A, ...), so that a change of the
machine's speed meets both. Printed: median (minimum - maximum) of each and of the ratio per round.

    serve_compare.py --kvasir build/kvasir --peer 'llama-server -m {model} -t {threads} -tb {threads} \
        -fa on -np 32 -c 65536 --port {port}' --model q8_0.gguf

Prompts are random token ids with nothing in common, output is greedy with ignore_eos. Only the
standard library is used.
"""
import argparse
import json
import os
import random
import shlex
import socket
import statistics
import subprocess
import sys
import threading
import time


class Server:
    def __init__(self, name, command, port, model):
        self.name, self.port, self.model = name, port, model
        log = open(f'{os.environ.get("TMPDIR", "/tmp")}/serve_compare.{name}.log', 'wb')
        start = time.monotonic()
        self.process = subprocess.Popen(shlex.split(command), stdout=log, stderr=log)
        while True:
            try:
                if self.get('/health').startswith(b'HTTP/1.1 200'):
                    break
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - start > 120:
                sys.exit(f'{name} did not start: see {log.name}')
            time.sleep(0.01)
        self.ready_s = time.monotonic() - start

    def connect(self):
        return socket.create_connection(('127.0.0.1', self.port), timeout=600)

    def get(self, path):
        with self.connect() as s:
            s.sendall(f'GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'.encode())
            return s.recv(65536)

    def rss_kib(self):
        for line in open(f'/proc/{self.process.pid}/status'):
            if line.startswith('VmRSS'):
                return int(line.split()[1])
        return 0

    def complete(self, ids, n_tokens, stamps):
        """Streams one completion; appends the time of every chunk that carries text."""
        body = json.dumps({'model': self.model, 'prompt': ids, 'max_tokens': n_tokens, 'stream': True,
                           'temperature': 0, 'ignore_eos': True, 'cache_prompt': False}).encode()
        head = (f'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
                f'Content-Length: {len(body)}\r\nConnection: close\r\n\r\n').encode()
        with self.connect() as s:
            s.sendall(head + body)
            pending, status = b'', None
            while True:
                data = s.recv(65536)
                if not data:
                    break
                now = time.monotonic()
                pending += data
                *lines, pending = pending.split(b'\n')
                for line in lines:
                    if status is None:
                        status = line
                        if b' 200' not in line:
                            raise RuntimeError(f'{self.name}: {line} {data[-500:]}')
                    if line.startswith(b'data: {') and b'"choices":[]' not in line:
                        stamps.append(now)
        return stamps

    def stop(self):
        self.process.terminate()
        self.process.wait()


def prompt(rng, n):
    return [rng.randrange(1000, 20000) for _ in range(n)]


def prefill(server, rng, n):
    start = time.monotonic()
    stamps = server.complete(prompt(rng, n), 1, [])
    return n / (stamps[0] - start)


def decode(server, rng, n_streams, n_tokens, n_prompt=128):
    """Tokens per second while all streams decode: from the last first token to the first last one."""
    runs = [[] for _ in range(n_streams)]
    threads = [threading.Thread(target=server.complete, args=(prompt(rng, n_prompt), n_tokens, run))
               for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begin, end = max(run[0] for run in runs), min(run[-1] for run in runs)
    inside = sum(sum(begin < t <= end for t in run) for run in runs)
    return inside / (end - begin) if end > begin else float('nan')


def stall(server, rng):
    """Worst gap in 4 running streams while a 1500-token prompt enters, in ms; lower is better."""
    runs = [[] for _ in range(4)]
    threads = [threading.Thread(target=server.complete, args=(prompt(rng, 64), 96, run)) for run in runs]
    for thread in threads:
        thread.start()
    while any(len(run) < 8 for run in runs):
        time.sleep(0.005)
    server.complete(prompt(rng, 1500), 1, [])
    for thread in threads:
        thread.join()
    return 1000 * max(b - a for run in runs for a, b in zip(run[4:], run[5:]))


FIGURES = {
    'prefill 512, tok/s': lambda s, r: prefill(s, r, 512),
    'prefill 2048, tok/s': lambda s, r: prefill(s, r, 2048),
    'decode c=1, tok/s': lambda s, r: decode(s, r, 1, 96),
    'decode c=8, tok/s': lambda s, r: decode(s, r, 8, 64),
    'decode c=32, tok/s': lambda s, r: decode(s, r, 32, 64),
    'worst gap, 1500 tokens enter, ms': stall,
}


def spread(values):
    return f'{statistics.median(values):8.1f} ({min(values):.1f} - {max(values):.1f})'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kvasir', required=True)
    parser.add_argument('--kvasir-args', default='')
    parser.add_argument('--peer', required=True, help='command with {model} {threads} {port}')
    parser.add_argument('--model', required=True)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--figures', default='', help='only figures whose name contains one of these words')
    args = parser.parse_args()

    name = os.path.basename(args.model)
    ours = Server('kvasir', f'{args.kvasir} serve {args.model} --port 18101 --threads {args.threads} {args.kvasir_args}',
                  18101, name.removesuffix('.gguf'))
    peer = Server('peer', args.peer.format(model=args.model, threads=args.threads, port=18102), 18102, name)
    wanted = {k: f for k, f in FIGURES.items()
              if not args.figures or any(w in k for w in args.figures.split(','))}
    results = {k: ([], []) for k in wanted}
    try:
        for i in range(args.rounds + 1):  # the first round warms up and is not counted
            for key, figure in wanted.items():
                for server in ((ours, peer) if i % 2 else (peer, ours)):
                    value = figure(server, random.Random(f'{i} {key}'))
                    if i > 0:
                        results[key][server is peer].append(value)
            print(f'round {i} of {args.rounds}', file=sys.stderr)
        print(f'model {name}, {args.threads} threads, {args.rounds} rounds; median (min - max)')
        print(f'ready after {ours.ready_s:.2f} s and {peer.ready_s:.2f} s; '
              f'resident {ours.rss_kib() // 1024} and {peer.rss_kib() // 1024} MiB')
        print(f'{"figure":34} {"kvasir":>28} {"peer":>28} {"ratio":>22}')
        for key, (a, b) in results.items():
            ratios = [x / y for x, y in zip(a, b)]
            print(f'{key:34} {spread(a):>28} {spread(b):>28} '
                  f'{statistics.median(ratios):6.2f} ({min(ratios):.2f} - {max(ratios):.2f})')
    finally:
        ours.stop()
        peer.stop()


if __name__ == '__main__':
    main()
