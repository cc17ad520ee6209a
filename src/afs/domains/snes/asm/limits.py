"""Limits on a source: untrusted text must neither hang the machine nor fill its memory."""

from __future__ import annotations

from typing import NamedTuple


class AsmLimits(NamedTuple):
    """Upper bounds of one assembly; passing one is an error of the source, never a crash."""

    bytes_out: int = 32 * 1024 * 1024
    """Bytes a source may emit over all passes."""
    statements: int = 60_000
    """Statements run over all passes, loops and macros unrolled …"""
    statements_per_line: int = 20
    """… and so many more for each line of the source and its includes."""
    depth: int = 100
    """Nesting of macros, includes, defines and parentheses together."""
    errors: int = 20
    """Errors reported before giving up."""
    text: int = 1_000_000
    """Characters one line may grow to by defines and macro arguments."""
    seconds: float | None = None
    """Time after which to give up; None means no clock (two runs then agree byte for byte)."""


DEFAULT = AsmLimits()

TRUSTED = AsmLimits(bytes_out=256 * 1024 * 1024, statements=150_000, statements_per_line=1_000)
"""For your own projects."""
