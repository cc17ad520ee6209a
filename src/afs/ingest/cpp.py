"""C++ APIs: documented functions with their signature, and calls of them found in the same tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afs.config import Config
from afs.ingest import files, licences
from afs.ingest.base import Reading, Unit, assistant, user
from afs.types import Dropped, Record

_HEADERS = (".h", ".hpp", ".hh", ".hxx")
_SOURCES = (*_HEADERS, ".cc", ".cpp", ".cxx", ".c")
_SCOPE = re.compile(
    r"^\s*(?:template\s*<[^>]*>\s*)?(namespace|class|struct)\s+(?:[A-Z_]+\s+)?([A-Za-z_]\w*(?:::\w+)*)[^;]*$"
)
_FUNCTION = re.compile(
    r"^\s*(?P<head>(?:(?:virtual|static|inline|constexpr|explicit|friend|extern|\[\[\w+\]\])\s+)*"
    r"(?:[\w:<>,&*\s]+?[\s&*])?)(?P<name>~?[A-Za-z_]\w*|operator\S+)\s*\((?P<args>[^;{}]*)\)[^;{}]*[;{]"
)
_NO_FUNCTION = frozenset(
    {"if", "for", "while", "switch", "return", "sizeof", "catch", "assert", "static_assert", "defined"}
)
_MOST_CALLS = 3
_BEFORE, _AFTER = 1, 3


class Function(NamedTuple):
    """A documented function."""

    name: str
    line: int
    signature: str
    doc: str


class Cpp(Config, frozen=True, kw_only=True):
    """The headers of a tree."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every header, with the tree's sources beside it to look for calls."""
        sources = tuple(files.walk(place, _SOURCES))
        for path in sources:
            if path.suffix.lower() in _HEADERS:
                yield Unit(
                    path, files.label(place, path), tuple(p for p in sources if p.stem == path.stem and p != path)
                )

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per function."""
        text = files.text(unit, reading)
        others = [(p.name, p.read_text("utf-8", "replace").splitlines()) for p in unit.beside]
        licence = licences.tag_in(text) or reading.licence
        for function in functions(text):
            reading.found()
            yield _record(function, others, licence, reading)


def _record(
    function: Function, others: list[tuple[str, list[str]]], licence: str, reading: Reading
) -> Record | Dropped:
    examples = list(calls(function.name.rpartition("::")[2], others))[:_MOST_CALLS]
    answer = f"```cpp\n{function.signature}\n```\n\n{function.doc}"
    if examples:
        answer += "\n\nFor example:\n\n```cpp\n" + "\n\n".join(examples) + "\n```"
    made = reading.record(
        "api",
        [user(f"What does the C++ function `{function.name}` do, and how is it called?"), assistant(answer)],
        place=f"L{function.line}",
        origin={"licence": licence, "group": reading.uri()},
        extra={"tags": ("language:cpp", f"symbol:{function.name}")},
    )
    return made if len(function.doc.split()) >= 3 else Dropped(record=made, reason="no documentation")


def functions(text: str) -> Iterator[Function]:
    """Declarations with the comment above each, in the scope they stand in."""
    scopes: list[tuple[int, str]] = []
    depth = 0
    lines = text.splitlines()
    waiting = ""
    for number, raw in enumerate(lines):
        line = _bare(raw)
        if scope := _SCOPE.match(line):
            waiting = scope[2]
        elif not waiting and (match := _declared(lines, number, line, depth, scopes)):
            name = "::".join([*(n for _, n in scopes), match["name"]])
            signature = " ".join(match[0].rstrip("{; \n").split())
            yield Function(name, number + 1, f"{signature};", _doc(lines, number))
        for char in line:
            if char == "{":
                depth += 1
                if waiting:
                    scopes.append((depth, waiting))
                    waiting = ""
            elif char == "}":
                if scopes and scopes[-1][0] == depth:
                    scopes.pop()
                depth = max(0, depth - 1)


def _declared(
    lines: list[str], number: int, line: str, depth: int, scopes: list[tuple[int, str]]
) -> re.Match[str] | None:
    """A declaration in its scope; not a call inside of a body."""
    match = _FUNCTION.match(_joined(lines, number)) if "(" in line and depth == len(scopes) else None
    if match is None or match["name"] in _NO_FUNCTION or not (match["head"].strip() or scopes):
        return None
    return match


def _bare(line: str) -> str:
    """Without comments and strings, whose braces do not count."""
    line = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', '""', line)
    return re.sub(r"//.*$|/\*.*?\*/|^\s*\*.*$", "", line)


def _joined(lines: list[str], at: int) -> str:
    """A declaration that may go over several lines."""
    text = _bare(lines[at])
    for extra in range(1, 6):
        if ";" in text or "{" in text or "(" not in text or at + extra >= len(lines):
            break
        text += " " + _bare(lines[at + extra]).strip()
    return text


def _doc(lines: list[str], at: int) -> str:
    """The comment right above a line."""
    found: list[str] = []
    at -= 1
    while (at >= 0 and (line := lines[at].strip()).startswith(("//", "*", "/*"))) or (
        at >= 0 and lines[at].strip().endswith("*/")
    ):
        line = lines[at].strip()
        found.append(re.sub(r"^(?:/\*+|///?!?<?|\*+/?)\s?|\*+/$", "", line).strip())
        at -= 1
    return " ".join(part for part in reversed(found) if part)


def calls(name: str, sources: list[tuple[str, list[str]]]) -> Iterator[str]:
    """Places where a function is called, with a little around them."""
    pattern = re.compile(rf"(?:[.>=(,]|return|^)\s*{re.escape(name)}\s*\(")
    for _, lines in sources:
        for number, line in enumerate(lines):
            if pattern.search(line) and line.rstrip().endswith((";", ",", "(")):
                yield "\n".join(lines[max(0, number - _BEFORE) : number + _AFTER])
