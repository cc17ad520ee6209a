"""The step `semantic`: a sentence encoder says which records mean the same; it reports and keeps them on one side.

Nothing is dropped for its meaning: alike sentences about two registers are two facts. A pair is joined only when both
texts name the same entities; joined source groups go to one side of the split, and the others are told in the report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from afs import datasets
from afs.config import Config, Plugin
from afs.curate.entities import same_facts
from afs.curate.select import neighbours
from afs.curate.work import Records, Work
from afs.providers.base import Embedder, Vectors, embedder
from afs.types import Dropped, Json, Record, Score

TAG = "semantic:"
COHERENCE = "semantic-coherence"
_BATCH = 256
_TOLD = 1000
"""Pairs of different facts that are listed; all are counted."""


class Semantic(Config, frozen=True, kw_only=True):
    """Compare meanings."""

    model: str
    """Folder of a sentence encoder such as all-MiniLM-L6-v2 (`config.json`, `tokenizer.json`, `model.safetensors`)."""
    options: Plugin = {}
    """Options of the encoder: `max_tokens`, `prefix`."""
    threshold: float = 0.9
    """Least cosine of question and answer together at which two records mean the same."""
    neighbours: int = 8
    """Nearest records each one is compared with."""
    most_share: float = 0.05
    """A group that holds a larger share of all source groups is reported, but not kept on one side."""
    coherence: bool = True
    """Score how near each answer is to its question."""

    def __call__(self, records: Records, work: Work) -> Iterator[Record | Dropped]:
        """Every record, with its tag and its score."""
        model = embedder(self.model, self.options)
        whole, coherence = self._vectors(records, model, work)
        pairs = self._pairs(records, whole)
        leaders = _joined(len(records), (p for p in pairs if p.same))
        ids = [record.id for record in records]
        work.keep("semantic.jsonl", _rows(pairs, ids))
        apart = self._together(records, leaders, work)
        sizes = Counter(leaders)
        groups = {n: leader for n, leader in enumerate(leaders) if sizes[leader] > 1}
        work.note(
            "semantic", model=model.name, threshold=self.threshold, pairs=sum(p.same for p in pairs),
            guarded=sum(not p.same for p in pairs), groups=len(set(groups.values())), too_large=apart,
        )  # fmt: skip
        for number, record in enumerate(records):
            yield self._marked(record, ids[groups[number]] if number in groups else "", coherence[number], model.name)

    def _vectors(self, records: Records, model: Embedder, work: Work) -> tuple[Vectors, list[float]]:
        """(a vector per record, the cosine of its question and its answer)."""
        parts: list[Vectors] = []
        coherence: list[float] = []
        for batch in _batches(records):
            work.run.check_stop()
            asked = model.embed([datasets.question(r) for r in batch])
            given = model.embed([datasets.answer(r) for r in batch])
            coherence += [float(x) for x in (asked * given).sum(1)]
            both = asked + given
            parts.append(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9))
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32), coherence

    def _pairs(self, records: Records, whole: Vectors) -> list[_Pair]:
        if len(whole) < 2:
            return []
        graph = neighbours(whole, self.neighbours + 1)
        rows, places = np.nonzero(graph.likeness >= self.threshold)
        found: dict[tuple[int, int], float] = {}
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            other = int(graph.near[row, place])
            if other != row:
                found[min(row, other), max(row, other)] = float(graph.likeness[row, place])
        wanted = {number for pair in found for number in pair}
        texts = {n: _text(record) for n, record in enumerate(records) if n in wanted}
        return [_Pair(a, b, likeness, same_facts(texts[a], texts[b])) for (a, b), likeness in sorted(found.items())]

    def _together(self, records: Records, leaders: list[int], work: Work) -> int:
        """Keep joined source groups on one side; how many were too large for that."""
        keys = [work.side.key(record) for record in records]
        sets: dict[int, set[str]] = {}
        for key, leader in zip(keys, leaders, strict=True):
            sets.setdefault(leader, set()).add(key)
        merged = _merged(found for found in sets.values() if len(found) > 1)
        most = max(2, int(self.most_share * len(set(keys))))
        work.side.remember(work.workspace)
        for found in merged:
            if len(found) <= most:
                work.side.join(found)
        return sum(len(found) > most for found in merged)

    def _marked(self, record: Record, group: str, coherence: float, model: str) -> Record:
        tags = tuple(tag for tag in record.tags if not tag.startswith(TAG))
        scores = tuple(score for score in record.scores if score.id != COHERENCE)
        if self.coherence:
            scores += (Score(id=COHERENCE, version=model, value=round(min(1.0, max(0.0, coherence)), 4)),)
        return msgspec.structs.replace(record, tags=(*tags, f"{TAG}{group[:12]}") if group else tags, scores=scores)


class _Pair(NamedTuple):
    """Two records that mean the same, and whether they name the same things."""

    a: int
    b: int
    likeness: float
    same: bool


def _text(record: Record) -> str:
    return f"{datasets.question(record)}\n{datasets.answer(record)}"


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _joined(count: int, pairs: Iterable[_Pair]) -> list[int]:
    """For every number the least one it is joined with, over any number of steps."""
    above = list(range(count))

    def root(number: int) -> int:
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    for pair in pairs:
        first, second = sorted((root(pair.a), root(pair.b)))
        above[second] = first
    return [root(number) for number in range(count)]


def _merged(sets: Iterable[set[str]]) -> list[set[str]]:
    """Sets that share a member as one."""
    found: list[set[str]] = []
    for new in sets:
        apart = [old for old in found if not old & new]
        found = [*apart, new.union(*(old for old in found if old & new))]
    return found


def _rows(pairs: list[_Pair], ids: list[str]) -> list[Json]:
    guarded = [pair for pair in pairs if not pair.same][:_TOLD]
    return [
        {"a": ids[p.a], "b": ids[p.b], "similarity": round(p.likeness, 4), "same_facts": p.same}
        for p in (*(pair for pair in pairs if pair.same), *guarded)
    ]
