"""Is a piece of assembly for the 65816? By the instructions that no smaller processor of the family has."""

from __future__ import annotations

import re
from typing import Final

_ONLY: Final = "rep sep xba xce phb plb phd pld phk jsl rtl jml mvn mvp tcd tdc tcs tsc txy tyx pea pei brl"
_STATEMENT: Final = re.compile(r"(?:^|:)[ \t]*([a-z]{3})(?:\.[bwl])?(?=[ \t;:]|$)", re.I | re.M)
_KINDS: Final = 3
"""Different ones that must occur: one alone may be a macro or a label of another machine."""
_SHARE: Final = 0.005
"""Of all statements that look like instructions."""


def is_65816(text: str, dialect: str) -> bool:
    """Whether it is written for asar, or uses several instructions of the 65816 alone."""
    words = [word.lower() for word in _STATEMENT.findall(text)]
    own = [word for word in words if word in _ONLY.split()]
    return bool(own) and (dialect == "asar" or (len(set(own)) >= _KINDS and len(own) >= _SHARE * len(words)))
