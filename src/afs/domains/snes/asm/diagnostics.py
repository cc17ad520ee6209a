"""What can be wrong with a source: diagnostics with Asar's own ids, and how the assembler unwinds on one.

Halt                 what was being assembled is given up …
├── BlockHalt        … up to the next block (` : `)
├── LineHalt         … up to the next line
└── FatalHalt        … altogether
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from afs.errors import AfsError

Severity = Literal["error", "warning", "print"]


class Diagnostic(NamedTuple):
    """One message of the assembler, at its place in the source."""

    severity: Severity
    id: str
    """Asar's id such as `Eunknown_command` or `Wmissing_org`; empty for a print."""
    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    text: str = ""
    """The source line."""
    block: str = ""
    """The statement after defines and macro arguments were put in."""
    called_from: str = ""
    """`file:line` of the macro call, if the place is in a macro."""

    def head(self) -> str:
        """The message in one line, as Asar prints it."""
        where = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: " if self.file else ""
        caller = f"(called from {self.called_from}) " if self.called_from else ""
        block = f" [{self.block}]" if self.block and self.id not in ("Eerror_command", "Wwarn_command") else ""
        return f"{where}{caller}{self.severity}: ({self.id}): {self.message}{block}"

    def __str__(self) -> str:
        if self.severity == "print":
            return self.message
        if not self.text:
            return self.head()
        return f"{self.head()}\n    {self.text}\n    {' ' * (self.column - 1)}^"


class AsmError(AfsError):
    """The source did not assemble; `diagnostics` holds every error in the order found, `messages` everything said."""

    def __init__(self, messages: Sequence[Diagnostic]) -> None:
        self.messages = tuple(messages)
        self.diagnostics = tuple(d for d in self.messages if d.severity == "error")
        super().__init__("\n".join(str(d) for d in self.diagnostics))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all errors."""
        return tuple(d.id for d in self.diagnostics)


class Halt(Exception):  # noqa: N818 (control flow inside the assembler, never seen outside)
    """Something is wrong; `report_in` is the pass that reports it."""

    def __init__(self, id: str, *args: object, report_in: int = 0) -> None:
        super().__init__(id)
        self.id, self.values, self.report_in = id, args, report_in


class BlockHalt(Halt):
    """Give up this statement."""


class LineHalt(Halt):
    """Give up this line."""


class FatalHalt(Halt):
    """Give up altogether."""
