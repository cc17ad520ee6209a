"""An explanation as one HTML page; every sentence shows what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from afs.domains.snes.explain.explanation import MEANINGS, Explanation, ListingRow, Sentence
from afs.pages import Html, escape_text, join, render_page, render_table

_STYLE = (
    ".basis{display:inline-block;min-width:5.2rem;font-size:.75rem;border-radius:4px;padding:0 .4rem;"
    "margin-right:.6rem;text-align:center;border:1px solid var(--line);color:var(--soft)}"
    ".basis.measured{color:var(--good);border-color:var(--good)}.basis.read{color:var(--link);border-color:var(--link)}"
    ".basis.assumed{color:var(--odd);border-color:var(--odd)}.basis.model{color:var(--bad);border-color:var(--bad)}"
    "ul.said{list-style:none;padding:0;margin:0}ul.said li{display:flex;align-items:baseline;margin:.35rem 0}"
    "ul.said li>span:last-child{flex:1}"
    "table.code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.82rem}"
    "table.code td{border:0;padding:.05rem 1rem .05rem 0;white-space:nowrap}"
    "table.code td:last-child{white-space:normal}"
)


def render_explanation(found: Explanation) -> str:
    """The page."""
    return render_page(found.title, _parts(found), style=_STYLE)


def _parts(found: Explanation) -> Iterator[Html]:
    yield join((Html("<h1>"), found.title, Html("</h1>")))
    legend = ", ".join(f"{basis}: {meaning}" for basis, meaning in MEANINGS.items())
    yield join(
        (Html('<p class="soft">'), f"What each sentence rests on. {legend[0].upper()}{legend[1:]}.", Html("</p>"))
    )
    if found.expert:
        yield _heading(f"What {found.expert} says")
        yield _list_sentences(found.council)
    yield _heading("What is known")
    yield _list_sentences(found.summary)
    yield _heading("Listing")
    yield render_table(("address", "bytes", "widths", "", "code", ""), map(_row, found.listing), "code")
    tables = (
        (
            "Hardware registers",
            ("register", "name", "access", "purpose", "when", "at"),
            [(r.address, r.name, r.access, r.purpose, r.when, ", ".join(r.places)) for r in found.registers],
        ),
        ("Called from", ("at", "routine"), [(row.place, row.routine) for row in found.callers]),
        ("Calls", ("at", "routine"), [(row.place, row.routine) for row in found.calls]),
        (
            "Lint",
            ("at", "rule", "remark", "sure"),
            [(row.place, row.rule, row.message, f"{row.sure:.0%}") for row in found.findings],
        ),
    )
    for title, head, rows in tables:
        if rows:
            yield _heading(title)
            yield render_table(head, rows)
    if found.trace:
        yield _heading("Trace")
        yield join((Html("<pre>"), "\n".join(found.trace), Html("</pre>")))


def _heading(text: str) -> Html:
    return join((Html("<h2>"), text, Html("</h2>")))


def _list_sentences(sentences: Sequence[Sentence]) -> Html:
    rows = (
        join(
            (
                Html(f'<li><span class="basis {one.basis}">'),
                one.basis,
                Html("</span><span>"),
                one.text,
                Html("</span></li>"),
            )
        )
        for one in sentences
    )
    return Html(f'<ul class="said">{join(rows)}</ul>')


def _row(row: ListingRow) -> tuple[object, ...]:
    label = Html(f"<b>{escape_text(row.label)}</b>") if row.label else ""
    return row.address, row.bytes, row.widths, label, row.text, row.remark
