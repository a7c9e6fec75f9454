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

    def metric(self, name):
        """The value of one series, written as in the page; fails if it is not there."""
        page = self.request("GET", "/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.M)
        if not found:
            # The same name with further labels: the sum.
            stem = name[:-1] if name.endswith("}") else name + "{"
            values = [float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
                      if line.startswith(stem)]
            if not values:
                raise AssertionError(f"/metrics has no {name}")
            return sum(values)
        return float(found.group(1))

    def wait_for_metric(self, name, value, seconds=5):
        deadline = time.monotonic() + seconds
        while self.metric(name) != value:
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} is {self.metric(name)}, expected {value}")
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
