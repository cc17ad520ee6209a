"""The units of a version, and the lists that shards leave of what they read: joining need not hash the input again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from afs import sealed_files
from afs.errors import DataError
from afs.ingest.base import Unit
from afs.types import Value
from afs.work_division import ShardNumber, require_pieces


class UnitEntry(Value, frozen=True, kw_only=True):
    """One unit of a version: a digest of its path, and the cache key of its outcome."""

    place: str
    label: str
    key: str


class ListedUnit(Value, frozen=True, kw_only=True):
    """A unit that a shard read, with size and time of its files."""

    entry: UnitEntry
    stamps: tuple[tuple[int, int], ...]


def stamp_files(unit: Unit) -> tuple[tuple[int, int], ...]:
    """Size and time of change of a unit's files; those that are not there have none."""
    found = []
    for path in (unit.path, *unit.beside):
        with suppress(OSError):
            state = path.stat()
            found.append((state.st_size, state.st_mtime_ns))
    return tuple(found)


class UnitLists:
    """The lists of all shards of one ingest, in a folder of their own."""

    def __init__(self, folder: Path, share: ShardNumber) -> None:
        self.folder, self.share = folder, share

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}-of-{self.share.total}.json"

    def write(self, units: Sequence[ListedUnit]) -> None:
        """The list of this shard; it is written last, so its presence means that all of it was read."""
        sealed_files.replace_sealed(self._path(self.share.number), msgspec.json.encode(units))

    def join(self, units: Iterable[tuple[str, Unit]]) -> Iterator[UnitEntry]:
        """The entry of every unit (place, unit) as its shard read it."""
        missing = [number - 1 for number in range(1, self.share.total + 1) if not self._path(number).exists()]
        require_pieces(missing, self.share, "parts")
        listed = {}
        for number in range(1, self.share.total + 1):
            for one in msgspec.json.decode(sealed_files.read_sealed(self._path(number)), type=list[ListedUnit]):
                listed[one.entry.place] = one
        for piece, (place, unit) in enumerate(units):
            known = listed.get(place)
            if known is None or known.stamps != stamp_files(unit):
                number = piece % self.share.total + 1
                what = "was added" if known is None else "changed"
                raise DataError(
                    f"{unit.label}: {what} after its shard was read; run --shards {number}/{self.share.total} again"
                )
            yield known.entry
