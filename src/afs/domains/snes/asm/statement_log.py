"""The tape: what the first pass ran, so that the later passes need not read the text again.

Conditions, loops, macros and defines are gone from it; labels, addresses and values are not. It can be played as long
as no text that was run depended on something that may change from pass to pass; the session keeps watch over that.
"""

from __future__ import annotations

from afs.domains.snes.asm.macro_call import MacroCall
from afs.domains.snes.asm.statements import DataLine, Statement


class NeedsText(Exception):  # noqa: N818 (a signal inside the assembler, never seen outside)
    """A value asked for the defines, which the tape does not hold."""


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


class Stretch:
    """Instructions in a row whose bytes depend on nothing."""

    __slots__ = ("data", "parts")

    def __init__(self) -> None:
        self.data = bytearray()
        self.parts: list[tuple[Statement | DataLine, str, int, str]] = []


Item = tuple["Statement | Stretch | MacroStart | MacroEnd", str, int, str, bool]
"""What was run, file, line, macro caller, and whether only the labels of it count."""


class StatementLog:
    """Statements in the order they were run, each with its place in the source."""

    __slots__ = ("items", "run")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.run: Stretch | None = None

    def record(self, what: Statement | MacroStart | MacroEnd, where: tuple[str, int, str], only_labels: bool) -> None:
        """Keep a statement, or the start or end of a macro call."""
        self.items.append((what, *where, only_labels))
        self.run = None

    def record_constant(self, st: Statement | DataLine, data: bytes, file: str, line: int, caller: str) -> None:
        """Keep an instruction whose bytes depend on nothing."""
        run = self.run
        if run is None:
            run = self.run = Stretch()
            self.items.append((run, file, line, caller, False))
        run.data += data
        run.parts.append((st, file, line, caller))
