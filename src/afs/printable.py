"""Foreign text made safe for a terminal: characters that move the cursor, hide or reorder text become escapes."""

from __future__ import annotations

import re

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
"""All controls but tab and newline, and the invisible characters that change the order of what is shown."""
_COLORS = re.compile(r"(\x1b\[(?:0|1|2|31|32|33|36)m)")
"""The colors of our own output; see `data/record_text.py`."""


def show_controls(text: str, *, keep_colors: bool = False) -> str:
    """The text with its control characters as visible escapes; `keep_colors` for text that we colored ourselves."""
    if not _CONTROLS.search(text):
        return text
    if keep_colors:
        pieces = _COLORS.split(text)
        return "".join(piece if number % 2 else show_controls(piece) for number, piece in enumerate(pieces))
    return _CONTROLS.sub(lambda match: _escape(match[0]), text)


def escape_json_controls(text: str) -> str:
    """JSON that shows the same values, with characters that JSON allows but a terminal obeys as `\\uXXXX`."""
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
