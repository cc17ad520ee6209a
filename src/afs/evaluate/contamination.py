"""Searches a model's training records for the items of a suite: shared token n-grams and near duplicates.

Code is normalized first (labels, hex case, comments). Wording shared by many items of the suite is its template and
no leak; texts with different numbers are different facts, however similar they look.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from afs import datasets
from afs.evaluate.suite_types import SuiteItem
from afs.types import Record, Value
from afs.workspace import Workspace

RUN = 8
"""Length of a shared token run that counts as a leak."""
TEMPLATE_ITEMS = 3
"""A run found in this many clusters of the suite is template wording."""
IDIOM_GROUPS = 10
"""A run found in this many source groups of the training data is an idiom."""
SPECIFIC = 0.2
"""Share of an item's words that a run must cover: less is a phrase or an idiom of the language,"""
LONG_RUN = 40
"""unless it has so many words."""
NEAR = 0.8
"""Share of common trigrams above which two texts are near duplicates."""

_TOKEN = re.compile(r"[$%#]*[0-9a-z_.]+|[^\w\s]")
_NUMBER = re.compile(r"[$%#]*[0-9][0-9a-f]*|\$[0-9a-f]+")
_CODE_LINE = re.compile(r"^\s*(?:[A-Za-z]{3}(?:\.[bwlBWL])?(?=\s|$|;)|[.\w]+:)")
_LABEL = re.compile(r"^\s*[.+\-]?\w*:(?=\s|$)")


class Hit(Value, frozen=True, kw_only=True):
    """An item found in the training data."""

    item: str
    record: str
    kind: str
    """task, run, or near duplicate."""
    length: int
    """Tokens of the longest shared run."""
    text: str
    """The shared run, or the beginning of the near duplicate."""


class _ItemText(NamedTuple):
    item: SuiteItem
    tokens: tuple[str, ...]
    numbers: Counter[str]
    pieces: frozenset[tuple[str, ...]]


def normalize_tokens(text: str) -> list[str]:
    """Lower-case tokens of a text, without comments and labels of code lines."""
    lines = []
    for line in text.splitlines():
        if _CODE_LINE.match(line):
            line = _LABEL.sub("", line.partition(";")[0])
        lines.append(line.casefold())
    return _TOKEN.findall("\n".join(lines))


class ContaminationSearch(Value, frozen=True, kw_only=True):
    """The outcome of a search through a dataset's training records."""

    dataset: str
    hits: tuple[Hit, ...]


def search_dataset(workspace: Workspace, name: str, items: Sequence[SuiteItem]) -> ContaminationSearch:
    """Search the training split of a stored dataset."""
    dataset = datasets.load(workspace, name)
    splits = [split.name for split in dataset.splits if split.name in ("train", "all")]
    records = (record for split in splits for record in datasets.read(workspace, dataset, split))
    return ContaminationSearch(dataset=dataset.ref, hits=tuple(find_leaks(items, records)))


def find_leaks(items: Sequence[SuiteItem], records: Iterable[Record]) -> list[Hit]:
    """Every item found in the records, with its longest shared run outside the suite's template."""
    texts = [_text(item) for item in items]
    index = _SuiteIndex(texts)
    best: dict[str, Hit] = {}
    tasks = {item.task.id: item for item in items if item.task.domain}
    for record in records:
        for hit in (*_same_task(tasks, record), *index.search(record)):
            known = best.get(hit.item)
            if known is None or hit.length > known.length:
                best[hit.item] = hit
    return [best[item.id] for item in items if item.id in best and index.counts(best[item.id])]


def _text(item: SuiteItem) -> _ItemText:
    tokens = tuple(normalize_tokens(f"{item.task.prompt}\n{item.task.reference}"))
    return _ItemText(item, tokens, _numbers(tokens), frozenset(_runs(tokens, 3)))


def _numbers(tokens: Iterable[str]) -> Counter[str]:
    return Counter(token for token in tokens if _NUMBER.fullmatch(token))


def _count_words(tokens: Iterable[str]) -> int:
    """Tokens that are no punctuation."""
    return sum(token[-1:].isalnum() for token in tokens)


def _runs(tokens: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def _same_task(tasks: dict[str, SuiteItem], record: Record) -> Iterator[Hit]:
    if record.task is not None and record.task.id in tasks:
        item = tasks[record.task.id]
        length = len(normalize_tokens(item.task.prompt))
        yield Hit(item=item.id, record=record.id, kind="task", length=length, text=item.task.prompt[:200])


class _SuiteIndex:
    """Token runs of the suite, with the items they occur in."""

    def __init__(self, texts: Sequence[_ItemText]) -> None:
        self.texts = texts
        self.words = {text.item.id: _count_words(text.tokens) for text in texts}
        self.runs: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self.whole = {text.tokens: i for i, text in enumerate(texts)}
        self.pieces: dict[tuple[str, ...], list[int]] = defaultdict(list)
        clusters: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for number, text in enumerate(texts):
            for run in set(_runs(text.tokens, RUN)):
                self.runs[run].append(number)
                clusters[run].add(text.item.cluster)
            for piece in text.pieces:
                self.pieces[piece].append(number)
        for run, seen in clusters.items():
            if len(seen) >= TEMPLATE_ITEMS:
                del self.runs[run]
        self.groups: dict[tuple[str, ...], set[str]] = defaultdict(set)

    def search(self, record: Record) -> Iterator[Hit]:
        """Leaks of items in one record."""
        tokens = normalize_tokens("\n".join(message.text for message in record.messages if message.role != "system"))
        if (number := self.whole.get(tuple(tokens))) is not None:
            item = self.texts[number].item
            text = " ".join(tokens)[:200]
            yield Hit(item=item.id, record=record.id, kind="near duplicate", length=len(tokens), text=text)
        yield from self._longest_runs(tokens, record)
        yield from self._near(tokens, record)

    def _longest_runs(self, tokens: list[str], record: Record) -> Iterator[Hit]:
        group = record.origin.group or record.id
        going: dict[int, tuple[int, int]] = {}
        for i in range(len(tokens) - RUN + 1):
            run = tuple(tokens[i : i + RUN])
            found = self.runs.get(run, ())
            if found:
                self.groups[run].add(group)
            for number in found:
                start, end = going.get(number, (i, i - 1))
                going[number] = (start, i) if end == i - 1 else (i, i)
        for number, (start, end) in going.items():
            part = " ".join(tokens[start : end + RUN])
            item = self.texts[number].item.id
            yield Hit(item=item, record=record.id, kind="run", length=end - start + RUN, text=part)

    def _near(self, tokens: list[str], record: Record) -> Iterator[Hit]:
        pieces = set(_runs(tokens, 3))
        shared: Counter[int] = Counter()
        for piece in pieces:
            shared.update(self.pieces.get(piece, ()))
        numbers = None
        for number, count in shared.items():
            text = self.texts[number]
            if count / len(pieces | text.pieces) < NEAR:
                continue
            numbers = numbers if numbers is not None else _numbers(tokens)
            if numbers == text.numbers:
                start = " ".join(tokens)[:200]
                item = text.item.id
                yield Hit(item=item, record=record.id, kind="near duplicate", length=len(tokens), text=start)

    def counts(self, hit: Hit) -> bool:
        """Whether a shared run says something of the item, and is no idiom used throughout the training data."""
        if hit.kind != "run":
            return True
        tokens = hit.text.split(" ")
        words = _count_words(tokens)
        if words < RUN or words < min(LONG_RUN, SPECIFIC * self.words[hit.item]):
            return False
        runs = list(_runs(tokens, RUN))
        return any(len(self.groups[run]) < IDIOM_GROUPS for run in runs)
