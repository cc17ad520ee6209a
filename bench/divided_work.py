"""Curation by one process, by shards as a shell loop runs them, and by Ray: CPU, wall, memory, equal output.

python bench/divided_work.py [--small] [--n 200000] [--scratch FOLDER] [--without-ray] [--kill]

Records as in `curate_road.py`, in shards of 64 MB. CPU counts every process that is started. Ray's cluster is started
before the clock; its start is shown. Memory is the sum over all processes (PSS). `--kill` ends one shard and one Ray
worker by SIGKILL while they work.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from curate_road import store

from afs import datasets, runs, work_division
from afs.curate import CurateConfig, curate
from afs.work_division import DividedWork
from afs.workspace import Workspace

SHARDS = 2
RAY = DividedWork(engine="ray")
_TICKS = os.sysconf("SC_CLK_TCK")


class Spent(NamedTuple):
    """What one way of working cost."""

    wall_s: float
    cpu_s: float
    memory_mb: float
    digest: str


def main() -> None:
    """Store records, curate them in each way, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--n", type=int, default=200_000)
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--without-ray", action="store_true")
    parser.add_argument("--kill", action="store_true")
    given = parser.parse_args()
    n = 3_000 if given.small else given.n
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        usual = datasets.SHARD_BYTES
        datasets.SHARD_BYTES = max(1 << 20, min(usual, n * 100))  # several shards, however few the records
        store(Path(folder), n)
        datasets.SHARD_BYTES = usual
        raw = datasets.load(Workspace(Path(folder)), "raw")
        blocks = sum(len(split.shards) for split in raw.splits)
        machine = f"load {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} cores"
        print(f"{n:,} records in {blocks} shards; {machine}\n")
        print("| way | wall s | CPU s | x embedded (wall, CPU) | memory MB | digest |")
        print("| --- | --- | --- | --- | --- | --- |")
        first = report("embedded", None, measure(lambda: curated(Path(folder), "embedded")))
        report(f"{SHARDS} shards, joined", first, measure(lambda: sharded(Path(folder), kill=given.kill)))
        if not given.without_ray:
            started, before = time.perf_counter(), tree_cpu()
            with work_division.open_workers(RAY, "afs.ray_workers:run_task", jobs=2, timeout_s=600) as workers:
                list(workers.map([b"x"] * 4))
                wall, cpu = time.perf_counter() - started, tree_cpu() - before
                killer = Killer() if given.kill else nullcontext()
                with killer:
                    report("Ray", first, measure(lambda: curated(Path(folder), "ray")))
                print(f"\nstarting Ray: {wall:.1f} s wall, {cpu:.1f} s CPU")
                if isinstance(killer, Killer):
                    print(f"Ray workers killed: {killer.killed}")


def report(way: str, first: Spent | None, spent: Spent) -> Spent:
    """A row of the table."""
    ratio = f"{spent.wall_s / first.wall_s:.2f}, {spent.cpu_s / first.cpu_s:.2f}" if first else ""
    same = "" if first is None else " =" if first.digest == spent.digest else " DIFFERS"
    figures = f"{spent.wall_s:.1f} | {spent.cpu_s:.1f} | {ratio} | {spent.memory_mb:,.0f}"
    print(f"| {way} | {figures} | {spent.digest[:12]}{same} |", flush=True)
    return spent


def measure(work: Callable[[], str]) -> Spent:
    """Wall, CPU and memory of this process and all below it."""
    done, most = threading.Event(), [0.0]

    def watch() -> None:
        while not done.wait(1.0):
            most[0] = max(most[0], sum(pss_mb(pid) for pid in tree()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, before = time.perf_counter(), tree_cpu()
    try:
        digest = work()
    finally:
        done.set()
        watcher.join()
    return Spent(time.perf_counter() - started, tree_cpu() - before, most[0], digest)


def curated(folder: Path, engine: str) -> str:
    """The digest of the curated records."""
    config = CurateConfig(sources=("raw",), name=engine, profile="code", engine=engine)  # type: ignore[arg-type]
    with runs.open_run(Workspace(folder), "curate", config) as run:
        return curate(config, run).digest


def sharded(folder: Path, *, kill: bool) -> str:
    """Two commands side by side, twice, then the join; with `kill` the first one is ended and run again."""
    command = [sys.executable, "-m", "afs", "curate", "raw", "--name", "shards", "--profile", "code"]
    command += ["--workspace", str(folder), "--quiet", "--shards"]
    if kill:
        victim = subprocess.Popen([*command, f"1/{SHARDS}"], start_new_session=True)
        blocks = folder / "cache" / "blocks" / "shards"
        while not list(blocks.glob("*/*.json")):
            time.sleep(0.2)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    for _ in range(2):
        parts = [subprocess.Popen([*command, f"{n + 1}/{SHARDS}"], stdout=subprocess.DEVNULL) for n in range(SHARDS)]
        assert [part.wait() for part in parts] == [0] * SHARDS
    subprocess.run([*command, f"all/{SHARDS}"], check=True, stdout=subprocess.DEVNULL)
    return datasets.load(Workspace(folder), "shards", "dataset").digest


class Killer:
    """Ends one Ray worker that is in the middle of a task."""

    def __init__(self) -> None:
        self.killed = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._hunt)

    def _hunt(self) -> None:
        while not self._done.wait(3.0):
            for pid in tree():
                with suppress(OSError):
                    if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::run_task"):
                        os.kill(pid, signal.SIGKILL)
                        self.killed += 1
                        return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def tree() -> Iterator[int]:
    """This process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def tree_cpu() -> float:
    """CPU seconds of the tree, those of finished children included."""
    total = 0
    for pid in tree():
        with suppress(OSError):
            total += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return total / _TICKS


def pss_mb(pid: int) -> float:
    """A process's share of the memory it uses."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    main()
