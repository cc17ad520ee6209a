"""Whether routing is worth it: the council beside its best single expert and its base, on tasks that are checked.

Everyone answers the same tasks. Score, score per second and score per dollar have paired intervals: tasks are drawn
again with all their answers. The best expert is picked on these tasks, which favors it over the council.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from afs import datasets
from afs.council.answer import Council
from afs.council.router_features import Floats
from afs.errors import DataError
from afs.types import Interval, Message, Task, Value, Verdict

COUNCIL, BASE = "council", "base"
_DRAWS = 2000
MARGIN = 0.02
"""How much worse than the best expert a council may be by its interval, and still count as no loss."""
CheckAnswer = Callable[[Task, str], Verdict]


class TaskAnswer(Value, frozen=True, kw_only=True):
    """One answer to one task."""

    task: str
    member: str
    expert: str
    """Who of the council answered."""
    score: float | None
    """None: the check could not decide."""
    seconds: float
    cost_usd: float | None


class EndToEnd(Value, frozen=True, kw_only=True):
    """The comparison."""

    tasks: int
    best: str
    """The best single expert on these tasks."""
    score: dict[str, Interval]
    per_second: dict[str, Interval]
    per_dollar: dict[str, Interval]
    """Unknown where an answer's price is, or where nothing was paid."""
    difference: dict[str, Interval]
    """The council's score minus another's, `score:base` …, paired."""
    unchecked: int
    """Answers that the check could not decide; their tasks are left out for everyone."""
    passed: bool
    reason: str


def answer_tasks(council: Council, tasks: Sequence[Task], check: CheckAnswer) -> list[TaskAnswer]:
    """Everyone's answer to every task; the council is not shown the task, only its words."""
    found: list[TaskAnswer] = []
    for task in tasks:
        turns = datasets.task_messages(task.prompt)
        costs: dict[str, float | None] = {}
        for name in council.members():
            alone = _answer(council, name, turns, task, check)
            costs[name] = alone.cost_usd
            found.append(alone)
        began = time.perf_counter()
        reply = council.ask(turns)
        seconds = time.perf_counter() - began
        asked = [costs.get(name) for name in reply.asked or ("",)]
        cost = sum(one for one in asked if one is not None) if None not in asked else None
        row = TaskAnswer(
            task=task.id,
            member=COUNCIL,
            expert=reply.expert or BASE,
            score=_score(check(task, reply.text)),
            seconds=seconds,
            cost_usd=cost,
        )
        found.append(row)
    return found


def _answer(council: Council, name: str, turns: Sequence[Message], task: Task, check: CheckAnswer) -> TaskAnswer:
    began = time.perf_counter()
    completion = council.answer_alone(turns, name)
    seconds = time.perf_counter() - began
    score = _score(check(task, datasets.completion_text(completion)))
    label = name or BASE
    cost = completion.usage.cost_usd
    return TaskAnswer(task=task.id, member=label, expert=label, score=score, seconds=seconds, cost_usd=cost)


def _score(verdict: Verdict) -> float | None:
    if verdict.ok is None:
        return None
    return float(verdict.ok)


def compare_members(answers: Sequence[TaskAnswer], margin: float = MARGIN) -> EndToEnd:
    """The table with its intervals, and whether the router may be promoted."""
    unsure = {row.task for row in answers if row.score is None}
    kept = [row for row in answers if row.task not in unsure]
    tasks = list(dict.fromkeys(row.task for row in kept))
    members = list(dict.fromkeys(row.member for row in kept))
    singles = [member for member in members if member not in (COUNCIL, BASE)]
    if len(tasks) < 2 or not singles:
        raise DataError(f"{len(tasks)} tasks with a verdict are left; want at least 2")
    place = {task: at for at, task in enumerate(tasks)}
    table = {member: np.full((len(tasks), 3), np.nan) for member in members}
    for row in kept:
        cost = np.nan if row.cost_usd is None else row.cost_usd
        table[row.member][place[row.task]] = (row.score or 0.0, row.seconds, cost)
    draws = np.random.default_rng(0).integers(0, len(tasks), (_DRAWS, len(tasks)))
    best = max(singles, key=lambda member: (table[member][:, 0].mean(), -table[member][:, 1].sum()))
    rivals = [best, *([BASE] if BASE in members else [])]
    difference = {}
    for rival in rivals:
        for what, rate in (("score", _mean_score), ("per_second", _per_second), ("per_dollar", _per_dollar)):
            difference[f"{what}:{rival}"] = _difference(rate, table[COUNCIL], table[rival], draws)
    passed, reason = judge_router({rival: difference[f"score:{rival}"] for rival in rivals}, best, margin)
    return EndToEnd(
        tasks=len(tasks),
        best=best,
        score={member: _interval(_mean_score, table[member], draws) for member in members},
        per_second={member: _interval(_per_second, table[member], draws) for member in members},
        per_dollar={member: _interval(_per_dollar, table[member], draws) for member in members},
        difference=difference,
        unchecked=len(unsure),
        passed=passed,
        reason=reason,
    )


def judge_router(score: Mapping[str, Interval], best: str, margin: float) -> tuple[bool, str]:
    """A router passes when the council is at least as good as the best expert, and surely not worse than anyone."""
    for rival, gap in score.items():
        assert gap.value is not None and gap.low is not None
        if gap.value < 0 or gap.low < -margin:
            shown = f"{gap.value:+.1%} [{gap.low:+.1%}, {gap.high:+.1%}]"
            return (
                False,
                f"the council may lose to {rival}: {shown}, want at least 0 and the interval above -{margin:.0%}",
            )
    return True, f"the council is no worse than {best} and its base"


Rate = Callable[[Floats], Floats]
"""(…, tasks, 3) -> (…): scores, seconds and dollars of tasks as one number."""


def _mean_score(rows: Floats) -> Floats:
    return np.asarray(rows[..., 0].mean(axis=-1))


def _per_second(rows: Floats) -> Floats:
    return np.asarray(rows[..., 0].sum(axis=-1) / np.maximum(rows[..., 1].sum(axis=-1), 1e-9))


def _per_dollar(rows: Floats) -> Floats:
    paid = rows[..., 2].sum(axis=-1)
    return np.asarray(np.where(paid > 0, rows[..., 0].sum(axis=-1) / np.where(paid > 0, paid, 1), np.nan))


def _interval(rate: Rate, rows: Floats, draws: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Interval:
    return _bounds(rate(rows), rate(rows[draws]), len(rows))


def _difference(
    rate: Rate, mine: Floats, theirs: Floats, draws: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
) -> Interval:
    return _bounds(rate(mine) - rate(theirs), rate(mine[draws]) - rate(theirs[draws]), len(mine))


def _bounds(value: Floats, drawn: Floats, n: int) -> Interval:
    if np.isnan(value) or np.isnan(drawn).any():
        return Interval(value=None, n=n)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(value=float(value), low=float(low), high=float(high), n=n)
