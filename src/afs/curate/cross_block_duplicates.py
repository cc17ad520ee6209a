"""The sketched texts of prepared blocks as one set, and their near duplicates found band by band.

Keys of one band that begin alike are searched together and apart from all others, so that a machine needs room for one
part of one band only, however many texts there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from afs import jsonl
from afs.curate import near_duplicates, shingles
from afs.curate.block_preparation import block_stem
from afs.curate.near_duplicates import REACH, WORDS, Pairs, TextSet
from afs.curate.shingles import BANDS, U8, U32, U64
from afs.errors import DataError
from afs.types import Value

COUNTED, COPY, REPEATED = 2, 1, 0
"""What a record of a block is: counted, equal to an earlier one after redaction, or read before in another shard."""
STANDING = "standing.npy"
_PAIRS_AT_ONCE = 20_000
_BANDS_AT_ONCE = tuple(tuple(range(first, first + 4)) for first in range(0, BANDS, 4))
_TEXTS_AT_ONCE = 20_000_000
"""Texts whose keys in one band are searched at once."""


class PairJob(Value, frozen=True, kw_only=True):
    """One part of some bands."""

    folder: str
    blocks: int
    bands: tuple[int, ...]
    part: int
    parts: int
    floor: float


def list_jobs(folder: Path, blocks: int, floor: float) -> list[PairJob]:
    """The searches for near duplicates among the texts of all blocks."""
    with StoredTexts(folder, blocks) as texts:
        parts = 1 + len(texts) // _TEXTS_AT_ONCE
    return [
        PairJob(folder=str(folder), blocks=blocks, bands=bands, part=part, parts=parts, floor=floor)
        for bands in _BANDS_AT_ONCE
        for part in range(parts)
    ]


def pair_file(job: PairJob) -> Path:
    """Where the pairs of a search are stored."""
    return Path(job.folder) / f"pairs-{job.bands[0]:02d}-{job.part}-of-{job.parts}.npy"


def find_pairs(payload: bytes) -> bytes:
    """A worker's entry: the pairs of a search go into a file."""
    job = msgspec.msgpack.decode(payload, type=PairJob)
    with StoredTexts(Path(job.folder), job.blocks) as texts:
        pairs = texts.search(job)
    rows = np.zeros((3, len(pairs.left)), np.uint32)
    rows[0], rows[1], rows[2] = pairs.left, pairs.right, pairs.similarity.view(np.uint32)
    with jsonl.open_replacement(pair_file(job)) as file:
        np.save(file, rows)
    return b""


class _Block:
    """The arrays of one block, mapped, and which of its kept records count."""

    def __init__(self, folder: Path, number: int, standing: U8) -> None:
        self.folder, self.stem = folder, block_stem(number)
        self._arrays: dict[str, npt.NDArray[np.generic]] = {}
        kept = np.asarray(self.array("steps")[:, 0], np.int64) < 0
        self.ids: npt.NDArray[np.bytes_] = self.array("ids")[kept, 1]
        self.counted = np.flatnonzero(standing[kept] == COUNTED)

    def array(self, name: str) -> npt.NDArray[np.generic]:
        """One of its arrays."""
        if name not in self._arrays:
            self._arrays[name] = np.asarray(np.load(self.folder / f"{self.stem}.{name}.npy", mmap_mode="r"))
        return self._arrays[name]


class StoredTexts(TextSet):
    """The texts of all blocks whose records count, numbered in their order."""

    def __init__(self, folder: Path, blocks: int) -> None:
        self.folder = folder
        standing: U8 = np.load(folder / STANDING)
        self.blocks: list[_Block] = []
        at = 0
        for number in range(blocks):
            size = len(np.load(folder / f"{block_stem(number)}.steps.npy", mmap_mode="r"))
            self.blocks.append(_Block(folder, number, standing[at : at + size]))
            at += size
        self._first = np.cumsum([0, *(len(block.counted) for block in self.blocks)])
        self._offsets: dict[int, U64] = {}
        self._data: dict[int, U8] = {}

    def __len__(self) -> int:
        return int(self._first[-1])

    def text(self, number: int) -> str:
        """A text as it was sketched."""
        return self._bytes(number)[:-1].decode("utf-8", "replace")

    def _bytes(self, number: int) -> bytes:
        at = int(np.searchsorted(self._first, number, side="right")) - 1
        block = self.blocks[at]
        if at not in self._offsets:
            self._offsets[at] = near_duplicates.offsets(np.asarray(block.array("sizes"), np.uint64))
            self._data[at] = np.asarray(np.memmap(self.folder / f"{block.stem}.text", np.uint8, "r"))
        row = int(block.counted[number - int(self._first[at])])
        return self._data[at][int(self._offsets[at][row]) : int(self._offsets[at][row + 1])].tobytes()

    def _column(self, name: str) -> U64:
        none = np.empty(0, np.uint64)
        return np.concatenate([none, *(np.asarray(b.array(name)[b.counted], np.uint64) for b in self.blocks)])

    def digests(self) -> U64:
        """A number for each text that is the same for texts that differ only in case and spacing."""
        return self._column("digests")

    def skeletons(self) -> U64:
        """The skeleton of each text; 0 for one that has none."""
        return self._column("skeletons")

    def _band(self, band: int) -> U32:
        none = np.empty(0, np.uint32)
        rows = (np.asarray(b.array("bands")[band][b.counted], np.uint32) for b in self.blocks)
        return np.concatenate([none, *rows])

    def _sketches(self, numbers: npt.NDArray[np.int64]) -> U8:
        cuts = np.searchsorted(numbers, self._first)
        parts = [np.empty((0, shingles.BINS), np.uint8)]
        for at, block in enumerate(self.blocks):
            own = numbers[cuts[at] : cuts[at + 1]] - self._first[at]
            parts.append(np.asarray(block.array("sketches")[block.counted[own]], np.uint8))
        return np.concatenate(parts)

    def search(self, job: PairJob) -> Pairs:
        """The pairs that share a key in a part of the bands and reach the floor."""
        least = near_duplicates.least_agreement(job.floor)
        found = shingles.distinct(np.concatenate([self._search_band(band, job, least) for band in job.bands]))
        left, right = near_duplicates.divide_pairs(found)
        similarity = np.concatenate([np.empty(0, np.float32), *self._similarities(left, right)])
        keep = similarity >= job.floor
        return Pairs(left[keep], right[keep], similarity[keep])

    def _search_band(self, band: int, job: PairJob, least: int) -> U64:
        """Candidates among the keys of one band that begin alike, as `left << 32 | right`."""
        keys = self._band(band)
        mine = np.flatnonzero((keys.astype(np.uint64) * np.uint64(job.parts)) >> np.uint64(32) == job.part)
        _, place, count = np.unique(keys[mine], return_inverse=True, return_counts=True)
        numbers = mine[count[place] > 1]
        own, following = keys[numbers], self._band((band + 1) % BANDS)[numbers]
        found = shingles.band_pairs(self._sketches(numbers), own, following, least, REACH)
        left, right = (numbers[side].astype(np.uint64) for side in near_duplicates.divide_pairs(found))
        return (left << np.uint64(32)) | right

    def _similarities(self, left: U32, right: U32) -> Iterator[npt.NDArray[np.float32]]:
        for at in range(0, len(left), _PAIRS_AT_ONCE):
            sides = np.concatenate([left[at : at + _PAIRS_AT_ONCE], right[at : at + _PAIRS_AT_ONCE]])
            used, place = np.unique(sides, return_inverse=True)
            texts = [self._bytes(number) for number in used.tolist()]
            starts = near_duplicates.offsets(np.array([len(text) for text in texts], np.uint64))
            half, local = len(sides) // 2, place.astype(np.uint32)
            data = np.frombuffer(b"".join(texts), np.uint8)
            yield shingles.jaccard(data, starts, WORDS, local[:half].copy(), local[half:].copy())

    def near_pairs(self, floor: float) -> Pairs:
        """The pairs of all bands, each once, as workers found them."""
        jobs = list_jobs(self.folder, len(self.blocks), floor)
        rows = np.concatenate([np.load(pair_file(job)) for job in jobs], axis=1)
        joined = (rows[0].astype(np.uint64) << np.uint64(32)) | rows[1]
        joined, first = np.unique(joined, return_index=True)
        similarity = rows[2][first].view(np.float32)
        keep = similarity >= floor
        left, right = near_duplicates.divide_pairs(joined[keep])
        return Pairs(left, right, similarity[keep])

    def shared_shingles(self, ids: list[str]) -> tuple[U32, U32]:
        """(number in `ids`, shingle) of what these records, in their order, share with held-out items."""
        none = np.empty(0, np.uint32)
        parts = [(none, none)]
        at = 0
        for block in self.blocks:
            numbers = np.full(len(block.ids), -1, np.int64)
            for row, id_ in zip(block.counted.tolist(), block.ids[block.counted].tolist(), strict=True):
                if at < len(ids) and id_ == ids[at].encode():
                    numbers[row] = at
                    at += 1
            row, gram = block.array("shared")
            here = numbers[row] >= 0
            parts.append((numbers[row][here].astype(np.uint32), np.asarray(gram[here], np.uint32)))
        if at < len(ids):
            raise DataError(f"record {ids[at]} is in no prepared block; delete {self.folder} and prepare them again")
        return np.concatenate([number for number, _ in parts]), np.concatenate([gram for _, gram in parts])

    def close(self) -> None:
        """Release the mapped files."""
        self._data, self._offsets = {}, {}
