"""Passages of the user's documents and records, ranked for a question by BM25; what Hylia answers from.

A passage is a paragraph or a few, under its heading, with file and line; nothing is stored, the index is made in
memory. Words are matched as they are written, so that `$2115` and `NMITIMEN` count.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from afs import datasets
from afs.errors import DataError
from afs.types import Value
from afs.workspace import Workspace

_ENDINGS: Final = frozenset({".md", ".txt", ".rst", ".asm", ".s", ".inc", ".adoc"})
_HIDDEN: Final = frozenset({".git", ".venv", "node_modules", "__pycache__"})
_LARGEST: Final = 2 << 20
_WORDS: Final = 120
"""A passage ends at the first blank line after so many words."""
_TOKEN: Final = re.compile(r"[$#]?[a-z0-9_]+")
_K1, _B = 1.5, 0.75
_COMMON: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "me",
        "my",
        "not",
        "of",
        "on",
        "or",
        "so",
        "than",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "this",
        "to",
        "use",
        "was",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)


class Passage(Value, frozen=True, kw_only=True):
    """A piece of a document."""

    source: str
    """`file:line`, or the dataset and the record."""
    heading: str
    text: str


def words_of(text: str) -> list[str]:
    """The words that count, in lower case, plural and third person taken off."""
    found = [word for word in _TOKEN.findall(text.lower()) if word not in _COMMON]
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]


def read_documents(places: Sequence[str], workspace: Workspace) -> list[Passage]:
    """The passages of files, folders, and records or datasets by name."""
    found: list[Passage] = []
    for place in places:
        path = Path(place)
        if path.exists():
            files = [path] if path.is_file() else _files(path)
            found += [passage for file in files for passage in split_text(_read(file), str(file))]
        elif any(workspace.versions(kind, place.partition("@")[0]) for kind in ("dataset", "records")):
            found += _records(place, workspace)
        else:
            raise DataError(f"{place}: neither a file or folder nor records or a dataset of this workspace")
    if not found:
        raise DataError(f"{', '.join(places)}: no text to answer from ({', '.join(sorted(_ENDINGS))})")
    return found


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() in _ENDINGS and not _HIDDEN & set(file.parts) and file.is_file():
            yield file


def _read(file: Path) -> str:
    try:
        with file.open("rb") as source:
            return source.read(_LARGEST).decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error


def _records(name: str, workspace: Workspace) -> Iterator[Passage]:
    dataset = datasets.load(workspace, name)
    for record in datasets.read(workspace, dataset):
        text = f"{datasets.question_text(record)}\n{datasets.answer_text(record)}"
        yield Passage(source=f"{dataset.ref} {record.id[:12]}", heading=record.kind, text=text)


def split_text(text: str, name: str) -> Iterator[Passage]:
    """The passages of a text."""
    heading, lines, start = "", list[str](), 1
    for number, line in enumerate([*text.splitlines(), "# "], 1):
        is_heading = bool(re.match(r"#{1,6} ", line))
        is_long = not line.strip() and len(" ".join(lines).split()) >= _WORDS
        if (is_heading or is_long) and "".join(lines).strip():
            yield Passage(source=f"{name}:{start}", heading=heading, text="\n".join(lines).strip())
            lines = []
        if is_heading:
            heading, lines = line.lstrip("# "), []
        elif lines or line.strip():
            start = start if lines else number
            lines.append(line)


class PassageIndex:
    """BM25 over passages; a heading counts with its passage."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self.passages = list(passages)
        self._counts = [Counter(words_of(f"{one.heading} {one.text}")) for one in self.passages]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._mean = sum(self._lengths) / max(len(self._lengths), 1) or 1.0
        self._in = Counter(word for counts in self._counts for word in counts)

    def rank(self, question: str, count: int = 4) -> list[tuple[Passage, float]]:
        """The best passages with their scores; those without a word of the question are left out."""
        asked = set(words_of(question))
        scores = [self._score(at, asked) for at in range(len(self.passages))]
        best = sorted(range(len(scores)), key=lambda at: (-scores[at], at))[:count]
        return [(self.passages[at], scores[at]) for at in best if scores[at] > 0]

    def _score(self, at: int, asked: set[str]) -> float:
        counts, size = self._counts[at], self._lengths[at] / self._mean
        return sum(
            self._rarity(word) * counts[word] * (_K1 + 1) / (counts[word] + _K1 * (1 - _B + _B * size))
            for word in asked
            if word in counts
        )

    def _rarity(self, word: str) -> float:
        among = self._in[word]
        return math.log(1 + (len(self.passages) - among + 0.5) / (among + 0.5))
