"""Compares two models on the items that both answered, paired by item and clustered.

Results from different suites, scorers or sampling settings are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from afs.errors import RefusedError
from afs.evaluate import statistics
from afs.evaluate.result_rows import ResultRow, Table
from afs.types import Interval, Value

Metric = Literal["solved", "score"]
"""solved: share of correct items; score: mean score, with partial credit."""
Cut = Literal["unsolved", "unknown"]
"""How an answer cut at the token limit counts toward solved items; it never has a score."""

ALL = "all"
ALPHA = 0.05
"""A category counts as different when its adjusted p is at most this."""


class Comparison(Value, frozen=True, kw_only=True):
    """The difference between a model and its base, over all items or one category."""

    model: str
    base: str
    scope: str
    """`all`, or a category."""
    difference: Interval
    p: float | None
    """Two-sided; adjusted by Holm's method for categories."""
    better: int
    """Items only the model solved."""
    worse: int
    """Items only the base solved."""
    left_out: int
    """Items without a usable answer of both."""
    method: str

    @property
    def verdict(self) -> str:
        """better, worse, undecided, or unknown when nothing was measured."""
        low, high = self.difference.low, self.difference.high
        if low is None or high is None:
            return "unknown" if self.difference.value is None else "undecided"
        if self.scope != ALL and self.p is not None and self.p > ALPHA:
            return "undecided"
        return "better" if low > 0 else "worse" if high < 0 else "undecided"


class ItemValue(NamedTuple):
    """Result of one model on one item: the mean over epochs, None without a usable answer."""

    value: float | None
    category: str
    cluster: str
    family: str


def measure(rows: Iterable[ResultRow], metric: Metric = "solved", cut: Cut = "unsolved") -> dict[str, ItemValue]:
    """Items of one model, by id."""
    values: dict[str, list[float]] = {}
    places: dict[str, ResultRow] = {}
    for row in rows:
        places.setdefault(row.item, row)
        value = value_of(row, metric, cut)
        values.setdefault(row.item, [])
        if value is not None:
            values[row.item].append(value)
    return {
        item: ItemValue(sum(found) / len(found) if found else None, row.category, row.cluster, row.family)
        for item, found, row in ((item, values[item], row) for item, row in places.items())
    }


def value_of(row: ResultRow, metric: Metric, cut: Cut) -> float | None:
    """The value of a row; None without an answer. A cut answer is unsolved, unless `cut` excludes it."""
    if row.outcome == "cut" and metric == "solved" and cut == "unsolved":
        return 0.0
    if metric == "score":
        return row.score
    return None if row.ok is None else float(row.ok)


def refuse_unlike(first: Sequence[ResultRow], second: Sequence[ResultRow]) -> None:
    """Raise unless both were measured the same way."""
    for what, wanted, got in (
        ("suite", {r.suite[:12] for r in first}, {r.suite[:12] for r in second}),
        ("sampling", {_sampling(r) for r in first}, {_sampling(r) for r in second}),
        ("scorer", {r.scorer for r in first if r.scorer}, {r.scorer for r in second if r.scorer}),
    ):
        if wanted and got and not (wanted == got or (what == "scorer" and wanted & got and _one_version(wanted | got))):
            raise RefusedError(
                f"{first[0].model} and {second[0].model} cannot be compared: another {what} "
                f"({', '.join(sorted(wanted))} against {', '.join(sorted(got))}); measure both in one run"
            )


def _one_version(scorers: set[str]) -> bool:
    """Whether each scorer appears in one version only (a category without answers lacks its scorer)."""
    names = [scorer.rpartition("/")[0] for scorer in scorers]
    return len(names) == len(set(names))


def _sampling(row: ResultRow) -> str:
    return msgspec.json.encode(row.sampling).decode()


def compare(
    table: Table, model: str, base: str, metric: Metric = "solved", cut: Cut = "unsolved", level: float = 0.95
) -> list[Comparison]:
    """The difference over all items, then per category."""
    first, second = table.of(model), table.of(base)
    if not first or not second:
        raise RefusedError(f"no results of {base if first else model}: nothing to compare")
    refuse_unlike(first, second)
    a, b = measure(first, metric, cut), measure(second, metric, cut)
    scopes = [ALL, *dict.fromkeys(row.category for row in first)]
    found = [_scope(model, base, scope, a, b, level) for scope in (scopes if len(scopes) > 2 else scopes[:1])]
    adjusted = statistics.holm({c.scope: c.p for c in found[1:] if c.p is not None})
    return [msgspec.structs.replace(c, p=adjusted.get(c.scope, c.p)) for c in found]


def _scope(
    model: str, base: str, scope: str, a: Mapping[str, ItemValue], b: Mapping[str, ItemValue], level: float
) -> Comparison:
    items = [item for item, found in a.items() if item in b and scope in (ALL, found.category)]
    pairs = [(a[i].value, b[i].value, a[i].cluster) for i in items]
    known = [(x, y, cluster) for x, y, cluster in pairs if x is not None and y is not None]
    paired = statistics.paired([x for x, _, _ in known], [y for _, y, _ in known], [c for _, _, c in known], level)
    return Comparison(
        model=model,
        base=base,
        scope=scope,
        difference=paired.interval,
        p=paired.p if known else None,
        better=paired.better,
        worse=paired.worse,
        left_out=len(pairs) - len(known),
        method=paired.method,
    )


def model_shares(rows: Sequence[ResultRow], metric: Metric = "solved", cut: Cut = "unsolved") -> dict[str, Interval]:
    """A model's share over all items, and per category when there is more than one."""
    measured = measure(rows, metric, cut)
    categories = list(dict.fromkeys(m.category for m in measured.values()))
    found = {}
    for scope in [ALL, *(categories if len(categories) > 1 else [])]:
        known = [(m.value, m.cluster) for m in measured.values() if m.value is not None and scope in (ALL, m.category)]
        found[scope] = statistics.share([value for value, _ in known], [cluster for _, cluster in known])
    return found


def format_points(value: float | None) -> str:
    """A difference in points, signed."""
    return "unknown" if value is None else f"{100 * value:+.1f}"


def format_difference(interval: Interval) -> str:
    """A difference in points with its interval."""
    return f"{format_points(interval.value)} [{format_points(interval.low)}, {format_points(interval.high)}]"


def verdict_sentence(comparison: Comparison, own: Interval, base: Interval) -> str:
    """The verdict in one sentence, with the interval."""
    c, d = comparison, comparison.difference
    if d.value is not None and d.low is None:
        return f"No difference between {c.model} and its base {c.base} is shown ({c.method})."
    if d.value is None or d.low is None or d.high is None or own.value is None or base.value is None:
        return f"No comparison: {c.left_out} items lack a usable answer from both {c.model} and {c.base}."
    words = {
        "better": f"{c.model} is better than its base {c.base}",
        "worse": f"{c.model} is worse than its base {c.base}",
        "undecided": f"No difference between {c.model} and its base {c.base} is shown",
    }[c.verdict]
    text = (
        f"{words}: {format_points(d.value)} points (95 % interval {format_points(d.low)} to "
        f"{format_points(d.high)}, {d.n} items; "
        f"solved {100 * own.value:.0f} % against {100 * base.value:.0f} %)."
    )
    return text + (f" {c.left_out} items without a usable answer from both are excluded." if c.left_out else "")
