"""Which kind of task a question in plain words is nearest to, so that more of its kind can be made."""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.question_reading import find_prose, read_question
from afs.domains.snes.text_lint import entities_in_text

_COUNTS: Final = re.compile(r"\bhow (?:many|long)\b[^.?]{0,40}\b(?:cycles?|clocks?)\b|\bcycle count\b", re.I)
_WRITES: Final = re.compile(
    r"\b(?:write|code|implement|give me|make|create|show)\b[^.?]{0,60}\b(?:(?:sub)?routine|code|function|loop)\b",
    re.I,
)


def classify_question(text: str) -> str:
    """`optimize`, `debug`, `generate`, `cycles` or `explain`; empty when the question is not about this subject."""
    reading, prose = read_question(text), find_prose(text)
    if reading.asks:
        return "optimize" if reading.asks == "cheaper" else "debug"
    if _COUNTS.search(prose):
        return "cycles"
    if not reading.code and _WRITES.search(prose):
        return "generate"
    names = {"register", "address", "op"}
    is_ours = reading.code or any(found.partition(":")[0] in names for found in entities_in_text(prose))
    return "explain" if is_ours else ""
