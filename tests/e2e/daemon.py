# SPDX-License-Identifier: Apache-2.0
"""A kvasir daemon of a test: started on a free port, asked about itself, ended."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

START_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """Serves the demo model in float32, so that the reference's greedy texts hold exactly."""

    def __init__(self, binary, *arguments):
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("KVASIR_")}
        command = [binary, "serve", "--port", str(self.port), "--dtype", "float32",
                   "--kv-cache-dtype", "float32", *arguments]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        self.wait_until_ready()

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended at once:\n{self.log_text()}")
            try:
                if self.request("GET", "/ready").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready in {START_SECONDS} s:\n{self.log_text()}")

    def request(self, method, path, body=None, headers=None):
        """One raw exchange; the response has .status, .headers and .text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {"content-type": "application/json"})
        response = connection.getresponse()
        response.text = response.read().decode("utf-8")
        connection.close()
        return response

    def metric(self, name, **labels):
        """The sum of the series of that name with these labels; fails if there is none."""
        page = self.request("GET", "/metrics").text
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        values = []
        for series, value in re.findall(rf"^{re.escape(name)}(\{{.*\}}|) (\S+)$", page, re.M):
            if all(label in series for label in wanted):
                values.append(float(value))
        if not values:
            raise AssertionError(f"/metrics has no {name} with {labels}")
        return sum(values)

    def used_blocks(self):
        return self.metric("kvasir_kv_blocks", state="used")

    def wait_until_idle(self, seconds=5):
        """Until nothing runs and every block of the KV cache was given back."""
        deadline = time.monotonic() + seconds
        while self.metric("vllm:num_requests_running") or self.used_blocks():
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.used_blocks()} blocks are still used after {seconds} s")
            time.sleep(0.02)

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds=40):
        return self.process.wait(timeout=seconds)

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode("utf-8", "replace")

    def close(self):
        """Ends the daemon, which must drain and exit with 0."""
        if self.process.poll() is None:
            self.signal()
        try:
            status = self.wait()
        finally:
            if self.process.poll() is None:
                self.process.kill()
        log = self.log_text()
        self.log.close()
        if status != 0:
            raise AssertionError(f"exit status {status}:\n{log}")
