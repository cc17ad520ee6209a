"""What can be said of any text without a task: lint of its code, and the entities it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from afs.domains.base import Finding
from afs.domains.snes import answer_parsing
from afs.domains.snes.isa import MNEMONICS
from afs.domains.snes.knowledge.registers import by_name, register_at
from afs.domains.snes.lint import lint
from afs.types import Record

_ADDRESS: Final = re.compile(r"(?:\$|\b0x)([0-9A-Fa-f]{2}):?([0-9A-Fa-f]{4})\b|(?:\$|\b0x)([0-9A-Fa-f]{2,4})\b")
_IMMEDIATE: Final = re.compile(r"#\$?[0-9A-Fa-f%]+\b")
_NUMBER: Final = re.compile(r"(?<![\w$#.])\d{1,6}(?![\w.])")
_WORD: Final = re.compile(r"\b[A-Z][A-Z0-9]{2,}\b")


def lint_text(text: str) -> tuple[Finding, ...]:
    """Findings in every code block, lines counted in the whole text; a text without blocks is taken as a source."""
    blocks = [block for block in answer_parsing.find_blocks(text) if block.kind == "code"]
    if not blocks:
        return lint(text)
    return tuple(
        msgspec.structs.replace(finding, line=finding.line + block.line - 1)
        for block in blocks
        for finding in lint(block.text)
    )


def find_entities(record: Record) -> tuple[str, ...]:
    """`register:INIDISP`, `address:$7E0010`, `value:#$05`, `number:12` and `op:lda` of all messages, sorted."""
    found: set[str] = set()
    for message in record.messages:
        found.update(entities_in_text(message.text))
    return tuple(sorted(found))


def entities_in_text(text: str) -> Iterator[str]:
    """The same of one text, in the order found; some stand twice."""
    yield from (f"value:{value.lower()}" for value in _IMMEDIATE.findall(text))
    yield from (f"number:{number}" for number in _NUMBER.findall(text))
    for bank, low, short in _ADDRESS.findall(_IMMEDIATE.sub(" ", text)):
        yield f"address:${(bank + low or short).upper()}"
        known = register_at(int(bank + low or short, 16)) if len(bank + low or short) >= 4 else None
        if known:
            yield f"register:{known.name}"
    yield from (f"register:{by_name()[word].name}" for word in _WORD.findall(text) if word in by_name())
    for block in answer_parsing.find_blocks(text):
        if block.kind == "code":
            words = re.findall(r"\b[a-z]{3}\b", block.text.lower())
            yield from (f"op:{word}" for word in words if word in MNEMONICS)
