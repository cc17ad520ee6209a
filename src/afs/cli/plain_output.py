"""What every command prints: texts on standard output, problems on standard error."""

from __future__ import annotations

import sys

from afs.command_options import OwnText
from afs.printable import show_controls


def print_text(content: str) -> None:
    """Plain text on standard output."""
    print(content)


def print_problem(message: str) -> None:
    """One problem on standard error."""
    print(f"afs: {show_controls(message)}", file=sys.stderr)


def print_own_text(value: OwnText) -> None:
    """A result's own text."""
    print(show_controls(value.text(), keep_colors=True))
