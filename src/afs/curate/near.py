"""Near duplicates of many texts: sketch, bands, candidates, and an exact similarity for every candidate.

Texts lie in one file that is mapped, so half a million of them need no more memory than their sketches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from afs.curate import grams
from afs.curate.grams import BANDS, BINS, F32, U8, U32, U64, Sketches

WORDS = 2
_CHUNK = 4 << 20
_REACH = 4
"""In a band, a text is compared with this many neighbours; equal keys lie sorted by the next band's key."""
_MARGIN = 0.12
"""A sketch may underrate a pair by this much before it is left out."""


class Pairs(NamedTuple):
    """Pairs of texts with their exact similarity."""

    left: U32
    right: U32
    similarity: F32


class Corpus:
    """Texts added one by one; `sketches()` ends the adding."""

    def __init__(self, folder: Path | None = None, *, jobs: int = 1, words: int = WORDS) -> None:
        self.words, self.jobs = words, jobs
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed by close()
        self._sizes: list[U64] = []
        self._waiting: list[str] = []
        self._chars = 0
        self._pool = ThreadPoolExecutor(jobs)
        self._parts: list[Future[Sketches]] = []
        self._data: U8 = np.empty(0, np.uint8)
        self._starts: U64 = np.zeros(1, np.uint64)

    def add(self, text: str) -> None:
        """One more text."""
        self._waiting.append(text)
        self._chars += len(text)
        if self._chars >= _CHUNK:
            self._send()

    def _send(self) -> None:
        if not self._waiting:
            return
        block, sizes = _block(self._waiting)
        self._sizes.append(sizes)
        self._waiting, self._chars = [], 0
        self._file.write(block)
        starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.uint64)]).astype(np.uint64)
        self._parts.append(self._pool.submit(grams.sketch, np.frombuffer(block, np.uint8), starts, self.words))
        if len(self._parts) > 2 * self.jobs:
            self._parts[-2 * self.jobs].result()

    def sketches(self) -> Sketches:
        """The sketches of all texts, in their order."""
        self._send()
        self._file.flush()
        parts = [part.result() for part in self._parts]
        self._parts = []
        sizes = np.concatenate([np.zeros(1, np.uint64), *self._sizes])
        self._starts = np.cumsum(sizes, dtype=np.uint64)
        if self._sizes:
            self._data = np.memmap(self._file, np.uint8, "r")
            return Sketches(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        return Sketches(np.zeros((0, BINS), np.uint8), np.zeros((0, BANDS), np.uint32), np.zeros((0, 2), np.uint64))

    def text(self, number: int) -> str:
        """A text as it was added."""
        start, end = int(self._starts[number]), int(self._starts[number + 1])
        return self._data[start : end - 1].tobytes().decode("utf-8", "replace")

    def similarity(self, left: U32, right: U32) -> F32:
        """Exact similarity of pairs, in threads."""
        if not len(left):
            return np.zeros(0, np.float32)
        cuts = np.array_split(np.arange(len(left)), self.jobs)
        parts = self._pool.map(
            lambda at: grams.jaccard(self._data, self._starts, self.words, left[at], right[at]), cuts
        )
        return np.concatenate(list(parts))

    def close(self) -> None:
        """Forget the texts."""
        self._pool.shutdown()
        self._data = np.empty(0, np.uint8)
        self._file.close()

    def __enter__(self) -> Corpus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _block(texts: list[str]) -> tuple[bytes, U64]:
    """(texts as lines of bytes, the size of each)."""
    joined = "\n".join([*texts, ""])
    block = joined.encode("utf-8", "replace")
    if len(block) == len(joined):
        return block, np.fromiter(map(len, texts), np.uint64, len(texts)) + np.uint64(1)
    return block, np.fromiter((len(t.encode("utf-8", "replace")) for t in texts), np.uint64, len(texts)) + np.uint64(1)


def near_pairs(corpus: Corpus, sketches: Sketches, floor: float) -> Pairs:
    """Every pair that shares a band and truly reaches `floor`."""
    least = max(1, int((floor - _MARGIN) * BINS))
    codes = [code for band in range(BANDS) for code in _band_pairs(sketches, band, least)]
    joined = np.unique(np.concatenate(codes)) if codes else np.empty(0, np.uint64)
    left, right = (joined >> np.uint64(32)).astype(np.uint32), (joined & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    similarity = corpus.similarity(left, right)
    keep = similarity >= floor
    return Pairs(left[keep], right[keep], similarity[keep])


def _band_pairs(sketches: Sketches, band: int, least: int) -> Iterator[U64]:
    """Pairs of neighbours in one band, as `left << 32 | right`, whose sketches agree well enough."""
    own = sketches.bands[:, band]
    next_ = sketches.bands[:, (band + 1) % BANDS]
    order = np.argsort((own.astype(np.uint64) << np.uint64(32)) | next_).astype(np.uint32)
    keys = own[order]
    for reach in range(1, _REACH + 1):
        same = np.flatnonzero(keys[reach:] == keys[:-reach]) if len(keys) > reach else np.empty(0, np.int64)
        if not len(same):
            return
        a, b = order[same], order[same + reach]
        good = grams.agree(sketches.bytes, a, b) >= least
        a, b = a[good], b[good]
        yield (np.minimum(a, b).astype(np.uint64) << np.uint64(32)) | np.maximum(a, b)


def equal_groups(sketches: Sketches) -> list[npt.NDArray[np.int64]]:
    """Groups of texts with one digest."""
    digest = sketches.digest
    if len(digest) < 2:
        return []
    order = np.lexsort((digest[:, 1], digest[:, 0]))
    same = (digest[order][1:] == digest[order][:-1]).all(axis=1)
    edges = np.flatnonzero(~same) + 1
    return [group for group in np.split(order, edges) if len(group) > 1]
