"""What a campaign would cost and take: from a pilot with 90 % intervals, or in the worst case before any call.

The price of an accepted sample is a ratio, cost per candidate over the share accepted; the interval holds 90 % of the
ways in which the whole may come out, drawn from what the pilot says of both.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from afs.types import Interval, Value

_PRIOR = 0.5
"""Candidates at the common cost that stand in each cell's: a cell of five candidates says little alone."""
LIKENESS = 20.0
"""Candidates at the common acceptance that stand in each cell's: cells of one campaign differ by some 8 points."""
WIDENED = 1.04
"""The draws know the cells' costs a little too well; simulated: bench/campaigns.py pilot."""
_DRAWS = 2000
_COST_SPREAD = 0.1
"""Squared spread of one candidate's cost around its cell's: small beside that of acceptance."""


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
    """The sum over cells of `wanted` accepted samples at each cell's price in `field` (cost or seconds).

    Cells are alike but not equal: a cell's acceptance is drawn around the common one, which is drawn itself.
    """
    pooled = [trial for cell in trials for trial in cell]
    hits, n = sum(trial.accepted for trial in pooled), len(pooled)
    if not hits:
        return Interval(value=None, n=n)
    chance = random.Random(n)  # the same pilot gives the same forecast
    mean = sum(_value(trial, field) for trial in pooled) / n
    cells = [_CellSums.of(cell, count, field, mean) for cell, count in zip(trials, wanted, strict=True) if count]
    totals = sorted(_draw_total(cells, hits, n, chance) for _ in range(_DRAWS))
    shares = [(cell.accepted + LIKENESS * hits / n) / (cell.tried + LIKENESS) for cell in cells]
    middle = sum(cell.wanted * cell.cost / share for cell, share in zip(cells, shares, strict=True))
    if not middle:
        return Interval(value=0.0, low=0.0, high=0.0, n=n)
    center = totals[
        _DRAWS // 2
    ]  # the mean of 1 / acceptance lies above its middle: the draws are set back to the estimate
    low, high = (middle * (totals[round(q * (_DRAWS - 1))] / center) ** WIDENED for q in (0.05, 0.95))
    return Interval(value=middle, low=min(low, middle), high=max(high, middle), n=n)


def allocate_rest(trials: Sequence[Sequence[PilotTrial]], wanted: Sequence[int], total: int) -> list[int]:
    """How many of `total` candidates each cell should have had: most where the whole cost depends on it (Neyman)."""
    pooled = [trial for cell in trials for trial in cell]
    hits, n = sum(trial.accepted for trial in pooled), len(pooled)
    if not hits or n >= total:
        return [len(cell) for cell in trials]
    mean = sum(trial.cost for trial in pooled) / n or 1.0
    weights = []
    for cell, count in zip(trials, wanted, strict=True):
        sums = _CellSums.of(cell, count, "cost", mean)
        share = min(0.99, (sums.accepted + LIKENESS * hits / n) / (sums.tried + LIKENESS))
        weights.append(count * sums.cost / share * math.sqrt((1 - share) / share + _COST_SPREAD))
    goals = [total * weight / sum(weights) for weight in weights]
    lacking = [max(0.0, goal - len(cell)) for goal, cell in zip(goals, trials, strict=True)]
    exact = [(total - n) * part / sum(lacking) for part in lacking]
    more = [int(value) for value in exact]
    for place in sorted(range(len(exact)), key=lambda i: more[i] - exact[i])[: total - n - sum(more)]:
        more[place] += 1
    return [len(cell) + extra for cell, extra in zip(trials, more, strict=True)]


class _CellSums(NamedTuple):
    wanted: int
    tried: int
    accepted: int
    cost: float
    """Of a candidate."""
    error: float
    """Standard error of that."""

    @classmethod
    def of(cls, cell: Sequence[PilotTrial], wanted: int, field: str, common: float) -> _CellSums:
        values = [_value(trial, field) for trial in cell]
        weight = len(cell) + _PRIOR
        cost = (sum(values) + _PRIOR * common) / weight
        spread = sum((value - cost) ** 2 for value in values) + _PRIOR * common**2 / 4
        return cls(wanted, len(cell), sum(trial.accepted for trial in cell), cost, math.sqrt(spread / weight / weight))


def _value(trial: PilotTrial, field: str) -> float:
    return float(getattr(trial, field))


def _draw_total(cells: Sequence[_CellSums], hits: int, n: int, chance: random.Random) -> float:
    """One way the whole may come out, as far as the pilot can tell."""
    common = chance.betavariate(hits + 0.5, n - hits + 0.5)
    total = 0.0
    for cell in cells:
        good = cell.accepted + LIKENESS * common
        share = chance.betavariate(good, cell.tried - cell.accepted + LIKENESS * (1 - common))
        noise = 1 + chance.gauss(0, 1) * math.sqrt(max(0.0, 1 - share) / cell.wanted)
        total += cell.wanted * max(0.0, chance.gauss(cell.cost, cell.error)) / share * max(0.1, noise)
    return total
