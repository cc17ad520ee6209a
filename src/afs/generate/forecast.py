"""What a campaign would cost and take: from a pilot with 90 % intervals, or in the worst case before any call.

The price of an accepted sample is a ratio, dollars per candidate over the share accepted; its interval follows from the
spread of both over the pilot's candidates, on a logarithmic scale because a ratio's errors are lopsided.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from afs.types import Interval, Value

_Z90 = 1.645
_PRIOR = 2.0
"""Candidates of the whole pilot that stand in each cell's estimate: a cell of five candidates says little alone."""


class PilotTrial(NamedTuple):
    """One candidate of a pilot."""

    accepted: bool
    cost: float
    """Dollars, of all its attempts."""
    seconds: float
    """In flight, of all its attempts."""


class CellForecast(Value, frozen=True, kw_only=True):
    """A cell in the forecast."""

    cell: str
    wanted: int
    tried: int
    accepted: int
    acceptance: Interval
    price: float | None
    """Dollars per accepted sample; None: unknown."""


class Forecast(Value, frozen=True, kw_only=True):
    """What the whole campaign would come to."""

    campaign: str
    cells: tuple[CellForecast, ...]
    acceptance: Interval
    cost_usd: Interval
    hours: Interval
    verdict: str
    """go, or the reason against it."""
    note: str = ""

    @property
    def exit_code(self) -> int:
        """3 when the numbers are against it."""
        return 0 if self.verdict == "go" else 3

    def text(self) -> str:
        """The forecast as a table."""
        lines = [
            f"pilot of {self.campaign}",
            f"{'cell':<28} {'wanted':>7} {'tried':>6} {'accepted':>8}  $ per accepted",
        ]
        for cell in self.cells:
            price = "unknown" if cell.price is None else f"{cell.price:.5f}"
            lines.append(f"{cell.cell:<28} {cell.wanted:>7,} {cell.tried:>6} {cell.accepted:>8}  {price}")
        lines.append(f"acceptance  {_span(self.acceptance, 100, ' %')}")
        lines.append(f"whole cost  {_span(self.cost_usd, 1, ' $')}")
        lines.append(f"whole time  {_span(self.hours, 1, ' h')}")
        return "\n".join([*lines, f"verdict     {self.verdict}", *([self.note] if self.note else [])])


def _span(interval: Interval, scale: float, unit: str) -> str:
    if interval.value is None:
        return "unknown"
    low, high = interval.low or 0.0, interval.high or 0.0
    return f"{interval.value * scale:.3g}{unit}  (90 %: {low * scale:.3g} to {high * scale:.3g})"


def ratio_interval(trials: Sequence[Sequence[PilotTrial]], wanted: Sequence[int], field: str) -> Interval:
    """The sum over cells of `wanted` accepted samples at each cell's price in `field` (cost or seconds)."""
    pooled = [trial for cell in trials for trial in cell]
    hits, n = sum(trial.accepted for trial in pooled), len(pooled)
    if not hits:
        return Interval(value=None, n=n)
    mean = sum(float(getattr(trial, field)) for trial in pooled) / n
    total = variance = 0.0
    for cell, count in zip(trials, wanted, strict=True):
        if not count:
            continue
        values = [float(getattr(trial, field)) for trial in cell]
        accepted = sum(trial.accepted for trial in cell)
        weight = len(cell) + _PRIOR
        price = (sum(values) + _PRIOR * mean) / (accepted + _PRIOR * hits / n)
        share = (accepted + _PRIOR * hits / n) / weight
        spread = sum((value - price * trial.accepted) ** 2 for value, trial in zip(values, cell, strict=True))
        pooled_spread = sum((float(getattr(t, field)) - mean * n / hits * t.accepted) ** 2 for t in pooled) / n
        residual = (spread + _PRIOR * pooled_spread) / weight
        total += count * price
        variance += count**2 * residual / (weight * share**2) + count * residual / share
    if not total:
        return Interval(value=0.0, low=0.0, high=0.0, n=n)
    width = _Z90 * math.sqrt(variance) / total
    return Interval(value=total, low=total * math.exp(-width), high=total * math.exp(width), n=n)
