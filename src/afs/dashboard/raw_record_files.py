"""The records behind the figures, served as they are: only files that hold results, never a link, never outside."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from afs.dashboard.event_lines import open_plain

_NAME = r"(?!\.)[^/\\\0]+"
_SHOWN = tuple(
    re.compile(pattern)
    for pattern in (
        rf"runs/{_NAME}/(status|config|record)\.json",
        rf"runs/{_NAME}/events\.jsonl",
        rf"runs/{_NAME}/checkpoints/{_NAME}/manifest\.json",
        rf"(reports|datasets|records|models)/{_NAME}/\d+/manifest\.json",
        rf"reports/{_NAME}/\d+/(report\.html|report\.md|checks\.jsonl)",
        r"cloud/ledger\.jsonl",
        r"events/(registry|alerts)\.jsonl",
        r"council/routes\.jsonl",
        rf"campaigns/{_NAME}/reviews\.jsonl",
        r"registry\.toml",
    )
)
MOST = 1 << 20
"""Bytes shown of a long record."""


class RecordText(NamedTuple):
    """A record, or the part of it that was asked for."""

    content: bytes
    kind: str
    is_cut: bool


def read_record(root: Path, path: str, at: int | None = None) -> RecordText | None:
    """A record by its path in the workspace; with `at`, the one line that begins there. None: not to be had."""
    if not any(pattern.fullmatch(path) for pattern in _SHOWN) or ".." in path.split("/"):
        return None
    place = root / path
    parts = [root.joinpath(*Path(path).parts[:count]) for count in range(1, len(Path(path).parts))]
    if any(part.is_symlink() for part in parts):
        return None
    try:
        handle = open_plain(place)
    except OSError:
        return None
    try:
        size = os.fstat(handle).st_size
        if at is not None:
            line = os.pread(handle, MOST, max(0, at)).split(b"\n", 1)[0]
            return RecordText(line, "application/json", False)
        start = max(0, size - MOST) if path.endswith(".jsonl") else 0
        content = os.pread(handle, MOST * (16 if path.endswith(".html") else 1), start)
        if start:
            content = content[content.find(b"\n") + 1 :]
        return RecordText(content, _kind(path), len(content) < size)
    finally:
        os.close(handle)


def _kind(path: str) -> str:
    if path.endswith(".html"):
        return "text/html"
    return "application/json" if path.endswith(".json") else "text/plain"


def note_of_ledger(path: str) -> str:
    """What to say of a record that is a database."""
    if not re.fullmatch(rf"campaigns/{_NAME}/calls\.db", path):
        return ""
    name = path.split("/")[1]
    return (
        f"{path} is the campaign's ledger (SQLite): tables `pieces`, `calls`, `facts`.\n"
        f"Read it with `afs generate status {name} --json`, or `sqlite3 -readonly {path}`.\n"
    )
