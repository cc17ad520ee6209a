"""What contradicts itself or cannot be paid, said in one line before the first call."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from afs.errors import ConfigError
from afs.generate.cells import CampaignCell
from afs.generate.config import GenerateConfig
from afs.model_calls.budget import Budget
from afs.model_calls.day_budget import spelled
from afs.model_calls.store import NANO
from afs.model_calls.target import Target
from afs.model_calls.target_pool import TargetPool
from afs.providers.batch_apis import batch_api


def refuse_contradictions(config: GenerateConfig) -> None:
    """Settings that exclude each other, before anything is opened."""
    if config.budget_usd is not None and config.budget_usd <= 0:
        raise ConfigError("budget_usd", f"want more than 0, got {config.budget_usd:g}")
    if config.repair and config.attempts < 2:
        raise ConfigError("repair", "shows a rejected answer in the next attempt, so it wants attempts = 2 or more")
    if config.pilot and config.batch_hours:
        raise ConfigError("batch_hours", "a pilot forecasts calls at the full price; run it without batch_hours")


def refuse_impossible(config: GenerateConfig, cells: Sequence[CampaignCell], pool: TargetPool, budget: Budget) -> None:
    """Limits that not even one call fits, and a pilot that the budget cannot pay."""
    for cell in cells if config.agreement > 1 else ():
        names = {target.name for arm in cell.arms if arm.teacher for target in pool.chain(arm.teacher)}
        if len(names) < config.agreement:
            text = f"want answers of {config.agreement} different models, and {cell.label} names {len(names)}"
            raise ConfigError("agreement", text, hint="name more in the cell's `teachers`, or in a chain")
    if config.batch_hours and not any(batch_api(target.provider) for target in pool.every):
        raise ConfigError("batch_hours", "no model of this campaign has a batch API")
    has_limit = any(target.reach.tokens_per_minute for target in pool.every)
    if not (budget.is_limited or has_limit):
        return
    pilot = dearest = 0
    for cell in cells:
        calls = list(_first_call(config, cell, pool))
        for target, _ in calls:
            _refuse_tokens(config, target)
        costs = [target.worst_nano(tokens, config.sampling.max_tokens) or 0 for target, tokens in calls]
        if not costs or budget.cap is None:
            continue
        left = budget.cap - budget.spent
        if min(costs) > left:
            text = f"one call of {cell.label} costs up to {spelled(min(costs))}"
            raise ConfigError("budget_usd", f"{text}, and {spelled(left)} is left of ${budget.cap / NANO:g}")
        pilot += max(0, (cell.pilot or 0) - cell.tried) * max(costs)
        dearest = max(dearest, *costs)
    pilot += dearest * max(0, config.pilot - sum(cell.pilot or 0 for cell in cells))  # placed after the first half
    if config.pilot and budget.cap is not None and pilot > budget.cap - budget.spent:
        raise ConfigError(
            "budget_usd",
            f"the pilot costs up to {spelled(pilot)}, and {spelled(budget.cap - budget.spent)} is left of the budget",
            hint="raise the budget, or lower `pilot` or `sampling.max_tokens`",
        )


def _first_call(config: GenerateConfig, cell: CampaignCell, pool: TargetPool) -> Iterator[tuple[Target, int]]:
    """The cell's first task at each of its models; tasks of one family are alike."""
    arms = [arm for arm in cell.arms if arm.teacher]
    if not arms or cell.missing <= 0:
        return
    task = next(cell.tasks, None)
    if task is None:
        return
    cell.tasks = itertools.chain([task], cell.tasks)
    for arm in arms:
        for target in pool.chain(arm.teacher):
            yield target, target.tokens_of(arm.template.messages(task, cell.example), config.sampling, task.tools)


def _refuse_tokens(config: GenerateConfig, target: Target) -> None:
    limit, most = target.reach.tokens_per_minute, config.sampling.max_tokens
    if limit and most > limit:
        text = f"one answer may have {most:,} tokens, and tokens_per_minute of {target.name} is {limit:,.0f}"
        raise ConfigError("sampling.max_tokens", text)
