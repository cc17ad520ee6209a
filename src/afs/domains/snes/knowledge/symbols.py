"""Symbols a user brings: WLA `.sym` files, as Asar and emulators write them, and Mesen's `.mlb`.

No game's symbols are in this project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from afs.domains.snes.rom import mesen_address
from afs.errors import DataError

_LINE: Final = re.compile(r"\$?([0-9A-Fa-f]{2}):?([0-9A-Fa-f]{4})\s+(\S+)\s*")
_LABELS: Final = ("[labels]", "[symbols]")


def read_symbols(path: Path, mapper: str = "lorom") -> dict[int, str]:
    """Address -> name; of two names for one address the first stays. The mapper places the ROM offsets of a `.mlb`."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{path}: cannot read the symbols: {error.strerror}") from error
    if path.suffix.lower() == ".mlb":
        return _parse_labels(text, str(path), mapper)
    return parse_symbols(text, str(path))


def _parse_labels(text: str, name: str, mapper: str) -> dict[int, str]:
    """Read a `.mlb` file: `memory:offset[-end]:name[:comment]`; comments without a name are skipped."""
    found: dict[int, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        memory, _, rest = line.strip().partition(":")
        place, _, rest = rest.partition(":")
        digits = place.partition("-")[0]
        if line.strip() and not re.fullmatch("[0-9A-Fa-f]+", digits):
            raise DataError(f"{name}:{number}: want `memory:offset:name`, got {line[:60]!r}")
        label = rest.partition(":")[0]
        address = mesen_address(memory, int(digits, 16), mapper) if label else None
        if address is not None:
            found.setdefault(address, label)
    return found


def parse_symbols(text: str, name: str = "symbols") -> dict[int, str]:
    """Read the text of a `.sym` file; sections other than the labels are skipped."""
    found: dict[int, str] = {}
    inside = True
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.split(";", 1)[0].strip()
        if line.startswith("["):
            inside = line.lower() in _LABELS
        elif line and inside:
            match = _LINE.fullmatch(line)
            if not match:
                raise DataError(f"{name}:{number}: want `BB:AAAA name`, got {line[:60]!r}")
            found.setdefault(int(match[1] + match[2], 16), match[3])
    return found


def find_symbol(symbols: Mapping[int, str], text: str) -> tuple[int, str] | None:
    """A symbol by name, or by address with the mirrors of low RAM."""
    for address, name in symbols.items():
        if name.lower() == text.strip().lower():
            return address, name
    digits = re.sub(r"^(\$|0x)|:", "", text.strip(), flags=re.IGNORECASE)
    if not re.fullmatch(r"[0-9A-Fa-f]{1,6}", digits):
        return None
    number = int(digits, 16)
    low = number & 0xFFFF if number >> 16 & 0x7F < 0x40 else number
    places = (number, number ^ 0x800000, low | 0x7E0000 if low < 0x2000 else number)
    return next(((place, symbols[place]) for place in places if place in symbols), None)
