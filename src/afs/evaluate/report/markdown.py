"""A report as Markdown: the verdict, the tables, the flips in short. For pull requests and model cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afs.evaluate.compare import ALL, Comparison, points
from afs.evaluate.report.report_facts import Told
from afs.types import Interval

FLIPS = 20
"""Flips shown of each kind; the page shows more."""


def markdown(told: Told) -> str:
    """The whole page."""
    parts = [f"# {told.subject} on {told.suite}", f"**{told.verdict}**"]
    if told.notes:
        parts.append("\n".join(f"- {note}" for note in told.notes))
    parts += ["## Models", _models(told)]
    if told.comparisons:
        parts += [f"## Difference to {told.base}, in points", _differences(told.comparisons)]
    if told.others:
        parts += ["## The other models", _differences(told.others)]
    for kind in ("broken", "fixed"):
        chosen = [flip for flip in told.flips if flip.kind == kind]
        if chosen:
            rows = [[f.category, f.item, _short(f.base.output), _short(f.subject.output)] for f in chosen[:FLIPS]]
            more = f" (the first {FLIPS} of {len(chosen)})" if len(chosen) > FLIPS else f" ({len(chosen)})"
            parts += [f"## {kind.capitalize()}{more}", grid(["category", "item", told.base, told.subject], rows)]
    parts += ["## How it was measured", _source(told)]
    return "\n\n".join(parts) + "\n"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def share(interval: Interval | None) -> str:
    """A share in per cent with its interval."""
    if interval is None or interval.value is None:
        return "unknown"
    if interval.low is None or interval.high is None:
        return f"{100 * interval.value:.1f} %"
    return f"{100 * interval.value:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """A measured number; unknown stays unknown."""
    return "unknown" if value is None else f"{value:.{digits}f}{unit}"


def chance(p: float | None) -> str:
    """A p value; very small ones as a bound."""
    return "unknown" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _models(told: Told) -> str:
    rows = []
    for model, shares in told.shares.items():
        speed = told.speed[model]
        odd = ", ".join(f"{count} {name}" for name, count in told.outcomes[model].items() if name != "answered")
        rows.append(
            [
                model + (" (base)" if model == told.base else ""),
                share(shares.get(ALL)),
                odd or "–",
                number(speed.median_s, " s"),
                number(speed.tokens_per_s, "", 1),
                number(speed.cost_usd, " $", 4),
                " ".join(f"{k} {v:.2f}" for k, v in told.pass_at.get(model, {}).items()) or "–",
            ]
        )
    return grid(["model", told.metric, "no answer", "median", "tokens/s", "cost", "pass@k"], rows)


def _differences(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            c.model if c.scope == ALL else c.scope,
            points(c.difference.value),
            f"{points(c.difference.low)} to {points(c.difference.high)}",
            chance(c.p),
            f"{c.better} / {c.worse}",
            str(c.difference.n),
            c.verdict,
            c.method,
        ]
        for c in comparisons
    ]
    return grid(
        ["scope", "difference", "95 % interval", "p", "only it / only base", "items", "verdict", "method"], rows
    )


def _short(text: str, limit: int = 70) -> str:
    flat = " ".join(text.split()).replace("`", "'")
    return "`" + (flat if len(flat) <= limit else flat[: limit - 1] + "…") + "`" if flat else "(nothing)"


def _source(told: Told) -> str:
    rows = [
        ["suite", f"{told.suite} {told.suite_version}, {told.items} items, sha256 {told.suite_digest}"],
        *[[str(m["model"]), f"{m['form']} {m['digest'] or 'behind an endpoint, files unknown'}"] for m in told.models],
        ["scorers", ", ".join(told.scorers)],
        ["sampling", f"temperature {told.sampling.temperature or 0:g}, at most {told.sampling.max_tokens} tokens, "
                     f"seed {told.sampling.seed}"],
        ["again", f"`{told.command}`"],
        ["run", told.run],
    ]  # fmt: skip
    return grid(["what", "which"], rows)
