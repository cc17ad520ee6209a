"""Antigravity's state: a SQLite file whose values are base64 of protobuf with JSON objects somewhere inside."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from afs.config import Config
from afs.ingest import file_walk, row_files
from afs.ingest.base import Reading, Unit, assistant, text_of, user
from afs.sqlite import open_untrusted
from afs.types import Dropped, Json, Record

_KEYS = ("antigravityUnifiedStateSync.trajectorySummaries", "unifiedStateSync.trajectorySummaries")
_DEPTH = 16
"""A task stands eleven levels down: entry, summary in base64, step, its metadata, its call, the arguments."""
_BASE64 = re.compile(rb"^[A-Za-z0-9+/_-]{64,}={0,2}$")
_SAME = "%SAME%"
_TASK = ("TaskName", "TaskSummary", "TaskStatus", "Mode")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FILE = re.compile(r"(?:cci:[^\s\"]*?)?file://")


class Antigravity(Config, frozen=True, kw_only=True):
    """Files `state.vscdb`."""

    version = "2"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every state file."""
        return file_walk.units(place, (".vscdb", ".db", ".sqlite"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per message, with the task of its conversation."""
        for key, value in _values(unit, reading):
            for number, entry in enumerate(_entries(value)):
                reading.counts["conversations"] += 1
                yield from _conversation(entry, f"{key}[{number}]", reading)


def _entries(value: bytes) -> list[bytes]:
    """One piece per conversation: the fields of the outermost message; all of it, when they are objects themselves."""
    message = _unpacked(value.strip()) or value
    parts = fields(message)
    return parts if parts and not any(part.startswith(b"{") for part in parts) else [message]


def _conversation(entry: bytes, place: str, reading: Reading) -> Iterator[Record | Dropped]:
    """Messages with the last task before them; a summary may also keep its only task behind its message."""
    task: Json = {}
    told: list[tuple[Json, Json]] = []
    for item in objects(entry):
        if "Message" in item:
            told.append((task, item))
        elif any(name in item for name in _TASK):
            before, task = task, {k: task.get(k, "") if v == _SAME else v for k, v in item.items()}
            if not before:
                told = [(task, message) for _, message in told]
    title = _title(entry)
    for number, (asked, message) in enumerate(told or ([(task, {})] if task else [])):
        reading.found()
        yield _record(asked, message, title, f"{place}[{number}]", reading)


def _title(entry: bytes) -> str:
    """The name of a conversation: the first text of its summary, which stands in base64 in its entry."""
    for holder in fields(entry):
        for packed in fields(holder):
            first = (fields(_unpacked(packed) or b"") or [b""])[0].decode("utf-8", "replace")
            if first.isprintable() and first[:1] != "{" and not _UUID.fullmatch(first):
                return first
    return ""


def _record(task: Json, item: Json, title: str, place: str, reading: Reading) -> Record | Dropped:
    summary, message = text_of(task.get("TaskSummary")), _FILE.sub("", text_of(item.get("Message")))
    name = text_of(task.get("TaskName")) or summary or title
    asked = f"{name}\n\n{summary}" if summary and summary != name else name
    tags = tuple(f"mode:{mode}" for mode in (text_of(task.get("Mode")),) if mode)
    made = reading.record(
        "chat", [user(asked), assistant(message)], place=place, origin={"group": title or name}, extra={"tags": tags}
    )
    if not name:
        return Dropped(record=made, reason="no question")
    return made if message.strip() else Dropped(record=made, reason="no answer")


def _values(unit: Unit, reading: Reading) -> Iterator[tuple[str, bytes]]:
    """The stored values, read without trusting the file: no writes, no functions of its own."""
    marks = ",".join("?" * len(_KEYS))
    try:
        with open_untrusted(unit.path) as db:
            for key, value in db.execute(f"SELECT key, value FROM ItemTable WHERE key IN ({marks})", _KEYS):
                reading.counts["lines"] += 1
                yield bytes(key).decode("utf-8", "replace"), value if isinstance(value, bytes) else str(value).encode()
    except (sqlite3.Error, MemoryError) as error:
        reading.bad("", f"not a state file ({error})")


def objects(value: bytes, depth: int = 0) -> Iterator[Json]:
    """Every JSON object inside: walked as base64, as protobuf fields, as text."""
    if depth > _DEPTH or not value:
        return
    if value.lstrip()[:1] == b"{" and (found := _json(value)) is not None:
        yield found
        return
    if _BASE64.match(value.strip()) and (inner := _unpacked(value.strip())) is not None:
        yield from objects(inner, depth + 1)
        return
    for field in fields(value):
        yield from objects(field, depth + 1)


def _json(value: bytes) -> Json | None:
    try:
        found = json.loads(value.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    mended = row_files.mended(found)
    return mended if isinstance(mended, dict) else None


def _unpacked(value: bytes) -> bytes | None:
    try:
        return base64.b64decode(value.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def fields(message: bytes) -> list[bytes]:
    """The length-delimited fields of a protobuf message; nothing when it is none."""
    found: list[bytes] = []
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if tag >> 3 == 0 or at < 0:
            return []
        if wire == 0:
            _, at = _varint(message, at)
        elif wire == 2:
            size, at = _varint(message, at)
            if at < 0 or size > len(message) - at:
                return []
            found.append(message[at : at + size])
            at += size
        else:
            at += {1: 8, 5: 4}.get(wire, len(message) + 1)
        if at < 0 or at > len(message):
            return []
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """(value, next position), the position -1 when there is none."""
    value = shift = 0
    while 0 <= at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, -1
