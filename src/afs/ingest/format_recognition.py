"""The reader `auto`: recognizes what each file of a folder holds, reads it with that reader, and lists the rest.

A file is recognized by its name where the name is a tool's own, else by its first lines; nothing is guessed from text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from afs import git_objects, plugins
from afs.config import Config
from afs.errors import DataError
from afs.ingest import asm, file_walk, row_files
from afs.ingest.base import Reading, Source, Unit, as_dict
from afs.ingest.source_domains import place_units
from afs.source_code import function_scanner
from afs.types import Dropped, Json, Record

_HEAD = 1 << 16
_LINES = 12
_CODE = (".py", *function_scanner.ENDINGS)
_TEXTS = (".md", ".markdown", ".mdx", ".rst", ".html", ".htm")
_TABLES = (".csv", ".tsv", ".parquet")


class Auto(Config, frozen=True, kw_only=True):
    """Any folder: agent sessions, data files, assembly, source code and documents."""

    version = "1"

    skip: tuple[str, ...] = ()
    """Kinds that are left alone, e.g. `docs`."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every recognized unit; files that no reader recognizes stay out and are listed as unreadable."""
        git = [
            folder
            for folder in (place, place / ".git")
            if (folder / "objects").is_dir() and (folder / "HEAD").is_file()
        ]
        if git and git_objects.is_partial_clone(place) and git[0] != place:
            yield Unit(git[0], ".git", problem="commits left out: a partial clone; `git fetch --refetch --no-filter`")
        elif git:
            yield from (unit._replace(kind="git") for unit in _make("git").units(place))
            return
        assembly: list[Unit] = []
        for unit in file_walk.list_units(place, ()):
            if unit.problem or unit.member:
                yield unit
                continue
            kind = "" if unit.path.stat().st_size == 0 else recognize(unit.path)
            if kind in self.skip:
                continue
            if kind == "opencode":
                yield from (
                    inner._replace(kind=kind)
                    for inner in _make(kind).units(unit.path.parents[2])
                    if inner.path == unit.path
                )
            elif kind == "asm":
                assembly.append(unit._replace(kind=kind))
            elif kind != "opencode-part":
                yield unit._replace(kind=kind, problem="" if kind else "left alone: not recognized")
        yield from place_units(assembly)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """The records of the reader that was recognized."""
        reading.counts[f"recognized:{unit.kind}"] += 1
        yield from _make(unit.kind).read(unit, reading)


def _make(kind: str) -> Source:
    source = plugins.find("source", kind)
    return source()  # type: ignore[operator,no-any-return]


def recognize(path: Path) -> str:
    """The kind of a file; empty when nothing recognizes it."""
    name, suffix = path.name.lower(), path.suffix.lower()
    if name.endswith("chat.history.md"):
        return "aider"
    if suffix == ".traj":
        return "swe-agent"
    if suffix in (".vscdb", ".db", ".sqlite"):
        return _recognize_database(path)
    if suffix in asm.ENDINGS:
        return "asm"
    if suffix in _CODE:
        return "code"
    if suffix in (".h", ".hh", ".hpp", ".hxx"):
        return "cpp"
    if suffix in _TEXTS:
        return "docs"
    if suffix in _TABLES:
        return "jsonl"
    if re.search(r"\.(?:jsonl|ndjson|json)(?:\.gz|\.zst)?$", name):
        return _recognize_json(path)
    return ""


def _recognize_database(path: Path) -> str:
    with path.open("rb") as source:
        head = source.read(_HEAD)
    if not head.startswith(b"SQLite format 3"):
        return ""
    return "cursor" if b"cursorDiskKV" in head else "antigravity" if b"ItemTable" in head else ""


def _recognize_json(path: Path) -> str:
    if path.parent.parent.name in ("message", "part") and path.parents[2].name.startswith("storage"):
        return "opencode-part"
    if path.parent.parent.name == "session" and path.parents[2].name.startswith("storage"):
        return "opencode"
    for row in _read_head(path):
        if kind := _kind_of_row(row):
            return kind
    return ""


def _read_head(path: Path) -> list[Json]:
    """The first objects of a file: its lines, or the whole when it is one value."""
    reading = Reading(Unit(path, path.name), source="", domain="")
    try:
        with row_files.open_unit(reading.unit) as source:
            head = source.read(_HEAD)
            lines = head.split(b"\n")
            rows = [row for line in lines[:_LINES] if (row := _parse(line))]
            if rows or not head.lstrip().startswith((b"{", b"[")):
                return rows
            whole = json.loads(head + source.read(row_files.WHOLE_FILE))
    except (OSError, EOFError, ValueError, RecursionError, DataError):
        return []
    items = whole if isinstance(whole, list) else [whole]
    return [as_dict(item) for item in items[:_LINES]]


def _parse(line: bytes) -> Json:
    try:
        return as_dict(json.loads(line))
    except (ValueError, RecursionError):
        return {}


def _kind_of_row(row: Json) -> str:
    """The kind that a row's fields belong to."""
    keys = row.keys()
    if "parts" in as_dict(row.get("message")) and "sessionId" in keys:
        return "qwen"
    for kind, wanted in _MARKS:
        if wanted <= keys:
            return kind
    if isinstance(row.get("kind"), int) and "v" in row:
        return "copilot"
    if "type" in keys and "data" in keys and "." in str(row["type"]):
        return "copilot"
    return "jsonl" if {"messages"} <= keys or {"conversations"} <= keys or _PAIR & keys else ""


_MARKS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (kind, frozenset(fields.split()))
    for kind, fields in (
        ("claude-code", "sessionId message uuid type"), ("claude-code", "type leafUuid summary"),
        ("claude-code", "type messageId snapshot"), ("claude-code", "type operation sessionId"),
        ("codex", "timestamp type payload"),
        ("gemini", "sessionId projectHash"),
        ("antigravity-cli", "step_index source type"),
        ("cursor", "role message"),
        ("openhands", "source action"), ("openhands", "instance_id history"),
        ("copilot", "requests responderUsername"), ("copilot", "requests sessionId"),
        ("opencode", "info messages"),
        ("swe-agent", "trajectory history"),
        ("toolbench", "answer_generation"),
        ("codesearchnet", "func_documentation_string"), ("codesearchnet", "docstring code"),
        ("afs-history", "type op context_root"),
    )
)  # fmt: skip
_PAIR = frozenset(("instruction", "prompt", "question", "chosen", "text"))
