"""Rows of ordinary training files as records, for checking only: instruction and output, messages, or ShareGPT."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afs.errors import DataError
from afs.types import Json, Message, Origin, Record, Role, ToolCall, record_id

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
_QUESTION = ("instruction", "prompt", "question", "query")
_ANSWER = ("output", "completion", "response", "answer")


def parse_row(row: object) -> Record:
    """The conversation of a row; raises DataError for a row of no known form."""
    if not isinstance(row, dict):
        raise DataError("row: want an object")
    turns = row.get("messages", row.get("conversations"))
    messages = tuple(map(_parse_turn, turns)) if isinstance(turns, list) else _parse_pair(row)
    origin = Origin(source="file", license=_text(row.get("license")))
    key = record_id("general", messages)
    return Record(id=key, domain="general", kind="dialogue", messages=messages, origin=origin)


def _parse_pair(row: Json) -> tuple[Message, ...]:
    asked = next((name for name in _QUESTION if isinstance(row.get(name), str)), "")
    given = next((name for name in _ANSWER if isinstance(row.get(name), str)), "")
    if not asked or not given:
        raise DataError("row: want a record, messages, conversations, or an instruction with its output")
    question = "\n\n".join(text for text in (_text(row[asked]), _text(row.get("input"))) if text)
    system = _text(row.get("system"))
    head = (Message(role="system", text=system),) if system else ()
    return (*head, Message(role="user", text=question), Message(role="assistant", text=_text(row[given])))


def _parse_turn(turn: object) -> Message:
    if not isinstance(turn, dict):
        raise DataError("turn: want an object")
    speaker = _text(turn.get("role", turn.get("from")))
    role = _ROLES.get(speaker)
    if role is None:
        raise DataError(f"turn: unknown role {speaker!r}")
    content = turn.get("content", turn.get("value"))
    calls = turn.get("tool_calls")
    if speaker == "function_call":
        content, calls = "", [turn]
    found = tuple(_parse_call(call) for call in calls) if isinstance(calls, list) else ()
    return Message(role=role, text=_text(content), tool_calls=found, tool_call_id=_text(turn.get("tool_call_id")))


def _parse_call(call: object) -> ToolCall:
    body = call.get("function", call) if isinstance(call, dict) else {}
    value = body.get("arguments", body.get("value", {})) if isinstance(body, dict) else {}
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except msgspec.DecodeError as error:
            raise DataError(f"call: arguments are not JSON ({error})") from error
    name = _text(body.get("name")) if isinstance(body, dict) else ""
    key = _text(call.get("id")) if isinstance(call, dict) else ""
    return ToolCall(id=key, name=name, arguments=value if isinstance(value, dict) else {"value": value})


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
