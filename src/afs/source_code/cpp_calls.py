"""Calls of a C++ function in a source, joined by name, by the class of what it is called on, and by its arguments."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from afs.source_code import function_scanner

_MOST = 3
_BEFORE, _AFTER = 1, 3
_ON = re.compile(r"(?P<on>\b[A-Za-z_]\w*)\s*(?:\.|->)\s*$")
_SCOPE = re.compile(r"\b(?P<scope>[A-Za-z_]\w*)\s*::\s*$")
_PLAIN = re.compile(r"(?:[=(,!&|;{}?+<]|\breturn)\s*$")


class CallTarget(NamedTuple):
    """A function to look for: its name, its scope, its parameters as written."""

    name: str
    scope: str
    member: bool
    parameters: str

    def takes(self, given: int) -> bool:
        """Whether it accepts this number of arguments."""
        parameters = [part for part in _split_arguments(self.parameters) if part != "void"]
        least = sum("=" not in part and "..." not in part for part in parameters)
        return given >= least and (given <= len(parameters) or "..." in self.parameters)


class CallSource:
    """A source text to search for calls."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.bare = function_scanner.blank_noise(text, "cpp")
        self.closing = function_scanner.match_brackets(self.bare)
        self.kept = text


def find_examples(function: CallTarget, others: Sequence[CallTarget], sources: Sequence[CallSource]) -> list[str]:
    """Calls with some context; calls that another overload accepts too are skipped."""
    if not re.fullmatch(r"\w+", function.name):
        return []
    found: list[str] = []
    for source in sources:
        for at, given in _find_calls(function, source):
            if function.takes(given) and not any(other.takes(given) for other in others):
                line = source.bare.count("\n", 0, at)
                found.append(textwrap.dedent("\n".join(source.lines[max(0, line - _BEFORE) : line + _AFTER])))
                if len(found) == _MOST:
                    return found
    return found


def _find_calls(function: CallTarget, source: CallSource) -> Iterator[tuple[int, int]]:
    """Positions of calls, each with its number of arguments."""
    for match in re.finditer(rf"\b{re.escape(function.name)}\s*\(", source.bare):
        close = source.closing.get(match.end() - 1)
        if close is None or not _is_call(function, source.bare, match.start(), close):
            continue
        yield match.start(), len(_split_arguments(source.kept[match.end() - 1 : close + 1]))


def _is_call(function: CallTarget, bare: str, start: int, close: int) -> bool:
    """Whether a name before parentheses is a call of this function, as far as the source alone can tell."""
    before = bare[max(0, start - 80) : start]
    if re.match(r"\s*(?:const\b|noexcept\b|override\b|\{|:(?!:))", bare[close + 1 : close + 40]):
        return False
    if on := _ON.search(before):
        typed = rf"\b{re.escape(function.scope)}\b(?:\s*<[^<>;]*>)?(?:[\s&*>]|const\b)*\b{on['on']}\b"
        return function.member and bool(re.search(typed, bare))
    if scoped := _SCOPE.search(before):
        return scoped["scope"] == function.scope and bool(_PLAIN.search(re.sub(r"(?:\w+\s*::\s*)+$", "", before)))
    constructs = function.name == function.scope
    return (constructs or not function.member) and bool(_PLAIN.search(before) or re.search(r"\bnew\s+$", before))


def _split_arguments(text: str) -> list[str]:
    """The items of a comma-separated list in parentheses."""
    found, depth, begun = [], 0, 1
    for match in re.finditer(r'"(?:\\.|[^"\\])*"|->|[(\[{<>)\]},]', text[:-1]):
        mark = match[0]
        depth += (mark in "([{<") - (mark in ")]}>")
        if mark == "," and depth == 1:
            found.append(text[begun : match.start()].strip())
            begun = match.end()
    return [part for part in [*found, text[begun:-1].strip()] if part]
