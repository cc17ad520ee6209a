"""Names and addresses of registers that an answer states in plain words, held against the table of registers.

Only short, direct sentences are read ("$2108 is BG2SC", "BG2SC is at $2108", "BG2SC ($2108)"): what is hedged, negated
or a range may be right in ways that a pattern cannot see.
"""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.knowledge.registers import Register, by_name, register_at

_NAME: Final = r"`?(?P<name>[A-Z][A-Z0-9]{2,})`?"
_ADDRESS: Final = r"`?(?:\$|0x)(?:00:?)?(?P<address>[24][0-9A-Fa-f]{3})`?(?![0-9A-Fa-f]|\s*[-–]\s*\$)"
_CLAIMS: Final = (
    re.compile(rf"{_ADDRESS} is (?:the )?(?:SNES )?(?:hardware )?(?:register )?(?:called |named )?{_NAME}(?![\w/])"),
    re.compile(rf"(?<![\w/]){_NAME} is (?:located |mapped )?(?:at|to) (?:the )?(?:address )?{_ADDRESS}"),
    re.compile(rf"(?<![\w/]){_NAME} \({_ADDRESS}\)"),
)


def find_register_claims(answer: str) -> list[tuple[str, int]]:
    """Every (name, address) that is stated, in the order of the text; only names of registers count."""
    found = [
        (match.start(), match["name"], int(match["address"], 16))
        for claim in _CLAIMS
        for match in claim.finditer(answer)
        if match["name"] in by_name()
    ]
    return [(name, address) for _, name, address in sorted(found)]


def find_wrong_claim(claims: list[tuple[str, int]]) -> str:
    """What is wrong with the first false claim; empty when all agree with the table."""
    for name, address in claims:
        known, there = by_name()[name], register_at(address)
        if known.space != "cpu" or there is None or _is_same(known, there):
            continue
        return f"${address:04X} is {there.name}; {name} is at ${known.address & 0xFFFF:04X}"
    return ""


def _is_same(known: Register, there: Register) -> bool:
    """Whether two entries are one register; the two bytes of a pair differ in their last letter."""
    is_pair = known.name[:-1] == there.name[:-1] and {known.name[-1], there.name[-1]} == {"L", "H"}
    return known.name == there.name or is_pair
