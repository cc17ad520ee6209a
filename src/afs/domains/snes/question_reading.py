"""What a question in plain words says about the code it asks for: widths, return, memory, registers, examples.

Nothing here runs code. What the words leave open stays open: an unstated width is None, never a guess.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from afs.domains.snes import answer_parsing
from afs.domains.snes.contract import Ends

Width = Literal[8, 16]
Asks = Literal["", "cheaper", "fix"]


class Example(NamedTuple):
    """One line `start -> end`: registers by name, memory by address, values as bytes."""

    text: str
    start: dict[str, bytes]
    end: dict[str, bytes]


class QuestionReading(NamedTuple):
    """What was read from a question."""

    code: str
    """The last block of assembly in the question; empty without one."""
    m: Width | None
    x: Width | None
    ends: Ends | None
    keeps_widths: bool
    """Are the widths to be left as they were?"""
    db: int | None
    free: tuple[str, ...]
    """Registers that may be changed, where the question lists them."""
    kept: tuple[str, ...]
    """Registers that must survive."""
    asks: Asks
    """`cheaper`: the same effect in fewer cycles or bytes; `fix`: the code in the question is broken."""
    wants_bytes: bool
    """Is size alone what should shrink?"""
    wants_code: bool
    """Does it ask for the whole corrected code?"""
    stores: bool
    """Does it ask for something to be stored?"""
    results: frozenset[str]
    """Registers and flags named as holding a result."""
    named: frozenset[int]
    """Every address in the prose."""
    examples: tuple[Example, ...]


_FENCED: Final = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*\1`*|\Z)", re.M | re.S)
_LATE_CLOSING: Final = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.M)
"""A closing fence with text behind it, which closes nothing by the book."""
_BITS: Final = r"(8|16)[- ]?bits?"
_A_WIDTH: Final = (
    re.compile(rf"\b(?:A|accumulator|M)\b(?:\s+(?:is|in|set to|being))?(?:\s+in)?\s+{_BITS}", re.I),
    re.compile(rf"\b{_BITS}\s+(?:A\b|accumulator|mode for A\b)", re.I),
    re.compile(r"\bm\s*=?\s*(8|16)\b", re.I),
)
_X_WIDTH: Final = (
    re.compile(rf"\b(?:X/Y|X and Y|X|index(?:es| registers)?)\b(?:\s+(?:is|are|in|set to))?(?:\s+in)?\s+{_BITS}", re.I),
    re.compile(rf"\b{_BITS}\s+(?:X/Y|X and Y|X\b|index)", re.I),
    re.compile(r"\bx\s*=?\s*(8|16)\b", re.I),
)
_LONG: Final = re.compile(
    r"(?<![-\w])RTL(?![-\w])|\b(?:called|call it|calls it)\b[^.]{0,30}\bJSL\b|\blong call\b", re.I
)
_SHORT: Final = re.compile(r"(?<![-\w])RTS(?![-\w])|\b(?:called|call it|calls it)\b[^.]{0,30}\bJSR\b", re.I)
_BANK: Final = re.compile(r"\bdata bank(?: register)?(?: is| =|:)? \$([0-9A-Fa-f]{2})\b", re.I)
_KEEPS_WIDTHS: Final = re.compile(
    r"\b(?:leave|keep|restore|preserve)\b[^.]{0,40}\b(?:widths?|flags M and X|M and X)\b", re.I
)
_FREE: Final = re.compile(r"\b((?:[AXY](?:,\s*|\s+and\s+|/)?)+)\s+(?:may|can) be (?:changed|clobbered|destroyed)\b")
_KEPT: Final = re.compile(r"\b(?:[Pp]reserve|[Kk]eep|[Rr]estore)\s+((?:[AXY](?:,\s*|\s+and\s+|/)?)+)(?=\W|$)")
_CHEAPER: Final = re.compile(
    r"\boptimi[sz]|\bfaster\b|\bfewer\b|\bshorter\b|\bsmaller (?:code|routine|version|size)\b"
    r"|\bless (?:time|space|ROM|code)"
    r"|\bspeed(?:\s+\w+)?\s+up\b|\btighten|\bcheaper\b|\bsqueeze\b"
    r"|\b(?:save|shave|cut|reduce|lower|trim|shrink|squeeze|drop)\b[^.]{0,30}\b(?:cycles?|bytes?|size|time)\b|\bwaste"
    r"|\b(?:cycles?|bytes?)\b[^.]{0,20}\bgo down\b",
    re.I,
)
_CYCLES: Final = re.compile(r"\bcycles?\b|\bfaster\b|\bspeed\b|\bquicker\b|\b(?:less|more) time\b", re.I)
_BYTES: Final = re.compile(r"\bless ROM\b|\bbytes?\b|\bshorter\b|\bsmaller\b|\bsize\b|\bless space\b", re.I)
_BROKEN: Final = re.compile(
    r"\bbroken\b|\bbugs?\b|\bdoes(?: not|n't) work\b|\bfails?\b|\bcrash|\bwrong\b|\bdebug\b|\bfix\b|\bfault|\bhangs?\b",
    re.I,
)
_WANTS_CODE: Final = re.compile(
    r"\b(?:corrected|fixed|repaired)\b[^.]{0,40}\b(?:routine|code|version)|\b(?:post|give|write|show)\b[^.]{0,30}\bfix",
    re.I,
)
_ADDRESS: Final = re.compile(r"(?<![#\w])\$(?:([0-9A-Fa-f]{2}):?([0-9A-Fa-f]{4})|([0-9A-Fa-f]{2,4}))\b")
_STORING: Final = re.compile(
    r"\b(?:stores?|puts?|writes?|saves?|place|sets?|clears?|zeros?|copy|copies|result)\b", re.I
)
_RESULT: Final = re.compile(r"\b(?:in|into|through|via)\s+([AXY])\b(?!\s+is)|\b(?:returns?|leaves?)\s+([AXY])\b")
_FLAG_WORDS: Final = {
    "c": re.compile(r"\bcarry\b|\bC flag\b", re.I),
    "z": re.compile(r"\bzero flag\b|\bZ(?: flag)?\b"),
    "n": re.compile(r"\bnegative flag\b|\bsign flag\b|\bN flag\b"),
    "v": re.compile(r"\boverflow flag\b|\bV flag\b"),
}
_ARROW: Final = re.compile(r"\s*(?:->|→|=>)\s*")
_ASSIGNMENT: Final = re.compile(
    r"(\$[0-9A-Fa-f:]{2,7}|\b[AXYC]\b)\s*=\s*((?:\$|0x)?[0-9A-Fa-f]+(?:\s+[0-9A-Fa-f]{2})*)(?=\s*(?:,|;|$|\band\b))"
)


def read_question(text: str) -> QuestionReading:
    """Read a question; its code blocks are left out of the words."""
    blocks = [block.text for block in answer_parsing.find_blocks(text) if block.kind == "code"]
    prose = find_prose(text)
    asks = _find_request(prose, bool(blocks))
    return QuestionReading(
        code=_LATE_CLOSING.split(blocks[-1])[0] if blocks else "",
        m=_find_width(prose, _A_WIDTH),
        x=_find_width(prose, _X_WIDTH),
        ends=_find_return(prose),
        keeps_widths=bool(_KEEPS_WIDTHS.search(prose)),
        db=int(match[1], 16) if (match := _BANK.search(prose)) else None,
        free=_find_registers(_FREE, prose),
        kept=_find_registers(_KEPT, prose),
        asks=asks,
        wants_bytes=bool(_BYTES.search(prose)) and not _CYCLES.search(prose),
        wants_code=bool(_WANTS_CODE.search(prose)),
        stores=bool(_STORING.search(prose)),
        results=_find_results(prose),
        named=frozenset(_parse_address(match[0]) for match in _ADDRESS.finditer(prose)),
        examples=tuple(_find_examples(prose)),
    )


def _find_request(prose: str, has_code: bool) -> Asks:
    if not has_code:
        return ""
    cheaper, broken = bool(_CHEAPER.search(prose)), bool(_BROKEN.search(prose))
    if cheaper == broken:
        return ""
    return "cheaper" if cheaper else "fix"


def _find_return(prose: str) -> Ends | None:
    """How the routine returns; None when the words name neither way, or both."""
    long, short = bool(_LONG.search(prose)), bool(_SHORT.search(prose))
    return None if long == short else "rtl" if long else "rts"


def _find_width(prose: str, patterns: tuple[re.Pattern[str], ...]) -> Width | None:
    for pattern in patterns:
        found = {match[1] for match in pattern.finditer(prose)}
        if len(found) == 1:
            return 8 if found.pop() == "8" else 16
    return None


def _find_registers(pattern: re.Pattern[str], prose: str) -> tuple[str, ...]:
    letters = "".join(match[1] for match in pattern.finditer(prose))
    return tuple(name for name in "axy" if re.search(rf"\b{name}\b", letters, re.I))


def _parse_address(text: str) -> int:
    return int(text.strip().lstrip("$").replace(":", ""), 16)


def _find_results(prose: str) -> frozenset[str]:
    registers = {(match[1] or match[2]).lower() for match in _RESULT.finditer(prose)}
    return frozenset(registers | {flag for flag, words in _FLAG_WORDS.items() if words.search(prose)})


def _find_examples(prose: str) -> list[Example]:
    lines = [(line, _ARROW.split(line)) for line in prose.splitlines() if _ARROW.search(line)]
    pairs = [(line.strip(), _ASSIGNMENT.findall(p[0]), _ASSIGNMENT.findall(p[1])) for line, p in lines if len(p) == 2]
    pairs = [(line, start, end) for line, start, end in pairs if start and end]
    values = [value for _, start, end in pairs for _, value in (*start, *end)]
    if not values or not all(_is_hexadecimal(value, values) for value in values):
        return []
    return [Example(line, _read_values(start), _read_values(end)) for line, start, end in pairs]


def _is_hexadecimal(value: str, all_values: list[str]) -> bool:
    """Whether a value's base is beyond doubt: marked, in two-digit bytes, or beside values with letters."""
    digits = value.replace(" ", "")
    marked = value.startswith(("$", "0x"))
    in_bytes = all(len(part) == 2 for part in value.split())
    letters = any(re.search(r"[A-Fa-f]", other) for other in all_values)
    return marked or (in_bytes and (letters or len(all_values) > 2 or digits.startswith("0")))


def _read_values(assignments: list[tuple[str, str]]) -> dict[str, bytes]:
    """Bytes in memory order: `80 7F` are bytes as they lie, `$1234` is one number."""
    found: dict[str, bytes] = {}
    for name, value in assignments:
        digits = value.removeprefix("$").removeprefix("0x")
        if " " in digits or len(digits) == 2:
            data = bytes(int(part, 16) for part in digits.split())
        else:
            data = int(digits, 16).to_bytes((len(digits) + 1) // 2, "little")
        found[name.lower() if not name.startswith("$") else name] = data
    return found


def find_prose(text: str) -> str:
    """A text without its code blocks."""
    return _FENCED.sub("\n", text)


def find_addresses(text: str) -> frozenset[int]:
    """Every address a piece of code or prose names."""
    return frozenset(_parse_address(match[0]) for match in _ADDRESS.finditer(text))
