"""Merging an adapter against copying the base's files: time and peak memory, in the same run.

    python bench/merge.py [--small] [--layers N] [--turns N] [--merge-only]

Qwen2.5-7B's shapes in bf16 with N of its 28 layers and random weights; all seven projections get a rank-16 delta.
All end with fsync and take turns; the medians are told, and the ratio is the median of each turn's own. `ship` is the
whole step without its parity report: the base proven by the hash of its tensors, merged, every file hashed for the
manifest; beside it stands a copy that hashes what it read and what it wrote. Memory: this process's anonymous pages.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shapes import adapter, model

from afs import artifacts, runs
from afs.export import ShipConfig, ship
from afs.export.adapter_files import open_adapter
from afs.export.merge import Merge, merge
from afs.export.nf4_rounding import FourBit
from afs.export.safetensors_files import Weights
from afs.manifests import file_sha256
from afs.runs import Run
from afs.workspace import Workspace

WHOLE = 15.2e9
"""Bytes of Qwen2.5-7B in bf16."""


class Peak:
    """The largest number of anonymous bytes seen while a block runs."""

    def __init__(self) -> None:
        self.value, self._stop = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.value = max(self.value, int(line.split()[1]) * 1024)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class Bench(NamedTuple):
    """The folders of one run of the bench."""

    workspace: Workspace
    base: Path
    lora: Path
    out: Path

    def copy(self) -> None:
        """The base's files, on the disk."""
        self.out.mkdir()
        for path in self.base.iterdir():
            shutil.copyfile(path, self.out / path.name)
            handle = os.open(self.out / path.name, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)

    def copy_and_hash(self) -> None:
        """The same, with the hash of each file read and written."""
        self.copy()
        for path in self.base.iterdir():
            file_sha256(path)
            file_sha256(self.out / path.name)

    def merge(self, four_bit: FourBit | None = None) -> None:
        """The merge alone."""
        with runs.open_run(self.workspace, "ship", ShipConfig(artifact=f"x{time.monotonic_ns()}")) as run:
            fresh = Run(self.workspace, run.folder / "bench", run.state)
            made = Merge(
                Weights(self.base), open_adapter(self.lora), four_bit=four_bit, dtype="F16" if four_bit else ""
            )
            merge(fresh, made, self.out)

    def merge_four_bit(self) -> None:
        """On to the base rounded to four bits."""
        self.merge(FourBit())

    def ship(self) -> None:
        """The whole step as the command does it, without the parity report."""
        config = ShipConfig(artifact="lora", to="merged", base=str(self.base), parity=False, name=self._name())
        with runs.open_run(self.workspace, "ship", config) as run:
            made = ship(config, run)
        artifacts.folder_of(self.workspace, made).rename(self.out)

    def _name(self) -> str:
        return f"m{time.monotonic_ns()}"


def timed(work: Callable[[], None], out: Path) -> tuple[float, float]:
    """(seconds, CPU seconds)."""
    started, before = time.monotonic(), time.process_time()
    work()
    found = time.monotonic() - started, time.process_time() - before
    shutil.rmtree(out)
    return found


def measured(bench: Bench, turns: int, count: int) -> dict[str, list[tuple[float, float]]]:
    """The first so many kinds of work in turn, several times."""
    kinds = {
        "copy": bench.copy,
        "merge": bench.merge,
        "copy + sha256 of both": bench.copy_and_hash,
        "ship --to merged, no parity": bench.ship,
        "merge on to the 4-bit base": bench.merge_four_bit,
    }
    chosen = list(kinds.items())[:count]
    times: dict[str, list[tuple[float, float]]] = {label: [] for label, _ in chosen}
    for _ in range(turns):
        for label, work in chosen:
            times[label].append(timed(work, bench.out))
    return times


def keep_adapter(workspace: Workspace, lora: Path, base: Path) -> None:
    """The adapter as training would have stored it."""
    known = artifacts.tensors_digest(base)
    with artifacts.store_artifact(workspace, "lora", form="adapter", base=str(base), base_digest=known) as pending:
        for path in lora.iterdir():
            shutil.copyfile(path, pending.folder / path.name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--merge-only", action="store_true", help="only the copy and the merge")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        base, lora = place / "base", place / "lora"
        size = model(base, 1, hidden=512, inner=1024, heads=8) if options.small else model(base, options.layers)
        adapter(lora, base)
        bench = Bench(Workspace.create(place / "workspace"), base, lora, place / "out")
        if not options.merge_only:
            keep_adapter(bench.workspace, lora, base)
        bench.copy()
        shutil.rmtree(bench.out)
        with Peak() as peak:
            times = measured(bench, options.turns, 2 if options.merge_only else 5)
    print(f"{size / 1e9:.2f} GB of weights, load {os.getloadavg()[0]:.1f}; peak memory {peak.value / 1e6:.0f} MB")
    print(f"{'':28} {'wall s':>7} {'least':>6} {'CPU s':>6} {'x copy':>7} {'7B, s':>6}")
    for label, found in times.items():
        walls, cpu = [wall for wall, _ in found], statistics.median(cpu for _, cpu in found)
        ratio = statistics.median(wall / copy for wall, (copy, _) in zip(walls, times["copy"], strict=True))
        wall = statistics.median(walls)
        print(f"{label:28} {wall:7.2f} {min(walls):6.2f} {cpu:6.2f} {ratio:7.2f} {wall * WHOLE / size:6.0f}")
    if not options.merge_only:
        hashed = [wall for wall, _ in times["copy + sha256 of both"]]
        whole = [wall for wall, _ in times["ship --to merged, no parity"]]
        print(f"ship against copy + sha256: {statistics.median(w / h for w, h in zip(whole, hashed, strict=True)):.2f}")


if __name__ == "__main__":
    main()
