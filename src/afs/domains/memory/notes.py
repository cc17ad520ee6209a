"""Notes as they are written, and what of a note must be found in the messages it cites.

Grounding is by words: entities (paths, numbers, addresses, identifiers, commands, number words, negations) must stand
in a cited message as they are, and most other words of the claim too. It does not detect true words combined
wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LONGEST = 160
"""Most characters of a claim."""
SHARED = 0.6
"""Least share of a claim's plain words that stand in the messages it cites."""
_NOTE = re.compile(r"^- (.+?) \[(\d+(?:, ?\d+)*)\]$")
_ENTITY = re.compile(
    r"`[^`]+`"  # a command or a name in its marks
    r"|\$[0-9A-Fa-f]{2,8}|0x[0-9A-Fa-f]+"
    r"|(?<!\S)--?[A-Za-z][\w-]+"
    r"|(?:[\w~.-]{1,100}/)+[\w.-]{0,100}\w|\b[\w-]{1,100}\.[A-Za-z]\w{0,9}\b"
    r"|\b\w{1,100}(?:-\w+)+\b"
    r"|\b[A-Za-z]+(?:_\w+)+\b|\b[a-z]+(?:[A-Z]\w*)+\b|\b[A-Z]{2,}[A-Z0-9_]*\b|\b[A-Za-z]+-?\d\w*\b"
    r"|\b[A-Z][a-z]+(?:[A-Z]\w*)+\b|(?<=\s)[A-Z][a-z]+\b"  # names, but for the word a claim begins with
    r"|\d+(?:[.,:]\d+)*%?"
)
_COUNTED = frozenset(
    "not no never none without cannot nothing neither nor zero one two three four five six seven eight nine"  # noqa: SIM905
    " ten eleven twelve half twice".split()
)
"""Words whose presence changes a claim: they are looked for like entities."""
_LITTLE = frozenset(
    "a an and are as at be been by for from has have in into is it its now of on or our so that the their then"  # noqa: SIM905
    " there this to was we were what when which will with you your i".split()
)
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
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


def find_entities(text: str) -> list[str]:
    """What a claim may not invent."""
    found = [match[0].strip("`") for match in _ENTITY.finditer(text)]
    return found + [word for word in _WORD.findall(text.lower()) if word in _COUNTED or word.endswith("n't")]


def contains_entity(entity: str, text: str) -> bool:
    """Whether a text contains an entity as a whole, not as part of another."""
    ahead = r"(?![\w/$-]|[.,:]\w)"
    return re.search(r"(?<![\w/$.-])(?<!\d:)" + re.escape(entity) + ahead, text, re.I) is not None


def find_ungrounded(note: Note, cited: str) -> str:
    """Why a claim does not follow from the messages it cites; empty when it may."""
    for entity in find_entities(note.claim):
        if not contains_entity(entity, cited.replace("`", "")):
            return f"line {note.line}: {entity!r} does not occur in the cited message"
    known = {_stem(word) for word in _WORD.findall(cited.lower())}
    words = [w for w in _WORD.findall(_ENTITY.sub(" ", note.claim).lower()) if w not in _LITTLE]
    share = sum(_stem(word) in known for word in words) / len(words) if words else 1.0
    if share < SHARED or not (words or find_entities(note.claim)):
        return f"line {note.line}: {share:.0%} of its words occur in the cited message, want {SHARED:.0%}"
    return ""


def find_secret(text: str) -> str:
    """A secret in a text; empty when none is found."""
    found = _SECRET.search(text)
    return found[0] if found else ""


def _stem(word: str) -> str:
    """Enough of a word to recognize its other forms."""
    for end in ("ing", "ed", "es", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word
