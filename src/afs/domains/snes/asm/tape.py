"""The tape: what the first pass ran, so that the later passes need not read the text again.

Conditions, loops, macros and defines are gone from it; labels, addresses and values are not. It can be played as
long as no text that was run depended on something that may change from pass to pass; the session keeps watch over that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afs.domains.snes.asm.session import MacroCall, Session
    from afs.domains.snes.asm.statements import Statement


class MacroStart:
    """A macro call begins."""

    __slots__ = ("call",)

    def __init__(self, call: MacroCall) -> None:
        self.call = call


class MacroEnd:
    """A macro call ends; `outer` is the one it stood in."""

    __slots__ = ("outer",)

    def __init__(self, outer: MacroCall | None) -> None:
        self.outer = outer


class Tape:
    """Statements in the order they were run, each with its place in the source."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: list[tuple[Statement | MacroStart | MacroEnd, str, int, str, bool]] = []

    def record(self, s: Session, st: Statement) -> None:
        """Keep a statement."""
        self.items.append((st, s.file, s.line, s.caller, False))

    def record_labels(self, s: Session, st: Statement) -> None:
        """Keep only the labels of a statement."""
        self.items.append((st, s.file, s.line, s.caller, True))

    def mark(self, s: Session, mark: MacroStart | MacroEnd) -> None:
        """Keep the start or end of a macro call."""
        self.items.append((mark, s.file, s.line, s.caller, False))
