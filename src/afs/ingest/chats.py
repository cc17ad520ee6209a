"""Chats in the common formats: OpenAI's and ChatML `messages`, ShareGPT's `conversations`, preference pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from afs import jsonl
from afs.config import Config
from afs.ingest import chatml, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, parse_tools, text_of
from afs.types import Dropped, Json, Message, Record, Role, ToolCall, record_id

_decode_own = jsonl.decoder(Record)

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}


REJECTED = "score: rejected in a preference pair"
"""Drop reason of the rejected side of a pair; an export of pairs looks for it."""


class Chats(Config, frozen=True, kw_only=True):
    """Rows of conversations."""

    version = "4"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every table-like file."""
        return file_walk.list_units(place, row_files.ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per row."""
        for place, row in row_files.read_rows(unit, reading):
            yield from read_row(row, place, reading)


def read_row(row: Json, place: str, reading: Reading) -> Iterator[Record | Dropped]:
    """The records of a row: a conversation, or the two answers of a preference pair."""
    if row.get("chosen") and "rejected" in row:
        yield from _convert_preference(row, place, reading)
    else:
        reading.count_found()
        yield convert_row(row, place, reading)


def convert_row(row: Json, place: str, reading: Reading) -> Record | Dropped:
    """The conversation of a row."""
    if chatml.is_chatml(row):
        row = row | {"messages": chatml.parse_turns(row)}
    turns: list[Message] = []
    if system := text_of(row.get("system")):
        turns.append(Message(role="system", text=system))
    problem = ""
    for item in list_turns(row):
        turn = parse_message(as_dict(item))
        if turn is None:
            problem = f"not a turn: {str(item)[:80]}"
            continue
        turns.append(turn)
    tools = row.get("tools")
    if isinstance(tools, str):
        tools = parse_json(tools)
    kind = "tools" if any(turn.tool_calls for turn in turns) else "chat"
    record = reading.build_record(kind, link_results(turns), place=place, extra={"tools": parse_tools(tools)})
    if (own := restore_own(row, record)) is not None:
        return own
    if problem:
        return Dropped(record=record, reason="unknown turn", detail=problem)
    if not any(turn.role == "user" for turn in turns):
        return Dropped(record=record, reason="no question")
    if not any(turn.role == "assistant" and (turn.text.strip() or turn.tool_calls) for turn in turns):
        return Dropped(record=record, reason="no answer")
    return record


def restore_own(row: Json, record: Record) -> Record | None:
    """The record that a row of our own export came from; when its text was edited, a child with a new id."""
    if not isinstance(row.get("afs"), str):
        return None
    try:
        before = _decode_own(text_of(row["afs"]).encode())
    except msgspec.DecodeError:
        return None
    key = record_id(before.domain, record.messages)
    if key == before.id:
        return msgspec.structs.replace(before, messages=record.messages)
    origin = msgspec.structs.replace(before.origin, parents=(before.id,))
    return msgspec.structs.replace(before, id=key, messages=record.messages, origin=origin, verdicts=(), scores=())


def _convert_preference(row: Json, place: str, reading: Reading) -> Iterator[Record | Dropped]:
    """A preference pair: the chosen answer is a record, the rejected one a drop."""
    asked = _parse_turns(row.get("prompt"), "user")
    chosen, rejected = _parse_turns(row.get("chosen"), "assistant"), _parse_turns(row.get("rejected"), "assistant")
    for turns, key in ((chosen, "afs"), (rejected, "afs_rejected")):
        reading.count_found()
        whole = turns if turns[: len(asked)] == asked else [*asked, *turns]
        record = reading.build_record("chat", link_results(whole), place=place)
        record = restore_own({"afs": row.get(key)}, record) or record
        if not any(m.role == "user" for m in whole) or not any(m.role == "assistant" and m.text.strip() for m in whole):
            yield Dropped(record=record, reason="no question or no answer")
        else:
            yield record if key == "afs" else Dropped(record=record, reason=REJECTED)


def _parse_turns(value: object, role: Role) -> list[Message]:
    """A text of one role, or a list of turns."""
    if isinstance(value, str):
        return [Message(role=role, text=value)] if value else []
    return [turn for item in as_list(value) if (turn := parse_message(as_dict(item))) is not None]


def list_turns(row: Json) -> list[object]:
    """The list of turns, also in the column form `{from: […], value: […]}`."""
    read_row = row.get("messages") or row.get("conversations") or row.get("conversation")
    if isinstance(read_row, dict):
        speakers, texts = as_list(read_row.get("from")), as_list(read_row.get("value"))
        return [{"from": who, "value": text} for who, text in zip(speakers, texts, strict=False)]
    return [part for turn in as_list(read_row) for part in _split_results(turn)]


def _split_results(turn: object) -> list[object]:
    """The single results that an export of ours merged into one turn."""
    results = [as_dict(result) for result in as_list(as_dict(turn).get("results"))]
    if not results or text_of(as_dict(turn).get("value")) != "\n".join(text_of(r.get("value")) for r in results):
        return [turn]
    return [{"from": as_dict(turn).get("from"), **result} for result in results]


def parse_message(turn: Json) -> Message | None:
    """One turn, or None when its role is unknown."""
    speaker = text_of(turn.get("role")) or text_of(turn.get("from"))
    role = _ROLES.get(speaker.lower())
    if role is None:
        return None
    content = turn.get("content", turn.get("value", turn.get("text", "")))
    if speaker in ("function_call", "tool_call"):
        calls = tuple(_parse_bare_calls(parse_json(text_of(content))))
        return Message(
            role="assistant", text=text_of(turn.get("text")), thinking=text_of(turn.get("thinking")), tool_calls=calls
        )
    return Message(
        role=role,
        text=_join_text(content),
        thinking=text_of(turn.get("reasoning_content")) or text_of(turn.get("thinking")),
        tool_calls=tuple(_parse_calls(turn)),
        tool_call_id=text_of(turn.get("tool_call_id")),
        name=text_of(turn.get("name")) if role == "tool" else "",
    )


def _join_text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(text_of(part.get("text")) for part in content if isinstance(part, dict) and "text" in part)
    return text_of(content)


def _parse_calls(turn: Json) -> Iterator[ToolCall]:
    calls = turn.get("tool_calls")
    for item in as_list(parse_json(calls) if isinstance(calls, str) and calls else calls):
        call = as_dict(item)
        body = as_dict(call.get("function")) or call
        if name := text_of(body.get("name")):
            yield ToolCall(id=text_of(call.get("id")), name=name, arguments=parse_arguments(body.get("arguments")))
    old = as_dict(turn.get("function_call"))
    if name := text_of(old.get("name")):
        yield ToolCall(name=name, arguments=parse_arguments(old.get("arguments")))


def _parse_bare_calls(value: object) -> Iterator[ToolCall]:
    for item in value if isinstance(value, list) else [value]:
        body = as_dict(item)
        if name := text_of(body.get("name")):
            key = text_of(body.get("id"))
            yield ToolCall(id=key, name=name, arguments=parse_arguments(body.get("arguments", body.get("parameters"))))


def parse_arguments(value: object) -> Json:
    """A call's arguments: an object, or JSON written as a string; anything else is kept under `_raw`."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and value.strip():
        read_row = parse_json(value)
        return read_row if isinstance(read_row, dict) else {"_raw": value}
    return {} if value in (None, "") else {"_raw": value}


def parse_json(text: str) -> object:
    """JSON inside a string; None when it does not parse."""
    try:
        value: object = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return row_files.repair_text(value)


def link_results(turns: list[Message]) -> list[Message]:
    """The turns; results without a call id are assigned to the last open call."""
    out: list[Message] = []
    for turn in turns:
        if turn.role == "tool" and not turn.tool_call_id and (open_call := _find_open_call(out)):
            turn = Message(role="tool", text=turn.text, tool_call_id=open_call, name=turn.name)
        out.append(turn)
    return out


def _find_open_call(turns: list[Message]) -> str:
    answered = {turn.tool_call_id for turn in turns if turn.role == "tool"}
    for turn in reversed(turns):
        for call in turn.tool_calls:
            if call.id and call.id not in answered:
                return call.id
    return ""
