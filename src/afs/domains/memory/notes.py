"""Notes as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LONGEST = 160
"""Most characters of a claim."""
_NOTE = re.compile(r"^- (.+?) \[(\d+(?:, ?\d+)*)\]$")
_SECRET = re.compile(
    r"\b(?:sk|pk|ghp|gho|glpat|xox[abp])[-_][A-Za-z0-9_-]{12,}|\bAKIA[0-9A-Z]{12,}|-----BEGIN|"
    r"\b(?:password|passwd|secret|token|api[ _-]?key)\b\s*(?:is|=|:)\s*\S+",
    re.I,
)


class Note(NamedTuple):
    """One line of memory."""

    line: int
    claim: str
    cited: tuple[int, ...]


def read_notes(text: str) -> Iterator[Note | str]:
    """Every line that is a note; of any other line what is wrong with it."""
    for number, line in enumerate(text.strip().splitlines(), 1):
        if not line.strip():
            continue
        found = _NOTE.match(line.rstrip())
        if found is None:
            lacks = "cites no message" if line.startswith("- ") else "is not a note"
            yield f"line {number} {lacks}; want `- claim [message number]`"
        elif len(found[1]) > LONGEST:
            yield f"line {number} has {len(found[1])} characters, at most {LONGEST} are allowed"
        else:
            yield Note(number, found[1], tuple(int(n) for n in found[2].split(",")))


def format_notes(notes: Sequence[tuple[str, int]]) -> str:
    """Notes in their form and their order: by the claim, so that the order of a history does not matter."""
    return "\n".join(f"- {claim} [{message}]" for claim, message in sorted(notes, key=lambda n: n[0].lower()))


def normalize_claim(text: str) -> str:
    """A claim for comparing: case, end stop and spaces do not count."""
    return " ".join(text.lower().replace("`", "").rstrip(".").split())


def find_secret(text: str) -> str:
    """A secret in a text; empty when none is found."""
    found = _SECRET.search(text)
    return found[0] if found else ""
