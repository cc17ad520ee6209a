"""Computes everything a report shows, once, from the results table."""

from __future__ import annotations

import shlex
import statistics as plain
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import msgspec
import numpy as np

from afs.evaluate import compare as comparing
from afs.evaluate import statistics
from afs.evaluate.compare import ALL, Comparison, Cut, Metric, measure
from afs.evaluate.contamination import ContaminationSearch, Hit
from afs.evaluate.result_rows import LOST, ResultRow, Table, count_outcomes
from afs.evaluate.statistics import pass_at
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.providers.base import Sampling
from afs.types import Interval, Json, Value

OF_BASE = ":base"
"""Suffix of the base's metrics."""
JUDGED = frozenset({"solved", "base", "difference"})
"""Metrics that depend on verdicts; the others are kept when answers are re-judged."""


class Facts(NamedTuple):
    """What the caller knows besides the table."""

    suite: Suite
    models: tuple[Json, ...]
    """name, digest, base and form of each model."""
    subject: str
    base: str
    """Empty: no base was evaluated."""
    metric: Metric
    cut: Cut
    sampling: Sampling
    command: str
    run: str
    numbers: Mapping[str, Interval] = {}
    """Other metrics of the subject, and of its base with the suffix `:base`: exact match, BLEU, perplexity."""
    searched: ContaminationSearch | None = None
    """The suite's items found in the subject's training data; None: not searched."""


class Speed(Value, frozen=True, kw_only=True):
    """Latency and cost of a model's answers; None where unknown."""

    answers: int
    median_s: float | None
    p95_s: float | None
    tokens_per_s: float | None
    output_tokens: float | None
    """Mean per answer."""
    cost_usd: float | None


class Flip(Value, frozen=True, kw_only=True):
    """An item that one model solved and the other did not."""

    item: str
    category: str
    prompt: str
    gold: str
    kind: str
    """fixed or broken."""
    subject: ResultRow
    base: ResultRow


class ReportView(Value, frozen=True, kw_only=True):
    """The contents of a report."""

    verdict: str
    notes: tuple[str, ...]
    subject: str
    base: str
    suite: str
    suite_version: str
    suite_digest: str
    items: int
    metric: str
    cut: str
    sampling: Sampling
    command: str
    run: str
    models: tuple[Json, ...]
    shares: dict[str, dict[str, Interval]]
    comparisons: tuple[Comparison, ...]
    """Subject and base: over all, then per category."""
    others: tuple[Comparison, ...]
    """The other models against the base, over all items."""
    outcomes: dict[str, dict[str, int]]
    speed: dict[str, Speed]
    pass_at: dict[str, dict[str, float]]
    scorers: tuple[str, ...]
    flips: tuple[Flip, ...]
    numbers: dict[str, Interval]
    leaks: tuple[Hit, ...]
    """Items found in the training data."""
    silent: dict[str, tuple[str, ...]]
    """Uninformative items: solved by all models, or by none."""


def build_view(facts: Facts, table: Table) -> ReportView:
    """Compute a report."""
    shares = {model: comparing.model_shares(table.of(model), facts.metric, facts.cut) for model in table.models}
    found: list[Comparison] = []
    others: list[Comparison] = []
    if facts.base:
        found = comparing.compare(table, facts.subject, facts.base, facts.metric, facts.cut)
        rest = [model for model in table.models if model not in (facts.subject, facts.base)]
        others = [comparing.compare(table, model, facts.base, facts.metric, facts.cut)[0] for model in rest]
    return ReportView(
        verdict=_verdict(facts, found, shares),
        notes=tuple(_notes(facts, table)),
        subject=facts.subject,
        base=facts.base,
        suite=facts.suite.name,
        suite_version=facts.suite.version,
        suite_digest=facts.suite.digest,
        items=len(facts.suite.items),
        metric=facts.metric,
        cut=facts.cut,
        sampling=facts.sampling,
        command=facts.command,
        run=facts.run,
        models=facts.models,
        shares=shares,
        comparisons=tuple(found),
        others=tuple(others),
        outcomes={model: dict(count_outcomes(table.of(model))) for model in table.models},
        speed={model: measure_speed(table.of(model)) for model in table.models},
        pass_at={model: at for model in table.models if (at := _pass_at(table.of(model)))},
        scorers=tuple(sorted({row.scorer for row in table.rows if row.scorer})),
        flips=tuple(find_flips(facts, table)),
        numbers=dict(facts.numbers),
        leaks=facts.searched.hits if facts.searched else (),
        silent=_silent(facts, table),
    )


def _verdict(facts: Facts, found: Sequence[Comparison], shares: Mapping[str, Mapping[str, Interval]]) -> str:
    own = shares[facts.subject][ALL]
    if not found:
        if own.value is None or own.low is None or own.high is None:
            return f"No result for {facts.subject}: it gave no usable answer."
        return (
            f"{facts.subject} solved {100 * own.value:.0f} % of {own.n} items (95 % interval {100 * own.low:.0f} to "
            f"{100 * own.high:.0f} %); no base was evaluated, so it is unknown whether that is an improvement."
        )
    return comparing.verdict_sentence(found[0], own, shares[facts.base][ALL])


def _notes(facts: Facts, table: Table) -> list[str]:
    notes = []
    for model in table.models:
        counts = count_outcomes(table.of(model))
        total = sum(counts.values())
        odd = [f"{count} {name}" for name, count in counts.items() if name != "answered"]
        if odd:
            treated = " (cut answers count as unsolved)" if counts.get("cut") and facts.cut == "unsolved" else ""
            notes.append(f"{model}: of {total} answers {', '.join(odd)}{treated}.")
        if counts.get("cut", 0) > total / 10:
            notes.append(
                f"{model}: {counts['cut'] / total:.0%} of its answers were cut at {facts.sampling.max_tokens} tokens, "
                "so its result is a lower bound; raise sampling.max_tokens for a fair comparison."
            )
        failed = sum(counts.get(name, 0) for name in LOST)
        if failed > total / 10:
            notes.append(f"{model}: the endpoint failed on {failed} of {total} questions; treat its result as missing.")
    for name, interval in facts.numbers.items():
        model = facts.base if name.endswith(OF_BASE) else facts.subject
        notes.append(f"{name.removesuffix(OF_BASE)} of {model}: {_number(interval)}.")
    notes += _leaks(facts, table)
    if facts.base:
        notes += _power(facts, table)
    return notes


def _power(facts: Facts, table: Table) -> list[str]:
    """The power of this comparison, from the measured discordance and clusters."""
    own, base = (comparing.measure(table.of(model), facts.metric, facts.cut) for model in (facts.subject, facts.base))
    pairs = [(own[i].value, base[i].value, own[i].cluster) for i in own if i in base]
    known = [(x - y, cluster) for x, y, cluster in pairs if x is not None and y is not None]
    if not known:
        return []
    differences, clusters = np.array([d for d, _ in known]), [c for _, c in known]
    discordant = float((differences != 0).mean())
    effect = statistics.measured_effect(differences, clusters)
    chance = statistics.power(clusters, 0.1, discordant=discordant, effect=effect)
    return [
        f"With these {len(known)} items in {len(set(clusters))} clusters, of which {discordant:.0%} were answered "
        f"differently, a true gain of 10 points is detected with probability {chance:.2f}."
    ]


def _leaks(facts: Facts, table: Table) -> list[str]:
    """Items found in the training data, and the subject's results on them and on the rest."""
    if facts.searched is None:
        return [f"Contamination unknown: the training data of {facts.subject} is not stored here."]
    leaked = {hit.item for hit in facts.searched.hits}
    if not leaked:
        return [f"No item of the suite is in the training data {facts.searched.dataset}."]
    own = table.of(facts.subject)
    parts = [[row for row in own if (row.item in leaked) is inside] for inside in (True, False)]
    dirty, clean = (
        comparing.model_shares(rows, facts.metric, facts.cut)[ALL].value if rows else None for rows in parts
    )
    rates = [f"{100 * share:.0f} %" if share is not None else "unknown" for share in (dirty, clean)]
    return [
        f"Contaminated: {len(leaked)} items are in the training data {facts.searched.dataset}; "
        f"{facts.subject} solved {rates[0]} of them and {rates[1]} of the rest."
    ]


def _number(interval: Interval) -> str:
    if interval.value is None or interval.low is None or interval.high is None:
        return "unknown"
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}], {interval.n} items"


def measure_speed(rows: Sequence[ResultRow]) -> Speed:
    """Latency, token rate and cost of one model's answers."""
    answers = [row for row in rows if row.outcome not in LOST]
    seconds = sorted(row.seconds for row in answers if row.seconds > 0)
    tokens, total = sum(r.output_tokens for r in answers), sum(seconds)
    costs = [row.cost_usd for row in answers]
    known = [cost for cost in costs if cost is not None]
    return Speed(
        answers=len(answers),
        median_s=plain.median(seconds) if seconds else None,
        p95_s=seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))] if seconds else None,
        tokens_per_s=tokens / total if tokens and total else None,
        output_tokens=tokens / len(answers) if tokens else None,
        cost_usd=sum(known) if known and len(known) == len(costs) else None,
    )


def _pass_at(rows: Sequence[ResultRow]) -> dict[str, float]:
    by_item: dict[str, list[bool]] = {}
    for row in rows:
        if row.ok is not None or row.outcome == "cut":
            by_item.setdefault(row.item, []).append(bool(row.ok))
    fewest = min((len(found) for found in by_item.values()), default=0)
    steps = [k for k in (1, 2, 3, 5, 8, 10, 16, 32) if k <= fewest] if fewest > 1 else []
    return {
        f"pass@{k}": sum(pass_at(len(found), sum(found), k) for found in by_item.values()) / len(by_item) for k in steps
    }


def find_flips(facts: Facts, table: Table) -> list[Flip]:
    """Items where subject and base differ: broken ones first, then fixed ones."""
    if not facts.base:
        return []
    items = {item.id: item for item in facts.suite.items}
    own, base = _first(table.of(facts.subject)), _first(table.of(facts.base))
    found = []
    for item, row in own.items():
        other = base.get(item)
        if other is None or other.ok is row.ok or item not in items:
            continue
        one, two = (comparing.value_of(r, "solved", facts.cut) for r in (row, other))
        if one is None or two is None or one == two:
            continue
        found.append(_flip(items[item], row, other, "fixed" if one > two else "broken"))
    return sorted(found, key=lambda flip: (flip.kind, flip.category, flip.item))


def _first(rows: Sequence[ResultRow]) -> dict[str, ResultRow]:
    return {row.item: row for row in rows if row.epoch == 0}


def _flip(item: SuiteItem, row: ResultRow, other: ResultRow, kind: str) -> Flip:
    task = item.task
    return Flip(
        item=item.id,
        category=item.category,
        prompt=task.prompt,
        gold=task.reference,
        kind=kind,
        subject=row,
        base=other,
    )


def _silent(facts: Facts, table: Table) -> dict[str, tuple[str, ...]]:
    if len(table.models) < 2:
        return {}
    found = [measure(table.of(model), "solved", facts.cut) for model in table.models]
    values = {item: [m[item].value for m in found if item in m and m[item].value is not None] for item in found[0]}
    asked = {item: seen for item, seen in values.items() if len(seen) == len(found)}
    return {
        "solved by all": tuple(item for item, seen in asked.items() if all(v == 1 for v in seen)),
        "solved by none": tuple(item for item, seen in asked.items() if all(v == 0 for v in seen)),
    }


def summary_intervals(view: ReportView) -> dict[str, Interval]:
    """The manifest's intervals: subject, base and difference; per category after a colon."""
    found: dict[str, Interval] = {}
    for word, model in (("solved", view.subject), ("base", view.base)):
        for scope, interval in view.shares.get(model, {}).items():
            found[word if scope == ALL else f"{word}:{scope}"] = interval
    for c in view.comparisons:
        found["difference" if c.scope == ALL else f"difference:{c.scope}"] = c.difference
    return found | view.numbers


def reproduce_command(config: msgspec.Struct, verb: str = "run") -> str:
    """The command line that reproduces a run."""
    plain = cast(dict[str, object], msgspec.to_builtins(config, enc_hook=str))
    default = {f.name: f.default for f in msgspec.structs.fields(type(config))}
    words = ["afs", "eval", verb]
    for name in getattr(type(config), "positional", ()):
        value = plain.pop(name)
        words += [str(inner) for inner in value] if isinstance(value, list | tuple) else [str(value)]
    for name, value in plain.items():
        if msgspec.to_builtins(default.get(name), enc_hook=str) == value or value in ("", [], {}):
            continue
        for flag, text in _flags(name, value):
            words += [f"--{flag}", text]
    return shlex.join(words)


def _flags(name: str, value: object) -> list[tuple[str, str]]:
    flag = name.replace("_", "-")
    if isinstance(value, dict):
        return [(f"{flag}.{key}", str(inner)) for key, inner in value.items() if inner not in ([], "")]
    if isinstance(value, list | tuple):
        return [(flag, str(inner)) for inner in value]
    return [(flag, str(value))]
