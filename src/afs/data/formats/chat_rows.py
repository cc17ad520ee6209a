"""OpenAI's `messages`: what trainers, Qwen's template, mlx-lm and Unsloth read; ShareGPT; and ChatML as one text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import groupby
from typing import ClassVar, Literal

import msgspec

from afs.config import Config
from afs.data.formats.base import META, UnfitError, openai_tools, openai_turn, record_meta
from afs.datasets import message_text
from afs.types import Json, Message, Record


class Messages(Config, frozen=True, kw_only=True):
    """Rows `{messages, tools?}`."""

    suffix: ClassVar[str] = ".jsonl"
    names: ClassVar[Mapping[str, str]] = {}
    arguments: Literal["object", "text"] = "object"
    """How arguments of calls are written: as objects, or as JSON text for templates such as DeepSeek V3's."""
    meta: bool = True
    """Add the field that restores the record."""

    def row(self, record: Record) -> Json:
        """The conversation."""
        fields: Json = {"messages": [openai_turn(m, self.arguments) for m in record.messages]}
        if record.tools:
            fields["tools"] = openai_tools(record)
        return fields | ({META: record_meta(record)} if self.meta else {})


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
        fields: Json = {}
        if turns and turns[0].role == "system":
            fields["system"] = turns.pop(0).text
        fields["conversations"] = _merge_observations([item for m in turns for item in _sharegpt_turns(m)])
        if record.tools:
            fields["tools"] = msgspec.json.encode(openai_tools(record)).decode()
        return fields | ({META: record_meta(record)} if self.meta else {})


def _sharegpt_turns(message: Message) -> list[Json]:
    if message.role == "system":
        raise UnfitError("a system turn in the middle")
    if not message.tool_calls:
        fields: Json = {"from": _SHARE[message.role], "value": message.text}
        kept = {"thinking": message.thinking, "tool_call_id": message.tool_call_id, "name": message.name}
        return [fields | {key: text for key, text in kept.items() if text}]
    calls = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in message.tool_calls]
    value = msgspec.json.encode(calls).decode()
    call: Json = {"from": "function_call", "value": value}
    return [call | {k: v for k, v in (("text", message.text), ("thinking", message.thinking)) if v}]


def _merge_observations(turns: list[Json]) -> list[Json]:
    """Results in a row as one turn, as readers of ShareGPT expect; the single ones are kept to restore the record."""
    merged: list[Json] = []
    for kind, group in groupby(turns, key=lambda turn: turn["from"]):
        found = list(group)
        if kind != "observation" or len(found) == 1:
            merged += found
            continue
        value = "\n".join(str(turn["value"]) for turn in found)
        results = [{key: text for key, text in turn.items() if key != "from"} for turn in found]
        merged.append({"from": "observation", "value": value, "results": results})
    return merged


class ChatMl(Config, frozen=True, kw_only=True):
    """Rows `{text}` in ChatML's markers; markers inside contents are broken by a space."""

    suffix: ClassVar[str] = ".jsonl"
    names: ClassVar[Mapping[str, str]] = {}
    meta: bool = True
    """Add the field that restores the record."""

    def row(self, record: Record) -> Json:
        """The whole conversation as text."""
        parts = [f"<|im_start|>{m.role}\n{_break_markers(message_text(m))}<|im_end|>\n" for m in record.messages]
        bare = [msgspec.structs.replace(m, text="") for m in record.messages]
        fields: Json = {"text": "".join(parts)}
        return fields | ({META: record_meta(record, bare)} if self.meta else {})


def _break_markers(text: str) -> str:
    return _MARK.sub(r"<| \1im_", text)
