"""GitHub Copilot: chat sessions that VS Code stores or exports as JSON, and the event log of its command line.

Experimental: written against one published chat export and the fixtures of other readers.
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


class Copilot(SessionOptions, frozen=True, kw_only=True):
    """Files below `chatSessions` and `.copilot/session-state`, and exported chats."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every JSON file."""
        return file_walk.list_units(place, (".json", ".jsonl"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn."""
        log = TurnLog(reading)
        if (unit.member or unit.path.name).endswith(".json"):
            session = as_dict(row_files.read_whole(unit, reading))
        else:
            session = _replay_lines(unit, reading, log)
        for number, item in enumerate(as_list(session.get("requests"))):
            _read_request(as_dict(item), f"[{number}]", log, reading)
        if not log.turns and not reading.unreadable:
            reading.add_unreadable("", "no Copilot session: neither `requests` nor events")
        model = text_of(session.get("model"))
        origin = {
            "group": text_of(session.get("sessionId")) or unit.label,
            "maker": f"copilot:{model}" if model else "",
        }
        yield from build_records(log.turns, reading, self, origin=origin)


def _read_request(request: Json, place: str, log: TurnLog, reading: Reading) -> None:
    """A question with its response: text, thinking and tool invocations in order."""
    log.add_user(place, text_of(as_dict(request.get("message")).get("text")))
    metadata = as_dict(as_dict(request.get("result")).get("metadata"))
    rounds = [as_dict(item) for item in as_list(metadata.get("toolCallRounds"))]
    results = as_dict(metadata.get("toolCallResults"))
    for item in rounds:
        calls = [as_dict(call) for call in as_list(item.get("toolCalls"))]
        made = [log.make_call(text_of(c.get("name")), c.get("arguments"), text_of(c.get("id"))) for c in calls]
        log.add_answer(place, text_of(item.get("response")), calls=made)
        for call in made:
            if call.id in results:
                log.add_result(place, call.id, _content_text(results[call.id]))
    parts = [as_dict(part) for part in as_list(request.get("response"))]
    if not rounds and (shown_calls := sum(part.get("kind") == "toolInvocationSerialized" for part in parts)):
        reading.counts["calls found"] += shown_calls
        reading.counts["calls set aside: shown without arguments"] += shown_calls
    texts = [_part_text(part) for part in parts]
    shown = "".join(texts).strip()
    if not rounds or not _repeats(shown, rounds):
        log.add_answer(place, shown)


def _repeats(shown: str, rounds: list[Json]) -> bool:
    """Whether the last round is the answer that is shown."""
    last = text_of(rounds[-1].get("response")).strip() if rounds else ""
    return bool(last) and not as_list(rounds[-1].get("toolCalls")) and last in shown


def _part_text(part: Json) -> str:
    kind = part.get("kind")
    if kind == "inlineReference":
        reference = as_dict(part.get("inlineReference"))
        return f"`{text_of(part.get('name')) or text_of(reference.get('path')).rpartition('/')[2]}`"
    if kind in (None, "markdownContent", "markdownVuln"):
        content = part.get("content", part.get("value"))
        return text_of(as_dict(content).get("value")) or text_of(content)
    return ""


def _content_text(value: object) -> str:
    """The text in a tool result, however deep: strings, content parts, and the tree of a rendered prompt."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_content_text, value)))
    body = as_dict(value)
    if children := as_list(body.get("children")):
        return "".join(("\n" if as_dict(c).get("lineBreakBefore") else "") + _content_text(c) for c in children).strip()
    found = (_content_text(body[key]) for key in ("text", "value", "node", "content") if body.get(key))
    return next(filter(None, found), "")


def _replay_lines(unit: Unit, reading: Reading, log: TurnLog) -> Json:
    """The session that a log of changes builds (VS Code), or the events of the command line, added to `log`."""
    session: Json = {}
    for place, row in row_files.read_objects(unit, reading):
        if isinstance(row.get("kind"), int):
            session = _apply_change(session, row)
        else:
            _read_event(place, row, session, log, reading)
    return session


def _apply_change(session: Json, row: Json) -> Json:
    """One change: 0 the whole session, 1 a value set at a path, 2 items appended at a path."""
    if row["kind"] == 0:
        return as_dict(row.get("v"))
    keys = as_list(row.get("k"))
    at: object = session
    for key in keys[:-1]:
        inside = at.get(str(key)) if isinstance(at, dict) else None
        if isinstance(at, list) and isinstance(key, int) and 0 <= key < len(at):
            inside = at[key]
        if inside is None:
            return session
        at = inside
    if keys and isinstance(at, dict):
        key = str(keys[-1])
        if row["kind"] == 2 and isinstance(at.get(key), list):
            at[key] = [*as_list(at[key]), *as_list(row.get("v"))]
        else:
            at[key] = row.get("v")
    elif keys and isinstance(at, list) and isinstance(keys[-1], int) and 0 <= keys[-1] < len(at):
        at[keys[-1]] = row.get("v")
    return session


def _read_event(place: str, row: Json, session: Json, log: TurnLog, reading: Reading) -> None:
    kind, data = text_of(row.get("type")), as_dict(row.get("data"))
    if kind == "session.start":
        session["sessionId"] = data.get("sessionId")
    elif kind == "session.model_change":
        session["model"] = data.get("newModel")
    elif kind == "user.message":
        log.add_user(place, text_of(data.get("content")))
    elif kind == "assistant.message":
        requests = [as_dict(item) for item in as_list(data.get("toolRequests"))]
        calls = [
            log.make_call(text_of(r.get("name")), r.get("arguments"), text_of(r.get("toolCallId"))) for r in requests
        ]
        log.add_answer(place, text_of(data.get("content")), text_of(data.get("reasoningText")), calls)
    elif kind == "tool.execution_complete":
        output = _content_text(data.get("result")) or _content_text(data.get("error"))
        log.add_result(place, text_of(data.get("toolCallId")), output, failed=data.get("success") is False)
    elif kind == "abort":
        log.add_user(place, "[Request interrupted by user]")
    elif "." in kind or kind in ("hook", "skill"):
        reading.counts[f"entries:{kind[:40]}"] += 1
    else:
        reading.add_unknown(kind or "no type", place, row)
