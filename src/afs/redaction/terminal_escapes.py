"""Terminal escape sequences: they hide word boundaries from rules, and are no text."""

from __future__ import annotations

import re

_CONTROLS = bytes((*range(9), 11, *range(14, 32), 127))
"""Control characters other than tab, newline, form feed and carriage return."""
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colors, cursor movement
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # OSC, DCS and strings up to their terminator
    r"|\x1b[ -/]*[0-~]|[\x00-\x08\x0b\x0e-\x1f\x7f]",
    re.S,
)


def strip_escapes(text: str) -> str:
    """A text without terminal escape sequences and other control characters."""
    if text.isprintable():
        return text
    raw = text.encode("utf-8", "replace")
    if len(raw.translate(None, _CONTROLS)) == len(raw):
        return text
    return _ESCAPES.sub("", text)
