"""Expressions: numbers, labels, operators, function calls. Reads text and calculates in one go, as Asar does.

Numbers are doubles. Without `math pri on` operators go from left to right; with `math round` (the default) every step
drops its fraction. What an evaluation met (labels, static or not, known or not) is left in the session for the caller.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from afs.domains.snes.asm import expression_functions
from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.labels import UNKNOWN, anonymous_name, find_or_halt, label_name
from afs.domains.snes.asm.number_expressions import LEVELS, constant_value
from afs.domains.snes.asm.session import Session

_HEX: Final = re.compile(r"\$([0-9A-Fa-f]+)")
_BINARY: Final = re.compile(r"%([01]+)")
_DECIMAL: Final = re.compile(r"[0-9.]+")
_FLOAT: Final = re.compile(r"[0-9]*(?:\.[0-9]*)?")
_NAME: Final = re.compile(r"[A-Za-z0-9_.]*")
_OPERATOR: Final = re.compile(r"\*\*|<<|>>|[*/%+\-&|^]")
_PRECEDENCE: Final = re.compile(r"'.'|[(),\[\]]|(?<=[A-Za-z0-9_.')\] ])(\*\*|<<|>>|[*/%+\-&|^])")
_CALL: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*) *\(")
_LABEL: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIMPLE: Final = re.compile(r"\$[0-9A-Fa-f]{1,13}|[0-9]{1,15}")
INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1


def int64(value: float) -> int:
    """A double as a 64-bit integer the way the processor converts it."""
    if not -9.223372036854775808e18 <= value < 9.223372036854775808e18:
        return INT64_MIN
    return int(value)


def signed(value: int, bits: int = 32) -> int:
    """The low bits of an integer, as a signed number."""
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half


@lru_cache(maxsize=50_000)
def _without_labels(text: str, rounds: bool) -> float | None:
    """The value of numbers and operators; None for anything else."""
    if _SIMPLE.fullmatch(text):
        return float(int(text[1:], 16) if text[0] == "$" else int(text))
    constant = constant_value(text, rounds)
    return None if constant is None else float(constant)


@lru_cache(maxsize=50_000)
def _is_label(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def evaluate(s: Session, text: str) -> float:
    """The value of an expression."""
    s.maths.found_label = s.maths.found_forward = False
    s.maths.found_static = True
    constant = _without_labels(text, s.maths.math_rounds and not s.maths.never_rounds)
    if constant is not None:
        return constant
    if s.names.struct is None and _is_label(text):
        s.maths.found_label = True
        at = find_or_halt(s, text)
        s.maths.found_static = s.maths.is_static
        s.maths.found_forward = at == UNKNOWN
        return float(at & 0xFFFFFF)
    reader = Reader(s, text)
    value = reader.evaluate(0)
    if not (s.maths.priority or s.maths.always_priority):
        _compare_priority(s, text, value)
    if reader.at < len(text):
        raise BlockHalt("Einvalid_input" if text[reader.at] == "," else "Emismatched_parentheses", report_in=2)
    return value


@lru_cache(maxsize=20_000)
def _depends_on_priority(text: str) -> bool:
    """May the usual priorities of operators give another value than left to right?"""
    weakest = [9]
    for match in _PRECEDENCE.finditer(text):
        token = match.group()
        if token in "([":
            weakest.append(9)
        elif token in ")]":
            if len(weakest) > 1:
                weakest.pop()
        elif token == ",":
            weakest[-1] = 9
        elif match[1]:
            level = LEVELS[match[1]]
            if level > weakest[-1]:
                return True
            weakest[-1] = min(level, weakest[-1])
    return False


def _compare_priority(s: Session, text: str, value: float) -> None:
    """Warn when the usual priorities of operators would give another value."""
    if not _depends_on_priority(text) and not (s.names.functions and _calls_user_function(s, text)):
        return
    s.maths.priority, s.log.is_muted = True, True
    other = math.nan
    depth = s.depth
    try:
        other = Reader(s, text).evaluate(0)
    except BlockHalt as halt:
        s.depth = depth
        s.log.report(halt)
    finally:
        s.maths.priority, s.log.is_muted = False, False
    if other != value:
        s.touch()
        s.log.warn(2, "Wfeature_deprecated", "left to right maths", "write parentheses")


def _calls_user_function(s: Session, text: str) -> bool:
    return "(" in text and any(name in s.names.functions for name in _CALL.findall(text))


def evaluate_integer(s: Session, text: str) -> int:
    """The value of an expression as a 64-bit integer."""
    value = evaluate(s, text)
    if value < -9.223372036854775808e18:
        return INT64_MIN
    if value > 9.223372036854775807e18:
        return INT64_MAX
    return int64(value)


def evaluate_int32(s: Session, text: str) -> int:
    """The value of an expression as a signed 32-bit integer."""
    return signed(evaluate_integer(s, text))


def number_text(value: float, precision: int = 100) -> str:
    """A number as a define or a print shows it."""
    text = f"{value:.{min(max(precision, 0), 100)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class Reader:
    """One walk over the text of an expression."""

    __slots__ = ("at", "s", "text")

    def __init__(self, s: Session, text: str) -> None:
        self.s, self.text, self.at = s, text, 0

    def peek(self) -> str:
        """The character here, "" at the end."""
        return self.text[self.at : self.at + 1]

    def skip_spaces(self) -> None:
        """Skip to the next character that is not a space."""
        while self.text.startswith(" ", self.at):
            self.at += 1

    def evaluate_text(self, text: str) -> float:
        """The value of another text."""
        return Reader(self.s, text).evaluate(0)

    def evaluate(self, level: int) -> float:
        """An expression of operators at least as strong as `level`."""
        s = self.s
        if self.peek() in ("+", "-", "?"):
            name, end = anonymous_name(s, self.text, self.at)
            if name and self.text[end : end + 1] in ("", ")"):
                return self._anonymous(name, end)
        s.depth += 1
        if s.depth > s.limits.depth:
            raise FatalHalt("Erecursion_limit", report_in=s.pass_)
        left = self.operand()
        self.skip_spaces()
        while self.at < len(self.text) and self.text[self.at] not in "),]":
            if s.maths.rounds:
                left = self._checked(left)
            match = _OPERATOR.match(self.text, self.at)
            if match is None:
                raise BlockHalt("Eunknown_operator", report_in=2)
            sign = match.group()
            if s.maths.priority or s.maths.always_priority:
                if level > LEVELS[sign]:
                    break
                self.at = match.end()
                right = self.evaluate(LEVELS[sign] + 1)
            else:
                self.at = match.end()
                right = self.operand()
            left = self._checked(_apply(sign, left, right))
            self.skip_spaces()
        s.depth -= 1
        return left

    def _anonymous(self, name: str, end: int) -> float:
        s = self.s
        self.at, s.maths.found_label = end, True
        if self.text[end - 1] == "+":
            s.maths.found_forward = True
        at = find_or_halt(s, name)
        s.maths.found_static = s.maths.found_static and s.maths.is_static
        return float(at & 0xFFFFFF)

    def _checked(self, value: float) -> float:
        if value != value:
            raise BlockHalt("Enan", report_in=2)
        if self.s.maths.rounds and abs(value) < 4503599627370496.0:
            return float(int(value))
        return value

    def operand(self) -> float:
        """A number, label, call or parenthesis with its signs before it."""
        signs = []
        while True:
            self.skip_spaces()
            sign = self.peek()
            if sign == "<" and self.text.startswith("<:", self.at):
                signs.append("<:")
                self.at += 2
            elif sign and sign in "-~+":
                signs.append(sign)
                self.at += 1
            else:
                break
        value = self._checked(self._core(sign))
        for sign in reversed(signs):
            if sign == "-":
                value = -value
            elif sign == "~":
                value = float(~_int32(value))
            elif sign == "<:":
                value = float(_int32(value) >> 16)
        return value

    def _core(self, first: str) -> float:
        text = self.text
        if first == "$":
            match = _HEX.match(text, self.at)
            if match is None:
                raise BlockHalt("Einvalid_hex_value", report_in=2)
            if text[self.at + 2 : self.at + 3] in ("x", "X"):
                raise BlockHalt("Eunknown_operator", report_in=2)
            self.at = match.end()
            return float(min(int(match[1], 16), 0xFFFFFFFFFFFFFFFF)) if len(match[1]) <= 64 else 1.8446744073709552e19
        if first == "(":
            self.at += 1
            value = self.evaluate(0)
            if self.peek() != ")":
                raise BlockHalt("Emismatched_parentheses", report_in=2)
            self.at += 1
            return value
        if "0" <= first <= "9":
            return self._decimal()
        if first == "%":
            match = _BINARY.match(text, self.at)
            if match is None:
                raise BlockHalt("Einvalid_binary_value", report_in=2)
            self.at = match.end()
            return float(min(int(match[1], 2), 0xFFFFFFFFFFFFFFFF)) if len(match[1]) <= 256 else 1.8446744073709552e19
        if first == "'":
            return self._character()
        if first and (first in "_.?" or "a" <= first.lower() <= "z"):
            return self._name()
        raise BlockHalt("Einvalid_number", report_in=2)

    def _decimal(self) -> float:
        match = _DECIMAL.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
        number = _FLOAT.match(match.group())
        assert number is not None
        return float(number.group()[:400])

    def _character(self) -> float:
        if self.text[self.at + 2 : self.at + 3] != "'":
            raise BlockHalt("Einvalid_character", report_in=2)
        value = self.s.data.table[ord(self.text[self.at + 1])]
        self.at += 3
        return float(value)

    def _name(self) -> float:
        match = _NAME.match(self.text, self.at)
        assert match is not None
        after = match.end()
        while self.text.startswith(" ", after):
            after += 1
        if self.text.startswith("(", after):
            self.at = after + 1
            return expression_functions.call(self, match.group())
        return self._label()

    def _label(self) -> float:
        s = self.s
        s.maths.found_label = True
        name, end, subscript = label_name(s, self.text, self.at)
        at = find_or_halt(s, name)
        s.maths.found_static = s.maths.found_static and s.maths.is_static
        if subscript is not None:
            self.at = subscript.start
            index = self.evaluate(0)
            at += _int32(index * s.object_size(subscript.owner))
        self.at = end
        if at == UNKNOWN:
            s.maths.found_forward = True
        return float(at & 0xFFFFFF)


def _int32(value: float) -> int:
    """A double as a 32-bit integer the way the processor converts it."""
    if not -2147483649.0 < value < 2147483648.0:
        return -2147483648
    return int(value)


def _apply(sign: str, left: float, right: float) -> float:
    if sign == "+":
        return left + right
    if sign == "-":
        return left - right
    if sign == "*":
        return left * right
    if sign in "/%":
        if right == 0.0:
            raise BlockHalt("Edivision_by_zero" if sign == "/" else "Emodulo_by_zero", report_in=2)
        if sign == "/":
            return left / right
        return math.fmod(left, right) if abs(left) != math.inf else math.nan
    if sign == "**":
        return _power(left, right)
    if sign in ("<<", ">>"):
        if right < 0.0:
            raise BlockHalt("Enegative_shift", report_in=2)
        amount = int64(right) & 63
        a = int64(left)
        return float(signed(a << amount, 64) if sign == "<<" else a >> amount)
    a, b = int64(left), int64(right)
    return float(a & b if sign == "&" else a | b if sign == "|" else a ^ b)


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except OverflowError:
        return -math.inf if left < 0.0 and math.fmod(right, 2.0) == 1.0 else math.inf
    except ValueError:
        return math.inf if left == 0.0 else math.nan
