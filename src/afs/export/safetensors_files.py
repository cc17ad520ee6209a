"""Weights in safetensors files: read one tensor at a time, written as a stream; pickles are refused."""

from __future__ import annotations

import math
import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from afs.artifacts import Tensor, read_tensors
from afs.errors import DataError, RefusedError
from afs.export import merge_kernel
from afs.export.merge_kernel import Floats, is_finite, widen

DTYPES: Mapping[str, str] = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "<i1", "U8": "<u1"}
"""safetensors dtype -> how its bytes are read; BF16 has no numpy type and is widened by the kernel."""
T = TypeVar("T")
_PART = 1 << 19
"""Values worked on at once."""
_FLUSH = 64 << 20
"""Bytes after which what was written begins to go to the disk, while more is made."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class Weights:
    """The tensors of a model folder, by name; nothing is read until it is asked for."""

    def __init__(self, folder: Path, pattern: str = "*.safetensors") -> None:
        self.folder = folder
        files = sorted(folder.glob(pattern)) if folder.is_dir() else []
        if not files:
            _refuse_pickles(folder)
            raise DataError(f"{folder}: no weights ({pattern}) here")
        self.table: dict[str, Tensor] = {tensor.name: tensor for tensor in read_tensors(files)}
        self._maps = {path: np.memmap(path, dtype=np.uint8, mode="r") for path in files}

    def __contains__(self, name: str) -> bool:
        return name in self.table

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.end - tensor.start for tensor in self.table.values())

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""
        return self._tensor(name).shape

    def raw(self, name: str) -> NDArray[np.generic]:
        """A tensor as stored, a view of the file; BF16 as its 16-bit patterns."""
        tensor = self._tensor(name)
        if tensor.dtype not in DTYPES:
            raise DataError(f"{tensor.file}: {name} is {tensor.dtype}; want one of {', '.join(DTYPES)}")
        data = self._maps[tensor.file][tensor.start : tensor.end]
        try:
            return data.view(DTYPES[tensor.dtype]).reshape(tensor.shape)
        except ValueError as error:
            raise DataError(f"{tensor.file}: {name} does not have the size its shape {tensor.shape} says") from error

    def read(self, name: str) -> Floats:
        """A tensor as float32; values that are no numbers are a DataError."""
        tensor, raw = self._tensor(name), self.raw(name)
        values = widen(raw) if tensor.dtype == "BF16" else np.asarray(raw, dtype=np.float32)
        if not is_finite(values):
            raise DataError(f"{tensor.file}: {name} holds NaN or infinity; train again from the last good checkpoint")
        return values

    def read_rows(self, name: str, rows: NDArray[np.int64] | slice) -> Floats:
        """Some rows of a tensor as float32, without reading the rest."""
        part = self.raw(name)[rows]
        return widen(part) if self._tensor(name).dtype == "BF16" else np.asarray(part, dtype=np.float32)

    def dtype(self, name: str) -> str:
        """The number format of a tensor."""
        return self._tensor(name).dtype

    def _tensor(self, name: str) -> Tensor:
        if name not in self.table:
            raise DataError(f"{self.folder}: no tensor is called {name!r}")
        return self.table[name]


def _refuse_pickles(folder: Path) -> None:
    found = [path.name for pattern in PICKLES for path in sorted(folder.glob(pattern))] if folder.is_dir() else []
    if found:
        raise RefusedError(
            f"{folder}: {found[0]} is a pickle, which can run any program when it is opened; "
            "save the model as safetensors: model.save_pretrained(folder)"
        )


def row_slices(shape: tuple[int, ...]) -> list[slice]:
    """A tensor's rows in parts that fit the cache."""
    rows = max(1, _PART // max(1, math.prod(shape[1:])))
    return [slice(at, min(at + rows, shape[0])) for at in range(0, shape[0], rows)]


def read_ahead(work: Callable[[slice], T], parts: list[slice]) -> Iterator[T]:
    """What `work` makes of each part, in order; a few are made ahead in threads while earlier ones are used."""
    count = min(len(os.sched_getaffinity(0)), 4)
    if len(parts) < 2 or count < 2:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(count) as pool:
        waiting = deque(pool.submit(work, part) for part in parts[: 2 * count])
        for part in parts[2 * count :]:
            yield waiting.popleft().result()
            waiting.append(pool.submit(work, part))
        while waiting:
            yield waiting.popleft().result()


def encode_values(values: Floats, dtype: str) -> NDArray[np.generic]:
    """float32 values in a safetensors dtype."""
    if dtype == "BF16":
        return merge_kernel.narrow(values)[0]
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, dtype=DTYPES[dtype])
    if dtype == "F16" and not np.isfinite(stored).all():
        raise DataError("a value beyond 65504 does not fit float16; use bf16")
    return stored


class Planned(NamedTuple):
    """A tensor to be written: its place in the file is known before its values are made."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parts: Callable[[], Iterable[NDArray[np.generic]]]
    """Makes the values, some rows at a time."""

    @property
    def size(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(DTYPES[self.dtype]).itemsize


def write_safetensors(path: Path, planned: Iterable[Planned], metadata: Mapping[str, str] = {}) -> int:
    """Write a safetensors file tensor by tensor, durably; its size."""
    rows = list(planned)
    table: dict[str, object] = {"__metadata__": {"format": "pt", **metadata}}
    place = 0
    for row in rows:
        table[row.name] = {"dtype": row.dtype, "shape": row.shape, "data_offsets": [place, place + row.size]}
        place += row.size
    header = msgspec.json.encode(table)
    header += b" " * (-len(header) % 8)
    with path.open("wb", buffering=0) as target, ThreadPoolExecutor(1) as disk:
        put_tensor(target, struct.pack("<Q", len(header)) + header)
        at, flushed = 0, disk.submit(os.fsync, target.fileno())
        for row in rows:
            written = 0
            for part in row.parts():
                values = np.ascontiguousarray(part).reshape(-1).view(np.uint8)
                put_tensor(target, values.data)
                written += values.nbytes
                at += values.nbytes
                if at > _FLUSH and flushed.done():
                    at, flushed = 0, disk.submit(os.fsync, target.fileno())
            if written != row.size:
                raise DataError(f"{path}: {row.name} has {written} bytes, {row.size} were planned")
        flushed.result()
        os.fsync(target.fileno())
        return target.tell()


def put_tensor(target: IO[bytes], part: bytes | memoryview) -> None:
    view = memoryview(part)
    while view:
        view = view[target.write(view) :]
