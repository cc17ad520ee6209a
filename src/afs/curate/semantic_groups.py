"""The step `semantic`: a sentence encoder finds records that mean the same, reports them and keeps them on one side.

Nothing is dropped for its meaning: similar sentences about two registers are two facts. A pair is joined only if both
texts name the same entities and hold the same code; joined source groups go to one side of the split. So only records
that share their facts with another need encoding, unless answers are scored or pairs of other facts reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

import msgspec
import numpy as np

from afs import datasets
from afs.config import Config, Fraction, Plugin, Positive
from afs.curate.code_normalization import parse
from afs.curate.coreset import find_neighbors
from afs.curate.entity_comparison import extract_entities
from afs.curate.group_links import find_leaders, merge_sets
from afs.curate.step_context import Records, StepContext
from afs.providers.base import Embedder, Vectors, embedder
from afs.types import Dropped, Json, Record, Score

TAG = "semantic:"
COHERENCE = "semantic-coherence"
_BATCH = 256
_LISTED = 1000
"""Most pairs of different facts that are listed; all are counted."""


class Semantic(Config, frozen=True, kw_only=True):
    """Compare meanings."""

    model: str
    """Folder of a sentence encoder such as all-MiniLM-L6-v2 (`config.json`, `tokenizer.json`, `model.safetensors`)."""
    options: Plugin = {}
    """Options of the encoder: `max_tokens`, `prefix`."""
    threshold: Fraction = 0.9
    """Least cosine of question and answer together at which two records mean the same."""
    neighbors: Positive = 8
    """Nearest records each one is compared with."""
    most_share: Fraction = 0.05
    """A group that holds a larger share of all source groups is reported, but not kept on one side."""
    coherence: bool = True
    """Score how near each answer is to its question, and report pairs of different facts; false: encode only records
    that could be joined, which is several times cheaper."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record, with its tag and its score."""
        model = embedder(self.model, self.options)
        facts = [facts_key(_text(record)) for record in records]
        there = Counter(facts)
        chosen = [n for n, key in enumerate(facts) if self.coherence or there[key] > 1]
        whole, coherence = self._encode(records, set(chosen), model, context)
        pairs = self._find_pairs(chosen, whole, facts)
        leaders = find_leaders(len(facts), ((p.a, p.b) for p in pairs if p.same))
        ids = [record.id for record in records]
        context.keep("semantic.jsonl", _rows(pairs, ids))
        for_trial = self._join_groups(records, leaders, context)
        sizes = Counter(leaders)
        groups = {n: leader for n, leader in enumerate(leaders) if sizes[leader] > 1}
        context.note(
            "semantic",
            model=model.name,
            threshold=self.threshold,
            encoded=len(chosen),
            pairs=sum(p.same for p in pairs),
            guarded=sum(not p.same for p in pairs) if self.coherence else None,
            groups=len(set(groups.values())),
            too_large=for_trial,
        )
        for number, record in enumerate(records):
            group = ids[groups[number]] if number in groups else ""
            yield self._tag(record, group, coherence[number] if self.coherence else 0.0, model.name)

    def _encode(
        self, records: Records, chosen: Collection[int], model: Embedder, context: StepContext
    ) -> tuple[Vectors, list[float]]:
        """(a vector per chosen record, the cosine of its question and its answer)."""
        parts: list[Vectors] = []
        coherence: list[float] = []
        for batch in _batches(record for n, record in enumerate(records) if n in chosen):
            context.run.check_stop()
            asked = _embed(model, [datasets.question_text(r) for r in batch])
            given = _embed(model, [datasets.answer_text(r) for r in batch])
            coherence += [float(x) for x in (asked * given).sum(1)]
            both = asked + given
            parts.append(both / np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9))
        return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32), coherence

    def _find_pairs(self, chosen: list[int], whole: Vectors, facts: list[bytes]) -> list[_Pair]:
        """Pairs of alike meaning: of the same facts, and of different ones too when all are there."""
        found: dict[tuple[int, int], float] = {}
        among: dict[bytes, list[int]] = {}
        for place, number in enumerate(chosen):
            among.setdefault(facts[number], []).append(place)
        every = [list(range(len(chosen)))] if self.coherence else []
        for places in (*every, *(places for places in among.values() if len(places) > 1)):
            for a, b, similarity in self._iter_similar(whole[places]):
                found[chosen[places[a]], chosen[places[b]]] = similarity
        return [_Pair(a, b, similarity, facts[a] == facts[b]) for (a, b), similarity in sorted(found.items())]

    def _iter_similar(self, points: Vectors) -> Iterator[tuple[int, int, float]]:
        """(first, second, cosine) of the pairs at or above the threshold."""
        if len(points) < 2:
            return
        graph = find_neighbors(points, self.neighbors + 1)
        rows, places = np.nonzero(graph.similarity >= self.threshold)
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            other = int(graph.near[row, place])
            if other != row:
                yield min(row, other), max(row, other), float(graph.similarity[row, place])

    def _join_groups(self, records: Records, leaders: list[int], context: StepContext) -> int:
        """Keep joined source groups on one side; how many were too large for that."""
        keys = [context.side.key(record) for record in records]
        sets: dict[int, set[str]] = {}
        for key, leader in zip(keys, leaders, strict=True):
            sets.setdefault(leader, set()).add(key)
        together = merge_sets(found for found in sets.values() if len(found) > 1)
        most = max(2, int(self.most_share * len(set(keys))))
        context.side.remember(context.workspace)
        for found in together:
            if len(found) <= most:
                context.side.join(found)
        return sum(len(found) > most for found in together)

    def _tag(self, record: Record, group: str, coherence: float, model: str) -> Record:
        tags = tuple(tag for tag in record.tags if not tag.startswith(TAG))
        scores = tuple(score for score in record.scores if score.id != COHERENCE)
        if self.coherence:
            scores += (Score(id=COHERENCE, version=model, value=round(min(1.0, max(0.0, coherence)), 4)),)
        return msgspec.structs.replace(record, tags=(*tags, f"{TAG}{group[:12]}") if group else tags, scores=scores)


class _Pair(NamedTuple):
    """Two records that mean the same, and whether they name the same things."""

    a: int
    b: int
    similarity: float
    same: bool


def _text(record: Record) -> str:
    return f"{datasets.question_text(record)}\n{datasets.answer_text(record)}"


def facts_key(text: str) -> bytes:
    """Equal for two texts that hold the same lines of code and name the same things."""
    facts = repr((parse(text).code, sorted(extract_entities(text))))
    return blake2b(facts.encode("utf-8", "replace"), digest_size=16).digest()


def _embed(model: Embedder, texts: list[str]) -> Vectors:
    """A vector per text; a text that comes again is encoded once."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return model.embed(list(places))[[places[text] for text in texts]]


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(pairs: list[_Pair], ids: list[str]) -> list[Json]:
    guarded = [pair for pair in pairs if not pair.same][:_LISTED]
    return [
        {"a": ids[p.a], "b": ids[p.b], "similarity": round(p.similarity, 4), "same_facts": p.same}
        for p in (*(pair for pair in pairs if pair.same), *guarded)
    ]
