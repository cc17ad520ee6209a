"""A report as Markdown for pull requests and model cards: verdict, tables, abridged flips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from afs.evaluate.compare import ALL, Comparison, format_points
from afs.evaluate.report.report_facts import ReportView
from afs.types import Interval

FLIPS = 20
"""Flips shown of each kind; the page shows more."""


def render_markdown(view: ReportView) -> str:
    """The whole page."""
    parts = [f"# {view.subject} on {view.suite}", f"**{view.verdict}**"]
    if view.notes:
        parts.append("\n".join(f"- {note}" for note in view.notes))
    parts += ["## Models", _models(view)]
    if view.comparisons:
        parts += [f"## Difference to {view.base}, in points", _differences(view.comparisons)]
    if view.others:
        parts += ["## The other models", _differences(view.others)]
    for kind in ("broken", "fixed"):
        chosen = [flip for flip in view.flips if flip.kind == kind]
        if chosen:
            rows = [[f.category, f.item, _short(f.base.output), _short(f.subject.output)] for f in chosen[:FLIPS]]
            more = f" (the first {FLIPS} of {len(chosen)})" if len(chosen) > FLIPS else f" ({len(chosen)})"
            parts += [
                f"## {kind.capitalize()}{more}",
                markdown_table(["category", "item", view.base, view.subject], rows),
            ]
    parts += ["## How it was measured", _source(view)]
    return "\n\n".join(parts) + "\n"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def format_share(interval: Interval | None) -> str:
    """A share in percent with its interval."""
    if interval is None or interval.value is None:
        return "unknown"
    if interval.low is None or interval.high is None:
        return f"{100 * interval.value:.1f} %"
    return f"{100 * interval.value:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def format_number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """A measured number; unknown stays unknown."""
    return "unknown" if value is None else f"{value:.{digits}f}{unit}"


def format_p(p: float | None) -> str:
    """A p value; very small ones as a bound."""
    return "unknown" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def _models(view: ReportView) -> str:
    rows = []
    for model, shares in view.shares.items():
        speed = view.speed[model]
        odd = ", ".join(f"{count} {name}" for name, count in view.outcomes[model].items() if name != "answered")
        rows.append(
            [
                model + (" (base)" if model == view.base else ""),
                format_share(shares.get(ALL)),
                odd or "–",
                format_number(speed.median_s, " s"),
                format_number(speed.tokens_per_s, "", 1),
                format_number(speed.cost_usd, " $", 4),
                " ".join(f"{k} {v:.2f}" for k, v in view.pass_at.get(model, {}).items()) or "–",
            ]
        )
    return markdown_table(["model", view.metric, "no answer", "median", "tokens/s", "cost", "pass@k"], rows)


def _differences(comparisons: Sequence[Comparison]) -> str:
    rows = [
        [
            c.model if c.scope == ALL else c.scope,
            format_points(c.difference.value),
            f"{format_points(c.difference.low)} to {format_points(c.difference.high)}",
            format_p(c.p),
            f"{c.better} / {c.worse}",
            str(c.difference.n),
            c.verdict,
            c.method,
        ]
        for c in comparisons
    ]
    return markdown_table(
        ["scope", "difference", "95 % interval", "p", "only it / only base", "items", "verdict", "method"], rows
    )


def _short(text: str, limit: int = 70) -> str:
    flat = " ".join(text.split()).replace("`", "'")
    return "`" + (flat if len(flat) <= limit else flat[: limit - 1] + "…") + "`" if flat else "(nothing)"


def _source(view: ReportView) -> str:
    rows = [
        ["suite", f"{view.suite} {view.suite_version}, {view.items} items, sha256 {view.suite_digest}"],
        *[[str(m["model"]), f"{m['form']} {m['digest'] or 'behind an endpoint, files unknown'}"] for m in view.models],
        ["scorers", ", ".join(view.scorers)],
        [
            "sampling",
            f"temperature {view.sampling.temperature or 0:g}, at most {view.sampling.max_tokens} tokens, "
            f"seed {view.sampling.seed}",
        ],
        ["reproduce with", f"`{view.command}`"],
        ["run", view.run],
    ]
    return markdown_table(["what", "which"], rows)
