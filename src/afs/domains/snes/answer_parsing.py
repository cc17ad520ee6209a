"""What in an answer can be judged: code blocks, tool calls, the diagnosis, the number."""

from __future__ import annotations

import re
from typing import Final

from afs.domains.base import Block
from afs.domains.snes.isa import MNEMONICS

_FENCE: Final = re.compile(
    r"^[ \t]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n]*\n(?P<text>.*?)(?:^[ \t]*(?P=mark)`*[ \t]*$|\Z)",
    re.M | re.S,
)
_TOOL_CALL: Final = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.S)
_ASSEMBLY: Final = frozenset({"", "asm", "asar", "assembly", "65816", "65c816", "snes", "s", "nasm", "armasm", "ca65"})
_WORD: Final = re.compile(r"[A-Za-z]+")
_LABEL: Final = re.compile(r"^(?:[.\w]+:|\.\w+|[+-]+)\s*")
_DIRECTIVES: Final = frozenset(
    {"db", "dw", "dl", "dd", "org", "lorom", "hirom", "skip", "fill", "base", "pushpc", "pullpc"}
)
_BUG: Final = re.compile(r"\*\*\s*bug\s*:\s*\[?\s*([^*\]\n]{1,80}?)\s*\]?\s*(?:\([^)*]*\)\s*)?\*\*", re.I)
_NUMBER: Final = re.compile(r"(?<![\w$#%.])(\d{1,7})(?![\w%]|\.\d|-bit)")
_HEX: Final = re.compile(r"(?:\$|0x)([0-9A-Fa-f]{1,6})\b")
_BYTE: Final = re.compile(r"(?:\$|0x)?\b([0-9A-Fa-f]{2})\b")


def find_blocks(text: str) -> tuple[Block, ...]:
    """Fenced blocks and tool calls; an answer that is nothing but code counts as one block."""
    found = [_fenced(match, text) for match in _FENCE.finditer(text)]
    found += [
        Block(kind="tool_call", text=match[1], line=text.count("\n", 0, match.start()) + 1)
        for match in _TOOL_CALL.finditer(text)
    ]
    if not found and is_code(text):
        found = [Block(kind="code", text=text.strip("\n"))]
    return tuple(found)


def _fenced(match: re.Match[str], text: str) -> Block:
    language = match["language"].lower()
    line = text.count("\n", 0, match.start("text")) + 1
    return Block(kind="code" if language in _ASSEMBLY else language, text=match["text"], line=line)


def is_code(text: str) -> bool:
    """Whether every line that is not blank or a comment begins like a statement."""
    lines = [line.split(";")[0].strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    return bool(lines) and all(_is_statement(line) for line in lines)


def _is_statement(line: str) -> bool:
    rest = _LABEL.sub("", line)
    if not rest:
        return True
    word = _WORD.match(rest)
    return word is not None and word[0].lower() in MNEMONICS | _DIRECTIVES


def normalize_code(code: str) -> str:
    """Code without comments, blank lines, spacing and case: equal code, equal text."""
    parts = [part.strip() for line in code.splitlines() for part in line.split(";")[0].split(" : ")]
    return "\n".join(" ".join(part.lower().split()) for part in parts if part)


def find_diagnoses(text: str) -> tuple[str, ...]:
    """Every fault named as `**Bug: [type]**`, in the order of the text, as `missing-sep`."""
    return tuple(slugify(match[1]) for match in _BUG.finditer(text))


def starts_with_diagnosis(text: str) -> bool:
    """Whether a diagnosis stands before any code."""
    bug, fence = _BUG.search(text), _FENCE.search(text)
    return bug is not None and (fence is None or bug.start() < fence.start())


def slugify(text: str) -> str:
    """`Missing SEP` -> `missing-sep`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def parse_number(text: str, base: int) -> int | None:
    """The one number in the last line that has any (code left out); None when there is none or more than one."""
    plain = _FENCE.sub("\n", text)
    for line in reversed(plain.splitlines()):
        found = {int(digits, 16) for digits in _HEX.findall(line)}
        if base == 10 or not found:
            found = {int(digits) for digits in _NUMBER.findall(line)}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def parse_hex_bytes(text: str) -> bytes | None:
    """The bytes of an answer made of two-digit hexadecimal numbers: a fenced block's, else the last such line's."""
    fenced = [match["text"] for match in _FENCE.finditer(text)]
    for line in reversed(fenced or text.splitlines()):
        digits = _BYTE.findall(line)
        if digits and not _BYTE.sub("", line).strip(" \t\n,$.`"):
            return bytes(int(pair, 16) for pair in digits)
    return None
