"""Text of models, tasks and records as markup: escaped, code highlighted, differences marked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from html import escape

import msgspec

from afs.dashboard.page_parts import code, figures
from afs.data.record_text import CODE_PIECES
from afs.pages import Html, join
from afs.printable import show_controls

MOST = 20_000
"""Characters of one text that are shown."""


def shorten(text: str) -> str:
    """A text at a length that a page can hold; what is cut is said."""
    shown = show_controls(text)
    return shown if len(shown) <= MOST else f"{shown[:MOST]}\n… {len(shown) - MOST:,} more characters"


def render_text(text: str) -> Html:
    """A text in which fenced blocks are highlighted as code."""
    inside, lines = False, []
    for line in shorten(text).splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
            lines.append(f'<span class="c">{escape(line)}</span>')
        else:
            lines.append(_highlight(line) if inside else escape(line))
    return Html(f'<pre tabindex="0">{chr(10).join(lines)}</pre>')


def _highlight(line: str) -> str:
    parts, at = [], 0
    for match in CODE_PIECES.finditer(line):
        parts.append(escape(line[at : match.start()]))
        parts.append(f'<span class="{"c" if match["comment"] else "n"}">{escape(match[0])}</span>')
        at = match.end()
    return "".join([*parts, escape(line[at:])])


def render_difference(before: str, after: str) -> Html:
    """Line by line what the second text has otherwise."""
    rows = [*_difference(shorten(before).splitlines(), shorten(after).splitlines())]
    return Html(f'<pre tabindex="0">{chr(10).join(rows)}</pre>')


def _difference(before: list[str], after: list[str]) -> Iterator[str]:
    for line in difflib.ndiff(before[:400], after[:400]):
        if line.startswith("? "):
            continue
        tag = {"- ": "del", "+ ": "ins"}.get(line[:2])
        yield f"<{tag}>{escape(line)}</{tag}>" if tag else escape(line)


def render_facts(facts: Mapping[str, object]) -> Html:
    """What a check measured; a counterexample as the states it names, what was wanted beside what came."""
    plain = [
        (name, _plain(value), "") for name, value in facts.items() if name not in ("counterexample", "want", "got")
    ]
    parts = [figures(plain)] if plain else []
    example = facts.get("counterexample")
    if isinstance(example, list | tuple):
        parts += [Html("<h4>a state in which the effects differ</h4>"), code("\n".join(map(str, example)))]
    if "want" in facts:
        parts += [
            Html("<h4>wanted, and what came</h4>"),
            render_difference(_lines(facts["want"]), _lines(facts.get("got"))),
        ]
    return join(parts)


def _plain(value: object) -> str:
    if isinstance(value, str | int | float):
        return show_controls(str(value))[:200]
    return show_controls(msgspec.json.encode(value, enc_hook=str).decode())[:200]


def _lines(value: object) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=1).decode()
