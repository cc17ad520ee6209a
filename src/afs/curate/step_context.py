"""What the steps of a curation share: records that can be read repeatedly, spilled to disk when large, and notes."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

import msgspec

from afs.answer_verifier import Verifier, open_verifier
from afs.curate.split import Sides
from afs.errors import DataError
from afs.runs import Run
from afs.types import Dropped, Json, Record
from afs.workspace import Workspace

T = TypeVar("T")
IN_MEMORY = 60_000
"""Most values held in memory; more are spilled to a file."""
LARGEST = 160 << 20
"""Most bytes held in memory."""
_AROUND = 2000
"""Bytes of memory a record takes besides its texts."""
_BLOCK = 1 << 20
_LENGTH = struct.Struct("<I")


class Spill(Generic[T]):
    """Values in insertion order: in memory at first, in a file once there are many."""

    def __init__(
        self, path: Path, type_: type[T], limit: int = IN_MEMORY, size: Callable[[T], int] | None = None
    ) -> None:
        self.path, self.limit, self.count = path, limit, 0
        self._size, self._held = size, 0
        self._first: list[T] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(type_).decode
        self._file: BinaryIO | None = None
        self._read: tuple[T, memoryview] | None = None

    def add(self, value: T, frame: memoryview | None = None) -> None:
        """Append a value; `frame` is its encoding if already known."""
        self.count += 1
        if self._file is None:
            self._first.append(value)
            if self._size is not None:
                self._held += self._size(value)
            if len(self._first) > self.limit or self._held > LARGEST:
                self._spill()
            return
        self._file.write(self._frame(value) if frame is None else frame)

    def frame_of(self, value: T) -> memoryview | None:
        """The encoding of the value read last; None for any other."""
        return self._read[1] if self._read is not None and self._read[0] is value else None

    def _frame(self, value: T) -> bytes:
        return pack_frame(self._encode(value))

    def _spill(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("wb", buffering=1 << 20)
        self._file.writelines(map(self._frame, self._first))
        self._first = []

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[T]:
        if self._file is None:
            yield from list(self._first)
            return
        self._file.flush()
        with self.path.open("rb", buffering=0) as source:
            for frame in read_frames(source):
                value = self._decode(frame[4:])
                self._read = value, frame
                yield value
        self._read = None

    def close(self) -> None:
        """Release memory and file."""
        self._first = []
        if self._file is not None:
            with suppress(OSError):  # unwritten data may not fit on the disk, and nothing needs it
                self._file.close()
            self.path.unlink(missing_ok=True)
            self._file = None


def pack_frame(raw: bytes) -> bytes:
    """Bytes with their length before them."""
    return _LENGTH.pack(len(raw)) + raw


def read_frames(source: FileIO) -> Iterator[memoryview]:
    """Every frame of a file, including its four-byte length; read in large blocks."""
    rest = b""
    while block := source.read(_BLOCK):
        whole = memoryview(rest + block)
        at, end = 0, len(whole)
        while at + 4 <= end and (after := at + 4 + _LENGTH.unpack_from(whole, at)[0]) <= end:
            yield whole[at:after]
            at = after
        rest = bytes(whole[at:])
    if rest:
        raise DataError(f"{len(rest)} bytes of a spilled record are incomplete: the file is truncated")


def _size(record: Record) -> int:
    """About how many bytes of memory a record takes."""
    return _AROUND + sum([len(m.text) + len(m.thinking) for m in record.messages])


Records = Spill[Record]


class StepContext:
    """The context of a step: the run, the name of the dataset, the side of every record, and notes."""

    def __init__(self, run: Run, name: str, side: Sides, sources: tuple[str, ...] = ()) -> None:
        self.run, self.name, self.side, self.sources = run, name, side, sources
        self.jobs, self.verdicts = run.workspace.jobs, "verdicts.db"
        self.notes: dict[str, Json] = {}
        self._verifier: Verifier | None = None
        self._emits_events = True
        self._held: list[Spill[Record] | Spill[Dropped]] = []
        self.families: dict[str, set[str]] = {}
        """Domain -> task families of the records read; '' stands for records without a task."""
        self.short: Counter[str] = Counter()
        """Missing records by name of the share; stored in the dataset's counts."""
        self.sources_read: Counter[str] = Counter()
        """Records read, by source."""
        self.added = 0
        """Records the step created itself."""
        self.aside: dict[str, list[Json]] = {}
        """Rows written beside the dataset, by file name: pairs of near duplicates, redactions …"""

    @property
    def workspace(self) -> Workspace:
        """The workspace."""
        return self.run.workspace

    @property
    def verifier(self) -> Verifier:
        """The verifier of this curation; its workers start on first use."""
        if self._verifier is None:
            self._verifier = open_verifier(self.workspace.root, self.jobs, self.verdicts)
        return self._verifier

    def close(self) -> None:
        """Stop the workers and remove spilled files."""
        if self._verifier is not None:
            self._verifier.close()
        for held in self._held:
            held.close()

    def count_read(self, record: Record) -> None:
        """Count a record that was read by group and family."""
        self.side.count(record)
        self.sources_read[record.origin.source] += 1
        task = record.task
        families = self.families.setdefault(task.domain if task is not None else record.domain, set())
        families.add(task.family if task is not None else "")

    def note(self, step: str, /, **facts: object) -> None:
        """Facts for the report, also emitted as an event."""
        self.notes.setdefault(step, {}).update(facts)
        if self._emits_events:
            self.run.event(f"curate.{step}", **facts)

    def keep(self, file: str, rows: Iterable[Json]) -> None:
        """Rows for a file beside the dataset."""
        self.aside.setdefault(file, []).extend(rows)

    def for_trial(self) -> StepContext:
        """The same context for a trial run: its notes and rows are discarded."""
        other = StepContext(self.run, self.name, self.side, self.sources)
        other._emits_events = False
        return other

    def new_records(self, name: str) -> Records:
        """An empty list of records that can spill to disk."""
        held = Spill(self.run.scratch / f"{name}.bin", Record, size=_size)
        self._held.append(held)
        return held

    def new_dropped(self, name: str = "dropped") -> Spill[Dropped]:
        """An empty list of dropped records that can spill to disk."""
        held = Spill(self.run.scratch / f"{name}.bin", Dropped, size=lambda dropped: _size(dropped.record))
        self._held.append(held)
        return held


class RecordStream(Protocol):
    """Records one by one, and how many there are at most."""

    def __iter__(self) -> Iterator[Record]: ...

    def __len__(self) -> int: ...

    def frame_of(self, value: Record) -> memoryview | None:
        """The encoding of the record yielded last; None for any other."""


class Step(Protocol):
    """A step is its options, called with the records: each is returned unchanged, changed, or dropped with a reason."""

    def __call__(self, records: RecordStream, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record, or why it was left out."""
