"""A macro and one call of it, as data."""

from __future__ import annotations

from typing import NamedTuple


class Macro(NamedTuple):
    """A macro as defined."""

    name: str
    parameters: tuple[str, ...]
    is_variadic: bool
    file: str
    line: int
    lines: list[str]


class MacroLabels:
    """The labels of one macro call."""

    __slots__ = ("backward", "forward", "number", "sublabels")

    def __init__(self, number: int) -> None:
        self.number = number
        self.forward: dict[int, int] = {}
        self.backward: dict[int, int] = {}
        self.sublabels: list[str] = []


class MacroCall:
    """A macro while it runs."""

    __slots__ = ("arguments", "extra", "is_variadic", "labels", "macro")

    def __init__(self, macro: Macro, arguments: list[str], number: int) -> None:
        self.macro, self.arguments = macro, arguments
        self.is_variadic = macro.is_variadic
        self.extra = len(arguments) - (len(macro.parameters) - 1) if macro.is_variadic else -1
        self.labels = MacroLabels(number)
