"""Merging an adapter against copying the base's files: time and peak memory, in the same run.

    python bench/merge.py [--small] [--layers N]

Qwen2.5-7B's shapes in bf16 with N of its 28 layers and random weights; all seven projections get a rank-16 delta.
Copy and merge both end with fsync; they take turns, best of three. Memory is this process's own (anonymous) pages.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from shapes import adapter, model

from afs import runs
from afs.export import ShipConfig
from afs.export.adapter import open_adapter
from afs.export.merge import Merge, merge
from afs.export.weights import Weights
from afs.runs import Run
from afs.workspace import Workspace


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


def copied(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)
        handle = os.open(target / path.name, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """(seconds, CPU seconds)."""
    started, before = time.monotonic(), time.process_time()
    work()
    return time.monotonic() - started, time.process_time() - before


def merged(workspace: Workspace, base: Path, lora: Path, target: Path, dequantised: bool, turn: int) -> None:
    with runs.running(workspace, "ship", ShipConfig(artifact=f"x{turn}{dequantised}")) as run:
        fresh = Run(workspace, run.folder / str(turn), run.state)
        merge(fresh, Merge(Weights(base), open_adapter(lora), dequantised=dequantised), target)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--layers", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        base, lora = place / "base", place / "lora"
        size = model(base, 1, hidden=512, inner=1024, heads=8) if options.small else model(base, options.layers)
        adapter(lora, base)
        workspace = Workspace.create(place / "workspace")
        times: dict[str, list[tuple[float, float]]] = {"copy": [], "merge": [], "merge on to NF4": []}
        with Peak() as peak:
            for turn in range(3):
                out = place / f"out{turn}"
                times["copy"].append(timed(lambda out=out: copied(base, out)))
                shutil.rmtree(out)
                for label, four_bit in (("merge", False), ("merge on to NF4", True)):
                    times[label].append(timed(lambda o=out, f=four_bit, t=turn: merged(workspace, base, lora, o, f, t)))
                    shutil.rmtree(out)
        least = {label: min(found) for label, found in times.items()}
        print(f"{size / 1e9:.2f} GB of weights; peak memory {peak.value / 1e6:.0f} MB")
        for label, (seconds, cpu) in least.items():
            ratio = seconds / least["copy"][0]
            print(f"{label:16} {seconds:7.2f} s  {cpu:7.2f} CPU s  {ratio:5.2f} x copy")
        scale = 15.2e9 / size
        copy, made = least["copy"][0] * scale, [value * scale for value in least["merge"]]
        print(f"a whole 7B (15.2 GB) at this rate: copy {copy:.0f} s, merge {made[0]:.0f} s, {made[1]:.0f} CPU s")


if __name__ == "__main__":
    main()
