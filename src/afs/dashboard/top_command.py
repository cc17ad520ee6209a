"""`afs top`: home, a run or a campaign in a terminal, over any connection; without a terminal it prints once."""

from __future__ import annotations

import sys
import time
from typing import ClassVar

from rich.console import Console
from rich.live import Live

from afs.config import Config
from afs.dashboard.dashboard_state import Views
from afs.dashboard.terminal_view import TerminalView, read_view, render_view, view_text
from afs.types import Value
from afs.workspace import Workspace


class TopConfig(Config, frozen=True, kw_only=True):
    """Show in the terminal what runs, what it costs and what is wrong, until Ctrl-C."""

    positional: ClassVar[tuple[str, ...]] = ("what",)
    what: str = ""
    """A run (its id, or a part of it), a campaign, or `latest`; empty: the whole workspace."""
    once: bool = False
    """Print once and end; the default without a terminal."""
    every_s: float = 1.0
    """Seconds between two looks."""


class TopText(Value, frozen=True, kw_only=True):
    """The view once."""

    view: TerminalView

    def text(self) -> str:
        """As lines for a terminal."""
        return view_text(self.view)


def show_top(config: TopConfig, workspace: Workspace) -> TopText | None:
    """Show the view, live in a terminal."""
    views = Views(workspace)
    views.look()
    first = read_view(views, config.what)
    if config.once or not sys.stdout.isatty():
        return TopText(view=first)
    try:
        with Live(render_view(first), console=Console(), screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(max(0.2, config.every_s))
                views.look()
                live.update(render_view(read_view(views, config.what)), refresh=True)
    except KeyboardInterrupt:
        return None
