"""Errors, warnings and prints of an assembly, and the place in the source they belong to."""

from __future__ import annotations

from afs.domains.snes.asm.diagnostics import Diagnostic, FatalHalt, Halt, Severity
from afs.domains.snes.asm.message_catalog import OFF_BY_DEFAULT, message
from afs.domains.snes.asm.source_files import SourceTexts
from afs.domains.snes.asm.source_text import display_text


class SourcePlace:
    """Which statement is being run."""

    __slots__ = ("block", "caller", "file", "line")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start of a pass."""
        self.file, self.line, self.block, self.caller = "", -1, "", ""


class MessageLog:
    """Collects messages; each is reported in one pass only."""

    def __init__(self, at: SourcePlace, sources: SourceTexts, most_errors: int) -> None:
        self._at, self._sources, self._most_errors = at, sources, most_errors
        self.diagnostics: list[Diagnostic] = []
        self.errors = 0
        self.failed = False
        self.unreported: Halt | None = None
        """The first error met in a pass that does not report it; reported after all if no other is."""
        self.has_warned_end = False
        self.begin(0)

    def begin(self, number: int) -> None:
        """Start of a pass."""
        self.pass_ = number
        self.is_muted = False
        self.muted: set[str] = set(OFF_BY_DEFAULT)
        self.muted_stack: list[set[str]] = []

    def report(self, halt: Halt) -> None:
        """Record an error, if this is the pass that reports it."""
        self.failed = True
        if halt.report_in != self.pass_:
            self.unreported = self.unreported or halt
            return
        self.errors += 1
        self._add("error", halt.id, message(halt.id, *halt.values))
        if self.errors > self._most_errors and halt.id != "Elimit_reached":
            raise FatalHalt("Elimit_reached", self._most_errors, report_in=self.pass_)

    def warn(self, report_in: int, id: str, *values: object) -> None:
        """Record a warning, if this is the pass that reports it."""
        if self.pass_ == report_in and not self.is_muted and id not in self.muted:
            self._add("warning", id, message(id, *values))

    def say(self, text: str) -> None:
        """Record a line the source prints."""
        at = self._at
        self.diagnostics.append(
            Diagnostic(severity="print", id="", message=display_text(text), file=at.file, line=at.line + 1)
        )

    def _add(self, severity: Severity, id: str, text: str) -> None:
        at = self._at
        lines = self._sources.raw_lines.get(at.file, [])
        source = display_text(lines[at.line]) if 0 <= at.line < len(lines) else ""
        block = display_text(at.block)
        column = max(source.find(block), 0) + 1 if block else len(source) - len(source.lstrip()) + 1
        self.diagnostics.append(
            Diagnostic(
                severity=severity,
                id=id,
                message=display_text(text),
                file=at.file,
                line=at.line + 1,
                column=column,
                text=source,
                block=block,
                called_from=at.caller,
            )
        )
