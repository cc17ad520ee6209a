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
"""A task is nested eleven levels deep: entry, summary in base64, step, its metadata, its call, the arguments."""
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
        return file_walk.list_units(place, (".vscdb", ".db", ".sqlite"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per message, with the task of its conversation."""
        for key, value in _read_values(unit, reading):
            for number, entry in enumerate(_split_conversations(value)):
                reading.counts["conversations"] += 1
                yield from _convert_conversation(entry, f"{key}[{number}]", reading)


def _split_conversations(value: bytes) -> list[bytes]:
    """One piece per conversation: the fields of the outermost message, or the whole value when its fields are JSON."""
    message = _decode_base64(value.strip()) or value
    parts = split_fields(message)
    return parts if parts and not any(part.startswith(b"{") for part in parts) else [message]


def _convert_conversation(entry: bytes, place: str, reading: Reading) -> Iterator[Record | Dropped]:
    """Messages, each with the last task before it; when the only task follows its message, with that task."""
    task: Json = {}
    pairs: list[tuple[Json, Json]] = []
    for item in find_objects(entry):
        if "Message" in item:
            pairs.append((task, item))
        elif any(name in item for name in _TASK):
            before, task = task, {k: task.get(k, "") if v == _SAME else v for k, v in item.items()}
            if not before:
                pairs = [(task, message) for _, message in pairs]
    title = _find_title(entry)
    for number, (asked, message) in enumerate(pairs or ([(task, {})] if task else [])):
        reading.count_found()
        yield _build_record(asked, message, title, f"{place}[{number}]", reading)


def _find_title(entry: bytes) -> str:
    """The title of a conversation: the first text of its summary, which is base64 inside the entry."""
    for holder in split_fields(entry):
        for packed in split_fields(holder):
            first = (split_fields(_decode_base64(packed) or b"") or [b""])[0].decode("utf-8", "replace")
            if first.isprintable() and first[:1] != "{" and not _UUID.fullmatch(first):
                return first
    return ""


def _build_record(task: Json, item: Json, title: str, place: str, reading: Reading) -> Record | Dropped:
    summary, message = text_of(task.get("TaskSummary")), _FILE.sub("", text_of(item.get("Message")))
    name = text_of(task.get("TaskName")) or summary or title
    asked = f"{name}\n\n{summary}" if summary and summary != name else name
    tags = tuple(f"mode:{mode}" for mode in (text_of(task.get("Mode")),) if mode)
    record = reading.build_record(
        "chat", [user(asked), assistant(message)], place=place, origin={"group": title or name}, extra={"tags": tags}
    )
    if not name:
        return Dropped(record=record, reason="no question")
    return record if message.strip() else Dropped(record=record, reason="no answer")


def _read_values(unit: Unit, reading: Reading) -> Iterator[tuple[str, bytes]]:
    """The stored values; the file is opened read-only and its own SQL functions are disabled."""
    marks = ",".join("?" * len(_KEYS))
    try:
        with open_untrusted(unit.path) as db:
            for key, value in db.execute(f"SELECT key, value FROM ItemTable WHERE key IN ({marks})", _KEYS):
                reading.counts["lines"] += 1
                yield bytes(key).decode("utf-8", "replace"), value if isinstance(value, bytes) else str(value).encode()
    except (sqlite3.Error, MemoryError) as error:
        reading.add_unreadable("", f"not a state file ({error})")


def find_objects(value: bytes, depth: int = 0) -> Iterator[Json]:
    """Every JSON object inside a value: as base64, protobuf fields, or text."""
    if depth > _DEPTH or not value:
        return
    if value.lstrip()[:1] == b"{" and (found := _parse_json(value)) is not None:
        yield found
        return
    if _BASE64.match(value.strip()) and (inner := _decode_base64(value.strip())) is not None:
        yield from find_objects(inner, depth + 1)
        return
    for field in split_fields(value):
        yield from find_objects(field, depth + 1)


def _parse_json(value: bytes) -> Json | None:
    try:
        found = json.loads(value.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    repaired = row_files.repair_text(found)
    return repaired if isinstance(repaired, dict) else None


def _decode_base64(value: bytes) -> bytes | None:
    try:
        return base64.b64decode(value.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def split_fields(message: bytes) -> list[bytes]:
    """The length-delimited fields of a protobuf message; empty when the bytes are not one."""
    found: list[bytes] = []
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        wire = tag & 7
        if tag >> 3 == 0 or at < 0:
            return []
        if wire == 0:
            _, at = _read_varint(message, at)
        elif wire == 2:
            size, at = _read_varint(message, at)
            if at < 0 or size > len(message) - at:
                return []
            found.append(message[at : at + size])
            at += size
        else:
            at += {1: 8, 5: 4}.get(wire, len(message) + 1)
        if at < 0 or at > len(message):
            return []
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
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
