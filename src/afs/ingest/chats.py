"""Chats in the common written forms: OpenAI's and ChatML `messages`, ShareGPT's `conversations`, preference rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec

from afs import jsonl
from afs.config import Config
from afs.ingest import chatml, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of, tools_of
from afs.types import Dropped, Json, Message, Record, Role, ToolCall, record_id

_decode_own = jsonl.decoder(Record)

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool", "tool_response": "tool",
    "function_call": "assistant", "tool_call": "assistant",
}  # fmt: skip


REJECTED = "score: rejected in a preference pair"
"""Reason of the turned-away side of a pair; an export of pairs finds it again."""


class Chats(Config, frozen=True, kw_only=True):
    """Rows of conversations."""

    version = "3"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every table-like file."""
        return file_walk.units(place, row_files.ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per row."""
        for place, row in row_files.rows(unit, reading):
            yield from found(row, place, reading)


def found(row: Json, place: str, reading: Reading) -> Iterator[Record | Dropped]:
    """What a row holds: a conversation, or two answers to one question."""
    if row.get("chosen") and "rejected" in row:
        yield from _preference(row, place, reading)
    else:
        reading.found()
        yield record(row, place, reading)


def record(row: Json, place: str, reading: Reading) -> Record | Dropped:
    """The conversation of a row."""
    if chatml.is_written(row):
        row = row | {"messages": chatml.turns(row)}
    turns: list[Message] = []
    if system := text_of(row.get("system")):
        turns.append(Message(role="system", text=system))
    problem = ""
    for item in turns_of(row):
        turn = message(as_dict(item))
        if turn is None:
            problem = f"a turn that is none: {str(item)[:80]}"
            continue
        turns.append(turn)
    tools = row.get("tools")
    if isinstance(tools, str):
        tools = parse(tools)
    kind = "tools" if any(turn.tool_calls for turn in turns) else "chat"
    made = reading.record(kind, joined(turns), place=place, extra={"tools": tools_of(tools)})
    if (own := restored(row, made)) is not None:
        return own
    if problem:
        return Dropped(record=made, reason="unknown turn", detail=problem)
    if not any(turn.role == "user" for turn in turns):
        return Dropped(record=made, reason="no question")
    if not any(turn.role == "assistant" and (turn.text.strip() or turn.tool_calls) for turn in turns):
        return Dropped(record=made, reason="no answer")
    return made


def restored(row: Json, made: Record) -> Record | None:
    """The record an export of ours was made of; with another id, and as its child, when the text was changed since."""
    if not isinstance(row.get("afs"), str):
        return None
    try:
        before = _decode_own(text_of(row["afs"]).encode())
    except msgspec.DecodeError:
        return None
    key = record_id(before.domain, made.messages)
    if key == before.id:
        return msgspec.structs.replace(before, messages=made.messages)
    origin = msgspec.structs.replace(before.origin, parents=(before.id,))
    return msgspec.structs.replace(before, id=key, messages=made.messages, origin=origin, verdicts=(), scores=())


def _preference(row: Json, place: str, reading: Reading) -> Iterator[Record | Dropped]:
    """Two answers to one question: the chosen one is a record, the rejected one is kept beside as turned away."""
    asked = _said(row.get("prompt"), "user")
    chosen, rejected = _said(row.get("chosen"), "assistant"), _said(row.get("rejected"), "assistant")
    for turns, key in ((chosen, "afs"), (rejected, "afs_rejected")):
        reading.found()
        whole = turns if turns[: len(asked)] == asked else [*asked, *turns]
        made = reading.record("chat", joined(whole), place=place)
        made = restored({"afs": row.get(key)}, made) or made
        if not any(m.role == "user" for m in whole) or not any(m.role == "assistant" and m.text.strip() for m in whole):
            yield Dropped(record=made, reason="no question or no answer")
        else:
            yield made if key == "afs" else Dropped(record=made, reason=REJECTED)


def _said(value: object, role: Role) -> list[Message]:
    """A text of one speaker, or turns."""
    if isinstance(value, str):
        return [Message(role=role, text=value)] if value else []
    return [turn for item in as_list(value) if (turn := message(as_dict(item))) is not None]


def turns_of(row: Json) -> list[object]:
    """The list of turns, also in the column form `{from: […], value: […]}`."""
    found = row.get("messages") or row.get("conversations") or row.get("conversation")
    if isinstance(found, dict):
        speakers, texts = as_list(found.get("from")), as_list(found.get("value"))
        return [{"from": who, "value": text} for who, text in zip(speakers, texts, strict=False)]
    return as_list(found)


def message(turn: Json) -> Message | None:
    """One turn, or None when it has no known role."""
    speaker = text_of(turn.get("role")) or text_of(turn.get("from"))
    role = _ROLES.get(speaker.lower())
    if role is None:
        return None
    content = turn.get("content", turn.get("value", turn.get("text", "")))
    if speaker in ("function_call", "tool_call"):
        calls = tuple(_bare_calls(parse(text_of(content))))
        return Message(
            role="assistant", text=text_of(turn.get("text")), thinking=text_of(turn.get("thinking")), tool_calls=calls
        )
    return Message(
        role=role,
        text=_plain(content),
        thinking=text_of(turn.get("reasoning_content")) or text_of(turn.get("thinking")),
        tool_calls=tuple(_calls(turn)),
        tool_call_id=text_of(turn.get("tool_call_id")),
        name=text_of(turn.get("name")) if role == "tool" else "",
    )


def _plain(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(text_of(part.get("text")) for part in content if isinstance(part, dict) and "text" in part)
    return text_of(content)


def _calls(turn: Json) -> Iterator[ToolCall]:
    calls = turn.get("tool_calls")
    for item in as_list(parse(calls) if isinstance(calls, str) and calls else calls):
        call = as_dict(item)
        body = as_dict(call.get("function")) or call
        if name := text_of(body.get("name")):
            yield ToolCall(id=text_of(call.get("id")), name=name, arguments=arguments(body.get("arguments")))
    old = as_dict(turn.get("function_call"))
    if name := text_of(old.get("name")):
        yield ToolCall(name=name, arguments=arguments(old.get("arguments")))


def _bare_calls(value: object) -> Iterator[ToolCall]:
    for item in value if isinstance(value, list) else [value]:
        body = as_dict(item)
        if name := text_of(body.get("name")):
            key = text_of(body.get("id"))
            yield ToolCall(id=key, name=name, arguments=arguments(body.get("arguments", body.get("parameters"))))


def arguments(value: object) -> Json:
    """A call's arguments: an object, or JSON written as a string; what is neither stays whole under `_raw`."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and value.strip():
        found = parse(value)
        return found if isinstance(found, dict) else {"_raw": value}
    return {} if value in (None, "") else {"_raw": value}


def parse(text: str) -> object:
    """JSON inside a string; None when it is not."""
    try:
        value: object = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return row_files.mended(value)


def joined(turns: list[Message]) -> list[Message]:
    """The turns, with results that name no call given to the last one still open."""
    out: list[Message] = []
    for turn in turns:
        if turn.role == "tool" and not turn.tool_call_id and (open_call := _open_call(out)):
            turn = Message(role="tool", text=turn.text, tool_call_id=open_call, name=turn.name)
        out.append(turn)
    return out


def _open_call(turns: list[Message]) -> str:
    answered = {turn.tool_call_id for turn in turns if turn.role == "tool"}
    for turn in reversed(turns):
        for call in turn.tool_calls:
            if call.id and call.id not in answered:
                return call.id
    return ""
