"""A pilot: a few candidates of every cell, and from them the cost and time of the whole with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from afs.generate.cells import CampaignCell
from afs.generate.config import GenerateConfig
from afs.generate.forecast import CellForecast, Forecast, PilotTrial, allocate_rest, ratio_interval
from afs.intervals import share_interval
from afs.model_calls.store import CallStore
from afs.types import Interval

FIRST_PART = 0.5
"""Of a pilot over several cells; what it shows decides where the rest says most."""
LEAST_ACCEPTANCE = 0.05
"""Below it most of the money buys rejected answers: change the template or the teacher first."""


def limit_to_pilot(cells: Sequence[CampaignCell], candidates: int) -> None:
    """Spread the first half of a pilot over the cells in proportion, at least one each; `aim_pilot` places the rest."""
    total = sum(cell.count for cell in cells)
    first = candidates * FIRST_PART if len(cells) > 1 else candidates
    for cell in cells:
        cell.pilot = min(cell.count, max(1, math.ceil(first * cell.count / total)))


def aim_pilot(store: CallStore, cells: Sequence[CampaignCell], candidates: int) -> bool:
    """Spend the rest where the forecast is least sure; False when nothing is left to try."""
    trials = [list(_trials(store, cell)) for cell in cells]
    goals = allocate_rest(trials, [cell.count for cell in cells], candidates)
    for cell, goal in zip(cells, goals, strict=True):
        cell.pilot = min(cell.count, max(cell.pilot or 0, goal))
    return any(cell.wanted > 0 for cell in cells)


def forecast(config: GenerateConfig, store: CallStore, cells: Sequence[CampaignCell]) -> Forecast:
    """What the candidates tried so far say about the whole."""
    trials = [list(_trials(store, cell)) for cell in cells]
    wanted = [cell.count for cell in cells]
    cost = ratio_interval(trials, wanted, "cost")
    seconds = ratio_interval(trials, wanted, "seconds")
    hours = Interval(value=None) if seconds.value is None else _scaled(seconds, 1 / 3600 / config.concurrency)
    tried = sum(map(len, trials))
    accepted = sum(trial.accepted for cell in trials for trial in cell)
    unknown = store.database.execute("SELECT COUNT(*) FROM calls WHERE cost IS NULL").fetchone()[0]
    rows = tuple(_row(cell, trial) for cell, trial in zip(cells, trials, strict=True))
    return Forecast(
        campaign=config.name,
        cells=rows,
        acceptance=share_interval(accepted, tried),
        cost_usd=Interval(value=None, n=tried) if unknown else cost,
        hours=hours,
        verdict=_verdict(config, accepted, tried, cost),
        note=f"{unknown} calls have an unknown cost, so none is forecast" if unknown else "",
    )


def _scaled(interval: Interval, factor: float) -> Interval:
    low, value, high = (None if x is None else x * factor for x in (interval.low, interval.value, interval.high))
    return Interval(value=value, low=low, high=high, n=interval.n)


def _trials(store: CallStore, cell: CampaignCell) -> Iterator[PilotTrial]:
    rows = store.database.execute(
        "SELECT pieces.state, SUM(COALESCE(calls.cost, calls.worst, 0)), SUM(calls.seconds) FROM pieces "
        "JOIN calls ON calls.piece = pieces.id WHERE pieces.cell = ? "
        "AND pieces.state IN ('accepted', 'rejected', 'failed') GROUP BY pieces.id",
        (cell.id,),
    )
    return (PilotTrial(state == "accepted", (cost or 0) / 1e9, seconds or 0.0) for state, cost, seconds in rows)


def _row(cell: CampaignCell, trials: Sequence[PilotTrial]) -> CellForecast:
    accepted = sum(trial.accepted for trial in trials)
    return CellForecast(
        cell=cell.label,
        wanted=cell.count,
        tried=len(trials),
        accepted=accepted,
        acceptance=share_interval(accepted, len(trials)),
        price=sum(trial.cost for trial in trials) / accepted if accepted else None,
    )


def _verdict(config: GenerateConfig, accepted: int, tried: int, cost: Interval) -> str:
    share = share_interval(accepted, tried)
    if not accepted or (share.high or 0.0) < LEAST_ACCEPTANCE:
        return f"no go: only {accepted} of {tried} candidates were accepted"
    if share.value is not None and 1 / share.value > config.candidates:
        need = 1 / share.value
        return f"no go: {need:.1f} candidates are needed per sample, and `candidates` allows {config.candidates:g}"
    if config.budget_usd is not None and (cost.high or 0.0) > config.budget_usd:
        return f"no go: the whole may cost ${cost.high or 0.0:.2f}, and the budget is ${config.budget_usd:g}"
    return "go"
