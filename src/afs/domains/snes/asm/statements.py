"""A statement: its labels, its words, and the instruction in it if there is one. Read once, run in every pass.

What a line means does not depend on where it stands (defines and macro arguments are in it already), so lines are kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from typing import Final, NamedTuple

from afs.domains.snes.asm.instruction_reader import Instruction, read_instruction
from afs.domains.snes.asm.source_text import is_well_quoted, normalize_spaces, split_outside

_ANONYMOUS: Final = re.compile(r"\??(?:\++|-+)")
_TEXTUAL: Final = frozenset(
    ["if", "elseif", "else", "endif", "while", "endwhile", "for", "endfor", "incsrc", "undef", "rep"]
)
_DATA: Final = {"db": (1, 0xFF), "dw": (2, 0xFFFF), "dl": (3, 0xFFFFFF), "dd": (4, 0xFFFFFFFF)}
_NUMBERS: Final = re.compile(r"(?:\$[0-9A-Fa-f]{1,12}|[0-9]{1,15})(?:,(?:\$[0-9A-Fa-f]{1,12}|[0-9]{1,15}))*")
_LABEL_STARTS: Final = frozenset(".?#+-")
_STEPS: Final = {"db": 4, "dw": 6}
"""Characters of a number and its comma."""
_NO_WORDS: Final[list[str]] = []
_MOST_LINES: Final = 40_000
_MOST_CHARACTERS: Final = 500


class Statement:
    """One block between ` : `."""

    __slots__ = ("command", "const", "first", "is_special", "is_textual", "labels", "op", "text", "words")

    def __init__(self, text: str) -> None:
        self.is_special = text[:1] == "@"
        """Hidden from other assemblers by a leading @."""
        self.text = text.lstrip("@ \t") if self.is_special else text
        words = split_outside(self.text, " ") if self.text else []
        self.first = words[0].lower() if words else ""
        """The first word, in small letters, before labels are taken off."""
        self.labels: Sequence[str] = ()
        self.command = self.first
        if words and (words[0][-1:] == ":" or words[0][:1] in _LABEL_STARTS):
            self._take_labels(words)
        self.words = words if words and words[0] else _NO_WORDS
        self.op: Instruction | None = read_instruction(words) if self.words else None
        self.const: bytes | None = None
        """Its bytes, where they depend on nothing."""
        self.is_textual = False
        """Does it work on the text itself: conditions, macro calls, includes?"""
        if self.op is not None:
            self.const = self.op.const
        elif self.command in _DATA:
            self.const = self._constant_data()
        else:
            self.is_textual = self.command in _TEXTUAL or self.command[:1] == "%"

    def as_data(self) -> Statement:
        """The statement without its 65816 instruction: its bytes are for another processor."""
        if self.op is None:
            return self
        shown = copy(self)
        shown.op = None
        return shown

    def _take_labels(self, words: list[str]) -> None:
        count = 0
        while count < len(words) and words[count + 1 : count + 2] != ["="] and is_label(words[count]):
            count += 1
        self.labels = words[:count]
        del words[:count]
        self.command = words[0].lower() if words else ""

    def _constant_data(self) -> bytes | None:
        """The bytes of data that is nothing but numbers."""
        if len(self.words) != 2:
            return None
        data = _even_hex(self.command, self.words[1])
        if data is not None or not _NUMBERS.fullmatch(self.words[1]):
            return data
        width, mask = _DATA[self.command]
        numbers = self.words[1].split(",")
        values = [int(number[1:], 16) if number[0] == "$" else int(number) for number in numbers]
        return b"".join([(value & mask).to_bytes(width, "little") for value in values])


class DataLine(NamedTuple):
    """A whole line `db $12,$34` or `dw $1234,$5678`: its text and its bytes."""

    text: str
    const: bytes


def read_data_line(line: str) -> DataLine | None:
    """The bytes of a line of hex numbers that have all their digits; None for every other line."""
    data = _even_hex(line[:2].lower(), line[3:].replace(", ", ","))
    return None if data is None else DataLine(line, data)


def _even_hex(command: str, text: str) -> bytes | None:
    step = _STEPS.get(command)
    if step is None:
        return None
    try:
        data = bytes.fromhex(text.replace("$", " ").replace(",", ""))
    except ValueError:
        return None
    count = text.count("$")
    if len(text) != count * step - 1 or text[step - 1 :: step] != "," * (count - 1) or text[::step] != "$" * count:
        return None
    if step == _STEPS["db"]:
        return data if len(data) == count else None
    if len(data) != 2 * count:
        return None
    swapped = bytearray(data)
    swapped[::2], swapped[1::2] = data[1::2], data[::2]
    return bytes(swapped)


def is_label(word: str) -> bool:
    """Does a statement's first word define a label?"""
    if not word or word[0] == ":":
        return False
    if _ANONYMOUS.match(word):
        return True
    return len(word) > 1 and (word[-1] == ":" or word[0] in ".?#")


class Line:
    """The statements of a line."""

    __slots__ = ("is_data", "is_plain", "statements")

    def __init__(self, statements: tuple[Statement, ...]) -> None:
        self.statements = statements
        self.is_plain = all(st.text and not st.is_textual and not st.is_special for st in statements)
        """Do all of them mean the same wherever they stand?"""
        self.is_data = len(statements) == 1 and statements[0].const is not None and statements[0].op is None
        """Is it nothing but numbers? Such lines are hardly ever repeated."""


_lines: dict[str, Line | None] = {}
_clean_lines: dict[str, Line | None] = {}
"""The same for lines whose spaces are normal already."""


def read_line(text: str, is_clean: bool = False) -> Line | None:
    """The statements of a line whose defines are put in; None if its quotes do not match."""
    known = _clean_lines if is_clean else _lines
    if text in known:
        return known[text]
    line = _read_line(text if is_clean else normalize_spaces(text))
    if len(text) <= _MOST_CHARACTERS and (line is None or not line.is_data):
        if len(known) >= _MOST_LINES:
            known.clear()
        known[text] = line
    return line


def _read_line(text: str) -> Line | None:
    if not is_well_quoted(text):
        return None
    if " : " not in text and ": :" not in text:
        text = text.strip(" ")
        return Line((Statement(text),) if text else ())
    while ": :" in text:
        text = text.replace(": :", ":  :")
    return Line(tuple(Statement(block.strip(" ")) for block in split_outside(text, " : ")))
