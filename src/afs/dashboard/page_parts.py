"""Parts of the dashboard's pages: the shell, tiles, badges, bars, figures that link to their record.

Pages are flat files with relative links, so that a served page and an exported copy are the same. All text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from importlib import resources
from typing import NamedTuple
from urllib.parse import quote

from afs.dashboard.run_liveness import MEANING, Liveness
from afs.pages import Html, escape_text, join, render_page, render_table
from afs.types import Interval

NAVIGATION = (
    ("index.html", "Home"),
    ("runs.html", "Runs"),
    ("data.html", "Data"),
    ("evaluation.html", "Evaluation"),
    ("registry.html", "Registry"),
    ("council.html", "Council"),
    ("review.html", "Review"),
    ("cloud.html", "Cloud"),
)


STATIC = {
    "uPlot.iife.min.js": "text/javascript",
    "dashboard.js": "text/javascript",
    "uPlot.min.css": "text/css",
    "dashboard.css": "text/css",
    "uPlot.LICENSE.txt": "text/plain",
}
"""Packaged files of the pages, with their types."""


class PagePart(NamedTuple):
    """A part of a page that is replaced as a whole when it changes."""

    key: str
    body: Html
    every_s: float = 0.0
    """Least time between two live updates of this part; below 0: it is not replaced while the page is open."""


class Page(NamedTuple):
    """A page before it is a file."""

    name: str
    title: str
    sections: Sequence[PagePart]
    follows: str = ""
    """Run whose new points are appended to the charts."""
    step: int = 0
    """Last step that the charts hold."""


def static_file(name: str) -> bytes:
    """A packaged file of the pages."""
    return resources.files("afs.dashboard").joinpath("static", name).read_bytes()


def render_sections(page: Page) -> Html:
    """The sections, each findable by its key."""
    return join(
        Html(f'<section id="part-{escape(part.key)}" class="part">{part.body}</section>') for part in page.sections
    )


def render_shell(page: Page, workspace: str, *, is_live: bool) -> str:
    """The whole file."""
    at = ' aria-current="page"'
    links = join(
        Html(f'<a href="{target}"{at if target == page.name else ""}>{escape(name)}</a>') for target, name in NAVIGATION
    )
    live = (
        Html('<span id="live" class="live" role="status">not live: reload for news</span>')
        if is_live
        else Html(f'<span class="live">copy of {escape(format_moment(None))}</span>')
    )
    header = Html(
        '<a class="skip" href="#main">skip to the content</a>'
        f'<header><span class="brand">afs</span> <span class="where">{escape(workspace)}</span>'
        f'<nav aria-label="Pages">{links}</nav>{live}</header>'
    )
    body = Html(
        f'<main id="main" data-page="{escape(page.name)}" data-follows="{escape(page.follows)}" '
        f'data-step="{page.step}"{" data-live" if is_live else ""}>'
        f"<h1>{escape(page.title)}</h1>{render_sections(page)}</main>"
    )
    scripts = Html(
        '<script src="static/uPlot.iife.min.js" defer></script><script src="static/dashboard.js" defer></script>'
    )
    styles = Html(
        '<link rel="stylesheet" href="static/uPlot.min.css"><link rel="stylesheet" href="static/dashboard.css">'
    )
    return render_page(f"{page.title} · afs", [styles, header, body, scripts])


def link(target: str, text: object, kind: str = "") -> Html:
    """A link to a page of the dashboard."""
    attribute = f' class="{kind}"' if kind else ""
    return Html(f'<a href="{escape(quote(target, safe="/?=&.-_@"))}"{attribute}>{escape_text(text)}</a>')


def cite(value: object, record: str, at: int | None = None) -> Html:
    """A figure that links to the record it was read from."""
    if value == "":
        return Html("")
    place = f"?at={at}" if at is not None else ""
    path = quote(record, safe="/.-_@")
    return Html(f'<a class="cite" href="files/{escape(path)}{place}">{escape_text(value)}</a>')


def with_code(text: object) -> Html:
    """Plain text with the commands between backticks as code."""
    shown = escape_text(text)
    return shown if isinstance(text, Html) else Html(re.sub(r"`([^`]+)`", r"<code>\1</code>", shown))


def count_of(number: int, noun: str) -> str:
    """`1 note`, `2 notes`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def heading(text: str, hint: str = "", level: int = 2) -> Html:
    """A heading with one line that explains it."""
    note = Html(f'<p class="hint">{with_code(hint)}</p>') if hint else Html("")
    return Html(f"<h{level}>{escape(text)}</h{level}>{note}")


def paragraph(text: object, kind: str = "") -> Html:
    """A paragraph."""
    attribute = f' class="{kind}"' if kind else ""
    return Html(f"<p{attribute}>{with_code(text)}</p>")


def badge(liveness: Liveness) -> Html:
    """A run's state: a word with a color and its meaning."""
    return Html(f'<span class="badge {liveness}" title="{escape(MEANING[liveness])}">{liveness}</span>')


def mark(text: str, kind: str) -> Html:
    """A colored word: good, bad, odd or soft."""
    return Html(f'<span class="badge {escape(kind)}">{escape(text)}</span>')


def tile(title: str, value: object, note: object = "", kind: str = "") -> Html:
    """A large figure with its name and a line below."""
    return Html(
        f'<div class="tile {escape(kind)}"><span class="name">{escape(title)}</span>'
        f'<span class="figure">{escape_text(value)}</span><span class="note">{escape_text(note)}</span></div>'
    )


def tiles(parts: Iterable[Html]) -> Html:
    """Tiles in a row that wraps."""
    return Html(f'<div class="tiles">{join(parts)}</div>')


def bar(done: float, total: float, label: str) -> Html:
    """Progress; an unknown total gives nothing."""
    if total <= 0:
        return Html("")
    share = max(0.0, min(1.0, done / total))
    return Html(
        f'<progress value="{share:.4f}" max="1" aria-label="{escape(label)}">{share:.0%}</progress>'
        f'<span class="share">{share:.0%}</span>'
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table that becomes a list of labeled values on a phone."""
    return render_table(head, rows, "stack", is_labeled=True)


def figures(rows: Iterable[tuple[str, object, str]]) -> Html:
    """Named values, each with its meaning."""
    parts = [
        f'<div><dt>{escape(name)}</dt><dd>{escape_text(value)}</dd><dd class="hint">{escape(hint)}</dd></div>'
        for name, value, hint in rows
    ]
    return Html(f'<dl class="figures">{"".join(parts)}</dl>')


def details(summary: object, body: object, *, is_open: bool = False) -> Html:
    """A part that opens when asked."""
    state = " open" if is_open else ""
    return Html(f"<details{state}><summary>{escape_text(summary)}</summary>{escape_text(body)}</details>")


def code(text: str, language: str = "") -> Html:
    """Code or a model's text, as it is."""
    attribute = f' data-language="{escape(language)}"' if language else ""
    return Html(f'<pre tabindex="0"{attribute}><code>{escape(text)}</code></pre>')


def format_seconds(seconds: float | None) -> str:
    """A span in two units: `3 h 20 min`."""
    if seconds is None:
        return "unknown"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s" if whole < 600 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def format_span(span: Interval) -> str:
    """A forecast with its interval."""
    if span.value is None:
        return "unknown"
    if span.low is None or span.high is None:
        return format_seconds(span.value)
    low, high = format_seconds(span.low), format_seconds(span.high)
    return format_seconds(span.value) if low == high else f"{format_seconds(span.value)} [{low} to {high}]"


def format_usd(value: float | None) -> str:
    """Dollars; unknown is not zero."""
    if value is None:
        return "unknown"
    if value >= 1 or value == round(value, 2):
        return f"${value:,.2f}"
    return f"${value:.4f}" if value >= 0.001 else f"${value:.7f}".rstrip("0")


def format_number(value: float | None, digits: int = 4) -> str:
    """A figure at a useful length."""
    if value is None:
        return "unknown"
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        return f"{value:.3g}"
    return f"{value:,.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def format_moment(seconds: float | None) -> str:
    """A time in UTC; None is now."""
    try:
        moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return "unknown time"
    return moment.strftime("%Y-%m-%d %H:%M UTC")
