"""Expressions of numbers and operators only, where left to right and the usual priorities agree: a fast path.

Anything else, and anything that might be an error, is left to `expressions`.
"""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(r"\$[0-9A-Fa-f]+|%[01]+|[0-9]+|<<|>>|[-+*/&|^()]")
LEVELS: Final = {"**": 4, "*": 3, "/": 3, "%": 3, "+": 2, "-": 2, "<<": 1, ">>": 1, "&": 0, "|": 0, "^": 0}
_LONGEST_NUMBER = 64
"""Longer numbers are left to the general reader, which bounds them: Python refuses to convert 4,300 digits."""
_EXACT: Final = 1 << 52
"""Beyond it a double is not exact."""
_DEEPEST: Final = 40
_NO_LEVEL: Final = 9


def _apply(sign: str, left: int, right: int, rounds: bool) -> int | None:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if sign == "&":
        return left & right
    if sign == "|":
        return left | right
    if sign == "^":
        return left ^ right
    if sign == "/":
        exact = right > 0 and left >= 0 and (rounds or left % right == 0)
        return left // right if exact else None
    if not 0 <= right < 64:
        return None
    return left >> right if sign == ">>" else left << right


def constant_value(text: str, rounds: bool) -> int | None:
    """The value, or None where the expression is not of this kind."""
    tokens = _TOKEN.findall(text)
    if sum(map(len, tokens)) != len(text):
        return None
    outer: list[tuple[int | None, str, int]] = []
    value: int | None = None
    sign, level = "", _NO_LEVEL
    for token in tokens:
        if token in LEVELS:
            if value is None or sign or LEVELS[token] > level:
                return None
            sign, level = token, LEVELS[token]
            continue
        if token == "(":
            if len(outer) > _DEEPEST or (value is not None and not sign):
                return None
            outer.append((value, sign, level))
            value, sign, level = None, "", _NO_LEVEL
            continue
        if token == ")":
            if not outer or value is None or sign:
                return None
            operand = value
            value, sign, level = outer.pop()
        elif len(token) > _LONGEST_NUMBER:
            return None
        else:
            operand = int(token[1:], 16) if token[0] == "$" else int(token[1:], 2) if token[0] == "%" else int(token)
        if value is None:
            value = operand
        else:
            value = _apply(sign, value, operand, rounds) if sign else None
            sign = ""
        if value is None or not -_EXACT < value < _EXACT:
            return None
    return None if outer or sign else value
