"""A session as training records: one per human turn, tool calls and results kept native, the final answer as target.

What an agent says between its calls is narration, not an answer: it is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from afs.ingest.base import NOTHING, Reading
from afs.types import Dropped, Message, Record


class Turn(NamedTuple):
    """A message with the place it was read from."""

    message: Message
    place: str = ""


def build_records(
    turns: Sequence[Turn],
    reading: Reading,
    *,
    origin: Mapping[str, object] = NOTHING,
    extra: Mapping[str, object] = NOTHING,
    narration: bool = False,
    prefix: str = "",
) -> Iterator[Record | Dropped]:
    """The records of one conversation in order."""
    for piece in _split_turns(turns):
        reading.count_found()
        body = _collect_answer(piece[1:], reading, narration)
        last = body[-1] if body else None
        messages = [piece[0].message, *body]
        kind = "tools" if any(m.tool_calls for m in body) else "chat"
        place = f"{prefix}{_place_range(piece)}"
        record = reading.build_record(kind, messages, place=place, origin=origin, extra=extra)
        if last is None:
            yield Dropped(record=record, reason="no answer")
        elif last.role != "assistant" or last.tool_calls or not last.text.strip():
            yield Dropped(record=record, reason="no final answer")
        else:
            yield record


def _split_turns(turns: Iterable[Turn]) -> Iterator[list[Turn]]:
    """From one human turn to the next; what comes before the first belongs to nobody."""
    piece: list[Turn] = []
    for turn in turns:
        if turn.message.role == "user":
            if piece:
                yield piece
            piece = [turn]
        elif piece:
            piece.append(turn)
    if piece:
        yield piece


def _place_range(piece: list[Turn]) -> str:
    first, last = piece[0].place, piece[-1].place
    return first if first == last or not last else f"{first}-{last.lstrip('L')}"


def _collect_answer(turns: list[Turn], reading: Reading, narration: bool) -> list[Message]:
    """The turns after a question: calls followed by their results, then the last text."""
    results = {t.message.tool_call_id: t.message for t in turns if t.message.role == "tool"}
    if results:
        asked = {call.id for t in turns for call in t.message.tool_calls}
        reading.counts["results without a call"] += len(results.keys() - asked)
    body: list[Message] = []
    thinking: list[str] = []
    final: Message | None = None
    for turn in turns:
        message = turn.message
        if message.role != "assistant":
            continue
        calls = tuple(call for call in message.tool_calls if call.id in results)
        reading.counts["calls without a result"] += len(message.tool_calls) - len(calls)
        if message.thinking:
            thinking.append(message.thinking)
        if not calls:
            if final is not None:
                reading.counts["narration"] += 1
            final = message if message.text.strip() else final
            continue
        if final is not None or message.text.strip():
            reading.counts["narration"] += 1
        text = "\n\n".join(filter(None, (final.text if final else "", message.text))) if narration else ""
        body.append(Message(role="assistant", text=text, thinking="\n\n".join(thinking), tool_calls=calls))
        body += [msgspec.structs.replace(results.pop(c.id), name=c.name) for c in calls if c.id in results]
        thinking, final = [], None
    if final is not None:
        body.append(Message(role="assistant", text=final.text, thinking="\n\n".join(thinking)))
    return body
