"""Finds the boundaries of routines in assembly source, and the comments that describe them.

A routine is a block with a name (`.proc`, `function`, `scope NAME: {`), or extends from a label to the next label
that the code before it neither falls through nor branches to. Macros and structures are not routines and end one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from afs.ingest.asm_lines import Clause, is_skipped, parse_lines

_NAMES = re.compile(r"(?<![\w$.@?%#])[A-Za-z_]\w*(?:(?:::|\.)\w+)*")
_ADDRESS = re.compile(r"(?<!#)(?<!#[<>^])\$[0-9A-Fa-f]{4,6}\b|![A-Za-z_]\w*")
_REGISTER = re.compile(r"^(?:.|sp|ya|dp|db|pc|(?:[adir]\d{1,2}){1,2})$", re.I)
_BRANCH = re.compile(r"^(?:b(?!it|rk)[a-z]{2}|bb[cs]\d?|cbne|dbnz|jr|djnz|j(?:eq|ne|cc|cs|mi|pl|vs|vc|lt|ge))$")
_CALL = re.compile(r"^(?:jsr|jsl|bsr|call|pcall|jcal)$")
_RULE = re.compile(r"^[\s;=*\-#/_~+|.:<>\\]*$")
_CONTRACT = re.compile(
    r"^[-*>:\s]*(?:@\w+\b|(?:on\s+)?(?:in(?:puts?)?|out(?:puts?)?|entry|exit|args?|arguments?|returns?|param(?:eter)?s?|"
    r"clobbers?|uses|requires?|modif(?:ies|y)|preserve[sd]?|keeps?|destroys?|trash(?:es)?|expects?|assumes?|db|dp|zp|dbr|pbr|"
    r"[axyspcd]|[axy]{2,3}|a/x/y)\s*[:=])",
    re.I,
)
_TRAILING = re.compile(r"(?:;|//)\s*(\S.*)$")
_NOTICE = re.compile(r"copyright|SPDX-License|all rights reserved|permission is hereby", re.I)
_KEPT = ("code", "stop", "data", "call", "label", "close")


class Routine(NamedTuple):
    """A piece of code under one name."""

    name: str
    first: int
    last: int
    comment: str
    contract: tuple[str, ...]
    code: str
    operations: int
    symbols: tuple[str, ...]


class _OpenRoutine:
    """A routine whose end has not been reached."""

    def __init__(self, name: str, start: int, depth: int, *, block: bool) -> None:
        self.name, self.start, self.depth, self.block = name, start, depth, block
        self.flow = ""
        self.targets: set[str] = set()


class _RoutineScanner:
    """Walks through the lines of a file and collects its routines."""

    def __init__(self, text: str, dialect: str) -> None:
        self.lines, self.table = text.split("\n"), parse_lines(text, dialect)
        self.dialect = dialect
        self.entries = _find_entry_points(self.table)
        self.stack: list[Clause] = []
        self.current: _OpenRoutine | None = None
        self.loose = ""
        """Kind of the last statement of code that belongs to no label."""
        self.found: list[tuple[_OpenRoutine, int]] = []

    def walk(self) -> list[tuple[_OpenRoutine, int]]:
        """Every routine with the line after its end."""
        for number, row in enumerate(self.table):
            for part in row:
                self._step(number, part)
        self._finish(len(self.table))
        return self.found

    def _step(self, number: int, part: Clause) -> None:
        if any(is_skipped(each) for each in self.stack):
            if part.kind == "open":
                self.stack.append(part)
            elif part.kind == "close":
                self._close(number, part)
            return
        if part.label and not (self.current and self.current.block):
            self._label(number, part.label)
        if part.kind == "open":
            self._enter(number, part)
        elif part.kind == "close":
            self._close(number, part)
        elif part.kind == "place" and not (self.current and self.current.block):
            self._finish(number)
        elif part.kind in ("code", "stop", "data", "call") and part.rest != "()":
            flow = "code" if part.kind == "call" else part.kind
            if self.current is None:
                self.loose = self.loose if part.kind == "call" else flow
                return
            self.current.flow = flow
            if _BRANCH.match(part.word):
                self.current.targets.update(_NAMES.findall(part.rest))

    def _enter(self, number: int, part: Clause) -> None:
        block = bool(self.current and self.current.block)
        if not block and (is_skipped(part) or part.word == "section"):
            self._finish(number)
        elif not block and (name := _block_name(part)):
            self._finish(number)
            self.current = _OpenRoutine(name, number, len(self.stack), block=True)
        elif part.block == "{" and self.current and not self.current.flow and len(self.stack) == self.current.depth:
            self.current.block = True  # the label's own braces
        self.stack.append(part)

    def _close(self, number: int, part: Clause) -> None:
        families = part.block.split()
        at = next((n for n in range(len(self.stack) - 1, -1, -1) if self.stack[n].block in families), -1)
        if at >= 0:
            del self.stack[at:]
        if self.current and self.current.block and at >= 0 and len(self.stack) <= self.current.depth:
            self._finish(number + 1)
        elif self.current and not self.current.block and (at < 0 or len(self.stack) < self.current.depth):
            self._finish(number)

    def _label(self, number: int, name: str) -> None:
        if self.current is not None:
            begins = self._begins(number, name, self.current)
        else:
            begins = self.loose != "code" or name in self.entries or self._is_documented(number)
        if not begins:
            return
        self._finish(number)
        self.current = _OpenRoutine(name, number, len(self.stack), block=False)

    def _begins(self, number: int, name: str, current: _OpenRoutine) -> bool:
        """Whether a label begins a routine instead of marking a place inside the current one."""
        documented = self._is_documented(number)
        if not current.flow:
            return documented or number == 0 or not self.lines[number - 1].strip()
        if name in self.entries:
            return True
        if name in current.targets:
            return False
        return current.flow in ("stop", "data") or documented or self._content(number) == "data"

    def _is_documented(self, number: int) -> bool:
        """Whether a label has its own comment: indented no more than it, and separated from the code above."""
        top, at = self.above(number)
        if top == at or all(_RULE.match(line) for line in self.lines[top:at]):
            return False
        return _indentation(self.lines[at - 1]) <= _indentation(self.lines[number]) and (
            top == 0 or not self.lines[top - 1].strip()
        )

    def _content(self, number: int) -> str:
        """Kind of the first statement after a label."""
        for row in self.table[number:]:
            for part in row:
                if part.kind in ("code", "stop", "data", "call", "open", "close"):
                    return part.kind
        return ""

    def _finish(self, end: int) -> None:
        if self.current is not None:
            self.found.append((self.current, end))
        self.current, self.loose = None, ""

    def above(self, start: int) -> tuple[int, int]:
        """The comment block above a line: (first line, line after the last); settings in between are skipped."""
        at = start
        while at > 0 and all(self._is_between(part) for part in self.table[at - 1]):
            at -= 1
        if at > 0 and self.table[at - 1][0].kind != "comment":
            at = start
        top = at
        while top > 0 and self.table[top - 1][0].kind == "comment":
            top -= 1
        return top, at

    def _is_between(self, part: Clause) -> bool:
        setting = self.dialect == "bass" and part.kind == "call" and part.rest.startswith("(")
        opens = part.kind == "open" and not is_skipped(part) and part.word != "section"
        return not part.label and (setting or opens or part.kind == "state")


def find_routines(text: str, dialect: str) -> Iterator[Routine]:
    """The routines of a source in order."""
    source = _RoutineScanner(text, dialect)
    for opened, end in source.walk():
        last = end
        while last > opened.start + 1 and not any(part.kind in _KEPT for part in source.table[last - 1]):
            last -= 1
        rows = [part for row in source.table[opened.start : last] for part in row]
        comment, contract = _find_comment(source, opened.start, last)
        yield Routine(
            opened.name,
            opened.start + 1,
            last,
            comment,
            contract,
            "\n".join(source.lines[opened.start : last]),
            sum(part.kind in ("code", "stop") for part in rows),
            _find_symbols(rows),
        )


def _find_entry_points(table: list[list[Clause]]) -> frozenset[str]:
    """Names that are called, exported or listed in a table: each begins a routine."""
    found: set[str] = set()
    for row in table:
        for part in row:
            if part.kind == "data" or _CALL.match(part.word) or part.word in ("export", "global"):
                found.update(_NAMES.findall(part.rest))
    return frozenset(found)


def _block_name(part: Clause) -> str:
    """The name of a block that is a routine; else empty."""
    name = part.rest.rstrip("{ ").partition("(")[0].strip()
    if part.word in ("proc", "function"):
        return name.split()[0] if name else ""
    return name[:-1].strip() if part.word == "scope" and part.block == "{" and name.endswith(":") else ""


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _find_comment(source: _RoutineScanner, start: int, last: int) -> tuple[str, tuple[str, ...]]:
    """The prose and the contract of a routine, from the comment above, on, or right below its first line."""
    top, at = source.above(start)
    comment, contract = _split_comment(source.lines[top:at])
    if (
        not comment
        and not contract
        and (match := _TRAILING.search(source.lines[start]))
        and source.table[start][0].kind == "label"
    ):
        comment, contract = _split_comment([match[0]])
    if comment or contract:
        return comment, contract
    end = start + 1
    while end < last and source.table[end][0].kind == "comment":
        end += 1
    below = source.lines[start + 1 : end]
    parted = end < last and source.table[end][0].kind == "blank"
    return _split_comment(below) if len(below) > 1 or parted else ("", ())


def _split_comment(block: list[str]) -> tuple[str, tuple[str, ...]]:
    """A comment block as prose and lines of contract; a line indented further continues the one before it."""
    prose: list[str] = []
    contract: list[str] = []
    inner = -1
    if _NOTICE.search("\n".join(block)):
        return "", ()
    for line in block:
        if _RULE.match(line):
            inner = -1
            continue
        plain = re.sub(r"^\s*(?:;+|//+|/\*+!?|\*+(?!/))", "", line).replace("*/", "")
        edge, text = _indentation(plain.expandtabs()), plain.strip(" \t\r;*/#=~").rstrip("- ")
        if _CONTRACT.match(text):
            contract.append(text)
            inner = edge
        elif text and inner >= 0 and (edge > inner or contract[-1].endswith(":")):
            contract[-1] += f" {text}"
        elif text:
            prose.append(text)
            inner = -1
    return " ".join(prose), tuple(contract)


def _find_symbols(rows: list[Clause]) -> tuple[str, ...]:
    """Names and addresses that a routine uses but does not define."""
    own = {part.label for part in rows if part.label}
    found: dict[str, None] = {}
    for part in rows:
        if part.kind not in ("code", "stop", "data", "call"):
            continue
        rest = re.sub(r"\"[^\"]*\"|'[^']*'", "", part.rest)
        names = [part.word] if part.kind == "call" else []
        names += _ADDRESS.findall(rest) + [re.sub(r"\.[bwl]$", "", name) for name in _NAMES.findall(rest)]
        found.update(dict.fromkeys(name for name in names if not _REGISTER.match(name) and name not in own))
    return tuple(found)
