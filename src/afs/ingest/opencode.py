"""OpenCode: the storage folders `session`, `message` and `part`, and exported sessions.

Experimental: written against fixtures and documents of other readers, and one published row dump.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from afs.ingest import chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import Author, SessionOptions
from afs.ingest.turn_collector import TurnLog
from afs.types import Dropped, Json, Record

_LARGEST = 64 << 20


class OpenCode(SessionOptions, frozen=True, kw_only=True):
    """The folder `opencode/storage`, or files written by `opencode export`."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """A unit per session, with its messages and parts."""
        files = list(file_walk.walk_files(place, (".json",)))
        parts: dict[str, list[Path]] = defaultdict(list)
        for path in files:
            if path.is_symlink():
                continue
            if path.parent.parent.name in ("message", "part"):
                parts[path.parent.name].append(path)
        for path in files:
            folders = path.parts[-3:-1]
            if "message" in folders or "part" in folders or "project" in path.parts[-2:-1]:
                continue
            identity = path.stem.removeprefix("ses_") if path.stem not in parts else path.stem
            messages = parts.get(path.stem) or parts.get(identity) or []
            inner = [part for message in messages for part in parts.get(_message_id(message), [])]
            yield Unit(path, file_walk.label_path(place, path), (*messages, *inner))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn."""
        session = as_dict(row_files.read_whole(unit, reading))
        log = TurnLog(reading)
        info = as_dict(session.get("info")) or session
        author: Author = "model" if info.get("parentID") else "person"
        model = ""
        for place, message, parts in _list_messages(session, unit, reading):
            found = _read_message(place, message, parts, author, log, reading)
            model = model or found
        if not log.turns and not reading.unreadable:
            reading.add_unreadable("", "no OpenCode session: no messages")
        origin = {"group": text_of(info.get("id")) or unit.label, "maker": model}
        yield from build_records(log.turns, reading, self, origin=origin)


def _message_id(path: Path) -> str:
    return text_of(_load(path).get("id")) or path.stem


def _load(path: Path) -> Json:
    if path.stat().st_size > _LARGEST:
        return {}
    return as_dict(chats.parse_json(path.read_bytes().decode("utf-8", "replace")))


def _list_messages(session: Json, unit: Unit, reading: Reading) -> Iterator[tuple[str, Json, list[Json]]]:
    """(place, message, parts) in order of creation."""
    for number, item in enumerate(as_list(session.get("messages"))):
        row = as_dict(item)
        yield f"[{number}]", as_dict(row.get("info")) or row, [as_dict(p) for p in as_list(row.get("parts"))]
    loaded = {path: _load(path) for path in unit.beside}
    messages = [(path, row) for path, row in loaded.items() if "role" in row]
    for path, message in sorted(messages, key=lambda pair: (_created(pair[1]), str(pair[0]))):
        key = text_of(message.get("id")) or path.stem
        rows = sorted((p.name, row) for p, row in loaded.items() if row.get("messageID") == key)
        reading.counts["lines"] += 1 + len(rows)
        yield path.stem, message, [row for _, row in rows]


def _created(message: Json) -> float:
    created = as_dict(message.get("time")).get("created")
    return float(created) if isinstance(created, int | float) else 0.0


def _read_message(place: str, message: Json, parts: list[Json], author: Author, log: TurnLog, reading: Reading) -> str:
    """Add a message to the log; returns the name of its model."""
    if text_of(message.get("role")) == "user":
        texts = [text_of(p.get("text")) for p in parts if p.get("type") == "text" and p.get("synthetic") is not True]
        log.add_user(place, "\n".join(filter(None, texts)), author)
        return ""
    for part in parts:
        kind = text_of(part.get("type"))
        if kind == "text" and part.get("synthetic") is not True:
            log.add_answer(place, text_of(part.get("text")))
        elif kind == "reasoning":
            log.add_answer(place, thinking=text_of(part.get("text")))
        elif kind == "tool":
            state = as_dict(part.get("state"))
            call = log.make_call(text_of(part.get("tool")), state.get("input"), text_of(part.get("callID")))
            log.add_answer(place, calls=[call])
            if state.get("status") in ("completed", "error"):
                output = text_of(state.get("output")) or text_of(state.get("error"))
                log.add_result(place, call.id, output, failed=state.get("status") == "error")
        else:
            reading.counts[f"entries:{kind or 'no type'}"] += 1
    model = as_dict(message.get("model"))
    provider = text_of(message.get("providerID")) or text_of(model.get("providerID"))
    name = text_of(message.get("modelID")) or text_of(model.get("modelID"))
    return f"{provider}:{name}" if name else ""
