"""Single facts in an answer: the number, the bytes, the diagnosis."""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.answer_parsing import FENCE

_BUG: Final = re.compile(r"\*\*\s*bug\s*:\s*\[?\s*([^*\]\n]{1,80}?)\s*\]?\s*(?:\([^)*]*\)\s*)?\*\*", re.I)
_NUMBER: Final = re.compile(r"(?<![\w$#%.])(\d{1,3}(?:,\d{3})+|\d{1,7})(?![\w%]|\.\d|-bit|,\d{3})")
_HEX: Final = re.compile(r"(?:\$|\b0x)([0-9A-Fa-f]{1,6})\b|\b([0-9A-Fa-f]{1,6})h\b")
_DENIED: Final = re.compile(r"\b(?:not|instead of|rather than)\s+(?:\$|0x)?[0-9A-Fa-f]+\b", re.I)
_NAMES: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_NAMED: Final = re.compile(rf"\b({'|'.join(_NAMES)})\b", re.IGNORECASE)
_UNITS: Final = {
    "cycles": r"(?:cpu\s+)?cycles?\b",
    "clocks": r"(?:master\s+)?(?:clocks?|cycles?)\b",
    "bytes": r"bytes?\b",
}
_LEAD: Final = re.compile(
    r"^[\s>*+-]*(?:(?:d[bw]|\.byte|bytes?|hex|machine code|answer)\b\s*:?|\$?[0-9A-Fa-f]{2,6}\s*:)?", re.I
)
_PAIR: Final = r"(?:\$|0x)?[0-9A-Fa-f]{2}"
_PAIRS: Final = re.compile(rf"{_PAIR}(?:[\s,]+{_PAIR})*|(?:[0-9A-Fa-f]{{2}}){{2,}}")
_INLINE_PAIRS: Final = re.compile(
    rf"(?<![\w$]){_PAIR}(?:[ ,]+{_PAIR})+(?!\w)|(?<![\w$#])(?:[0-9A-Fa-f]{{2}}){{3,}}(?!\w)"
)


def find_diagnoses(text: str) -> tuple[str, ...]:
    """Every fault named as `**Bug: [type]**`, in the order of the text, as `missing-sep`."""
    return tuple(slugify(match[1]) for match in _BUG.finditer(text))


def starts_with_diagnosis(text: str) -> bool:
    """Whether a diagnosis stands before any code."""
    bug, fence = _BUG.search(text), FENCE.search(text)
    return bug is not None and (fence is None or bug.start() < fence.start())


def slugify(text: str) -> str:
    """`Missing SEP` -> `missing-sep`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def parse_number(text: str, base: int, unit: str = "") -> int | None:
    """The one number in the last line that has any (code left out); None when there is none or more than one.

    Of a sum that is written out, what follows its last `=`; of several numbers the one in bold, or the one with the
    unit that was asked for.
    """
    plain = FENCE.sub("\n", text) if FENCE.sub("", text).strip() else re.sub(r"^\s*[`~]{3,}.*$", "", text, flags=re.M)
    for line in reversed(plain.splitlines()):
        found = _numbers_in(_DENIED.sub(" ", line), base)
        if found:
            return _the_one(line, base, unit, found)
    return None


def _the_one(line: str, base: int, unit: str, found: set[int]) -> int | None:
    if len(found) == 1:
        return found.pop()
    candidates = [line.rpartition("=")[2]] if "=" in line else []
    candidates += [" ".join(bold)] if (bold := re.findall(r"\*\*([^*]+)\*\*", line)) else []
    if unit in _UNITS:
        candidates.append(" ".join(re.findall(rf"\S+(?=\s+{_UNITS[unit]})", line, re.IGNORECASE)))
    for part in candidates:
        numbers = _numbers_in(_DENIED.sub(" ", part), base)
        if numbers:
            return numbers.pop() if len(numbers) == 1 else None
    return None


def _numbers_in(line: str, base: int) -> set[int]:
    """Every number of a line, hexadecimal ones marked as such before plain ones."""
    found = {int(one or two, 16) for one, two in _HEX.findall(line)}
    if base == 10 or not found:
        found = {int(digits.replace(",", "")) for digits in _NUMBER.findall(line)}
        found = found or {_NAMES.index(name.lower()) for name in _NAMED.findall(line)}
    return found


def parse_hex_bytes(text: str) -> bytes | None:
    """The bytes of an answer: the last run of lines that hold nothing else, in a fence where one does; else inline."""
    for part in [*(match["text"] for match in reversed(list(FENCE.finditer(text)))), text]:
        found = _bytes_of_lines(part.splitlines())
        if found is not None:
            return found
    runs = {_join_pairs(match[0]) for match in _INLINE_PAIRS.finditer(text)}
    return runs.pop() if len(runs) == 1 else None


def _bytes_of_lines(lines: list[str]) -> bytes | None:
    found = b""
    for line in reversed(lines):
        data = _bytes_of_line(line)
        if data:
            found = data + found
        elif found:
            return found
    return found or None


def _bytes_of_line(line: str) -> bytes | None:
    """A line of two-digit numbers, with or without `$`, `0x`, `db`, an address or a remark."""
    bare = re.split(r"[;|]|\s//|\s#(?!\$)", line)[0].strip().strip("`*.\"' ")
    after = _LEAD.sub("", bare, count=1).strip().strip("`*.\"' ")
    for text in (after, bare) if re.match(r"d[bw]\s+\$", bare, re.IGNORECASE) else (bare, after):
        if text and _PAIRS.fullmatch(text.rstrip(",")):
            return _join_pairs(text)
    return None


def _join_pairs(text: str) -> bytes:
    return bytes.fromhex(re.sub(r"\$|0x|[\s,]", "", text))
