"""A block of records, one stored shard of a source, taken through the first steps: file in, files out.

Only steps that look at each record alone run here; what depends on other blocks (a copy elsewhere) is decided where
blocks are joined. Beside the records lie the sketches and shared shingles that the steps after them will ask for.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from afs import jsonl, sealed_files
from afs.config import Plugin
from afs.curate import near_duplicates
from afs.curate.decontaminate import Decontaminate, HeldIndex
from afs.curate.dedup import Dedup, compared_text
from afs.curate.mixture import tag_source
from afs.curate.shingles import BANDS, BINS
from afs.curate.split import Sides, SplitRule
from afs.curate.step_context import StepContext, pack_frame
from afs.curate.step_runner import SINGLE_PASS_STEPS, NamedStep, parse_steps
from afs.gc_pause import pause_collector
from afs.manifests import file_entry, refuse_changed
from afs.runs import Run, RunState
from afs.types import Dropped, FileEntry, Json, Record, Value
from afs.workspace import Workspace

_CHUNK = 4 << 20
"""Characters of text that are sketched at once."""
_HITS = "redactions.jsonl"


class BlockJob(Value, frozen=True, kw_only=True):
    """Everything a worker needs to prepare one block."""

    root: str
    """The workspace, by the same path on every machine."""
    name: str
    steps: list[Plugin]
    profile: str
    folder: str
    """Folder of the source's shard, in the workspace."""
    shard: FileEntry
    tag: str = ""
    """The dataset that the records come from, which they are tagged with; empty for records."""
    target: str
    """Folder of the outcome, in the workspace."""
    number: int


class BlockFiles(Value, frozen=True, kw_only=True):
    """The file that is written last: what a finished block consists of."""

    records: int
    kept: int
    files: tuple[FileEntry, ...]


class Outcome(Value, frozen=True, kw_only=True):
    """One record after the first steps."""

    raw: str
    """Id of the record as it was read."""
    record: Record
    step: int = -1
    """Number of the step that dropped it."""
    reason: str = ""
    detail: str = ""
    hits: tuple[Json, ...] = ()
    """What was redacted."""
    clean: Record | None = None
    """The record as redaction left it, when something was redacted."""


class _BlockRecord:
    """A record on its way through the steps."""

    __slots__ = ("clean", "dropped", "hits", "raw", "record", "step")

    def __init__(self, record: Record) -> None:
        self.raw, self.record = record.id, record
        self.step, self.dropped = -1, ("", "")
        self.hits: tuple[Json, ...] = ()
        self.clean: Record | None = None

    def outcome(self) -> Outcome:
        reason, detail = self.dropped
        return Outcome(
            raw=self.raw,
            record=self.record,
            step=self.step,
            reason=reason,
            detail=detail,
            hits=self.hits,
            clean=self.clean,
        )


class _Stream:
    """Records of unknown number, for a step."""

    def __init__(self, source: Iterator[Record]) -> None:
        self._source = source

    def __iter__(self) -> Iterator[Record]:
        return self._source

    def __len__(self) -> int:
        return 0

    def frame_of(self, value: Record) -> memoryview | None:
        """None: nothing is kept of what was read."""
        return None


def split_steps(steps: Sequence[NamedStep]) -> tuple[Sequence[NamedStep], Dedup | None, Decontaminate | None]:
    """The steps that a block goes through, and those right after them that it prepares."""
    first = next((n for n, named in enumerate(steps) if named.name not in SINGLE_PASS_STEPS), len(steps))
    rest = [named.step for named in steps[first:]]
    dedup = rest[0] if rest and isinstance(rest[0], Dedup) else None
    after = rest[1 if dedup is not None else 0 :][:1]
    decontaminate = after[0] if after and isinstance(after[0], Decontaminate) else None
    return steps[:first], dedup, decontaminate


def prepare_block(payload: bytes) -> bytes:
    """A worker's entry: a job in; the outcome lies in files."""
    job = msgspec.msgpack.decode(payload, type=BlockJob)
    workspace = Workspace(Path(job.root))
    target = workspace.root / job.target
    steps, dedup, decontaminate = split_steps(parse_steps(job.steps, job.profile))
    state = RunState(id=f"block-{job.number}", verb="curate", digest="", status="running", started=0.0)
    own = StepContext(Run(workspace, target, state), job.name, Sides(SplitRule())).for_trial()
    own.jobs, own.verdicts = 1, f"verdicts-{socket.gethostname()}.db"
    with closing(own) as context, pause_collector():
        items: Iterator[_BlockRecord] = (_BlockRecord(record) for record in _read_records(job, workspace))
        for number, named in enumerate(steps):
            items = _pass_through(number, named, items, context)
        index = None
        if decontaminate is not None:
            index = HeldIndex(decontaminate.list_held_out(workspace, job.name), decontaminate)
        _BlockWriter(target, job.number, index, dedup is not None).write(items)
    return b""


def _read_records(job: BlockJob, workspace: Workspace) -> Iterator[Record]:
    path = workspace.root / job.folder / job.shard.path
    refuse_changed(path, job.shard)
    for record in jsonl.read(path, Record):
        yield tag_source(record, job.tag) if job.tag else record


def _pass_through(
    number: int, named: NamedStep, items: Iterable[_BlockRecord], context: StepContext
) -> Iterator[_BlockRecord]:
    """Records through one step, which yields each of them once and in order; those dropped before pass by."""
    waiting: deque[_BlockRecord] = deque()

    def alive() -> Iterator[Record]:
        for item in items:
            waiting.append(item)
            if item.step < 0:
                yield item.record

    for result in named.step(_Stream(alive()), context):
        while waiting[0].step >= 0:
            yield waiting.popleft()
        item = waiting.popleft()
        item.record = result.record if isinstance(result, Dropped) else result
        if hits := context.aside.pop(_HITS, None):
            item.hits, item.clean = tuple(hits), item.record
        if isinstance(result, Dropped):
            item.step, item.dropped = number, (result.reason, result.detail)
        yield item
    yield from waiting


class _BlockWriter:
    """The files of one block."""

    def __init__(self, folder: Path, number: int, index: HeldIndex | None, is_sketched: bool) -> None:
        self.folder, self.stem, self.index, self.is_sketched = folder, block_stem(number), index, is_sketched
        self.ids: list[tuple[str, str]] = []
        self.steps: list[tuple[int, bool]] = []
        self._texts: list[str] = []
        self._size = 0
        self._sketched: list[near_duplicates.SketchedTexts] = []

    def write(self, items: Iterable[_BlockRecord]) -> None:
        """Everything, then the file that says so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with jsonl.open_replacement(self._path("text")) as text, jsonl.open_replacement(self._path("outcomes")) as out:
            kept = self._store(items, text, out)
            nothing = np.empty(0, np.uint32)
            if self.index is not None:
                row, gram = self.index.probe(kept)
            else:
                row, gram = nothing, nothing
                deque(kept, maxlen=0)
            self._sketch(text)
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "ids": np.array(self.ids, "S32").reshape(-1, 2),
            "steps": np.array(self.steps, np.int16).reshape(-1, 2),
            "shared": np.stack([row, gram]),
        }
        if self.is_sketched:
            arrays |= self._join_sketches()
        for name, array in arrays.items():
            with jsonl.open_replacement(self._path(f"{name}.npy")) as file:
                np.save(file, array)
        names = ("text", "outcomes", *(f"{name}.npy" for name in arrays))
        files = tuple(file_entry(self.folder, self._path(name)) for name in names)
        kept_count = sum(step < 0 for step, _ in self.steps)
        done = BlockFiles(records=len(self.ids), kept=kept_count, files=files)
        sealed_files.replace_sealed(self._path("json"), msgspec.json.encode(done))

    def _path(self, what: str) -> Path:
        return self.folder / f"{self.stem}.{what}"

    def _store(self, items: Iterable[_BlockRecord], text: BinaryIO, out: BinaryIO) -> Iterator[Record]:
        """Write every outcome; the records that are kept."""
        encode = msgspec.msgpack.Encoder().encode
        for item in items:
            out.write(pack_frame(encode(item.outcome())))
            self.ids.append((item.raw, (item.clean or item.record).id))
            self.steps.append((item.step, bool(item.hits)))
            if item.step >= 0:
                continue
            if self.is_sketched:
                self._texts.append(compared_text(item.record))
                self._size += len(self._texts[-1])
                if self._size >= _CHUNK:
                    self._sketch(text)
            yield item.record

    def _sketch(self, file: BinaryIO) -> None:
        if self._texts:
            block = near_duplicates.join_texts(self._texts)
            self._sketched.append(near_duplicates.sketch_texts(self._texts, block))
            file.write(block)
            self._texts, self._size = [], 0

    def _join_sketches(self) -> dict[str, npt.NDArray[np.generic]]:
        parts, none = self._sketched, np.empty(0, np.uint64)
        return {
            "sizes": np.concatenate([none, *(part.sizes for part in parts)]),
            "digests": np.concatenate([none, *(part.digest for part in parts)]),
            "skeletons": np.concatenate([none, *(part.skeleton for part in parts)]),
            "sketches": np.concatenate([np.empty((0, BINS), np.uint8), *(part.sketches.bytes for part in parts)]),
            "bands": np.concatenate([np.empty((BANDS, 0), np.uint32), *(p.sketches.bands for p in parts)], axis=1),
        }


def block_stem(number: int) -> str:
    """How the names of a block's files begin."""
    return f"{number:06d}"
