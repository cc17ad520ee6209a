"""OpenAI's `messages`: what trainers, Qwen's template, mlx-lm and Unsloth read; ShareGPT; and ChatML as one text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

import msgspec

from afs.config import Config
from afs.data.formats.base import META, Unfit, meta, tools, turn
from afs.datasets import message_text
from afs.types import Json, Message, Record


class Messages(Config, frozen=True, kw_only=True):
    """Rows `{messages, tools?}`."""

    suffix: ClassVar[str] = ".jsonl"
    names: ClassVar[Mapping[str, str]] = {}
    meta: bool = True
    """Add the field that restores the record."""

    def row(self, record: Record) -> Json:
        """The conversation."""
        made: Json = {"messages": [turn(m) for m in record.messages]}
        if record.tools:
            made["tools"] = tools(record)
        return made | ({META: meta(record)} if self.meta else {})


class MlxChat(Messages, frozen=True, kw_only=True):
    """`messages` under the file names mlx-lm looks for."""

    names: ClassVar[Mapping[str, str]] = {"val": "valid"}


_MARK = re.compile(r"<\|( *)im_")
_SHARE = {"user": "human", "assistant": "gpt", "tool": "observation"}


class ShareGpt(Config, frozen=True, kw_only=True):
    """Rows `{conversations: [{from, value}], system?, tools?}`."""

    suffix: ClassVar[str] = ".jsonl"
    names: ClassVar[Mapping[str, str]] = {}
    meta: bool = True
    """Add the field that restores the record."""

    def row(self, record: Record) -> Json:
        """The conversation, calls as turns of their own."""
        turns = list(record.messages)
        made: Json = {}
        if turns and turns[0].role == "system":
            made["system"] = turns.pop(0).text
        made["conversations"] = [item for m in turns for item in _share(m)]
        if record.tools:
            made["tools"] = msgspec.json.encode(tools(record)).decode()
        return made | ({META: meta(record)} if self.meta else {})


def _share(message: Message) -> list[Json]:
    if message.role == "system":
        raise Unfit("a system turn in the middle")
    if not message.tool_calls:
        made: Json = {"from": _SHARE[message.role], "value": message.text}
        kept = {"thinking": message.thinking, "tool_call_id": message.tool_call_id, "name": message.name}
        return [made | {key: text for key, text in kept.items() if text}]
    calls = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in message.tool_calls]
    value = msgspec.json.encode(calls).decode()
    call: Json = {"from": "function_call", "value": value}
    return [call | {k: v for k, v in (("text", message.text), ("thinking", message.thinking)) if v}]


class ChatMl(Config, frozen=True, kw_only=True):
    """Rows `{text}` in ChatML's markers; the markers inside of contents are taken apart by a space."""

    suffix: ClassVar[str] = ".jsonl"
    names: ClassVar[Mapping[str, str]] = {}
    meta: bool = True
    """Add the field that restores the record."""

    def row(self, record: Record) -> Json:
        """The whole conversation as text."""
        parts = [f"<|im_start|>{m.role}\n{_apart(message_text(m))}<|im_end|>\n" for m in record.messages]
        bare = [msgspec.structs.replace(m, text="") for m in record.messages]
        made: Json = {"text": "".join(parts)}
        return made | ({META: meta(record, bare)} if self.meta else {})


def _apart(text: str) -> str:
    return _MARK.sub(r"<| \1im_", text)
