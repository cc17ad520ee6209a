"""`afs generate --dry-run`: the cells, the models, the worst-case bill and the time, before any call."""

from __future__ import annotations

import itertools

from afs import models
from afs.generate.cells import CampaignCell, build_cells
from afs.generate.config import GenerateConfig
from afs.model_calls.target import Target
from afs.model_calls.target_pool import TargetPool
from afs.types import Task, Value
from afs.workspace import Workspace

_SAMPLE = 20
"""Tasks whose length stands for all: packs make tasks of one family alike."""
_SECONDS = 10.0
"""A call takes about so long before anything is measured; a pilot says more."""


class CellPreview(Value, frozen=True, kw_only=True):
    """One cell before the start."""

    cell: str
    wanted: int
    candidates_at_most: int
    models: tuple[str, ...]
    cost_at_most_usd: float | None
    """None: a price is unknown."""


class CampaignPreview(Value, frozen=True, kw_only=True):
    """What a campaign may cost and take at most."""

    name: str
    cells: tuple[CellPreview, ...]
    cost_at_most_usd: float | None
    budget_usd: float | None
    hours_at_most: float | None

    def text(self) -> str:
        """A table, then the sums."""
        lines = [f"{self.name}: dry run only, nothing is called"]
        for cell in self.cells:
            cost = "unknown price" if cell.cost_at_most_usd is None else f"at most ${cell.cost_at_most_usd:.2f}"
            who = " → ".join(cell.models) or "the pack's own references"
            most = f"{cell.candidates_at_most:,} candidates at most"
            lines.append(f"  {cell.cell:<32} {cell.wanted:>7,} wanted, {most}, {cost}, {who}")
        bill = "unknown (a price is missing)" if self.cost_at_most_usd is None else f"${self.cost_at_most_usd:.2f}"
        lines.append(
            f"  worst-case bill {bill}" + (f", capped at ${self.budget_usd:g}" if self.budget_usd is not None else "")
        )
        if self.hours_at_most:
            lines.append(
                f"  worst-case time {self.hours_at_most:.1f} h at {_SECONDS:g} s a call, within the limits stated"
            )
        return "\n".join(lines)


def preview(config: GenerateConfig, workspace: Workspace) -> CampaignPreview:
    """Everything that can be said before a call."""
    cells = build_cells(config, workspace, lambda *_, **__: None)
    pool = models.target_pool(workspace, concurrency=config.concurrency)
    found = [_cell(config, cell, pool) for cell in cells]
    costs = [cell.cost_at_most_usd for cell in found]
    known = [cost for cost in costs if cost is not None]
    calls = sum(cell.cap * config.attempts for cell in cells if any(arm.teacher for arm in cell.arms))
    return CampaignPreview(
        name=config.name,
        cells=tuple(found),
        cost_at_most_usd=sum(known) if len(known) == len(costs) else None,
        budget_usd=config.budget_usd,
        hours_at_most=_hours(calls, config.concurrency, pool.every),
    )


def _hours(calls: int, concurrency: int, targets: list[Target]) -> float | None:
    if not targets or not calls:
        return None
    limits = [target.reach.requests_per_minute for target in targets if target.reach.requests_per_minute]
    slowest = calls / min(limits) / 60 if limits else 0.0
    return max(calls * _SECONDS / concurrency / 3600, slowest)


def _cell(config: GenerateConfig, cell: CampaignCell, pool: TargetPool) -> CellPreview:
    tasks = list(itertools.islice(cell.tasks, _SAMPLE))
    chains = [pool.chain(arm.teacher) for arm in cell.arms if arm.teacher]
    worst: list[float | None] = [_worst(config, cell, tasks, target) for chain in chains for target in chain]
    known = [cost for cost in worst if cost is not None]
    cost = 0.0 if not worst else max(known) * cell.cap * config.attempts if len(known) == len(worst) and known else None
    names = dict.fromkeys(target.name for chain in chains for target in chain)
    return CellPreview(
        cell=cell.label, wanted=cell.count, candidates_at_most=cell.cap, models=tuple(names), cost_at_most_usd=cost
    )


def _worst(config: GenerateConfig, cell: CampaignCell, tasks: list[Task], target: Target) -> float | None:
    """The dearest of the sampled tasks, with a full answer."""
    most = config.sampling.max_tokens
    templates = [arm.template for arm in cell.arms if arm.teacher]
    asked = [(template.messages(task, cell.example), task.tools) for task in tasks for template in templates]
    costs = [target.worst_cost(target.tokens_of(turns, config.sampling, tools), most) for turns, tools in asked]
    known = [cost for cost in costs if cost is not None]
    return max(known) if known and len(known) == len(costs) else None
