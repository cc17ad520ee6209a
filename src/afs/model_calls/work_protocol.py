"""What passes between the engine and the work it is given: requests, answers, decisions, and the protocol of a work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from afs.model_calls.budget import Budget
from afs.model_calls.store import Piece, State
from afs.model_calls.target import Target
from afs.providers.base import Sampling
from afs.types import Completion, Message, Tool

MOST_FAILURES = 6
"""Enough that a short outage is survived."""


class Request(NamedTuple):
    """How a piece is asked; without targets its answer is known already and is only judged."""

    messages: Sequence[Message]
    sampling: Sampling
    tools: Sequence[Tool]
    targets: Sequence[Target]


class Answered(NamedTuple):
    """A piece with the answer to be judged."""

    piece: Piece
    completion: Completion | None
    """None for a piece that needs no model."""
    call: int
    """Number of its call in the ledger; 0: none was needed."""
    target: str = ""
    """The model that was asked."""
    cost: int | None = 0
    """In billionths of a dollar; None: unknown."""


class Decision(NamedTuple):
    """Where a judged piece goes; `open` asks it again."""

    piece: Piece
    state: State
    note: str = ""


class Work(Protocol):
    """What the engine asks of a campaign, an evaluation or a check."""

    def claim(self, count: int) -> list[Piece]:
        """The next pieces to ask, at most so many; inside a transaction, so it may add some."""

    def request(self, piece: Piece) -> Request:
        """How to ask one."""

    def judge(self, answered: Sequence[Answered]) -> list[Decision]:
        """Judge answers; runs in a thread of its own."""

    def settled(self, piece: Piece, state: State) -> None:
        """A piece ended, or must be asked again (`open`)."""


class Knobs(NamedTuple):
    """What may change while a run goes, or between two."""

    concurrency: int = 64
    is_paused: bool = False
    longest_outage_s: float = 900.0
    """How long to wait when no model of any chain can be called."""
    failures: int = MOST_FAILURES
    """Failures of one piece, while others are answered, after which it is the piece that is at fault."""


class Pulse(NamedTuple):
    """How a run stands, about once a second."""

    in_flight: int
    judging: int
    waiting: int
    targets: tuple[Target, ...]
    budget: Budget
