"""The step `select`: a small set that covers the whole, better items first; with random and longest-first as baselines.

Facility location over a graph of neighbors, weighted by quality, plus a term for the entities covered; both are
monotone and submodular, so the greedy choice is within 1 - 1/e of the best.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from afs.config import Config, Count, Positive, Weight
from afs.curate import shingles
from afs.curate.decontaminate import pack_texts
from afs.curate.dedup import total_score
from afs.curate.entity_comparison import extract_entities
from afs.curate.step_context import Records, StepContext
from afs.datasets import answer_text, question_text
from afs.types import Dropped, Record

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
DIMENSIONS = 256
_BUCKETS = 1 << 18
_BLOCK = 512
_LARGEST = 60_000
_UNIT = float(1 << 40)
"""Gains are whole numbers of this part: their sums do not depend on the order of the names."""
_TAKEN = -(1 << 62)
ARMS = ("coverage", "random", "longest")


class Graph(NamedTuple):
    """For each item, the items it is near to and how near."""

    near: I64
    similarity: F32


class Select(Config, frozen=True, kw_only=True):
    """Select this many training records."""

    n: Positive
    """Records of the training side to keep; held-out sides stay whole."""
    arm: Literal["coverage", "random", "longest"] = "coverage"
    """How: quality-weighted coverage, at random, or the longest answers first."""
    neighbors: Positive = 32
    """Neighbors per item in the graph."""
    entity_weight: Weight = 0.5
    """Weight of covered entities beside coverage by likeness."""
    entity_cap: Count = 8
    """Times an entity counts at most."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """The chosen ones."""
        pool = [r for r in records if context.side(r) == "train"]
        chosen = {pool[i].id for i in self.choose(pool, context.workspace.jobs)}
        context.note(
            "select",
            arm=self.arm,
            asked=self.n,
            given=len(chosen),
            there=len(pool),
            shortfall=max(0, self.n - len(pool)),
        )
        for record in records:
            if record.id in chosen or context.side(record) != "train":
                yield record
            else:
                yield Dropped(record=record, reason=f"not selected ({self.arm})")

    def choose(self, pool: Sequence[Record], jobs: int = 1) -> list[int]:
        """Numbers of the chosen records."""
        n = min(self.n, len(pool))
        if self.arm == "random":
            return sorted(range(len(pool)), key=lambda i: blake2b(pool[i].id.encode(), digest_size=8).digest())[:n]
        if self.arm == "longest":
            return sorted(range(len(pool)), key=lambda i: (-len(answer_text(pool[i])), pool[i].id))[:n]
        texts = [f"{question_text(r)}\n{answer_text(r)}" for r in pool]
        quality = np.array([max(0.05, total_score(r)) for r in pool], np.float32)
        names = [extract_entities(text) for text in texts]
        graph = find_neighbors(embed_texts(texts), self.neighbors, jobs)
        return choose_greedily(graph, quality, n, names, (self.entity_weight, self.entity_cap))


def embed_texts(texts: Sequence[str]) -> F32:
    """Texts as unit vectors: words and word pairs weighted by rarity, folded into few dimensions."""
    out = np.zeros(len(texts) * DIMENSIONS)
    data, starts = pack_texts(texts)
    for words in (1, 2):
        gram, ends = shingles.grams(data, starts, words)
        owner = np.repeat(np.arange(len(texts), dtype=np.uint64), np.diff(np.concatenate([[0], ends.astype(np.int64)])))
        keys = np.sort(owner * np.uint64(_BUCKETS) + gram % np.uint64(_BUCKETS))
        first = np.flatnonzero(np.concatenate([np.ones(min(1, len(keys)), np.bool_), keys[1:] != keys[:-1]]))
        counts, keys = np.diff(np.concatenate([first, [len(keys)]])), keys[first].astype(np.int64)
        text, bucket = keys // _BUCKETS, keys % _BUCKETS
        spread = np.bincount(bucket, minlength=_BUCKETS)
        weight = (1 + np.log(counts)) * np.log((1 + len(texts)) / (1 + spread[bucket]))
        mixed = shingles.mix(bucket.astype(np.uint64) + np.uint64(1))
        place = text * DIMENSIONS + (mixed % np.uint64(DIMENSIONS)).astype(np.int64)
        out += np.bincount(place, np.where(mixed & np.uint64(1 << 40), weight, -weight), len(out))
    points = out.reshape(-1, DIMENSIONS)
    return np.asarray(points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9), np.float32)


def find_neighbors(points: F32, count: int, jobs: int = 1) -> Graph:
    """The nearest items of each, itself included, by comparing all with all; very large sets with a sample of them."""
    n = len(points)
    pool = np.arange(0, n, max(1, -(-n // _LARGEST)))
    count, turned = min(count, len(pool)), np.ascontiguousarray(points[pool].T)

    def block(start: int) -> tuple[U32, F32]:
        return shingles.top_columns(points[start : start + _BLOCK] @ turned, count)

    with ThreadPoolExecutor(jobs) as threads:
        found = list(threads.map(block, range(0, n, _BLOCK)))
    near = np.concatenate([np.empty((0, count), np.uint32), *(index for index, _ in found)])
    similarity = np.concatenate([np.empty((0, count), np.float32), *(value for _, value in found)])
    return Graph(pool[near], np.maximum(similarity, 0.0))


def choose_greedily(
    graph: Graph, quality: F32, n: int, names: Sequence[frozenset[str]], entity: tuple[float, int]
) -> list[int]:
    """The `n` items of greatest gain, one after another, of equal ones the first; every gain is kept up to date."""
    likes, things = _Similarity(graph, quality), _Entities(names, entity)
    gain = likes.gain + things.gain
    chosen: list[int] = []
    while len(chosen) < min(n, len(quality)):
        best = int(np.argmax(gain))
        chosen.append(best)
        for who, less in (likes.take(best), things.take(best)):
            np.subtract.at(gain, who, less)
        gain[best] = _TAKEN
    return chosen


class _Similarity:
    """What each item would add to how well the others are covered, weighted by its quality."""

    def __init__(self, graph: Graph, quality: F32) -> None:
        size, count = graph.near.shape
        self._near = graph.near
        self._worth = (graph.similarity * quality[graph.near]).astype(np.float64)
        self._best = np.zeros(size)
        owner = graph.near.ravel()
        order = np.argsort(owner, kind="stable")
        self._who, self._from = order // count, np.searchsorted(owner[order], np.arange(size + 1))
        self.gain = (np.bincount(owner, self._worth.ravel(), size) * _UNIT).astype(np.int64)

    def take(self, item: int) -> tuple[I64, I64]:
        """Whose gain is less now, and by how much."""
        who = self._who[self._from[item] : self._from[item + 1]]
        own = np.where(self._near[who] == item, self._worth[who], 0.0).max(axis=1)
        better = own > self._best[who]
        who, own = who[better], own[better]
        before = np.maximum(self._worth[who] - self._best[who, None], 0.0)
        self._best[who] = own
        less = before - np.maximum(self._worth[who] - own[:, None], 0.0)
        return self._near[who].ravel(), (less.ravel() * _UNIT).astype(np.int64)


class _Entities:
    """What each item would add to the entities covered; one counts less each time, and nothing over its cap."""

    def __init__(self, names: Sequence[frozenset[str]], entity: tuple[float, int]) -> None:
        weight, cap = entity
        self.gain = np.zeros(len(names), np.int64)
        steps = np.sqrt(np.arange(1, cap + 1)) - np.sqrt(np.arange(cap))
        self._less = weight * -np.diff(np.append(steps, 0.0))
        self._sizes = np.array([len(found) for found in names], np.int64)
        if not weight or not cap or not self._sizes.sum():
            self._sizes[:] = 0
            return
        numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        flat = map(numbers.__getitem__, itertools.chain.from_iterable(names))
        self._name = np.fromiter(flat, np.int64, int(self._sizes.sum()))
        self._first = np.concatenate([[0], np.cumsum(self._sizes)])
        owner = np.repeat(np.arange(len(names)), self._sizes)
        self._who = owner[np.argsort(self._name)]
        self._many = np.bincount(self._name)
        self._from = np.cumsum(self._many) - self._many
        self._count = np.zeros(len(numbers), np.int64)
        self._share = _UNIT / np.sqrt(np.maximum(1, self._sizes))
        self.gain = (weight * steps[0] * self._sizes * self._share).astype(np.int64)

    def take(self, item: int) -> tuple[I64, I64]:
        """Whose gain is less now, and by how much: every owner of an entity of the item, once for each."""
        if not self._sizes[item]:
            return self._sizes[:0], self._sizes[:0]
        name = self._name[self._first[item] : self._first[item + 1]]
        name = name[(self._count[name] < len(self._less)) & (self._many[name] > 1)]
        many, less = self._many[name], self._less[self._count[name]]
        self._count[name] += 1
        ends = np.cumsum(many)
        who = self._who[np.arange(many.sum()) + np.repeat(self._from[name] - ends + many, many)]
        return who, (np.repeat(less, many) * self._share[who]).astype(np.int64)
