"""The full pipeline in one workspace: redact, validate, score by heuristics, dedup, decontaminate, split, write.

python bench/curate_road.py [--small] [--n 500000] [--scratch FOLDER] [--code NAME=PATH …] [--peer PYTHON]

Without `--n` 35,000 and 500,000 records. `--code` takes the functions of other projects as records in place of planted
texts; PYTHON is an interpreter with `datatrove[processing]` and spaCy, whose pipeline of the same steps is run on the
same rows (`curate_datatrove.py`). "Own MB" are the anonymous pages of the main process above those at the start;
the workers that score have about 60 MB each.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path

import msgspec
from memory import Memory
from planted import corpus

sys.path.append(str(Path(__file__).with_name("world")))
from material import functions, open_corpus

from afs import datasets, runs
from afs.curate import CurateConfig, curate
from afs.types import Curation, Message, Origin, Record, record_id
from afs.workspace import Workspace

BLOCK = 500_000
"""Texts made at once; a copy and its original are in one block."""


def main() -> None:
    """Store records, curate them, say where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--code", action="append", default=[], help="NAME=PATH")
    parser.add_argument("--peer", default="")
    parser.add_argument("--scratch", type=Path, help="where to put the workspace; 5,000,000 records want 40 GB")
    given = parser.parse_args()
    code = [row for text in given.code for row in functions(open_corpus(text))]
    if code:
        given.n = len(code)
        print(f"{', '.join(given.code)}: {given.n:,} functions")
    sizes = [2_000] if given.small else [given.n] if given.n else [35_000, 500_000]
    print(f"load at the start: {os.getloadavg()[0]:.1f}; {len(os.sched_getaffinity(0))} cores\n")
    print("| records | wall s | CPU s (children too) | records / wall s | own MB |\n| --- | --- | --- | --- | --- |")
    for n in sizes:
        with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
                other.submit(store, Path(folder), n, code).result()
            workspace = Workspace.create(Path(folder))
            with Memory() as memory:
                made, wall, cpu = timed(workspace)
            print(f"| {n:,} | {wall:.1f} | {cpu:.1f} | {n / wall:,.0f} | {memory.most[0]:,.0f} |", flush=True)
            if given.peer:
                compare(given.peer, workspace, Path(folder), cpu)
    print("\n" + made)


def compare(python: str, workspace: Workspace, folder: Path, cpu: float) -> None:
    """datatrove on the same rows, with its own tokenizer for English."""
    rows = folder / "peer" / "rows.jsonl"
    rows.parent.mkdir()
    with rows.open("w", encoding="utf-8") as file:
        for number, record in enumerate(datasets.read(workspace, datasets.load(workspace, "raw"))):
            text = "\n".join(message.text for message in record.messages)
            file.write(json.dumps({"id": str(number), "text": text}) + "\n")
    command = [python, str(Path(__file__).with_name("curate_datatrove.py")), str(rows), str(folder / "datatrove")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, spent = done.stdout.split()[-2:]
    print(f"datatrove: {kept} kept, {spent} CPU s, {float(spent) / cpu:.1f} x ours", flush=True)


def store(folder: Path, n: int, code: Sequence[tuple[str, str, str]]) -> None:
    """Make the records, in a process of its own: what is measured starts with an empty memory."""
    blocks = (corpus(min(BLOCK, n - at), 1 + at // BLOCK).texts for at in range(0, n, BLOCK))
    planted = (text.partition("\n")[::2] for text in chain.from_iterable(blocks))
    pairs = [(question, answer) for _, question, answer in code] or planted
    with datasets.write_dataset(Workspace.create(folder), "raw", "records") as pending:
        for number, (head, rest) in enumerate(pairs):
            turns = (Message(role="user", text=head), Message(role="assistant", text=f"```asm\n{rest}\n```"))
            origin = Origin(source="b", license="MIT", group=str(number // 4))
            pending.add("all", Record(id=record_id("d", turns), domain="d", kind="code", messages=turns, origin=origin))


def timed(workspace: Workspace) -> tuple[str, float, float]:
    """(the funnel with seconds per phase, wall, CPU)."""
    config = CurateConfig(sources=("raw",), name="set", profile="code")
    before, started = cpu_seconds(), time.perf_counter()
    with runs.open_run(workspace, "curate", config) as run:
        dataset = curate(config, run)
    wall, cpu = time.perf_counter() - started, cpu_seconds() - before
    story = msgspec.json.decode((datasets.folder_of(workspace, dataset) / "curation.json").read_bytes(), type=Curation)
    rows = [msgspec.json.decode(line) for line in (run.folder / "events.jsonl").read_bytes().splitlines()]
    seconds = {r["phase"]: r["seconds"] for r in rows if r["event"] == "phase.end"}
    lines = [f"{s.step:<14} {s.records:>8,} left  {dict(s.dropped)}" for s in story.funnel]
    lines += [f"{phase:<28} {spent:>6.1f} s" for phase, spent in seconds.items()]
    return "\n".join(lines), wall, cpu


def cpu_seconds() -> float:
    """CPU of this process and its children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


if __name__ == "__main__":
    main()
