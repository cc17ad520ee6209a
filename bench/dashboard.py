"""The dashboard's figures: first paint with 200 runs and one of a million events, viewers, how fresh a page is.

Usage: dashboard.py [--events 1000000] [--runs 200] [--viewers 50] [--workspace DIR]   (DIR: whose runs are copied)
CPU seconds are of the server's process; its start (imports) is given apart. Runs are copies of real ones; the large log
repeats the steps of a real one. Without --workspace, a real tiny run is made first.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def afs(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "afs", *words, "--quiet"], check=True, stdout=subprocess.DEVNULL)


def make_source(folder: Path) -> Path:
    """A workspace with a few real runs."""
    os.environ["AFS_WORKSPACE"] = str(folder)
    afs("init", str(folder))
    afs("generate", "--domain", "sums", "--name", "small", "--count", "60")
    afs("curate", "--sources", "small", "--name", "set")
    train = ("train", "--dataset", "set", "--trainer", "toy", "--method", "scratch", "--learning_rate", "2")
    afs(*train, "--name", "toy", "--epochs", "12")
    return folder


def fill(source: Path, target: Path, runs: int, events: int) -> str:
    """Copies of the real runs, and one with a log of so many steps and a thousand checkpoints; its name."""
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("cache", "models"))
    real = sorted(path for path in (source / "runs").iterdir() if (path / "events.jsonl").exists())
    trained = next(path for path in real if "-train-" in path.name)
    for number in range(runs - len(real) - 1):
        model = real[number % len(real)]
        copy_run(model, target / "runs" / f"{model.name[:8]}-{number:06}{model.name[15:]}")
    name = "20991231-235959-train-ffffff"
    big = target / "runs" / name
    copy_run(trained, big)
    lines = (trained / "events.jsonl").read_text().splitlines()
    steps = [line for line in lines if '"event":"train.step"' in line]
    with (big / "events.jsonl").open("w") as log:
        log.write(lines[0].replace(trained.name, name) + "\n")
        for step in range(1, events + 1):
            line = steps[step % len(steps)]
            log.write(re.sub(r'"step":\d+,"total":\d+', f'"step":{step},"total":{events}', line, count=1) + "\n")
        for number in range(1000):
            row = {"time": "2026-11-30T12:00:00.000+00:00", "event": "train.checkpoint", "batch": number, "bytes": 9}
            log.write(json.dumps(row, separators=(",", ":")) + "\n")
    for number in range(1000):
        (big / "checkpoints" / f"batch-{number:08d}").mkdir(parents=True, exist_ok=True)
    return name


def copy_run(model: Path, target: Path) -> None:
    target.mkdir()
    for file in ("status.json", "config.json", "events.jsonl", "record.json"):
        if (model / file).exists():
            (target / file).write_text((model / file).read_text().replace(model.name, target.name))


class Server:
    """A dashboard in a process of its own."""

    def __init__(self, workspace: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        words = [sys.executable, "-m", "afs", "dashboard", "--port", str(self.port), "--workspace", str(workspace)]
        self.child = subprocess.Popen(words, stderr=subprocess.DEVNULL)

    def cpu(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory(self) -> float:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.child.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", path)
        return connection.getresponse().read()


@contextmanager
def serving(workspace: Path) -> Iterator[Server]:
    server = Server(workspace)
    try:
        while True:
            try:
                server.get("/static/dashboard.css")
                break
            except OSError:
                time.sleep(0.1)
        yield server
    finally:
        server.child.terminate()
        server.child.wait()


def measure(server: Server, path: str) -> float:
    """CPU seconds for a page."""
    before = server.cpu()
    size = len(server.get(path))
    used = server.cpu() - before
    print(f"  {path:<44} {used:6.2f} CPU s, {size / 1024:6.0f} KiB", flush=True)
    return used


def watch(server: Server, path: str, count: int) -> None:
    """So many viewers that follow a page until the server ends; each reads what comes."""
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        connection.request("GET", path)
        answer = connection.getresponse()
        threading.Thread(target=lambda one=answer: drain(one), daemon=True).start()


def drain(answer: http.client.HTTPResponse) -> None:
    try:
        while answer.readline():
            pass
    except (OSError, ValueError, http.client.HTTPException):
        return


def freshness(server: Server, workspace: Path, name: str) -> float:
    """Seconds from a line in the log to the point in a viewer's hands, the largest of ten."""
    log = workspace / "runs" / name / "events.jsonl"
    line = next(row for row in log.read_text().splitlines() if '"event":"train.step"' in row)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("GET", f"/live?page=run-{name}.html&step=999999999")
    answer = connection.getresponse()
    worst = 0.0
    for number in range(10):
        step = 1_000_000_000 + number
        with log.open("a") as target:
            target.write(re.sub(r'"step":\d+', f'"step":{step}', line, count=1) + "\n")
        began = time.monotonic()
        while f'"steps":[{step}]'.encode() not in answer.readline():
            pass
        worst = max(worst, time.monotonic() - began)
        time.sleep(0.13 * number % 0.5)
    connection.close()
    return worst


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--workspace", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = given.workspace or make_source(Path(folder) / "source")
        workspace = Path(folder) / "w"
        name = fill(source, workspace, given.runs, given.events)
        size = (workspace / "runs" / name / "events.jsonl").stat().st_size
        print(f"{given.runs} runs, one of {given.events:,} events ({size >> 20} MiB), 1,000 checkpoints")
        with serving(workspace) as server:
            print(f"  start, imports {server.cpu():.2f} CPU s, {server.memory():.0f} MB")
            measure(server, "/")
            measure(server, f"/run-{name}.html")
            before = server.cpu()
            while b"samples of it are shown" in server.get(f"/run-{name}.html"):
                time.sleep(2)
            print(f"  the large log read whole within {server.cpu() - before:.1f} CPU s, {server.memory():.0f} MB")
            for page in ("/", f"/run-{name}.html", f"/data/run-{name}.json?first=1&last={given.events}"):
                measure(server, page)
        small = next(p.name for p in (source / "runs").iterdir() if "-train-" in p.name)
        with serving(source) as server:
            server.get("/")
            watch(server, "/live?page=index.html", given.viewers)
            before, began = server.cpu(), time.monotonic()
            time.sleep(5)
            load = (server.cpu() - before) / (time.monotonic() - began)
            print(f"  {given.viewers} viewers: {server.memory():.0f} MB, {load:.0%} of a core while nothing changes")
        shutil.copytree(source / "runs" / small, workspace / "runs" / f"{small}-live")
        with serving(workspace) as server:
            lag = freshness(server, workspace, f"{small}-live")
            print(f"  a new step reaches a viewer within {lag:.2f} s (wall, largest of ten)")


if __name__ == "__main__":
    main()
