"""What a session consists of: turns as they are read, exchanges as they are built, and the options of both."""

from __future__ import annotations

from typing import Literal, NamedTuple

from afs.config import Config, Count, Positive
from afs.types import Message

Author = Literal["person", "queued", "model", "notice", "interruption"]


class SessionOptions(Config, frozen=True, kw_only=True):
    """What is kept of a session."""

    narration: bool = False
    """Keep what the agent says between its tool calls."""
    thinking: bool = True
    """Keep the agent's thinking."""
    history: Literal["none", "turns", "session"] = "turns"
    """Context of a record: nothing, the turns before it, or as much of the session as fits in one record."""
    tokens: Positive = 4096
    """Token budget of a record with history (estimated); older turns are cut first."""
    result_tokens: Count = 512
    """Tool results in the history are clipped to this many tokens, head and tail."""


class Turn(NamedTuple):
    """A message with its place in the file and the author of a user message."""

    message: Message
    place: str = ""
    author: Author = "person"
    """person, queued (typed while the agent worked), model (a prompt written by a model), notice or interruption
    (written by the program)."""


class Exchange(NamedTuple):
    """A typed turn with everything up to the next one."""

    messages: tuple[Message, ...]
    place: str
    author: Author | Literal["none"]
    typed: int
    reason: str
    """Why it is not a record; empty when it is one."""
    beside: bool
    """Whether the answer stood beside or before the last call."""

    @property
    def calls(self) -> int:
        """Number of tool calls."""
        return sum([len(m.tool_calls) for m in self.messages])
