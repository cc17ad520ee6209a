"""A session as training records: one per typed turn, tool calls and results kept native, the final answer as target.

Text between calls is narration and left out. The answer is the text after the last call; when nothing follows, the text
beside or directly before that call, unless it only announces the call (it ends with a colon) or the user stopped the
agent. Earlier turns stand before the exchange as context that is not trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from afs.ingest.base import NOTHING, Reading
from afs.ingest.history_window import HistoryWindow, RecordParts, extend_messages
from afs.ingest.session_turns import Author, Exchange, SessionOptions, Turn
from afs.redaction.terminal_escapes import strip_escapes
from afs.types import Dropped, Message, Record


def build_records(
    turns: Sequence[Turn],
    reading: Reading,
    options: SessionOptions,
    *,
    origin: Mapping[str, object] = NOTHING,
    extra: Mapping[str, object] = NOTHING,
    drop: str = "",
) -> Iterator[Record | Dropped]:
    """The records of one conversation in order; with `drop` all of them are dropped for that reason."""
    window = HistoryWindow(options)
    for piece in _split_turns(turns):
        exchange = _make_exchange(piece, reading, options)
        if drop:
            exchange = exchange._replace(reason=drop)
        if not exchange.messages:
            continue
        side = "drops" if exchange.reason else "records"
        reading.counts[f"calls in {side}"] += exchange.calls
        reading.counts[f"typed turns in {side}"] += exchange.typed
        if exchange.reason:
            reading.count_found()
            composition = RecordParts(list(exchange.messages), (), [exchange])
            yield Dropped(record=_make_record(composition, reading, origin, extra), reason=exchange.reason)
            window.add_context(exchange)
            continue
        for composition in window.add(exchange):
            reading.count_found()
            yield _make_record(composition, reading, origin, extra)
    for composition in window.flush():
        reading.count_found()
        yield _make_record(composition, reading, origin, extra)


def _make_record(
    composition: RecordParts, reading: Reading, origin: Mapping[str, object], extra: Mapping[str, object]
) -> Record:
    messages, trained, exchanges = composition
    kind = "tools" if any(m.tool_calls for m in messages) else "chat"
    first, last = exchanges[0].place, exchanges[-1].place
    place = first if len(exchanges) == 1 else _place_range(first.partition("-")[0], last.rpartition("-")[2])
    fields = dict(extra)
    authors = {e.author for e in exchanges} & {"model", "none"}
    tags = [f"author:{author}" for author in sorted(authors)]
    tags += ["answer:beside call"] * any(e.beside for e in exchanges)
    if tags:
        fields["tags"] = (*fields.get("tags", ()), *tags)  # type: ignore[misc]
    answers = tuple(i for i, m in enumerate(messages) if m.role == "assistant")
    if trained and trained != answers:
        fields["trained_turns"] = trained
    return reading.build_record(kind, messages, place=place, origin=origin, extra=fields)


def _split_turns(turns: Iterable[Turn]) -> Iterator[list[Turn]]:
    """From one typed turn to the next; what comes before the first is a piece without a user turn."""
    piece: list[Turn] = []
    for turn in turns:
        starts = turn.message.role == "user" and turn.author in ("person", "model")
        if starts and piece:
            yield piece
            piece = []
        if starts or piece or turn.message.role != "user" or turn.author == "queued":
            piece.append(turn)
    if piece:
        yield piece


def _place_range(first: str, last: str) -> str:
    return first if first == last or not last else f"{first}-{last.lstrip('L')}"


def _make_exchange(piece: list[Turn], reading: Reading, options: SessionOptions) -> Exchange:
    head = piece[0] if piece[0].message.role == "user" else None
    interrupted = any(turn.author == "interruption" for turn in piece)
    body, beside = _collect_answer(piece[1:] if head else piece, reading, options, interrupted=interrupted)
    messages: list[Message] = []
    extend_messages(messages, [_clean(head.message)] if head else [])
    extend_messages(messages, body)
    author: Author | Literal["none"] = head.author if head else "none"
    typed = sum(turn.message.role == "user" and turn.author in ("person", "queued") for turn in piece)
    reason = _drop_reason(messages, author, interrupted=interrupted)
    place = _place_range(piece[0].place, piece[-1].place)
    return Exchange(tuple(messages), place, author, typed, reason, beside)


def _drop_reason(messages: Sequence[Message], author: str, *, interrupted: bool) -> str:
    answers = [m for m in messages if m.role == "assistant"]
    if author == "none":
        return "no user turn"
    if not answers:
        return "interrupted" if interrupted else "no answer"
    last = messages[-1]
    if last.role != "assistant" or last.tool_calls or not last.text.strip():
        return "interrupted" if interrupted else "no final answer"
    return ""


class _Answer:
    """The messages after a question, as they are collected."""

    def __init__(self, *, narration: bool) -> None:
        self.body: list[Message] = []
        self.narration = narration
        self.skipped = 0
        """Texts between calls that were left out."""
        self._thinking: list[str] = []
        self._texts: list[str] = []
        """Texts since the last result."""
        self.beside = ""
        """Text beside or directly before the last call."""
        self._called_at = -1

    def add_text(self, message: Message) -> None:
        """An assistant message without calls."""
        self._think(message)
        if message.text.strip():
            self._texts.append(message.text)

    def add_calls(self, message: Message, results: Sequence[Message]) -> None:
        """An assistant message with calls, and their results."""
        self._think(message)
        if message.text.strip():
            self._texts.append(message.text)
        self.skipped += 0 if self.narration else len(self._texts)
        self.beside = "\n\n".join(self._texts)
        self._called_at = len(self.body)
        self.body.append(
            msgspec.structs.replace(
                message, text=self.beside if self.narration else "", thinking="\n\n".join(self._thinking)
            )
        )
        self.body += results
        self._texts, self._thinking = [], []

    def add_user(self, message: Message) -> None:
        """A message typed while the agent worked."""
        self._close()
        self.body.append(message)
        self.beside = ""

    def finish(self, *, interrupted: bool) -> bool:
        """Close the answer; whether its text stood beside or before the last call."""
        if self._close():
            return False
        text = self.beside.rstrip()
        if not text or interrupted or text.endswith((":", "…", "...")):
            return False
        if self.narration:
            self.body[self._called_at] = msgspec.structs.replace(self.body[self._called_at], text="")
        else:
            self.skipped -= 1
        self.body.append(Message(role="assistant", text=self.beside, thinking="\n\n".join(self._thinking)))
        return True

    def _close(self) -> bool:
        """The last text since the last result becomes an answer; texts before it are narration."""
        if not self._texts:
            return False
        kept = "\n\n".join(self._texts) if self.narration else self._texts[-1]
        self.skipped += 0 if self.narration else len(self._texts) - 1
        self.body.append(Message(role="assistant", text=kept, thinking="\n\n".join(self._thinking)))
        self._texts, self._thinking = [], []
        return True

    def _think(self, message: Message) -> None:
        if message.thinking:
            self._thinking.append(message.thinking)


def _collect_answer(
    turns: list[Turn], reading: Reading, options: SessionOptions, *, interrupted: bool
) -> tuple[list[Message], bool]:
    """The messages after a question, and whether the answer stood beside its last call."""
    results = {t.message.tool_call_id: _clean(t.message) for t in turns if t.message.role == "tool"}
    if results:
        calls = {call.id for t in turns for call in t.message.tool_calls}
        reading.counts["results without a call"] += len(results.keys() - calls)
    answer = _Answer(narration=options.narration)
    for turn in turns:
        message = turn.message
        if message.role == "user" and turn.author == "queued":
            answer.add_user(_clean(message))
        if message.role != "assistant":
            continue
        kept = tuple(call for call in message.tool_calls if call.id in results)
        reading.counts["calls set aside: no result"] += len(message.tool_calls) - len(kept)
        message = msgspec.structs.replace(_clean(message), tool_calls=kept)
        if not options.thinking and message.thinking:
            message = msgspec.structs.replace(message, thinking="")
        if kept:
            found = [msgspec.structs.replace(results.pop(c.id), name=c.name) for c in kept if c.id in results]
            answer.add_calls(message, found)
        else:
            answer.add_text(message)
    beside = answer.finish(interrupted=interrupted)
    reading.counts["narration"] += answer.skipped
    return answer.body, beside


def _clean(message: Message) -> Message:
    """A message without terminal codes."""
    text, thinking = strip_escapes(message.text), strip_escapes(message.thinking)
    if text is message.text and thinking is message.thinking:
        return message
    return msgspec.structs.replace(message, text=text, thinking=thinking)
