"""Assembly trees: routines with the comments above them, their dialect, their contract and the symbols they use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from afs.config import Config
from afs.ingest import files, licences, rows
from afs.ingest.base import Reading, Unit, assistant, user
from afs.types import Dropped, Record

ENDINGS = (".asm", ".s", ".65s", ".inc", ".a65", ".asar")
_LABEL = re.compile(r"^(?:\.proc\s+|function\s+|scope\s+)?([A-Za-z_][\w.]*):?(?=\s|:|$|\()")
_DIRECTIVE = re.compile(
    r"^\s*[.%!@#]|^\s*(?:org|incsrc|incbin|db|dw|dl|define|macro|endmacro|base|arch|fill|pad)\b", re.I
)
_ELSEWHERE = re.compile(
    r"^\s*(?:org|pushpc|pullpc|incsrc|freecode|freedata|namespace|arch|origin|\.segment|\.bank)\b", re.I
)
_LOCAL = re.compile(r"^\s*[.@_+-]")
_RULE = re.compile(r"^[\s;=*\-#/_~+|]*$")
_CONTRACT = re.compile(
    r"^\s*(?:in(?:puts?)?|out(?:puts?)?|entry|exit|args?|returns?|params?|clobbers?|uses|a|x|y|[axy]{2,3})\s*[:=]", re.I
)
_SYMBOL = re.compile(r"\$[0-9A-Fa-f]{2,6}\b|\b[A-Z][A-Za-z0-9_]{3,}\b|![A-Za-z_]\w+")
_OPERATION = re.compile(r"^\s+(?:[a-z]{3}(?:\.[bwl])?)\b", re.I)
_WAYS = re.I | re.M
_DIALECTS = (
    ("ca65", re.compile(r"^\s*\.(?:segment|proc|endproc|import|export|global|smart|[ai]8|[ai]16|include)\b", _WAYS)),
    ("wla-dx", re.compile(r"^\s*\.(?:bank|section|ends|memorymap|rombanksize|accu|index|slot|orga)\b", _WAYS)),
    ("bass", re.compile(r"^\s*(?:arch\s+\w+|architecture\s|constant\s+\w+\(|scope\s+\w+[:{ ]|origin\s+\$)", _WAYS)),
    (
        "asar",
        re.compile(
            r"^\s*(?:incsrc|pushpc|pullpc|freecode|freedata|org\s+\$|lorom|hirom|namespace\s|!\w+\s*=|macro\s+\w+\(|%\w+\()",
            _WAYS,
        ),
    ),
)


class Routine(NamedTuple):
    """A piece of code under one label."""

    name: str
    first: int
    last: int
    comment: str
    contract: tuple[str, ...]
    code: str


class Asm(Config, frozen=True, kw_only=True):
    """A tree of assembly sources."""

    version = "1"

    least: int = 3
    """Fewest operations of a routine."""
    most: int = 200
    """Most lines of a routine."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every assembly file."""
        return files.units(place, ENDINGS)

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per routine."""
        with rows.opened(unit) as source:
            text = source.read().decode("utf-8", "replace")
        reading.counts["lines"] += text.count("\n") + 1
        spoken = dialect(text)
        licence = licences.tag_in(text) or reading.licence
        for routine in routines(text):
            reading.found()
            yield self._record(routine, spoken, licence, reading)

    def _record(self, routine: Routine, spoken: str, licence: str, reading: Reading) -> Record | Dropped:
        contract = "".join(f"\n{line}" for line in routine.contract)
        asked = f"Write the assembly routine `{routine.name}`: {routine.comment}{contract}"
        symbols = list(dict.fromkeys(_SYMBOL.findall(routine.code)))[:24]
        made = reading.record(
            "asm",
            [user(asked), assistant(f"```asm\n{routine.code}\n```")],
            place=f"L{routine.first}-{routine.last}",
            origin={"licence": licence, "group": reading.uri()},
            extra={"tags": (f"dialect:{spoken}", *(f"symbol:{name}" for name in symbols))},
        )
        operations = sum(1 for line in routine.code.splitlines() if _OPERATION.match(line))
        if operations < self.least:
            return Dropped(record=made, reason="too few operations", detail=str(operations))
        if routine.last - routine.first > self.most:
            return Dropped(record=made, reason="too long")
        if not routine.comment and not routine.contract:
            return Dropped(record=made, reason="no comment")
        return made


def dialect(text: str) -> str:
    """Which assembler a source is written for: the one whose marks it has most of."""
    found = {name: len(pattern.findall(text)) for name, pattern in _DIALECTS}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else "unknown"


def routines(text: str) -> Iterator[Routine]:
    """Pieces from one global label to the next, with the comment block above each."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _starts(line)]
    for at, start in enumerate(starts):
        above = _above(lines, start)
        following = starts[at + 1] if at + 1 < len(starts) else len(lines)
        end = _above(lines, following) if following < len(lines) else following
        code = lines[start : _end(lines, start, end)]
        while code and (not code[-1].strip() or _RULE.match(code[-1])):
            code.pop()
        name = _LABEL.match(lines[start])
        comment = [line.strip().lstrip(";*/ ").rstrip("*/ ") for line in lines[above:start] if not _RULE.match(line)]
        contract = tuple(line for line in comment if _CONTRACT.match(line))
        said = " ".join(line for line in comment if line and not _CONTRACT.match(line))
        yield Routine(name[1] if name else "", start + 1, start + len(code), said, contract, "\n".join(code))


def _end(lines: list[str], start: int, end: int) -> int:
    """Where a routine stops before the next label: behind its braces, or at what places code somewhere else."""
    braced = start + 1 < end and lines[start + 1].strip() == "{"
    for number in range(start + 1, end):
        if braced and lines[number].rstrip() == "}":
            return number + 1
        if not braced and _ELSEWHERE.match(lines[number]):
            return number
    return end


def _starts(line: str) -> bool:
    """A global label at the margin that is no assignment and no directive."""
    if not line or line[0].isspace() or (_LOCAL.match(line) and not line.startswith(".proc")):
        return False
    if line.lower().startswith((".proc ",)):
        return True
    match = _LABEL.match(line)
    if match is None or _DIRECTIVE.match(line):
        return False
    rest = line[match.end() :].lstrip()
    return rest.startswith(":") or (line[match.end(1) : match.end(1) + 1] == ":" and not rest.startswith("="))


def _above(lines: list[str], start: int) -> int:
    """Where the comment block that ends right above a line begins."""
    at = start
    while at > 0 and lines[at - 1].lstrip().startswith((";", "//", "*")):
        at -= 1
    return at
