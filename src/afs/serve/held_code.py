"""Holds each code block of a stream from its opening fence until it is whole, so that it is run before it is seen."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPENING = re.compile(r"^[ \t]*(`{3,}|~{3,})", re.M)
_LONGEST = 64 << 10
"""A longer block is let through: nobody waits for it."""


class TextPiece(NamedTuple):
    """Text that may be shown, or a whole code block with its fences."""

    text: str
    is_code: bool


class HeldCode:
    """Feed it text as it comes; it gives prose at once and code block by block."""

    def __init__(self) -> None:
        self._rest, self._at_line_start = "", True

    def pass_prose(self, text: str) -> bool:
        """Whether text may be shown at once: nothing is held, and no character of it belongs to a fence."""
        if self._rest or "`" in text or "~" in text:
            return False
        self._at_line_start = text.endswith("\n") if text else self._at_line_start
        return True

    def feed(self, text: str) -> list[TextPiece]:
        """What can be shown now."""
        self._rest += text
        found: list[TextPiece] = []
        while piece := self._next():
            found.append(piece)
        return found

    def finish(self) -> list[TextPiece]:
        """What is left at the end; an unclosed block counts as one."""
        rest, self._rest = self._rest, ""
        return [TextPiece(rest, bool(_OPENING.match(rest)))] if rest else []

    def _next(self) -> TextPiece | None:
        start = 0 if self._at_line_start else self._rest.find("\n") + 1
        opening = _OPENING.search(self._rest, start) if start or self._at_line_start else None
        if opening is None:
            return self._take(len(self._rest) - _possible_fence(self._rest), False)
        if opening.start() > 0:
            return self._take(opening.start(), False)
        closing = re.compile(rf"^[ \t]*{opening[1]}[`~]*[ \t]*\n", re.M).search(self._rest, opening.end())
        if closing:
            return self._take(closing.end(), True)
        return self._take(len(self._rest), False) if len(self._rest) > _LONGEST else None

    def _take(self, size: int, is_code: bool) -> TextPiece | None:
        if size <= 0:
            return None
        taken, self._rest = self._rest[:size], self._rest[size:]
        self._at_line_start = taken.endswith("\n")
        return TextPiece(taken, is_code)


def _possible_fence(text: str) -> int:
    """How many characters at the end may be the beginning of a fence."""
    last = text[text.rfind("\n") + 1 :]
    return len(last) if re.fullmatch(r"[ \t]*[`~]{0,2}", last) and last.strip(" \t") else 0
