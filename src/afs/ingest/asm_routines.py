"""Where routines begin and end in assembly source, and what is said above them.

A routine is a block with a name (`.proc`, `function`, `scope NAME: {`), or runs from a label to the next one that code
does not run or branch into. Macros and structures are none and end one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from afs.ingest.asm_lines import Clause, is_skipped, parts

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


class _Open:
    """A routine whose end is not met yet."""

    def __init__(self, name: str, start: int, depth: int, *, block: bool) -> None:
        self.name, self.start, self.depth, self.block = name, start, depth, block
        self.flow = ""
        self.targets: set[str] = set()


class _Source:
    """The lines of a file with the walk through them."""

    def __init__(self, text: str, spoken: str) -> None:
        self.lines, self.table = text.split("\n"), parts(text, spoken)
        self.spoken = spoken
        self.entries = _entries(self.table)
        self.stack: list[Clause] = []
        self.current: _Open | None = None
        self.loose = ""
        """What the code under no label does at its end."""
        self.found: list[tuple[_Open, int]] = []

    def walk(self) -> list[tuple[_Open, int]]:
        """Every routine with the line behind it."""
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
        elif not block and (name := _named(part)):
            self._finish(number)
            self.current = _Open(name, number, len(self.stack), block=True)
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
        self.current = _Open(name, number, len(self.stack), block=False)

    def _begins(self, number: int, name: str, current: _Open) -> bool:
        """Whether a label begins a routine, and is no place inside of the one before it."""
        told = self._is_documented(number)
        if not current.flow:
            return told or number == 0 or not self.lines[number - 1].strip()
        if name in self.entries:
            return True
        if name in current.targets:
            return False
        return current.flow in ("stop", "data") or told or self._content(number) == "data"

    def _is_documented(self, number: int) -> bool:
        """A comment of its own: as far in as the label, and parted from what is before it."""
        top, at = self.above(number)
        if top == at or all(_RULE.match(line) for line in self.lines[top:at]):
            return False
        return _edge(self.lines[at - 1]) <= _edge(self.lines[number]) and (top == 0 or not self.lines[top - 1].strip())

    def _content(self, number: int) -> str:
        """What stands under a label."""
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
        """The comment block above a line: (its first line, the line behind it); settings between are passed over."""
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
        setting = self.spoken == "bass" and part.kind == "call" and part.rest.startswith("(")
        opens = part.kind == "open" and not is_skipped(part) and part.word != "section"
        return not part.label and (setting or opens or part.kind == "state")


def routines(text: str, spoken: str) -> Iterator[Routine]:
    """The routines of a source in their order."""
    source = _Source(text, spoken)
    for opened, end in source.walk():
        last = end
        while last > opened.start + 1 and not any(part.kind in _KEPT for part in source.table[last - 1]):
            last -= 1
        rows = [part for row in source.table[opened.start : last] for part in row]
        comment, contract = _said(source, opened.start, last)
        yield Routine(
            opened.name,
            opened.start + 1,
            last,
            comment,
            contract,
            "\n".join(source.lines[opened.start : last]),
            sum(part.kind in ("code", "stop") for part in rows),
            _symbols(rows),
        )


def _entries(table: list[list[Clause]]) -> frozenset[str]:
    """Names that are called, exported or stand in a table: each begins a routine."""
    found: set[str] = set()
    for row in table:
        for part in row:
            if part.kind == "data" or _CALL.match(part.word) or part.word in ("export", "global"):
                found.update(_NAMES.findall(part.rest))
    return frozenset(found)


def _named(part: Clause) -> str:
    """The name of a block that is a routine."""
    name = part.rest.rstrip("{ ").partition("(")[0].strip()
    if part.word in ("proc", "function"):
        return name.split()[0] if name else ""
    return name[:-1].strip() if part.word == "scope" and part.block == "{" and name.endswith(":") else ""


def _edge(line: str) -> int:
    return len(line) - len(line.lstrip())


def _said(source: _Source, start: int, last: int) -> tuple[str, tuple[str, ...]]:
    """The prose and the contract of a routine: from the comment above, on, or right below its first line."""
    top, at = source.above(start)
    comment, contract = _divided(source.lines[top:at])
    if (
        not comment
        and not contract
        and (match := _TRAILING.search(source.lines[start]))
        and source.table[start][0].kind == "label"
    ):
        comment, contract = _divided([match[0]])
    if comment or contract:
        return comment, contract
    end = start + 1
    while end < last and source.table[end][0].kind == "comment":
        end += 1
    below = source.lines[start + 1 : end]
    parted = end < last and source.table[end][0].kind == "blank"
    return _divided(below) if len(below) > 1 or parted else ("", ())


def _divided(block: list[str]) -> tuple[str, tuple[str, ...]]:
    """A comment block as prose and lines of contract; a line further in goes on with the one before it."""
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
        edge, said = _edge(plain.expandtabs()), plain.strip(" \t\r;*/#=~").rstrip("- ")
        if _CONTRACT.match(said):
            contract.append(said)
            inner = edge
        elif said and inner >= 0 and (edge > inner or contract[-1].endswith(":")):
            contract[-1] += f" {said}"
        elif said:
            prose.append(said)
            inner = -1
    return " ".join(prose), tuple(contract)


def _symbols(rows: list[Clause]) -> tuple[str, ...]:
    """Names and addresses that the code of a routine uses and does not define."""
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
