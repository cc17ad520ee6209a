"""Session readers on damaged real logs: cut, shuffled, mixed and altered files; the account must hold for each.

    python bench/world/fuzz_sessions.py FOLDER … [--variants 300] [--seed 1]

FOLDER holds logs that other people published; nothing of them is committed. Each variant is one real file changed in
one way and read by the reader of its kind. It fails when the reader raises, when calls or typed turns are in no record,
drop or set-aside count, when the candidates do not add up, or when a file with content leaves no trace at all.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from afs.ingest.base import Reading, Unit, open_balance
from afs.ingest.format_recognition import recognize
from afs.ingest.read_unit import make_source
from afs.types import Dropped, Record

_KINDS = ("claude-code", "codex", "gemini", "copilot", "aider", "qwen", "opencode", "swe-agent", "openhands", "cursor")
_BYTES = 3 << 20
_STRANGE: tuple[object, ...] = (None, 0, -1, 1.5, "", "x", [], {}, [None], {"a": None}, True, "\ud800", 10**30)


def cut(lines: list[bytes], chance: random.Random, _other: list[bytes]) -> list[bytes]:
    """Truncated at a random byte."""
    whole = b"".join(lines)
    return [whole[: chance.randrange(len(whole))]]


def shuffle(lines: list[bytes], chance: random.Random, _other: list[bytes]) -> list[bytes]:
    """The lines in another order."""
    return chance.sample(lines, len(lines))


def mix(lines: list[bytes], chance: random.Random, other: list[bytes]) -> list[bytes]:
    """Lines of two files, perhaps of two tools."""
    return shuffle([*lines, b"\n", *other], chance, [])


def thin(lines: list[bytes], chance: random.Random, _other: list[bytes]) -> list[bytes]:
    """Some lines missing, some twice."""
    return [line for line in lines for _ in range(chance.choice((0, 1, 1, 1, 2)))]


def flip(lines: list[bytes], chance: random.Random, _other: list[bytes]) -> list[bytes]:
    """Some bytes changed."""
    whole = bytearray(b"".join(lines))
    for _ in range(20):
        whole[chance.randrange(len(whole))] = chance.randrange(256)
    return [bytes(whole)]


def alter(lines: list[bytes], chance: random.Random, _other: list[bytes]) -> list[bytes]:
    """Values of another type at random places of the JSON."""
    out = []
    for line in lines if len(lines) > 1 else [b"".join(lines)]:
        try:
            row = json.loads(line)
        except ValueError:
            out.append(line)
            continue
        for _ in range(chance.randrange(3) if len(lines) > 1 else 30):
            _alter_value(row, chance)
        out.append(json.dumps(row).encode() + b"\n")
    return out


def _alter_value(row: object, chance: random.Random) -> None:
    while isinstance(row, dict | list) and row:
        key = chance.choice(list(row) if isinstance(row, dict) else range(len(row)))
        inner = row[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.3:
            row[key] = copy.deepcopy(chance.choice(_STRANGE))
            return
        row = inner


CHANGES: tuple[Callable[[list[bytes], random.Random, list[bytes]], list[bytes]], ...] = (
    cut,
    shuffle,
    mix,
    thin,
    flip,
    alter,
)


def check(kind: str, path: Path) -> str:
    """What is wrong with the account of one file; empty when it holds."""
    reading = Reading(Unit(path, path.name), source="fuzz", domain="general")
    try:
        items = list(make_source(kind, {}).read(reading.unit, reading))
    except Exception:  # noqa: BLE001 - any exception is the finding
        return traceback.format_exc(limit=-3)
    records = sum(isinstance(item, Record) for item in items)
    drops = sum(isinstance(item, Dropped) for item in items)
    found = reading.counts["found"]
    if found != records + drops + len(reading.unreadable):
        return f"{found} found, {records} records, {drops} drops, {len(reading.unreadable)} unreadable"
    for name in ("calls", "typed turns"):
        if left := open_balance(reading.counts, name):
            return f"{left} {name} unaccounted for"
    if path.stat().st_size > 100 and not items and not reading.unreadable and not reading.counts:
        return "left no trace"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--variants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, tally, faults = random.Random(given.seed), Counter[str](), Counter[str]()
    files: dict[str, list[Path]] = {}
    for path in sorted(path for folder in given.folders for path in folder.rglob("*") if path.is_file()):
        if 200 < path.stat().st_size < _BYTES and (kind := recognize(path)) in _KINDS:
            files.setdefault(kind, []).append(path)
    print({kind: len(found) for kind, found in files.items()})
    every = [path for found in files.values() for path in found]
    with tempfile.TemporaryDirectory() as place:
        for number in range(given.variants):
            kind = sorted(files)[number % len(files)]
            source, change = chance.choice(files[kind]), CHANGES[number // len(files) % len(CHANGES)]
            lines, other = (p.read_bytes().splitlines(keepends=True) for p in (source, chance.choice(every)))
            target = Path(place) / f"{number}{source.suffix}"
            target.write_bytes(b"".join(change(lines, chance, other)))
            tally[f"{kind} {change.__name__}"] += 1
            if problem := check(kind, target):
                faults[f"{kind} {change.__name__}: {problem}"] += 1
            target.unlink()
    print(f"{given.variants} variants, {sum(faults.values())} faults")
    for fault, times in faults.most_common(20):
        print(times, fault)


if __name__ == "__main__":
    main()
