"""What of a note must be found in the messages it cites.

Grounding is by words: entities (paths, numbers, addresses, identifiers, commands, number words, negations) must stand
in a cited message as they are, and most other words of the claim too. It does not detect true words combined
wrongly.
"""

from __future__ import annotations

import re

from afs.domains.memory.notes import Note

SHARED = 0.6
"""Least share of a claim's plain words that stand in the messages it cites."""


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


def _stem(word: str) -> str:
    """Enough of a word to recognize its other forms."""
    for end in ("ing", "ed", "es", "s"):
        if word.endswith(end) and len(word) - len(end) >= 3:
            return word[: -len(end)]
    return word
