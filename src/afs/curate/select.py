"""The step `select`: a small set that covers the whole, better items first; beside it always random and longest-first.

Facility location over a graph of neighbours, weighted by quality, plus a term for the entities covered; both are
monotone and submodular, so the lazy greedy choice is within 1 - 1/e of the best.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from afs.config import Config
from afs.curate import grams
from afs.curate.decontaminate import packed
from afs.curate.dedup import rank_of
from afs.curate.entities import entities
from afs.curate.work import Records, Work
from afs.datasets import answer, question
from afs.types import Dropped, Record

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]
DIMENSIONS = 256
_BUCKETS = 1 << 18
_BLOCK = 512
_LARGEST = 60_000
ARMS = ("coverage", "random", "longest")


class Graph(NamedTuple):
    """For each item, the items it is near to and how near."""

    near: I64
    likeness: F32


class Select(Config, frozen=True, kw_only=True):
    """Choose so many records of the training side."""

    n: int
    """Records of the training side to keep; held-out sides stay whole."""
    arm: Literal["coverage", "random", "longest"] = "coverage"
    """How: quality-weighted coverage, at random, or the longest answers first."""
    neighbours: int = 32
    """Neighbours per item in the graph."""
    entity_weight: float = 0.5
    """Weight of covered entities beside coverage by likeness."""
    entity_cap: int = 8
    """An entity counts up to so many times."""

    def __call__(self, records: Records, work: Work) -> Iterator[Record | Dropped]:
        """The chosen ones."""
        pool = [r for r in records if work.side(r) == "train"]
        chosen = {pool[i].id for i in self.choose(pool)}
        work.note(
            "select",
            arm=self.arm,
            asked=self.n,
            given=len(chosen),
            there=len(pool),
            shortfall=max(0, self.n - len(pool)),
        )
        for record in records:
            if record.id in chosen or work.side(record) != "train":
                yield record
            else:
                yield Dropped(record=record, reason=f"not selected ({self.arm})")

    def choose(self, pool: Sequence[Record]) -> list[int]:
        """Numbers of the chosen records."""
        n = min(self.n, len(pool))
        if self.arm == "random":
            return sorted(range(len(pool)), key=lambda i: blake2b(pool[i].id.encode(), digest_size=8).digest())[:n]
        if self.arm == "longest":
            return sorted(range(len(pool)), key=lambda i: (-len(answer(pool[i])), pool[i].id))[:n]
        texts = [f"{question(r)}\n{answer(r)}" for r in pool]
        quality = np.array([max(0.05, rank_of(r)) for r in pool], np.float32)
        names = [entities(text) for text in texts]
        return greedy(
            neighbours(vectors(texts), self.neighbours), quality, n, names, (self.entity_weight, self.entity_cap)
        )


def vectors(texts: Sequence[str]) -> F32:
    """Texts as unit vectors: words and word pairs weighted by rarity, folded into few dimensions."""
    out = np.zeros((len(texts), DIMENSIONS), np.float32)
    parts = [grams.grams(*packed(texts), words) for words in (1, 2)]
    for gram, ends in parts:
        text = np.repeat(np.arange(len(texts)), np.diff(np.concatenate([[0], ends.astype(np.int64)])))
        bucket = (gram % np.uint64(_BUCKETS)).astype(np.int64)
        keys, counts = np.unique(text * _BUCKETS + bucket, return_counts=True)
        text, bucket = keys // _BUCKETS, keys % _BUCKETS
        spread = np.bincount(bucket, minlength=_BUCKETS)
        weight = (1 + np.log(counts)) * np.log((1 + len(texts)) / (1 + spread[bucket]))
        mixed = grams.mix(bucket.astype(np.uint64) + np.uint64(1))
        sign = np.where(mixed & np.uint64(1 << 40), 1.0, -1.0)
        np.add.at(out, (text, (mixed % np.uint64(DIMENSIONS)).astype(np.int64)), (weight * sign).astype(np.float32))
    length = np.linalg.norm(out, axis=1, keepdims=True)
    return np.asarray(out / np.maximum(length, 1e-9), np.float32)


def neighbours(points: F32, count: int) -> Graph:
    """The nearest items of each, itself included, by comparing all with all; very large sets with a sample of them."""
    n = len(points)
    stride = max(1, -(-n // _LARGEST))
    pool = np.arange(0, n, stride)
    count = min(count, len(pool))
    near, likeness = np.empty((n, count), np.int64), np.empty((n, count), np.float32)
    for start in range(0, n, _BLOCK):
        scores = points[start : start + _BLOCK] @ points[pool].T
        best = (
            np.argpartition(-scores, count - 1, axis=1)[:, :count] if count < len(pool) else np.argsort(-scores, axis=1)
        )
        near[start : start + _BLOCK] = pool[best]
        likeness[start : start + _BLOCK] = np.take_along_axis(scores, best, axis=1)
    return Graph(near, np.maximum(likeness, 0.0))


def greedy(graph: Graph, quality: F32, n: int, names: Sequence[frozenset[str]], entity: tuple[float, int]) -> list[int]:
    """Lazy greedy choice of `n` items."""
    size = len(quality)
    covered, weight = _turned(graph, quality)
    best = np.zeros(size, np.float32)
    counts: dict[str, int] = {}

    def gain(j: int) -> float:
        who, worth = covered[j], weight[j]
        likeness = float(np.maximum(worth - best[who], 0.0).sum())
        return likeness + entity[0] * _entity_gain(names[j], counts, entity[1])

    first = np.bincount(graph.near.ravel(), (graph.likeness * quality[graph.near]).ravel(), minlength=size)
    heap = [(-(first[j] + entity[0] * _entity_gain(names[j], counts, entity[1])) - 1e-4, j) for j in range(size)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < n:
        _, j = heapq.heappop(heap)
        now = gain(j)
        if heap and now < -heap[0][0] - 1e-9:
            heapq.heappush(heap, (-now, j))
            continue
        chosen.append(j)
        best[covered[j]] = np.maximum(best[covered[j]], weight[j])
        for name in names[j]:
            counts[name] = counts.get(name, 0) + 1
    return chosen


def _turned(graph: Graph, quality: F32) -> tuple[list[I64], list[F32]]:
    """For each item: whom it covers, and how well, by its quality."""
    size, count = graph.near.shape
    owner = graph.near.ravel()
    order = np.argsort(owner, kind="stable")
    who = np.repeat(np.arange(size), count)[order]
    worth = graph.likeness.ravel()[order] * quality[owner[order]]
    cuts = np.searchsorted(owner[order], np.arange(1, size))
    return np.split(who, cuts), np.split(worth.astype(np.float32), cuts)


def _entity_gain(names: frozenset[str], counts: dict[str, int], cap: int) -> float:
    total = 0.0
    for name in names:
        have = counts.get(name, 0)
        if have < cap:
            total += math.sqrt(have + 1) - math.sqrt(have)
    return total / math.sqrt(max(1, len(names)))


def coverage(graph: Graph, chosen: Sequence[int]) -> float:
    """Mean likeness of every item to its nearest chosen one."""
    flags = np.zeros(len(graph.near), bool)
    flags[list(chosen)] = True
    return float(np.where(flags[graph.near], graph.likeness, 0.0).max(axis=1).mean())
