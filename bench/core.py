"""The skeleton's numbers: start-up, install size, decoding, datasets. `python bench/core.py [--small]`.

Decoding is compared with plain json and with json plus hand-made checks, datasets with plain JSONL, in the same run.
"""

from __future__ import annotations

import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from afs import datasets, jsonl
from afs.types import Origin, Record, record_id
from afs.workspace import Workspace

SMALL = "--small" in sys.argv
WORDS = [f"word{n}" for n in range(3000)]


def make_record(rng: random.Random) -> Record:
    """A record of about 1 kB."""
    question, answer = " ".join(rng.choices(WORDS, k=25)), " ".join(rng.choices(WORDS, k=75))
    messages = datasets.task_messages(question, reply=answer)
    origin = Origin(source="bench", uri="file:///some/where/in/a/tree.asm", license="MIT", maker="bench/1", group="g1")
    return Record(id=record_id("bench", messages), domain="bench", kind="k", messages=messages, origin=origin)


def timed(work: Callable[[], object], runs: int = 5) -> float:
    """Median seconds."""
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def starts() -> list[tuple[str, str]]:
    """Seconds of whole processes, beside an empty Python."""
    rows = []
    for name, argv in (
        ("python -c pass", ["-c", "pass"]),
        ("import afs", ["-c", "import afs"]),
        ("afs --help", ["-m", "afs", "--help"]),
        ("afs generate --help", ["-m", "afs", "generate", "--help"]),
    ):
        command = [sys.executable, *argv]
        seconds = timed(lambda command=command: subprocess.run(command, check=True, capture_output=True), 9)
        rows.append((name, f"{seconds * 1000:.0f} ms"))
    return rows


def checked(line: bytes) -> object:
    """What a hand-written validation of the same fields costs."""
    row = json.loads(line)
    assert isinstance(row["id"], str) and isinstance(row["domain"], str) and isinstance(row["kind"], str)
    for message in row["messages"]:
        assert message["role"] in ("system", "user", "assistant", "tool") and isinstance(message["text"], str)
    assert isinstance(row["origin"]["source"], str)
    return row


def decoding(rows: list[bytes]) -> list[tuple[str, str]]:
    """Records per second of one core."""
    decode = msgspec.json.Decoder(Record).decode
    contenders: list[tuple[str, Callable[[bytes], object]]] = [
        ("ours: decode and validate", decode),
        ("json.loads, nothing checked", json.loads),
        ("json.loads and hand-made checks", checked),
    ]
    found = []
    for name, one in contenders:
        seconds = timed(lambda one=one: deque(map(one, rows), maxlen=0), 3)
        found.append((name, f"{len(rows) / seconds:,.0f} records/s"))
    return found


def stored(count: int) -> list[tuple[str, str]]:
    """Writing and reading back a dataset, beside plain JSONL."""
    rng = random.Random(0)
    pool = [make_record(rng) for _ in range(20_000)]
    with tempfile.TemporaryDirectory() as place:
        workspace = Workspace.create(Path(place) / "w")
        started = time.perf_counter()
        with datasets.write_dataset(workspace, "big", "records") as pending:
            for number in range(count):
                pending.add("all", pool[number % len(pool)])
        wrote = time.perf_counter() - started
        started = time.perf_counter()
        assert sum(1 for _ in datasets.read(workspace, pending.dataset)) == count
        read = time.perf_counter() - started
        size = sum(s.size for s in pending.dataset.splits[0].shards)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        plain = Path(place) / "plain.jsonl"
        started = time.perf_counter()
        with plain.open("wb") as target:
            for number in range(count):
                target.write(json.dumps(msgspec.to_builtins(pool[number % len(pool)])).encode() + b"\n")
        plain_wrote = time.perf_counter() - started
        started = time.perf_counter()
        with plain.open("rb") as source:
            assert sum(1 for line in source if json.loads(line)) == count
        plain_read = time.perf_counter() - started
        plain_size = plain.stat().st_size
        started = time.perf_counter()
        jsonl_read = sum(1 for _ in jsonl.read(plain, Record))
        assert jsonl_read == count
    return [
        (f"write {count:,} records (zstd, hashed, synced)", f"{wrote:.1f} s, {size >> 20} MiB"),
        (f"read back {count:,}, decoded and validated", f"{read:.1f} s"),
        ("peak memory of the process", f"{peak} MiB"),
        ("plain JSONL by json: write", f"{plain_wrote:.1f} s, {plain_size >> 20} MiB"),
        ("plain JSONL by json: read", f"{plain_read:.1f} s"),
    ]


def main() -> None:
    """Print the table."""
    rng = random.Random(1)
    lines = [msgspec.json.encode(make_record(rng)) for _ in range(20_000 if SMALL else 100_000)]
    print(f"record: {sum(map(len, lines)) / len(lines):.0f} bytes on the mean")
    rows = starts() + decoding(lines)
    del lines
    rows += stored(50_000 if SMALL else 500_000)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"| {name:<{width}} | {value} |")


main()
