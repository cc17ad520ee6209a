"""Qwen Code sessions: JSON lines whose messages have Gemini's parts, linked by parents like Claude Code's.

Experimental: written against the fixtures of other readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from afs.ingest import file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import SessionOptions
from afs.ingest.turn_collector import TurnLog
from afs.types import Dropped, Json, Record


class Qwen(SessionOptions, frozen=True, kw_only=True):
    """Files below `.qwen/projects/*/chats` and `.qwen/tmp`."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every session file."""
        return file_walk.list_units(place, (".jsonl", ".jsonl.gz", ".jsonl.zst"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn of the newest branch; other branches are drops."""
        rows = [(place, row) for place, row in row_files.read_objects(unit, reading) if _is_known(row, place, reading)]
        chain, rest = _split_branches(rows)
        model = next((text_of(row.get("model")) for _, row in rows if row.get("model")), "")
        session = next((text_of(row.get("sessionId")) for _, row in rows if row.get("sessionId")), "")
        origin = {"group": session or unit.label, "maker": f"qwen:{model}" if model else ""}
        for branch, drop in ((chain, ""), (rest, "rewound branch")):
            log = TurnLog(reading)
            for place, row in branch:
                _read_row(place, row, log)
            yield from build_records(log.turns, reading, self, origin=origin, drop=drop)


def _is_known(row: Json, place: str, reading: Reading) -> bool:
    kind = text_of(row.get("type"))
    if kind in ("user", "assistant", "tool_result") and not row.get("subtype"):
        return True
    if kind in ("user", "assistant", "tool_result", "system"):
        reading.counts[f"entries:{text_of(row.get('subtype')) or kind}"] += 1
        return bool(row.get("uuid")) and kind == "system"
    reading.add_unknown(kind or "no type", place, row)
    return False


def _split_branches(rows: list[tuple[str, Json]]) -> tuple[list[tuple[str, Json]], list[tuple[str, Json]]]:
    """(the branch that ends in the newest row, all others)."""
    by_id = {text_of(row.get("uuid")): row for _, row in rows if row.get("uuid")}
    if not any(row.get("parentUuid") for _, row in rows):
        return rows, []
    used: set[int] = set()
    at: Json | None = rows[-1][1]
    while at is not None and id(at) not in used:
        used.add(id(at))
        at = by_id.get(text_of(at.get("parentUuid")))
    return [r for r in rows if id(r[1]) in used], [r for r in rows if id(r[1]) not in used]


def _read_row(place: str, row: Json, log: TurnLog) -> None:
    parts = [as_dict(part) for part in as_list(as_dict(row.get("message")).get("parts"))]
    texts = [text_of(p.get("text")) for p in parts if p.get("thought") is not True]
    text = "\n".join(filter(None, texts))
    if row.get("type") == "assistant":
        thinking = "\n".join(filter(None, (text_of(p.get("text")) for p in parts if p.get("thought") is True)))
        wanted = [as_dict(p.get("functionCall")) for p in parts if p.get("functionCall")]
        calls = [log.make_call(text_of(c.get("name")), c.get("args"), text_of(c.get("id"))) for c in wanted]
        log.add_answer(place, text, thinking, calls)
    elif row.get("type") == "tool_result":
        for part in parts:
            answer = as_dict(part.get("functionResponse"))
            response = as_dict(answer.get("response"))
            output = text_of(response.get("output")) or text_of(response.get("error"))
            log.add_result(place, text_of(answer.get("id")), output, failed="error" in response)
    elif row.get("type") == "user" and text:
        shown = text_of(as_dict(row.get("systemPayload")).get("displayText"))
        log.add_user(place, shown or text)
