"""Stored records: shards of JSON lines compressed with zstd, a manifest written last, and views of a record.

`records/` and `datasets/` share one format; a dataset has several splits. Instruction/output pairs, chats and plain
text are views, computed where they are needed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from afs import jsonl
from afs.errors import DataError, UsageError
from afs.manifests import other_entries, read_manifest, refuse_changed, write_manifest
from afs.plugins import suggest_name
from afs.providers.base import chat_message
from afs.types import (
    Completion,
    Curation,
    Dataset,
    Dropped,
    FileEntry,
    Json,
    Message,
    Record,
    Ref,
    RefKind,
    Split,
    ToolCall,
    digest,
)
from afs.workspace import MANIFEST, SameVersion, Workspace

CURATION = "curation.json"
HELD_OUT_SPLITS = ("heldout", "test", "validation", "eval")
"""Names of splits that are evaluated on and never trained on, the preferred one first."""
SHARD_BYTES = 64 << 20
"""A shard is closed when this many uncompressed bytes are in it."""
_IN_FLIGHT = 8


class _Shard:
    """One shard being written; its digest covers the uncompressed lines, so it does not depend on the compressor."""

    def __init__(self, path: Path) -> None:
        self.path, self.count, self.size = path, 0, 0
        self.content = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._file = path.open("wb")
        self._packer = jsonl.new_compressor()

    def write(self, block: bytes) -> None:
        self.content.update(block)
        self._put(self._packer.compress(block))

    def _put(self, packed: bytes) -> None:
        self._packed.update(packed)
        self._file.write(packed)

    def abandon(self) -> None:
        self._file.close()

    def close(self) -> FileEntry:
        self._put(self._packer.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        size = self.path.stat().st_size
        return FileEntry(path=self.path.name, size=size, sha256=self._packed.hexdigest(), count=self.count)


class Writer:
    """Writes records to the splits of one dataset; `write_dataset()` opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counts: Counter[str] = Counter()
        self.licenses: Counter[str] = Counter()
        self._open: dict[str, _Shard] = {}
        self._shards: list[_Shard] = []
        self._begun: Counter[str] = Counter()
        self._done: dict[str, list[FileEntry]] = {}
        self._content: dict[str, list[str]] = {}
        self._waiting: dict[str, list[bytes]] = {}
        self._encode = msgspec.json.Encoder().encode
        self._dropped: io.BufferedWriter | None = None
        self._packing = ThreadPoolExecutor(1)
        self._sent: deque[Future[None]] = deque()

    def add(self, split: str, record: Record) -> None:
        """Write one record."""
        self.licenses[record.origin.license or "unknown"] += 1
        waiting = self._waiting.setdefault(split, [])
        waiting.append(self._encode(record))
        if len(waiting) >= 512:
            self._flush(split)

    def drop(self, dropped: Dropped) -> None:
        """Store a dropped record in `dropped.jsonl` and count its reason."""
        self.counts[f"dropped:{dropped.reason}"] += 1
        if self._dropped is None:
            self._dropped = (self.folder / "dropped.jsonl").open("wb")
        self._dropped.write(self._encode(dropped) + b"\n")

    def _flush(self, split: str) -> None:
        waiting = self._waiting.pop(split, [])
        if not waiting:
            return
        if split not in self._open:
            shard = _Shard(self.folder / f"{split}-{self._begun[split]:05d}.jsonl.zst")
            self._open[split] = shard
            self._shards.append(shard)
            self._begun[split] += 1
        shard, block = self._open[split], b"\n".join(waiting) + b"\n"
        shard.count += len(waiting)
        shard.size += len(block)
        self._sent.append(self._packing.submit(shard.write, block))
        self._wait(_IN_FLIGHT)
        if shard.size >= SHARD_BYTES:
            self._close(split)

    def _wait(self, most: int) -> None:
        """Wait until at most `most` blocks are still to be compressed; a thread compresses while records arrive."""
        while len(self._sent) > most:
            self._sent.popleft().result()

    def _close(self, split: str) -> None:
        self._sent.append(self._packing.submit(self._finish, split, self._open.pop(split)))

    def _finish(self, split: str, shard: _Shard) -> None:
        """Runs in the compressing thread, after the shard's last block, so that nobody waits for the disk."""
        self._done.setdefault(split, []).append(shard.close())
        self._content.setdefault(split, []).append(shard.content.hexdigest())

    def abandon(self) -> None:
        """Close every file that is still open."""
        self._packing.shutdown(cancel_futures=True)
        for shard in self._shards:
            shard.abandon()
        if self._dropped is not None:
            self._dropped.close()

    def close(self, empty: Iterable[str] = ()) -> tuple[tuple[Split, ...], str]:
        """Finish every shard; returns the splits and the digest of the dataset."""
        for split in list(self._waiting):
            self._flush(split)
        for split in list(self._open):
            self._close(split)
        self._wait(0)
        if self._dropped is not None:
            self._dropped.flush()
            os.fsync(self._dropped.fileno())
        found = {name: self._done.get(name, []) for name in [*self._begun, *empty]}
        splits = tuple(
            Split(name=name, count=sum(s.count for s in shards), shards=tuple(shards)) for name, shards in found.items()
        )
        return splits, digest(sorted((name, self._content.get(name, [])) for name in found))


class PendingDataset(NamedTuple):
    """A dataset being written: add records, then read `dataset` after the block."""

    writer: Writer
    stored: list[Dataset]

    def add(self, split: str, record: Record) -> None:
        """Write one record."""
        self.writer.add(split, record)

    def drop(self, dropped: Dropped) -> None:
        """Store a dropped record in `dropped.jsonl`."""
        self.writer.drop(dropped)

    @property
    def dataset(self) -> Dataset:
        """The finished dataset."""
        return self.stored[0]


@contextmanager
def write_dataset(
    workspace: Workspace,
    name: str,
    kind: Literal["records", "dataset"],
    *,
    splits: Iterable[str] = ("all",),
    parents: Iterable[str] = (),
    run: str = "",
) -> Iterator[PendingDataset]:
    """Write a new version; it becomes visible as a whole when the block succeeds.

    with write_dataset(workspace, "sums-raw", "records") as pending:
        pending.add("all", record)
    dataset = pending.dataset
    """
    with workspace.new_version(kind, name) as (ref, folder):
        writer = Writer(folder)
        pending = PendingDataset(writer, [])
        try:
            yield pending
            done, content = writer.close(splits)
        finally:
            writer.abandon()
        dataset = Dataset(
            ref=str(ref),
            kind=kind,
            splits=done,
            digest=content,
            parents=tuple(parents),
            licenses=dict(sorted(writer.licenses.items())),
            counts=dict(sorted(writer.counts.items())),
            files=other_entries(folder, (shard for split in done for shard in split.shards)),
            run=run,
        )
        earlier = workspace.newest_of_run(kind, name, run, Dataset)
        if earlier is not None and earlier.digest == dataset.digest:
            pending.stored.append(earlier)
            raise SameVersion
        pending.stored.append(write_manifest(folder / MANIFEST, dataset))


def load(workspace: Workspace, text: str, kind: RefKind | None = None) -> Dataset:
    """The manifest of records or of a dataset; without `kind`, datasets are searched first."""
    if kind is None:
        name = text.partition("@")[0]
        kind = "dataset" if workspace.versions("dataset", name) else "records"
        if not workspace.versions(kind, name):
            known = {*workspace.names("dataset"), *workspace.names("records")}
            raise UsageError(f"no records or dataset are called {name!r}{suggest_name(name, known)}")
    return read_manifest(workspace.path(workspace.resolve(text, kind)) / MANIFEST, Dataset)


def folder_of(workspace: Workspace, dataset: Dataset) -> Path:
    """The folder of a dataset."""
    return workspace.path(Ref.parse(dataset.ref, dataset.kind))


def load_curation(workspace: Workspace, dataset: Dataset) -> Curation | None:
    """How a dataset was curated; None for records and for datasets made in another way."""
    path = folder_of(workspace, dataset) / CURATION
    refuse_changed_file(dataset, path)
    try:
        return jsonl.decoder(Curation)(path.read_bytes()) if path.is_file() else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from error


def read(workspace: Workspace, dataset: Dataset, split: str = "") -> Iterator[Record]:
    """The records of one split, or of all, in the order they were written."""
    folder = folder_of(workspace, dataset)
    for part in dataset.splits:
        if split and part.name != split:
            continue
        for shard in part.shards:
            refuse_changed(folder / shard.path, shard)
            yield from jsonl.read(folder / shard.path, Record)


def find_split(dataset: Dataset, name: str) -> Split:
    """A split by its name."""
    for split in dataset.splits:
        if split.name == name:
            return split
    raise DataError(f"{dataset.ref} has no split {name!r}; it has: {', '.join(s.name for s in dataset.splits)}")


def read_dropped(workspace: Workspace, dataset: Dataset) -> Iterator[Dropped]:
    """The records dropped while a dataset was made."""
    path = folder_of(workspace, dataset) / "dropped.jsonl"
    refuse_changed_file(dataset, path)
    return jsonl.read(path, Dropped) if path.exists() else iter(())


def refuse_changed_file(dataset: Dataset, path: Path) -> None:
    """Raise when a file beside the shards is not the listed one; manifests of earlier versions list none."""
    for entry in dataset.files:
        if entry.path == path.name:
            refuse_changed(path, entry)


def answer_text(record: Record) -> str:
    """The last assistant turn as text, tool calls included."""
    for message in reversed(record.messages):
        if message.role == "assistant":
            return message_text(message)
    return ""


def question_text(record: Record) -> str:
    """The last user turn before the answer."""
    for message in reversed(record.messages):
        if message.role == "user":
            return message.text
    return ""


def message_text(message: Message) -> str:
    """A turn as text, tool calls in Qwen's format, so that a text model can be trained on them."""
    return _with_calls(message.text, message.tool_calls)


def completion_text(completion: Completion) -> str:
    """A model's answer as text, in the same format."""
    return _with_calls(completion.text, completion.tool_calls)


def _with_calls(text: str, calls: Iterable[ToolCall]) -> str:
    if not calls:
        return text
    written = [
        "<tool_call>\n" + msgspec.json.encode({"name": c.name, "arguments": c.arguments}).decode() + "\n</tool_call>"
        for c in calls
    ]
    return "\n".join(part for part in (text, *written) if part)


def chat_messages(record: Record) -> list[Json]:
    """The conversation in OpenAI's format."""
    return [chat_message(message) for message in record.messages]


def task_messages(task_prompt: str, system: str = "", reply: str | None = None) -> tuple[Message, ...]:
    """A conversation with the question, and the system prompt and reply when given."""
    turns = [Message(role="system", text=system)] if system else []
    turns.append(Message(role="user", text=task_prompt))
    if reply is not None:
        turns.append(Message(role="assistant", text=reply))
    return tuple(turns)


def split_counts(dataset: Dataset) -> Mapping[str, int]:
    """Records per split."""
    return {split.name: split.count for split in dataset.splits}
