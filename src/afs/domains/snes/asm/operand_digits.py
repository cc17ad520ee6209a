"""How many bytes an operand takes by its written digits: the part that needs no labels."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NUMBER: Final = re.compile(r"\$([0-9A-Fa-f]+)|%([01]+)|([0-9]+)")
_HEX: Final = re.compile(r"\$[0-9A-Fa-f]*")
_BITS: Final = re.compile(r"%[01]*")
_DIGITS: Final = re.compile(r"[0-9]+")
_NAMES: Final = re.compile(r"[A-Za-z_.?]")
_BANK: Final = frozenset((">>16", "/65536", "/$10000"))


def decimal_bytes(value: int) -> int:
    """Bytes of a decimal number: by value."""
    return 1 if value < 256 else 2 if value < 65536 else 3 if value < 16777216 else 4


@lru_cache(maxsize=20_000)
def plain_number(text: str) -> int | None:
    """The value of an operand that is one number and nothing else."""
    match = _NUMBER.fullmatch(text)
    if match is None or len(text) > 20:
        return None
    if match[1]:
        return int(match[1], 16)
    return int(match[2], 2) if match[2] else int(match[3])


def fixed_width(text: str, bank_is_byte: bool) -> int | None:
    """The width of an operand without labels, or None if it has to be looked up each time."""
    if text[:1] in ("+", "-") and not text.strip("+-"):
        return None
    try:
        return OperandScan(text, bank_is_byte).run()
    except NeedsLabels:
        return None


class NeedsLabels(Exception):  # noqa: N818 (a signal inside the assembler, never seen outside)
    """The operand has a label in it."""


class OperandScan:
    """One walk over an operand, looking at numbers and labels only."""

    def __init__(self, text: str, bank_is_byte: bool) -> None:
        self.text, self.bank_is_byte, self.at = text, bank_is_byte, 0

    def run(self) -> int:
        """The width, 0 to 3."""
        width = 0
        while self.at < len(self.text):
            first = self.at == 0
            width = max(width, self._token())
            if self.bank_is_byte and first and self.text[self.at :] in _BANK:
                return 1
        return min(width, 3)

    def _token(self) -> int:
        text, at = self.text, self.at
        c = text[at]
        if c == "$":
            return (self._digits(_HEX) + 1) // 2
        if c == "%":
            return (self._digits(_BITS) + 7) // 8
        if c == "'" and text.startswith("'", at + 2):
            self.at += 3
            return 1
        if "0" <= c <= "9":
            match = _DIGITS.match(text, at)
            assert match is not None
            self.at = match.end()
            return decimal_bytes(int(match.group()[:12]))
        if _NAMES.match(c):
            return self.label()
        self.at += 1
        return 0

    def label(self) -> int:
        """The bytes of the label here."""
        raise NeedsLabels

    def _digits(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        return match.end() - match.start() - 1
