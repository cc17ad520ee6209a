"""A record as text for people: head, turns with code painted, verdicts, scores; how paint looks is the caller's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TypeAlias

import msgspec

from afs.printable import show_controls
from afs.types import Message, Record


class Color(Enum):
    """What a piece of text is, by the escape code that shows it on a terminal."""

    TEXT = ""
    DIM = "\x1b[2m"
    BOLD = "\x1b[1m"
    CODE = "\x1b[36m"
    VALUE = "\x1b[33m"
    BAD = "\x1b[31m"
    GOOD = "\x1b[32m"


Painter: TypeAlias = Callable[[Color, str], str]
CODE_PIECES = re.compile(
    r"(?P<comment>(?:^|(?<=\s))(?:;|//|#(?![\w$%<(])).*$)"
    r"|\"[^\"]*\"|'[^']*'|#?\$[0-9A-Fa-f]+\b|#?%[01]+\b|\b\d[\w.]*"
)
"""Parts of a line of code that are set apart: comments, texts, numbers."""
LINES = 40
"""Lines of a turn that are shown unless more are asked for."""


def leave_plain(_color: Color, text: str) -> str:
    """No paint."""
    return text


def paint_ansi(color: Color, text: str) -> str:
    """Paint for a terminal."""
    text = show_controls(text)
    return f"{color.value}{text}\x1b[0m" if text and color.value else text


def render_record(record: Record, reason: str = "", paint: Painter = leave_plain, lines: int = LINES) -> str:
    """The whole record; turns longer than `lines` are cut, 0: never."""
    origin = record.origin
    kind = record.task.family if record.task else record.kind
    source = f"{origin.source} {origin.uri}".strip()
    parts = [
        paint(Color.BOLD, f"{record.id}  {record.domain}/{kind}"),
        paint(Color.DIM, f"  from {source} ({origin.license or 'license unknown'})"),
    ]
    if reason:
        parts.append(paint(Color.BAD, f"  dropped: {reason}"))
    parts += [line for message in record.messages for line in _render_turn(message, paint, lines)]
    for verdict in record.verdicts:
        outcome = {True: "passes", False: "fails", None: "undecided"}[verdict.ok]
        color = Color.GOOD if verdict.ok else Color.DIM if verdict.ok is None else Color.BAD
        parts.append(paint(color, f"  verdict: {outcome} at {verdict.stage} {verdict.reason}".rstrip()))
    if record.scores:
        scores = ", ".join(f"{s.id} {'unknown' if s.value is None else f'{s.value:.2f}'}" for s in record.scores)
        parts.append(paint(Color.DIM, f"  scores: {scores}"))
    if record.tags:
        parts.append(paint(Color.DIM, f"  tags: {', '.join(record.tags)}"))
    return "\n".join(parts)


def _render_turn(message: Message, paint: Painter, most: int) -> Iterator[str]:
    name = f" ({message.name})" if message.name else ""
    yield paint(Color.BOLD, f"{message.role}{name}:")
    if message.thinking:
        yield paint(Color.DIM, f"  (thinking) {message.thinking}")
    inside, text = False, Color.DIM if message.role == "tool" else Color.TEXT
    lines = message.text.splitlines()
    for line in lines[: most or None]:
        if line.lstrip().startswith("```"):
            inside = not inside
            yield paint(Color.DIM, f"  {line}")
        else:
            yield f"  {_paint_code(line, paint) if inside else paint(text, line)}"
    if most and len(lines) > most:
        yield paint(Color.DIM, f"  … {len(lines) - most} more lines (--lines 0 shows all)")
    for call in message.tool_calls:
        yield paint(Color.CODE, f"  → {call.name} {msgspec.json.encode(call.arguments).decode()}")


def _paint_code(line: str, paint: Painter) -> str:
    """A line of code: comments dim, values apart from the rest."""
    parts, at = [], 0
    for match in CODE_PIECES.finditer(line):
        parts.append(paint(Color.CODE, line[at : match.start()]))
        parts.append(paint(Color.DIM if match["comment"] else Color.VALUE, match[0]))
        at = match.end()
    return "".join([*parts, paint(Color.CODE, line[at:])])
