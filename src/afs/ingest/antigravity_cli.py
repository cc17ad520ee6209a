"""Antigravity's command line: JSON lines of steps.

Experimental: written against the fixtures of other readers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from afs.ingest import chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import SessionOptions
from afs.ingest.turn_collector import TurnLog
from afs.types import Dropped, Json, Record

_REQUEST = re.compile(r"<USER_REQUEST>\s*(.*?)\s*</USER_REQUEST>", re.S)


class AntigravityCli(SessionOptions, frozen=True, kw_only=True):
    """Files `transcript.jsonl` below `brain/*/.system_generated/logs`."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every transcript; of a full and a short one the full one."""
        found = list(file_walk.list_units(place, (".jsonl",)))
        full = {unit.path.parent for unit in found if unit.path.name == "transcript_full.jsonl"}
        return iter([u for u in found if u.path.name != "transcript.jsonl" or u.path.parent not in full])

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn."""
        log, opened = TurnLog(reading), list[str]()
        for place, row in row_files.read_objects(unit, reading):
            _read_step(place, row, log, opened, reading)
        yield from build_records(log.turns, reading, self, origin={"group": unit.label})


def _read_step(place: str, row: Json, log: TurnLog, opened: list[str], reading: Reading) -> None:
    source, kind, content = text_of(row.get("source")), text_of(row.get("type")), text_of(row.get("content"))
    if kind == "USER_INPUT":
        request = _REQUEST.search(content)
        log.add_user(place, request[1] if request else content, "person" if source.startswith("USER") else "notice")
    elif kind == "PLANNER_RESPONSE":
        wanted = [as_dict(item) for item in as_list(row.get("tool_calls"))]
        calls = [log.make_call(text_of(c.get("name")), _plain(as_dict(c.get("args")))) for c in wanted]
        opened += [call.id for call in calls]
        log.add_answer(place, content, text_of(row.get("thinking")), calls)
    elif source == "MODEL" and opened and kind:
        log.add_result(place, opened.pop(0), content, failed=row.get("status") == "ERROR")
    elif source and kind:
        reading.counts[f"entries:{kind}"] += 1
    else:
        reading.add_unknown(kind or "no type", place, row)


def _plain(arguments: Json) -> Json:
    """Arguments, each of which is JSON inside a string."""
    return {key: _value(value) for key, value in arguments.items()}


def _value(value: object) -> object:
    parsed = chats.parse_json(value) if isinstance(value, str) else None
    return value if parsed is None else parsed
