"""The data of an explanation: sentences that each say what they rest on, a listing, tables, and the terminal's view."""

from __future__ import annotations

from typing import Literal

from afs.types import Value

Basis = Literal["measured", "read", "assumed", "model"]
MEANINGS: dict[Basis, str] = {
    "measured": "seen when the routine ran on the CPU core",
    "read": "follows from the ROM's bytes alone",
    "assumed": "not known, and taken for granted",
    "model": "a model's words, which nothing checks",
}


class Sentence(Value, frozen=True, kw_only=True):
    """One statement and what it rests on."""

    basis: Basis
    text: str


class ListingRow(Value, frozen=True, kw_only=True):
    """An instruction as it is shown."""

    address: str
    bytes: str
    widths: str
    """Such as `m8 x16`."""
    label: str = ""
    text: str
    remark: str = ""


class TouchedRegister(Value, frozen=True, kw_only=True):
    """A hardware register that the routine names."""

    address: str
    name: str
    access: str
    """reads, writes, or both."""
    purpose: str
    when: str
    places: tuple[str, ...]


class CallEdge(Value, frozen=True, kw_only=True):
    """An edge of the call graph."""

    place: str
    routine: str
    """The routine at the other end."""


class FindingRow(Value, frozen=True, kw_only=True):
    """A remark of the lint rules."""

    place: str
    rule: str
    message: str
    sure: float


class Explanation(Value, frozen=True, kw_only=True):
    """Everything that is said of a routine."""

    title: str
    rom: str
    summary: tuple[Sentence, ...]
    council: tuple[Sentence, ...] = ()
    expert: str = ""
    """Who explains it; empty when nobody does."""
    listing: tuple[ListingRow, ...]
    registers: tuple[TouchedRegister, ...]
    callers: tuple[CallEdge, ...]
    calls: tuple[CallEdge, ...]
    findings: tuple[FindingRow, ...]
    trace: tuple[str, ...]
    file: str = ""
    """The page that was written."""

    def text(self) -> str:
        """For a terminal."""
        lines = [self.title, ""]
        if self.expert:
            lines += [f"What {self.expert} says:", *map(_mark, self.council), ""]
        lines += map(_mark, self.summary)
        lines += ["", "Listing:"]
        for row in self.listing:
            lines += [f"{row.label}:"] if row.label else []
            remark = f"  ; {row.remark}" if row.remark else ""
            lines.append(f"  {row.address}  {row.bytes:<11} {row.widths:<8} {row.text}{remark}")
        for title, rows in (
            (
                "Hardware registers:",
                [f"{r.address} {r.name}: {r.access}; {r.purpose}. {r.when}" for r in self.registers],
            ),
            ("Called from:", [f"{row.place} in {row.routine}" for row in self.callers]),
            ("Calls:", [f"{row.place} to {row.routine}" for row in self.calls]),
            ("Lint:", [f"{row.place} {row.rule}: {row.message} ({row.sure:.0%} sure)" for row in self.findings]),
            ("Trace:", list(self.trace)),
        ):
            lines += ["", title, *(f"  {line}" for line in rows)] if rows else []
        return "\n".join([*lines, *([f"\npage: {self.file}"] if self.file else [])])


def _mark(sentence: Sentence) -> str:
    return f"  [{sentence.basis}] {sentence.text}"
