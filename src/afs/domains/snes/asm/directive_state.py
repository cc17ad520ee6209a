"""What directives set and every pass starts afresh: arithmetic, operand sizes, character table, freespaces."""

from __future__ import annotations


class Arithmetic:
    """How expressions are calculated, and what the last one met."""

    def __init__(self) -> None:
        self.always_priority = self.never_rounds = False
        self.begin()

    def begin(self) -> None:
        """Start of a pass."""
        self.priority, self.math_rounds = False, True
        self.found_label = self.found_forward = self.is_static = False
        self.found_static = True

    @property
    def rounds(self) -> bool:
        """Does every step of a calculation drop its fraction?"""
        return self.math_rounds and not self.never_rounds


class OperandSettings:
    """What the size of an operand depends on: `bank`, `dpbase`, `optimize`."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start of a pass."""
        self.assumed_bank = -1
        self.optimize_dp, self.optimize_address = "none", "default"
        self.has_set_dp = self.has_set_address = False
        self.dp_base = 0


class DataSettings:
    """The character table, and the patterns of `fill` and `pad`."""

    def __init__(self) -> None:
        self.tables: list[list[int]] = []
        self.begin()

    def begin(self) -> None:
        """Start of a pass."""
        self.table = list(range(256))
        self.fill_bytes, self.pad_bytes = bytes(12), bytes(12)


class FreeSpaces:
    """The freespaces of a patch, by number."""

    def __init__(self) -> None:
        self.at: dict[int, int] = {}
        self.length: dict[int, int] = {}
        self.leaks: dict[int, bool] = {}
        self.old_at: dict[int, int] = {}
        self.old_length: dict[int, int] = {}
        self.static: dict[int, bool] = {}
        self.fill: dict[int, int] = {}
        self.begin()

    def begin(self) -> None:
        """Start of a pass."""
        self.next = self.current = 1
        self.unknown = 0
        """Operands whose label is not known yet: each may need another byte."""
        self.start = 0
        self.is_code = False
        self.used = 0
