"""Collects the turns of a session in any log format, and counts what it was given."""

from __future__ import annotations

from collections.abc import Sequence

from afs.ingest import chats
from afs.ingest.base import Reading
from afs.ingest.session_insertions import is_compaction, is_interruption, is_notice, strip_insertions
from afs.ingest.session_turns import Author, Turn
from afs.types import Message, ToolCall


class TurnLog:
    """The turns of one conversation in order."""

    def __init__(self, reading: Reading) -> None:
        self.turns: list[Turn] = []
        self._reading = reading
        self._number = 0

    def add_user(self, place: str, text: str, author: Author = "person") -> None:
        """A message of the role `user`; what a program wrote is counted and left out."""
        if is_interruption(text):
            self.turns.append(Turn(Message(role="user"), place, "interruption"))
            return
        typed = "" if is_notice(text) or is_compaction(text) else strip_insertions(text)
        if not typed:
            self._reading.counts["entries:injected"] += 1
            return
        self._reading.counts["typed turns found"] += author in ("person", "queued")
        self.turns.append(Turn(Message(role="user", text=typed), place, author))

    def add_answer(self, place: str, text: str = "", thinking: str = "", calls: Sequence[ToolCall] = ()) -> None:
        """A message of the agent, with its calls."""
        if not (text.strip() or thinking.strip() or calls):
            return
        self._reading.counts["calls found"] += len(calls)
        message = Message(role="assistant", text=text.strip(), thinking=thinking.strip(), tool_calls=tuple(calls))
        self.turns.append(Turn(message, place))

    def add_result(self, place: str, key: str, text: str, *, failed: bool = False) -> None:
        """The result of a call."""
        text = f"error: {text}" if failed and not text.lower().startswith("error") else text
        self.turns.append(Turn(Message(role="tool", text=text, tool_call_id=key), place))

    def make_call(self, name: str, arguments: object, key: str = "") -> ToolCall:
        """A call; one without an id gets a number."""
        self._number += 1
        return ToolCall(
            id=key or f"call-{self._number}", name=name or "unnamed", arguments=chats.parse_arguments(arguments)
        )
