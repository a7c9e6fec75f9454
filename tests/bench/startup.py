#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How soon kvasir is ready, and what it holds while idle.

    startup.py --kvasir build/kvasir --model q4_k_m.gguf [--runs 5]

Printed per figure: median (minimum - maximum) over the runs, after one run that is not counted and
warms the page cache. Only the standard library is used; Linux.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import time

PORT = 18103


def connect():
    return socket.create_connection(('127.0.0.1', PORT), timeout=60)


def wait_for(action):
    while True:
        try:
            if action():
                return time.monotonic()
        except OSError:
            pass
        time.sleep(0.0005)


def listens():
    connect().close()
    return True


def first_token():
    """Asks for one streamed completion; true once a chunk with text has arrived."""
    body = json.dumps({'prompt': 'def quicksort(', 'max_tokens': 4, 'temperature': 0, 'stream': True,
                       'ignore_eos': True}).encode()
    with connect() as s:
        s.sendall(b'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
                  b'Connection: close\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
        data = b''
        while b'data: {' not in data:
            more = s.recv(65536)
            if not more:
                return False
            data += more
        return True


def status(pid, field):
    for line in open(f'/proc/{pid}/status'):
        if line.startswith(field + ':'):
            return int(line.split()[1])
    return 0


def cpu_ticks(pid):
    fields = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return int(fields[11]) + int(fields[12])


def run(args):
    start = time.monotonic()
    process = subprocess.Popen([args.kvasir, 'serve', args.model, '--port', str(PORT), '--kv-memory', '64MiB',
                                '--max-model-len', '2048', *args.args.split()],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        listening = wait_for(listens) - start
        token = wait_for(first_token) - start
        resident = status(process.pid, 'VmRSS') / 1024
        time.sleep(0.5)  # the request that was cut off has ended
        ticks = cpu_ticks(process.pid)
        time.sleep(2)
        idle = (cpu_ticks(process.pid) - ticks) / os.sysconf('SC_CLK_TCK') / 2
    finally:
        process.terminate()
        process.wait()
    return {'listening, ms': 1000 * listening, 'first token, ms': 1000 * token, 'resident, MiB': resident,
            'CPU while idle, %': 100 * idle}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kvasir', required=True)
    parser.add_argument('--model', required=True)
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--args', default='')
    args = parser.parse_args()
    run(args)
    results = [run(args) for _ in range(args.runs)]
    for key in results[0]:
        values = [r[key] for r in results]
        print(f'{key:20} {statistics.median(values):8.1f} ({min(values):.1f} - {max(values):.1f})')


if __name__ == '__main__':
    main()
