"""The terminal screen after a program has written to it, compared cell by cell."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Sequence
from typing import cast

import pyte

from afs.errors import ProcessError
from afs.process import safe_environment
from afs.types import Value

_MARKS = ("bold", "italics", "underscore", "reverse", "strikethrough")


class TerminalScreen(Value, frozen=True, kw_only=True):
    """The final screen: its text, and the style of styled cells."""

    columns: int
    rows: int
    lines: tuple[str, ...]
    styles: dict[str, str] = {}
    """`row,column` -> colors and attributes, for cells that are not plain."""


class ScreenDifference(Value, frozen=True, kw_only=True):
    """Cells that differ."""

    equal: bool
    cells: tuple[str, ...]
    """`row,column: 'x' → 'y'`, the first ones."""
    count: int

    def text(self) -> str:
        """In words."""
        return "equal" if self.equal else f"{self.count} cells differ: " + "; ".join(self.cells[:5])


def screen_of(content: bytes, columns: int = 80, rows: int = 24) -> TerminalScreen:
    """The screen after these bytes, with cursor moves and overwrites applied."""
    screen = pyte.Screen(columns, rows)
    pyte.ByteStream(screen).feed(content)
    styles = {}
    for row in range(rows):
        for column in range(columns):
            cell = screen.buffer[row][column]
            marks = [
                name for name in ("bold", "italics", "underscore", "reverse", "strikethrough") if getattr(cell, name)
            ]
            colors = [f"{name}:{value}" for name, value in (("fg", cell.fg), ("bg", cell.bg)) if value != "default"]
            if marks or colors:
                styles[f"{row},{column}"] = " ".join([*colors, *marks])
    lines = tuple(cast(str, line).rstrip() for line in screen.display)
    return TerminalScreen(columns=columns, rows=rows, lines=lines, styles=styles)


def record_terminal(argv: Sequence[str], *, columns: int = 80, rows: int = 24, timeout_s: float = 30.0) -> bytes:
    """The output of a program on a terminal of this size; a program that does not end is stopped, with an error."""
    ours, theirs = pty.openpty()
    environment = safe_environment({"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows)})
    try:
        child = subprocess.Popen(
            list(argv), stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
        )
    except OSError as error:
        os.close(ours)
        raise ProcessError(f"{argv[0]} cannot be started: {error.strerror or error}") from error
    finally:
        os.close(theirs)
    try:
        return _drained(ours, child, argv[0], time.monotonic() + timeout_s)
    finally:
        os.close(ours)
        if child.poll() is None:
            child.kill()
        child.wait()


def _drained(handle: int, child: subprocess.Popen[bytes], name: str, deadline: float) -> bytes:
    found: list[bytes] = []
    while time.monotonic() < deadline:
        if not select.select([handle], [], [], 0.05)[0]:
            if child.poll() is not None:
                return b"".join(found)
            continue
        try:
            part = os.read(handle, 1 << 16)
        except OSError:
            return b"".join(found)
        if not part:
            return b"".join(found)
        found.append(part)
    raise ProcessError(f"{name} did not end in time")


def compare(screen: TerminalScreen, golden: TerminalScreen, masks: Sequence[str] = ()) -> ScreenDifference:
    """Compare two screens; text that matches a mask is ignored, with its style."""
    if (screen.columns, screen.rows) != (golden.columns, golden.rows):
        sizes = f"{golden.columns}×{golden.rows} → {screen.columns}×{screen.rows}"
        return ScreenDifference(equal=False, cells=(f"size {sizes}",), count=golden.columns * golden.rows)
    one, two = _masked(screen, masks), _masked(golden, masks)
    places = sorted(set(one) | set(two))
    wrong = [place for place in places if one.get(place) != two.get(place)]
    cells = tuple(f"{r},{c}: {_shown(two.get((r, c)))} → {_shown(one.get((r, c)))}" for r, c in wrong[:50])
    return ScreenDifference(equal=not wrong, cells=cells, count=len(wrong))


Cells = dict[tuple[int, int], tuple[str, str]]


def _masked(screen: TerminalScreen, masks: Sequence[str]) -> Cells:
    found: Cells = {}
    for row, line in enumerate(screen.lines):
        hidden = {i for mask in masks for match in re.finditer(mask, line) for i in range(*match.span())}
        for column in range(screen.columns):
            letter = line[column] if column < len(line) else " "
            style = screen.styles.get(f"{row},{column}", "")
            if column in hidden:
                found[row, column] = ("▒", "")
            elif letter != " " or style:
                found[row, column] = (letter, style)
    return found


def _shown(cell: tuple[str, str] | None) -> str:
    if cell is None:
        return "' '"
    return repr(cell[0]) + (f" ({cell[1]})" if cell[1] else "")
