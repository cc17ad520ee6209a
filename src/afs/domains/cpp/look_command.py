"""`afs cpp look PATH NAME`: what a library's headers say of a function, and how the library's own code calls it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from afs.config import Config, Positive
from afs.domains.cpp.options import HEADERS
from afs.domains.repository_snapshot import read_snapshot
from afs.errors import UsageError
from afs.source_code import cpp_calls, cpp_functions
from afs.types import Value

_SOURCES = (*HEADERS, ".cpp", ".cc", ".cxx", ".c")


class CppLookConfig(Config, frozen=True, kw_only=True):
    """Look a function up in the headers of a C++ library; nothing is compiled."""

    positional: ClassVar[tuple[str, ...]] = ("path", "name")
    path: Path
    """A folder: a git repository (its newest commit is read) or plain headers."""
    name: str
    """A function's name, with or without its scope."""
    commit: str = ""
    """Another commit than the newest one."""
    examples: Positive = 3
    """At most so many calls of each function."""


class CppFact(Value, frozen=True, kw_only=True):
    """What is known of a function."""

    name: str
    header: str
    line: int
    declaration: str
    doc: str = ""
    examples: tuple[str, ...] = ()

    def text(self) -> str:
        """As a person reads it."""
        parts = [f"{self.name}  ({self.header}:{self.line})", f"  {self.declaration}"]
        parts += [f"  {self.doc}"] if self.doc else []
        for example in self.examples:
            parts += ["  called, for example:", *(f"    {line}" for line in example.splitlines())]
        return "\n".join(parts)


class CppFacts(Value, frozen=True, kw_only=True):
    """All functions of a name."""

    found: tuple[CppFact, ...]

    def text(self) -> str:
        """One after another."""
        return "\n\n".join(fact.text() for fact in self.found)


def look_up(config: CppLookConfig) -> CppFacts:
    """The functions of a name, with calls of them; an unknown name is an error with the nearest one."""
    files = {
        path: content.decode("utf-8", "replace")
        for path, content in read_snapshot(config.path, config.commit, "", _SOURCES).files.items()
    }
    functions = list(_list_functions(files))
    wanted = [row for row in functions if row[1].name == config.name or row[1].name.endswith(f"::{config.name}")]
    if not wanted:
        names = {function.name for _, function in functions}
        last = {name.rpartition("::")[2]: name for name in sorted(names)}
        close = difflib.get_close_matches(config.name, names, n=1) or [
            last[one] for one in difflib.get_close_matches(config.name.rpartition("::")[2], last, n=1)
        ]
        raise UsageError(
            f"{config.path}: no header declares {config.name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
        )
    short = config.name.rpartition("::")[2]
    sources = [cpp_calls.CallSource(text) for text in files.values() if short in text]
    return CppFacts(found=tuple(_build_fact(path, function, wanted, sources, config) for path, function in wanted))


def _list_functions(files: dict[str, str]) -> Iterator[tuple[str, cpp_functions.CppFunction]]:
    for path, text in files.items():
        if path.endswith(HEADERS):
            for function in cpp_functions.find_functions(text):
                yield path, function


def _build_fact(
    path: str,
    function: cpp_functions.CppFunction,
    wanted: list[tuple[str, cpp_functions.CppFunction]],
    sources: list[cpp_calls.CallSource],
    config: CppLookConfig,
) -> CppFact:
    others = [one.wanted for _, one in wanted if one.signature != function.signature]
    return CppFact(
        name=function.name,
        header=path,
        line=function.line,
        declaration=function.signature,
        doc=function.doc,
        examples=tuple(cpp_calls.find_examples(function.wanted, others, sources)[: config.examples]),
    )
