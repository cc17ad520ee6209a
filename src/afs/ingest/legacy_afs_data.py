"""Data of the first `afs`: its event history and its memory files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from afs.config import Config
from afs.ingest import chats, docs, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, assistant, first_text, text_of, user
from afs.types import Dropped, Json, Message, Record

_LARGEST = 64 << 20
_MARKS = ("tool", "domain", "expert", "classification")


class History(Config, frozen=True, kw_only=True):
    """Files `history/events_*.jsonl`: calls of models; other events are kept as drops."""

    version = "3"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every event file."""
        return file_walk.list_units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per model event."""
        for place, row in row_files.read_objects(unit, reading):
            kind = text_of(row.get("type"))
            if kind not in ("model", "tool", "fs", "cli"):
                reading.add_unknown(kind or "no type", place, row)
                continue
            payload = _load_payload(row, unit, place, reading)
            if payload is None:
                continue
            reading.count_found()
            yield _convert_event(kind, row, payload, place, reading)


def _load_payload(row: Json, unit: Unit, place: str, reading: Reading) -> Json | None:
    """The payload: inline, or from the file it was moved to, which must lie below the history's folder."""
    if "payload_ref" not in row or row.get("payload"):
        return as_dict(row.get("payload"))
    root = unit.path.parent.resolve()
    path = (root / text_of(row.get("payload_ref"))).resolve()
    if not path.is_relative_to(root) or not path.is_file() or path.stat().st_size > _LARGEST:
        reading.add_unreadable(place, "payload file is missing, too large, or outside the history folder")
        return None
    content = path.read_bytes()
    if (wanted := text_of(row.get("payload_sha256"))) and hashlib.sha256(content).hexdigest() != wanted:
        reading.add_unreadable(place, "payload file does not match its SHA-256")
        return None
    value = chats.parse_json(content.decode("utf-8", "replace"))
    return value if isinstance(value, dict) else {"response": content.decode("utf-8", "replace")}


def _convert_event(kind: str, row: Json, payload: Json, place: str, reading: Reading) -> Record | Dropped:
    meta = as_dict(row.get("metadata"))
    turns = [m for item in as_list(payload.get("messages")) if (m := chats.parse_message(as_dict(item))) is not None]
    if not turns and (prompt := text_of(payload.get("prompt"))):
        turns.append(user(prompt))
    if (system := text_of(payload.get("system"))) and not any(t.role == "system" for t in turns):
        turns.insert(0, Message(role="system", text=system))
    if answer := text_of(payload.get("response")):
        turns.append(assistant(answer))
    model = text_of(meta.get("model"))
    record = reading.build_record(
        "chat",
        turns,
        place=place,
        origin={
            "maker": f"{text_of(meta.get('provider')) or 'unknown'}:{model}" if model else "",
            "group": text_of(row.get("context_root")) or reading.uri(),
        },
        extra={"tags": (f"event:{kind}", *(f"{key}:{value}" for key in _MARKS if (value := text_of(meta.get(key)))))},
    )
    if kind != "model":
        return Dropped(record=record, reason=f"{kind} event: no question and answer")
    if not any(t.role == "user" for t in turns):
        return Dropped(record=record, reason="no question")
    return record if turns[-1].role == "assistant" else Dropped(record=record, reason="no answer")


class Memory(Config, frozen=True, kw_only=True):
    """Memory files: rows of questions and answers, notes in Markdown or text."""

    version = f"4 {docs.Docs.version}"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every memory file."""
        return file_walk.list_units(place, (".json", ".jsonl", ".md", ".txt"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per row or section."""
        if unit.path.suffix.lower() in (".md", ".txt"):
            yield from docs.Docs().read(unit, reading)
            return
        for place, row in row_files.read_rows(unit, reading):
            reading.count_found()
            yield _convert_memory(row, place, reading)


def _convert_memory(row: Json, place: str, reading: Reading) -> Record | Dropped:
    asked = first_text(row, ("instruction", "prompt", "user", "question", "title"))
    context = text_of(row.get("input"))
    answer = first_text(row, ("output", "response", "assistant", "content", "text"))
    question = "\n\n".join(part for part in (asked, context) if part.strip())
    marks = [row.get("tags") or row.get("labels"), row.get("tag")]
    found = tuple(t for mark in marks for t in (mark if isinstance(mark, list) else [mark]) if isinstance(t, str) and t)
    record = reading.build_record(
        "pair",
        [user(question), assistant(answer, thinking=text_of(row.get("thinking")))],
        place=place,
        origin={"group": text_of(row.get("source")) or reading.uri()},
        extra={"tags": found},
    )
    if domain := text_of(row.get("domain")):
        record = msgspec.structs.replace(record, tags=(*found, f"domain:{domain}"))
    if not question:
        return Dropped(record=record, reason="no question")
    return record if answer.strip() else Dropped(record=record, reason="no answer")
