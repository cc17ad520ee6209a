"""The abstract state: a value per register that is a number, a symbol for what it was at entry, or unknown."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

Known: TypeAlias = int | str | None
"""A number, a symbol such as `x` or `a.l` (what the register held at entry), or None: unknown."""

Source = Literal["entry", "set", "seen", "call", "mixed", "unknown"]
"""How a width is known: `seen` from an immediate's written width, `mixed` when paths disagree."""


class SavedFlags(NamedTuple):
    """The flags PHP saves, as far as they are tracked."""

    m: int | None
    x: int | None
    m_from: Source
    x_from: Source
    carry: int | None
    decimal: int | None


class Slot(NamedTuple):
    """One byte on the stack, or one push of unknown width (`kind` is then `m?` or `x?`)."""

    value: Known | SavedFlags
    kind: str


Stack: TypeAlias = tuple[Slot, ...] | None
Io: TypeAlias = tuple[tuple[int, Known], ...] | None
"""Hardware registers written since entry with their last value; None when anything may have been written."""


class Belief(NamedTuple):
    """What is known before an instruction."""

    m: int | None = None
    x: int | None = None
    m_from: Source = "entry"
    x_from: Source = "entry"
    e: int | None = 0
    carry: int | None = None
    decimal: int | None = None
    a: Known = "a.l"
    ah: Known = "a.h"
    ix: Known = "x"
    iy: Known = "y"
    d: Known = "d"
    b: Known = "b"
    stack: Stack = ()
    io: Io = ()
    math: int = 0
    """CPU cycles until the multiplier or divider is done."""


ENTRY: Final = Belief()
"""Nothing known: native mode, every register as the caller left it, own stack empty."""


def low(value: Known) -> Known:
    """The low byte of a 16-bit value."""
    return value & 0xFF if isinstance(value, int) else value and value + ".l"


def high(value: Known) -> Known:
    """The high byte of a 16-bit value."""
    return value >> 8 if isinstance(value, int) else value and value + ".h"


def whole(lower: Known, upper: Known) -> Known:
    """Two bytes as one value, if they belong together."""
    if isinstance(lower, int) and isinstance(upper, int):
        return lower | upper << 8
    if isinstance(lower, str) and isinstance(upper, str) and lower[:-2] == upper[:-2]:
        return lower[:-2] if lower.endswith(".l") and upper.endswith(".h") else None
    return None


def join(one: Belief, two: Belief) -> Belief:
    """What holds on both paths."""
    if one == two:
        return one
    m, m_from = _width(one.m, one.m_from, two.m, two.m_from)
    x, x_from = _width(one.x, one.x_from, two.x, two.x_from)
    return Belief(
        m=m,
        x=x,
        m_from=m_from,
        x_from=x_from,
        e=_bit(one.e, two.e),
        carry=_bit(one.carry, two.carry),
        decimal=_bit(one.decimal, two.decimal),
        a=_same(one.a, two.a),
        ah=_same(one.ah, two.ah),
        ix=_same(one.ix, two.ix),
        iy=_same(one.iy, two.iy),
        d=_same(one.d, two.d),
        b=_same(one.b, two.b),
        stack=_stacks(one.stack, two.stack),
        io=_ios(one.io, two.io),
        math=max(one.math, two.math),
    )


def _bit(one: int | None, two: int | None) -> int | None:
    return one if one == two else None


def _same(one: Known, two: Known) -> Known:
    return one if one == two else None


def _width(one: int | None, one_from: Source, two: int | None, two_from: Source) -> tuple[int | None, Source]:
    if one is not None and one == two:
        return one, one_from if one_from == two_from else _weaker(one_from, two_from)
    if "mixed" in (one_from, two_from) or (one is not None and two is not None):
        return None, "mixed"
    return None, one_from if one_from == two_from and one == two else "unknown"


def _weaker(one: Source, two: Source) -> Source:
    order: tuple[Source, ...] = ("call", "seen", "entry", "set")
    return next((source for source in order if source in (one, two)), "unknown")


def _stacks(one: Stack, two: Stack) -> Stack:
    if one is None or two is None or len(one) != len(two):
        return None
    slots = []
    for left, right in zip(one, two, strict=True):
        if left.kind != right.kind:
            if "?" in left.kind + right.kind:
                return None
            slots.append(Slot(_slot(left.value, right.value), ""))
        else:
            slots.append(Slot(_slot(left.value, right.value), left.kind))
    return tuple(slots)


def _slot(one: Known | SavedFlags, two: Known | SavedFlags) -> Known | SavedFlags:
    if isinstance(one, SavedFlags) and isinstance(two, SavedFlags):
        m, m_from = _width(one.m, one.m_from, two.m, two.m_from)
        x, x_from = _width(one.x, one.x_from, two.x, two.x_from)
        carry = one.carry if one.carry == two.carry else None
        return SavedFlags(m, x, m_from, x_from, carry, one.decimal if one.decimal == two.decimal else None)
    return one if one == two else None


def _ios(one: Io, two: Io) -> Io:
    if one is None or two is None:
        return None
    left, right = dict(one), dict(two)
    return tuple(sorted((key, _same(left.get(key), right.get(key))) for key in left.keys() | right.keys()))
