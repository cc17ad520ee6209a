"""Which exchanges stand in one record: the context, within a token budget, then what is trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from afs.ingest.session_insertions import clip
from afs.ingest.session_turns import Exchange, SessionOptions
from afs.types import Message

_CHARS_PER_TOKEN = 4
"""An estimate: English and code average three to five characters per token."""


class RecordParts(NamedTuple):
    """The messages of a record, the indices of those trained on, and their exchanges."""

    messages: list[Message]
    trained: tuple[int, ...]
    exchanges: list[Exchange]


class _Context(NamedTuple):
    """An earlier exchange without its thinking, its results clipped."""

    messages: list[Message]
    size: int


class HistoryWindow:
    """Collects exchanges until they make up a record."""

    def __init__(self, options: SessionOptions) -> None:
        self._history = options.history
        self._budget = options.tokens * _CHARS_PER_TOKEN
        self._limit = options.result_tokens * _CHARS_PER_TOKEN
        self._context: list[_Context] = []
        self._pending: list[Exchange] = []
        """With `session`: the exchanges of the next record."""

    def add(self, exchange: Exchange) -> Iterator[RecordParts]:
        """Take in an exchange to train on; yields a record that is complete."""
        if self._history != "session":
            yield self._compose([exchange])
            self._remember(exchange)
            return
        if self._pending and sum(map(_size, self._pending)) + _size(exchange) > self._budget:
            yield from self.flush()
        self._pending.append(exchange)

    def add_context(self, exchange: Exchange) -> None:
        """Take in an exchange that is only context, because it was dropped."""
        if exchange.author == "none" or not exchange.messages:
            return
        if self._history == "session" and self._pending:
            self._pending.append(exchange)
        else:
            self._remember(exchange)

    def flush(self) -> Iterator[RecordParts]:
        """The record of the exchanges taken in since the last one."""
        if any(not exchange.reason for exchange in self._pending):
            yield self._compose(self._pending)
        for exchange in self._pending:
            self._remember(exchange)
        self._pending = []

    def _remember(self, exchange: Exchange) -> None:
        """Keep an exchange as context, and forget what no longer fits into any record."""
        if self._history == "none":
            return
        messages = [_shorten(message, self._limit) for message in exchange.messages]
        self._context.append(_Context(messages, _length(messages)))
        total = sum(context.size for context in self._context)
        while total > self._budget:
            total -= self._context.pop(0).size

    def _compose(self, exchanges: list[Exchange]) -> RecordParts:
        """Context as far as the budget allows, cut from the front, then the exchanges."""
        parts = [list(exchange.messages) for exchange in exchanges]
        if self._history != "none" and sum(map(_size, exchanges)) > self._budget:
            parts = [[_clip_result(message, self._limit) for message in part] for part in parts]
        left = self._budget - sum(map(_length, parts))
        first = len(self._context)
        while first and self._context[first - 1].size <= left:
            first -= 1
            left -= self._context[first].size
        out: list[Message] = []
        for context in self._context[first:]:
            extend_messages(out, context.messages)
        trained: list[int] = []
        for exchange, part in zip(exchanges, parts, strict=True):
            begin = len(out)
            extend_messages(out, part)
            if not exchange.reason:
                trained += [i for i in range(begin, len(out)) if out[i].role == "assistant"]
        return RecordParts(out, tuple(trained), exchanges)


def extend_messages(out: list[Message], messages: Iterable[Message]) -> None:
    """Append messages; a user message behind another one is joined to it."""
    for message in messages:
        if message.role == "user" and out and out[-1].role == "user":
            out[-1] = msgspec.structs.replace(out[-1], text=f"{out[-1].text}\n\n{message.text}")
        else:
            out.append(message)


def _size(exchange: Exchange) -> int:
    return _length(exchange.messages)


def _length(messages: Sequence[Message]) -> int:
    """Characters of some messages, arguments included."""
    total = 0
    for message in messages:
        total += len(message.text) + len(message.thinking)
        for call in message.tool_calls:
            total += sum([len(value) if isinstance(value, str) else 16 for value in call.arguments.values()])
    return total


def _shorten(message: Message, limit: int) -> Message:
    """A message of the history: results clipped, no thinking, as models see earlier turns."""
    message = _clip_result(message, limit)
    return msgspec.structs.replace(message, thinking="") if message.thinking else message


def _clip_result(message: Message, limit: int) -> Message:
    if message.role != "tool" or len(message.text) <= limit:
        return message
    return msgspec.structs.replace(message, text=clip(message.text, limit))
