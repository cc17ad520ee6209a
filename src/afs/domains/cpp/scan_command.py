"""`afs cpp scan PATH`: what a library's headers give, before anything is generated."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

from afs.domains.cpp.families import FAMILIES, PHRASES, iterate_tasks
from afs.domains.cpp.options import CppOptions
from afs.domains.cpp.survey import survey
from afs.types import Value


class CppScanConfig(CppOptions, frozen=True, kw_only=True):
    """Compile calls of a C++ library's functions and say which become tasks."""

    positional: ClassVar[tuple[str, ...]] = ("path",)
    path: Path
    """A folder: a git repository (its newest commit is read) or plain headers."""


class CppScanResult(Value, frozen=True, kw_only=True):
    """The outcome."""

    library: str
    commit: str
    license: str
    headers: int
    bad_headers: dict[str, str]
    functions: int
    """Public functions in the headers that compile."""
    usable: int
    """Of these: functions of which a call compiles."""
    left_out: dict[str, int]
    planted: int
    """Wrong calls of the usable functions."""
    refuted: int
    """Of these: rejected by the compiler; the others are not wrong."""
    tasks: dict[str, int]

    def text(self) -> str:
        """A few lines for people."""
        license_text = self.license or "no license found: state it with --license, or the samples are not exported"
        lines = [
            f"{self.library} {self.commit[:12]}  {license_text}",
            f"headers: {self.headers} compile together, {len(self.bad_headers)} do not",
            *(f"  {path}: {message}" for path, message in list(self.bad_headers.items())[:5]),
            f"functions: {self.functions}, of {self.usable} a call compiles",
            *(f"  left out: {count} {reason}" for reason, count in sorted(self.left_out.items())),
            f"wrong calls: {self.planted} planted, {self.refuted} rejected by the compiler",
            "tasks: " + ", ".join(f"{family} {count}" for family, count in self.tasks.items()),
        ]
        return "\n".join(lines)


def scan(config: CppScanConfig) -> CppScanResult:
    """Survey the library."""
    found = survey(config)
    most = len(found.usable) * PHRASES
    tasks = Counter({family: sum(1 for _ in iterate_tasks(found, family, 0, most)) for family in FAMILIES})
    return CppScanResult(
        library=found.name,
        commit=found.commit,
        license=found.license,
        headers=len(found.headers.headers),
        bad_headers=found.bad_headers,
        functions=found.found,
        usable=len(found.usable),
        left_out=found.left_out,
        planted=sum(one.planted for one in found.usable),
        refuted=sum(len(one.faults) for one in found.usable),
        tasks=dict(tasks),
    )
