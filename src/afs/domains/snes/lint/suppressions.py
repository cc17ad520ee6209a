"""Findings a project has decided about: comments in the source, and a baseline file.

`; lint: off rule, rule` after code is for that line; on a line of its own it holds up to `; lint: on`, or to the end of
the file. Without rules it is for all of them. A baseline remembers findings by file, rule and the text of the line, so
that lines may move.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from afs.domains.base import Finding
from afs.types import Value

_COMMENT: Final = re.compile(r";\s*lint:\s*(on|off)\b([^;]*)", re.IGNORECASE)
_RULE: Final = re.compile(r"[\w-]+")
_ALL: Final = "*"


class Known(Value, frozen=True, kw_only=True):
    """A finding in a baseline."""

    file: str
    rule: str
    text: str
    """The line, without its indentation and comment."""
    count: int = 1


def suppressed_lines(source: str) -> dict[int, frozenset[str]]:
    """Line -> rules that are off there; `*` stands for all."""
    found: dict[int, frozenset[str]] = {}
    off: frozenset[str] = frozenset()
    for number, line in enumerate(source.splitlines(), 1):
        match = _COMMENT.search(line)
        named = frozenset(_RULE.findall(match[2].lower())) or frozenset({_ALL}) if match else frozenset()
        if match and not line[: match.start()].strip():
            is_all = _ALL in named
            off = off | named if match[1].lower() == "off" else frozenset() if is_all else off - named
        elif match and match[1].lower() == "off":
            found[number] = off | named
            continue
        if off:
            found[number] = off
    return found


def drop_suppressed(findings: Iterable[Finding], source_of: Callable[[str], str]) -> list[Finding]:
    """Findings that no comment in their file turns off."""
    files: dict[str, dict[int, frozenset[str]]] = {}
    kept = []
    for one in findings:
        if one.file not in files:
            files[one.file] = suppressed_lines(source_of(one.file))
        off = files[one.file].get(one.line, frozenset())
        if _ALL not in off and one.rule.lower() not in off:
            kept.append(one)
    return kept


def make_baseline(findings: Iterable[Finding], source_of: Callable[[str], str]) -> list[Known]:
    """The findings as a baseline."""
    counts = Counter(_key(one, source_of) for one in findings)
    return [Known(file=file, rule=rule, text=text, count=n) for (file, rule, text), n in sorted(counts.items())]


def drop_known(findings: Iterable[Finding], known: Iterable[Known], source_of: Callable[[str], str]) -> list[Finding]:
    """Findings that the baseline does not hold, or more of the same than it holds."""
    left = Counter({(one.file, one.rule, one.text): one.count for one in known})
    fresh = []
    for one in findings:
        key = _key(one, source_of)
        if left[key] > 0:
            left[key] -= 1
        else:
            fresh.append(one)
    return fresh


def _key(one: Finding, source_of: Callable[[str], str]) -> tuple[str, str, str]:
    lines = source_of(one.file).splitlines()
    line = lines[one.line - 1] if 0 < one.line <= len(lines) else ""
    return one.file, one.rule, " ".join(line.split(";")[0].split())
