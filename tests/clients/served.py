"""Shared by the scripts here: servers and balancers as child processes, and a question to ask."""
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUESTION = ROOT / "tests/data/demo/order-human.ogg"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A duet server as a process. `command`: [binary, arguments...]; it prints its addresses."""

    def __init__(self, command, log):
        self.log = open(log, "w")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.port = None
        for line in self.process.stdout:
            if found := re.match(r"Realtime +wss?://[^/]*:(\d+)/", line):
                self.port = int(found[1])
            if line.startswith("sessions"):
                break
        if self.port is None:
            raise SystemExit(f"{command[0]} did not start, see {log}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        lines = self.get("/metrics")[1].splitlines()
        return {name: float(value) for name, _, value in (line.partition(" ") for line in lines if line[0] != "#")}

    def rss_mib(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def stop(self, timeout=60):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout)
        self.log.close()
        return code


@contextlib.contextmanager
def running(command, log):
    server = Server(command, log)
    try:
        yield server
    finally:
        server.stop()


def wait_until(condition, timeout=10.0, what="it"):
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not happen within {timeout} s")
        time.sleep(0.05)
