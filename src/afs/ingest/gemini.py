"""Gemini CLI sessions: the old JSON file, and the append-only lines with `$set` and `$rewindTo`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from afs.ingest import file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.session_insertions import is_notice, strip_insertions
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import Author, SessionOptions, Turn
from afs.types import Dropped, Json, Message, Record, ToolCall

_NOTICES = ("info", "error", "warning", "system", "about", "help", "quit")


class Gemini(SessionOptions, frozen=True, kw_only=True):
    """Session files below `.gemini/tmp`."""

    version = "4"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every session file."""
        found = list(file_walk.list_units(place, (".json", ".jsonl", ".jsonl.gz", ".jsonl.zst")))
        return iter([u for u in found if "chats" in u.path.parts] or found)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per human turn."""
        if unit.path.suffix == ".json" and not unit.member:
            value = as_dict(row_files.read_whole(unit, reading))
            if not value and not reading.unreadable:
                reading.add_unreadable("", "not a session: want an object with `messages`")
            meta, messages = value, [(f"[{i}]", as_dict(m)) for i, m in enumerate(as_list(value.get("messages")))]
        else:
            meta, messages = _replay_lines(unit, reading)
        author: Author = "model" if meta.get("kind") == "subagent" else "person"
        turns = [turn for place, message in messages for turn in _parse_turns(place, message, author, reading)]
        model = next((text_of(m.get("model")) for _, m in messages if m.get("model")), "")
        origin = {"group": text_of(meta.get("sessionId")) or unit.label, "maker": f"google:{model}" if model else ""}
        yield from build_records(turns, reading, self, origin=origin)


def _parse_turns(place: str, message: Json, author: Author, reading: Reading) -> Iterator[Turn]:
    kind = text_of(message.get("type"))
    text = _content_text(message.get("content")).strip()
    if kind == "user":
        typed = "" if is_notice(text) else strip_insertions(text)
        if text.startswith(("/", "?")):
            reading.counts["typed turns found"] += 1
            reading.counts["typed turns set aside: local command"] += 1
        elif typed:
            reading.counts["typed turns found"] += author == "person"
            yield Turn(Message(role="user", text=typed), place, author)
        else:
            reading.counts["entries:injected"] += 1
    elif kind in ("gemini", "assistant", "model"):
        yield from _parse_answer(place, message, text, reading)
    elif kind in _NOTICES:
        reading.counts[f"entries:{kind}"] += 1
    else:
        reading.add_unknown(kind or "no type", place, message)


def _parse_answer(place: str, message: Json, text: str, reading: Reading) -> Iterator[Turn]:
    calls, results = [], []
    for number, item in enumerate(as_list(message.get("toolCalls"))):
        call = as_dict(item)
        reading.counts["calls found"] += 1
        key = text_of(call.get("id")) or f"{text_of(message.get('id')) or place}-{number}"
        name = text_of(call.get("name")) or "unnamed"
        calls.append(ToolCall(id=key, name=name, arguments=as_dict(call.get("args"))))
        if call.get("result") is not None or call.get("status") in ("error", "canceled", "cancelled"):
            output = _result_text(call.get("result")) or text_of(call.get("resultDisplay"))
            failed = call.get("status") == "error" and not output.lower().startswith("error")
            results.append(Message(role="tool", text=f"error: {output}" if failed else output, tool_call_id=key))
    thoughts = (as_dict(t) for t in as_list(message.get("thoughts")))
    thinking = "\n".join(f"{text_of(t.get('subject'))}: {text_of(t.get('description'))}" for t in thoughts)
    yield Turn(Message(role="assistant", text=text, thinking=thinking, tool_calls=tuple(calls)), place)
    yield from (Turn(result, place) for result in results)


def _replay_lines(unit: Unit, reading: Reading) -> tuple[Json, list[tuple[str, Json]]]:
    """(metadata, messages) after every update and rewind."""
    meta: Json = {}
    messages: dict[str, tuple[str, Json]] = {}
    for place, row in row_files.read_objects(unit, reading):
        if isinstance(change := row.get("$set"), dict):
            meta |= {k: v for k, v in change.items() if k != "messages"}
            if isinstance(whole := change.get("messages"), list):
                messages = {_message_key(as_dict(m), f"{place}.{i}"): (place, as_dict(m)) for i, m in enumerate(whole)}
        elif "$rewindTo" in row:
            reading.counts["entries:rewind"] += 1
            keys = list(messages)
            target = text_of(row.get("$rewindTo"))
            for key in keys[keys.index(target) :] if target in keys else keys:
                del messages[key]
        elif "type" in row and ("content" in row or "toolCalls" in row or "id" in row):
            messages[_message_key(row, place)] = (place, row)
        elif "sessionId" in row:
            meta |= row
        else:
            reading.add_unknown("line", place, row)
    return meta, list(messages.values())


def _message_key(message: Json, place: str) -> str:
    return text_of(message.get("id")) or place


def _content_text(content: object) -> str:
    """Text of a part, or of a list of parts."""
    if isinstance(content, list):
        return "\n".join(filter(None, map(_content_text, content)))
    return text_of(content.get("text")) if isinstance(content, dict) else text_of(content)


def _result_text(value: object) -> str:
    if isinstance(value, list):
        return "\n".join(filter(None, map(_result_text, value)))
    body = as_dict(value)
    response = as_dict(as_dict(body.get("functionResponse")).get("response"))
    found = response.get("output", response.get("content", response.get("error", body.get("text", value))))
    return found if isinstance(found, str) else _result_text(found) if isinstance(found, list) else ""
