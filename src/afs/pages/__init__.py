"""Parts of the HTML pages that afs writes: self-contained files that open from disk and fetch nothing.

Text is escaped here unless it is `Html`, so foreign text cannot become markup. Charts are in `charts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from itertools import zip_longest

from afs.types import Interval

__all__ = ["Html", "escape_text", "format_percent", "join", "render_page", "render_table"]


class Html(str):
    """Markup, as opposed to text that has yet to be escaped."""

    __slots__ = ()


def escape_text(value: object) -> Html:
    """Any value as markup: `Html` unchanged, everything else as escaped text."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def join(parts: Iterable[object]) -> Html:
    """Parts one after another, escaped where needed."""
    return Html("".join(escape_text(part) for part in parts))


def render_page(title: str, body: Iterable[object], *, style: str = "", script: str = "") -> str:
    """A whole page; `style` and `script` are added to it and must not contain foreign text."""
    css = resources.files("afs.pages").joinpath("page.css").read_text("utf-8")
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}{style}</style></head>"
    )
    return f"{head}<body>{join(body)}{f'<script>{script}</script>' if script else ''}</body></html>\n"


def render_table(
    head: Sequence[str], rows: Iterable[Sequence[object]], kind: str = "", *, is_labeled: bool = False
) -> Html:
    """A table; whole numbers are aligned to the right. Labeled cells carry their column's name, for narrow screens."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    labels = [f' data-name="{escape(name)}"' if is_labeled and name else "" for name in head]
    body = "".join(
        "<tr>"
        + "".join(_render_cell(cell, label) for cell, label in zip_longest(row, labels[: len(row)], fillvalue=""))
        + "</tr>"
        for row in rows
    )
    attribute = f' class="{kind}"' if kind else ""
    return Html(f'<div class="wide"><table{attribute}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>')


def _render_cell(value: object, label: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td class="n"{label}>{value:,}</td>'
    return f"<td{label}>{escape_text(value)}</td>"


def format_percent(interval: Interval | None, digits: int = 0) -> str:
    """A proportion with its interval; None is shown as unknown."""
    if interval is None or interval.value is None:
        return "unknown"
    value = f"{100 * interval.value:.{digits}f} %"
    if interval.low is None or interval.high is None:
        return value
    return f"{value} [{100 * interval.low:.{digits}f}, {100 * interval.high:.{digits}f}]"
