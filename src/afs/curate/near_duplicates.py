"""Near duplicates of many texts: sketch, bands, candidates, and an exact similarity for every candidate.

Texts and sketches lie in files that are mapped, so millions of them need little memory of their own.
"""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from afs.curate import shingles
from afs.curate.shingles import BANDS, BINS, F32, U8, U32, U64
from afs.curate.skeletons import find_skeletons
from afs.curate.text_keys import normalize_text

WORDS = 2
_CHUNK = 4 << 20
REACH = 4
"""In a crowd of one key a text is compared with this many neighbors, sorted by the next band's key."""
_MARGIN = 0.12
"""A sketch may underrate a pair by this much before it is left out."""
_WEIGHTS = shingles.mix(np.arange(1, BANDS + 1, dtype=np.uint64))


class Pairs(NamedTuple):
    """Pairs of texts with their exact similarity."""

    left: U32
    right: U32
    similarity: F32

    def count_neighbors(self) -> Counter[int]:
        """Text -> how many others it is paired with."""
        numbers, counts = np.unique(np.concatenate([self.left, self.right]), return_counts=True)
        return Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))


class _Part(NamedTuple):
    """Where a block of texts lies, and what is kept of it in memory."""

    first: int
    sizes: U64
    digest: U64
    skeleton: U64


class SketchedTexts(NamedTuple):
    """What is kept of each text of a block."""

    sizes: U64
    sketches: shingles.Sketches
    digest: U64
    skeleton: U64


def least_agreement(floor: float) -> int:
    """Bytes of their sketches in which two texts that may be as alike as `floor` agree."""
    return max(1, int((floor - _MARGIN) * BINS))


def divide_pairs(joined: U64) -> tuple[U32, U32]:
    """Left and right of `left << 32 | right`."""
    return (joined >> np.uint64(32)).astype(np.uint32), (joined & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def join_texts(texts: list[str]) -> bytes:
    """Texts in a row, a line end behind each."""
    return "\n".join([*texts, ""]).encode("utf-8", "replace")


def sketch_texts(texts: list[str], block: bytes, words: int = WORDS) -> SketchedTexts:
    """The sketches of texts and of the block that they are in a row."""
    sizes = _measure_sizes(texts, len(block))
    data, starts = np.frombuffer(block, np.uint8), offsets(sizes)
    sketches = shingles.sketch(data, starts, words)
    digest = _WEIGHTS @ sketches.bands.astype(np.uint64)
    return SketchedTexts(sizes, sketches, digest, find_skeletons(data, starts))


class TextSet(ABC):
    """Texts by number, and which of them may be copies of each other."""

    @abstractmethod
    def text(self, number: int) -> str:
        """A text as it was added."""

    @abstractmethod
    def digests(self) -> U64:
        """A number for each text that is the same for texts that differ only in case and spacing."""

    @abstractmethod
    def skeletons(self) -> U64:
        """The skeleton of each text; 0 for one that has none."""

    @abstractmethod
    def near_pairs(self, floor: float) -> Pairs:
        """Every pair that shares a band and truly reaches `floor`."""

    @abstractmethod
    def close(self) -> None:
        """Release the texts."""

    def equal_groups(self) -> Iterator[list[int]]:
        """Groups of texts that differ only in case and spacing."""
        digest = self.digests()
        order = np.argsort(digest, kind="stable")
        key = digest[order]
        places = shingles.repeated_places(key)
        for group in np.split(order[places], np.flatnonzero(np.diff(key[places])) + 1):
            same: dict[str, list[int]] = defaultdict(list)
            for number in group.tolist():
                same[normalize_text(self.text(number))].append(number)
            yield from (members for members in same.values() if len(members) > 1)

    def skeleton_groups(self) -> Iterator[list[int]]:
        """Groups of texts that are one but for comments, layout, quotes and the names they bind."""
        digest = self.skeletons()
        known = np.flatnonzero(digest)
        order = known[np.argsort(digest[known], kind="stable")]
        key = digest[order]
        places = shingles.repeated_places(key)
        for group in np.split(order[places], np.flatnonzero(np.diff(key[places])) + 1):
            if len(group) > 1:
                yield group.tolist()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Corpus(TextSet):
    """Texts added one by one, then searched for duplicates; nothing can be added after the first search."""

    def __init__(self, folder: Path | None = None, *, jobs: int = 1, words: int = WORDS) -> None:
        self.words, self.jobs = words, jobs
        self._files = [tempfile.TemporaryFile(dir=folder, buffering=0) for _ in range(3)]  # noqa: SIM115  closed by close()
        self._waiting: list[str] = []
        self._chars = self._bytes = self._count = 0
        self._pool = ThreadPoolExecutor(jobs)
        self._sent: list[Future[_Part]] = []
        self._parts: list[_Part] = []
        self._data: U8 = np.empty(0, np.uint8)
        self._sketch_bytes: U8 = np.empty((0, BINS), np.uint8)
        self._bands: U32 = np.empty(0, np.uint32)
        self._starts: U64 = np.zeros(1, np.uint64)

    def add(self, text: str) -> None:
        """One more text."""
        self._waiting.append(text)
        self._chars += len(text)
        if self._chars >= _CHUNK:
            self._submit_block()

    def _submit_block(self) -> None:
        if not self._waiting:
            return
        texts, self._waiting, self._chars = self._waiting, [], 0
        block = join_texts(texts)
        self._sent.append(self._pool.submit(self._store_block, texts, block, self._bytes, self._count))
        self._bytes += len(block)
        self._count += len(texts)
        if len(self._sent) > 2 * self.jobs:
            self._sent[-2 * self.jobs].result()

    def _store_block(self, texts: list[str], block: bytes, at: int, number: int) -> _Part:
        """Store a block of texts and its sketches at their places."""
        found = sketch_texts(texts, block, self.words)
        text, sketch, bands = self._files
        _write_at(text.fileno(), memoryview(block), at)
        _write_at(sketch.fileno(), found.sketches.bytes.data.cast("B"), number * BINS)
        _write_at(bands.fileno(), found.sketches.bands.data.cast("B"), number * BANDS * 4)
        return _Part(number, found.sizes, found.digest, found.skeleton)

    def _map_files(self) -> None:
        """Map what was written."""
        self._submit_block()
        if not self._sent:
            return
        self._parts += [part.result() for part in self._sent]
        self._sent = []
        self._starts = offsets(np.concatenate([part.sizes for part in self._parts]))
        text, sketch, bands = (np.asarray(np.memmap(file, np.uint8, "r")) for file in self._files)
        self._data, self._sketch_bytes, self._bands = text, sketch.reshape(-1, BINS), bands.view(np.uint32)

    def text(self, number: int) -> str:
        """A text as it was added."""
        start, end = int(self._starts[number]), int(self._starts[number + 1])
        return self._data[start : end - 1].tobytes().decode("utf-8", "replace")

    def digests(self) -> U64:
        """A number for each text that is the same for texts that differ only in case and spacing."""
        self._map_files()
        return np.concatenate([np.empty(0, np.uint64), *(part.digest for part in self._parts)])

    def skeletons(self) -> U64:
        """The skeleton of each text; 0 for one that has none."""
        self._map_files()
        return np.concatenate([np.empty(0, np.uint64), *(part.skeleton for part in self._parts)])

    def near_pairs(self, floor: float) -> Pairs:
        """Every pair that shares a band and truly reaches `floor`."""
        self._map_files()
        left, right = divide_pairs(self._candidates(least_agreement(floor)))
        similarity = self._similarity(left, right)
        keep = similarity >= floor
        return Pairs(left[keep], right[keep], similarity[keep])

    def _candidates(self, least: int) -> U64:
        """Pairs that share a band and agree in `least` bytes of their sketches, as `left << 32 | right`, in order."""

        def of_band(band: int) -> U64:
            own, following = self._column(band), self._column((band + 1) % BANDS)
            return shingles.band_pairs(self._sketch_bytes, own, following, least, REACH)

        return shingles.distinct(np.concatenate(list(self._pool.map(of_band, range(BANDS)))))

    def _column(self, band: int) -> U32:
        """The keys of all texts in one band; in each block a band's keys lie together."""
        begin = ((part.first * BANDS + band * len(part.sizes), len(part.sizes)) for part in self._parts)
        return np.concatenate([np.empty(0, np.uint32), *(self._bands[at : at + size] for at, size in begin)])

    def _similarity(self, left: U32, right: U32) -> F32:
        """Exact similarity of pairs, in threads."""
        cuts = np.array_split(np.arange(len(left)), self.jobs * 4)
        parts = self._pool.map(
            lambda at: shingles.jaccard(self._data, self._starts, self.words, left[at], right[at]), cuts
        )
        return np.concatenate(list(parts))

    def close(self) -> None:
        """Release the texts."""
        self._pool.shutdown()
        self._data = self._sketch_bytes = np.empty(0, np.uint8)
        self._bands = np.empty(0, np.uint32)
        for file in self._files:
            file.close()


def _measure_sizes(texts: list[str], whole: int) -> U64:
    """The bytes of each text and the line end behind it; `whole` is their sum."""
    sizes = np.fromiter(map(len, texts), np.uint64, len(texts)) + np.uint64(1)
    if int(sizes.sum()) == whole:
        return sizes
    return np.fromiter((len(t.encode("utf-8", "replace")) for t in texts), np.uint64, len(texts)) + np.uint64(1)


def offsets(sizes: U64) -> U64:
    """Where each text begins, and the end."""
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(sizes, dtype=np.uint64)])


def _write_at(file: int, values: memoryview, place: int) -> None:
    while len(values):
        written = os.pwrite(file, values, place)
        values, place = values[written:], place + written
