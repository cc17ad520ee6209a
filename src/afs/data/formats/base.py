"""The seam of export formats, and the field that restores a record from a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Protocol

import msgspec

from afs.providers.base import chat_message
from afs.types import Json, Message, Record

META = "afs"
"""The field with everything of a record but its messages, as JSON text: one shape for every reader."""


class UnfitError(Exception):
    """A record that a format cannot represent; its text is the reason."""


class Format(Protocol):
    """A format: a config struct of its options."""

    suffix: ClassVar[str]
    """Ending of the files: `.jsonl` or `.parquet`."""
    names: ClassVar[Mapping[str, str]]
    """Side -> name of the file without its ending, where it differs."""

    def row(self, record: Record) -> Json:
        """The row of a record; raises UnfitError."""


_encode = msgspec.json.Encoder().encode


def record_meta(record: Record, messages: Sequence[Message] = ()) -> str:
    """A record without its messages, or with what a row cannot hold of them, as JSON text."""
    return _encode(msgspec.structs.replace(record, messages=tuple(messages))).decode()


def openai_turn(message: Message, arguments: Literal["object", "text"] = "object") -> Json:
    """One turn in OpenAI's form, thinking included; most chat templates want arguments as objects, a few as text."""
    fields = chat_message(message)
    if message.tool_calls and arguments == "object":
        fields["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return fields | {"reasoning_content": message.thinking} if message.thinking else fields


def openai_tools(record: Record) -> list[Json]:
    """The tools of a record in OpenAI's form."""
    return [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
        for t in record.tools
    ]


def question_and_answer(record: Record) -> tuple[str, list[Message], Message, Message]:
    """(system, earlier turns, question, answer) of a plain conversation; raises UnfitError for anything with tools."""
    turns = list(record.messages)
    system = turns.pop(0).text if turns and turns[0].role == "system" else ""
    if any(m.tool_calls or m.role == "tool" for m in turns):
        raise UnfitError("tool calls")
    if len(turns) < 2 or turns[-1].role != "assistant" or turns[-2].role != "user":
        raise UnfitError("no question and answer at the end")
    return system, turns[:-2], turns[-2], turns[-1]
