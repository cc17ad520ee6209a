"""The seam of export formats, and the field that lets a row come back as the very record it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import msgspec

from afs.providers.base import chat_message
from afs.types import Json, Message, Record

META = "afs"
"""The field with everything of a record but its messages, as JSON text: one shape for every reader."""


class Unfit(Exception):  # noqa: N818  an answer, not an error
    """A record that a format cannot hold; its text is the reason."""


class Format(Protocol):
    """A format: a config struct of its options."""

    suffix: ClassVar[str]
    """Ending of the files: `.jsonl` or `.parquet`."""
    names: ClassVar[Mapping[str, str]]
    """Side -> name of the file without its ending, where it differs."""

    def row(self, record: Record) -> Json:
        """The row of a record; raises Unfit."""


_encode = msgspec.json.Encoder().encode


def meta(record: Record, messages: Sequence[Message] = ()) -> str:
    """A record without its messages, or with what a row cannot hold of them, as JSON text."""
    return _encode(msgspec.structs.replace(record, messages=tuple(messages))).decode()


def turn(message: Message) -> Json:
    """One turn in OpenAI's form, thinking included."""
    made = chat_message(message)
    return made | {"reasoning_content": message.thinking} if message.thinking else made


def tools(record: Record) -> list[Json]:
    """The tools of a record in OpenAI's form."""
    return [
        {"type": "function", "function": {"name": t.name, "description": t.description, "parameters": t.parameters}}
        for t in record.tools
    ]


def pair(record: Record) -> tuple[str, list[Message], Message, Message]:
    """(system, earlier turns, question, answer) of plain talk; raises Unfit for anything with tools."""
    turns = list(record.messages)
    system = turns.pop(0).text if turns and turns[0].role == "system" else ""
    if any(m.tool_calls or m.role == "tool" for m in turns):
        raise Unfit("tool calls")
    if len(turns) < 2 or turns[-1].role != "assistant" or turns[-2].role != "user":
        raise Unfit("no question and answer at the end")
    return system, turns[:-2], turns[-2], turns[-1]
