"""What a campaign notes with each piece: the attempts on it, with their verdicts and receipts."""

from __future__ import annotations

import msgspec

from afs.types import Message, Value, Verdict


class Attempt(Value, frozen=True, kw_only=True):
    """One answer to a task."""

    text: str
    verdict: Verdict | None = None
    """None for an answer that was cut, refused or empty: it was not judged."""
    maker: str
    """`provider:model` that really answered, or the pack and its version."""
    template: str = ""
    arm: str = ""
    """Template and teacher, as the cell names them."""
    thinking: str = ""
    call: int = 0
    """Number of the call in the campaign's ledger; 0: no call was needed."""
    target: str = ""
    """The model that was asked."""
    cost: int | None = 0
    """Billionths of a dollar; None: unknown."""
    prices: str = ""
    """Price table or source of the call's cost."""
    problem: str = ""
    """cut, refused or empty."""
    turns: tuple[Message, ...] = ()
    """Of a tool dialogue: everything after the question."""
    is_repair: bool = False
    """Whether the teacher saw its rejected answer and the diagnostics."""


Attempts = tuple[Attempt, ...]
encode_attempts = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Attempts).decode


def read_attempts(raw: bytes | None) -> Attempts:
    """The attempts noted with a piece."""
    return _decode(raw) if raw else ()
