"""Cursor: transcripts of its agent as JSON lines, and the chats in its `state.vscdb`.

Experimental: no real file was found in public repositories; written against the fixtures and code of other readers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from afs.ingest import chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import SessionOptions
from afs.ingest.turn_collector import TurnLog
from afs.sqlite import open_untrusted
from afs.types import Dropped, Json, Record

_DATABASES = (".vscdb", ".db", ".sqlite")


class Cursor(SessionOptions, frozen=True, kw_only=True):
    """Files below `.cursor/projects/*/agent-transcripts`, and `state.vscdb`."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every transcript and database."""
        return file_walk.list_units(place, (".jsonl", *_DATABASES))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn."""
        if unit.path.suffix in _DATABASES:
            for key, chat in _read_database(unit, reading):
                yield from build_records(chat.turns, reading, self, origin={"group": key})
            return
        log, opened = TurnLog(reading), list[str]()
        for place, row in row_files.read_objects(unit, reading):
            _read_line(place, row, log, opened, reading)
        author = "model" if "subagents" in unit.path.parts else "person"
        turns = [
            turn._replace(author="model") if author == "model" and turn.author == "person" else turn
            for turn in log.turns
        ]
        if author == "model":
            reading.counts["typed turns found"] = 0
        yield from build_records(turns, reading, self, origin={"group": unit.label})


def _read_line(place: str, row: Json, log: TurnLog, opened: list[str], reading: Reading) -> None:
    """A message; results without a known id belong to the calls in order."""
    role, content = text_of(row.get("role")), as_dict(row.get("message")).get("content", row.get("content"))
    blocks = (
        [as_dict(b) for b in content] if isinstance(content, list) else [{"type": "text", "text": text_of(content)}]
    )
    text = "\n".join(filter(None, (text_of(b.get("text")) for b in blocks if b.get("type") == "text")))
    if role == "assistant":
        thinking = "\n".join(filter(None, (text_of(b.get("thinking")) for b in blocks if b.get("type") == "thinking")))
        uses = [b for b in blocks if b.get("type") == "tool_use"]
        calls = [log.make_call(text_of(b.get("name")), b.get("input"), text_of(b.get("id"))) for b in uses]
        opened += [call.id for call in calls]
        log.add_answer(place, text, thinking, calls)
    elif role in ("user", "tool"):
        for block in (b for b in blocks if b.get("type") == "tool_result"):
            key = text_of(block.get("tool_use_id"))
            key = key if key in opened or not opened else opened[0]
            if key in opened:
                opened.remove(key)
            inner = block.get("content")
            parts = [text_of(as_dict(p).get("text")) for p in inner] if isinstance(inner, list) else [text_of(inner)]
            log.add_result(place, key, "\n".join(parts), failed=block.get("is_error") is True)
        if text:
            start = text.find("<user_query>")
            log.add_user(place, text[start + 12 :].partition("</user_query>")[0].strip() if start >= 0 else text)
    else:
        reading.add_unknown(role or "no role", place, row)


def _read_database(unit: Unit, reading: Reading) -> Iterator[tuple[str, TurnLog]]:
    """(key, turns) of every chat: its bubbles in the order of its headers."""
    query = "SELECT key, value FROM cursorDiskKV WHERE key LIKE 'composerData:%' OR key LIKE 'bubbleId:%'"
    rows: dict[str, Json] = {}
    try:
        with open_untrusted(unit.path) as db:
            for key, value in db.execute(query):
                raw = value if isinstance(value, bytes) else str(value).encode()
                rows[bytes(key).decode("utf-8", "replace")] = as_dict(chats.parse_json(raw.decode("utf-8", "replace")))
    except (sqlite3.Error, MemoryError) as error:
        reading.add_unreadable("", f"not a Cursor state file ({error})")
        return
    for key, chat in rows.items():
        if key.startswith("composerData:"):
            composer, log = key.partition(":")[2], TurnLog(reading)
            headers = as_list(chat.get("fullConversationHeadersOnly")) or as_list(chat.get("conversation"))
            for number, header in enumerate(headers):
                bubble = rows.get(f"bubbleId:{composer}:{text_of(as_dict(header).get('bubbleId'))}") or as_dict(header)
                _read_bubble(bubble, f"{key}[{number}]", log)
            if log.turns:
                yield key, log


def _read_bubble(bubble: Json, place: str, log: TurnLog) -> None:
    text = text_of(bubble.get("text"))
    if bubble.get("type") == 1:
        log.add_user(place, text)
        return
    thinking = text_of(as_dict(bubble.get("thinking")).get("text"))
    tool = as_dict(bubble.get("toolFormerData"))
    if not tool.get("name"):
        log.add_answer(place, text, thinking)
        return
    arguments = tool.get("rawArgs") or tool.get("params")
    call = log.make_call(text_of(tool.get("name")), arguments, text_of(tool.get("toolCallId")))
    log.add_answer(place, text, thinking, [call])
    if tool.get("result") is not None or tool.get("status") == "error":
        log.add_result(place, call.id, text_of(tool.get("result")), failed=tool.get("status") == "error")
