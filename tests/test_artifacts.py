"""Stored models: malformed weights are one clear line."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from afs import artifacts
from afs.errors import DataError


def weights(folder: Path, header: bytes, length: int | None = None) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + b"\0" * 16)
    return path


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_tensors_are_read(tmp_path: Path) -> None:
    path = weights(tmp_path, json.dumps({"__metadata__": {"format": "pt"}, "a": GOOD}).encode())
    assert [(t.name, t.dtype, t.shape) for t in artifacts.read_tensors([path])] == [("a", "F32", (2,))]


@pytest.mark.parametrize(
    "entry",
    [
        {}, {"dtype": "F32", "shape": [2]}, {**GOOD, "dtype": 7}, {**GOOD, "shape": [-1]}, {**GOOD, "shape": "x"},
        {**GOOD, "shape": [2.5]}, {**GOOD, "data_offsets": [0]}, {**GOOD, "data_offsets": [8, 0]},
        {**GOOD, "data_offsets": [-8, 0]}, {**GOOD, "data_offsets": [0, 10**30]}, {**GOOD, "data_offsets": None},
        [], None, 7,
    ],
)  # fmt: skip
def test_a_malformed_entry_is_one_line(tmp_path: Path, entry: object) -> None:
    path = weights(tmp_path, json.dumps({"a": entry}).encode())
    with pytest.raises(DataError, match=r"model\.safetensors: ") as caught:
        list(artifacts.read_tensors([path]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", [b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b"{"])
def test_a_malformed_header_is_one_line(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(DataError, match=r"not a safetensors file"):
        list(artifacts.read_tensors([weights(tmp_path, header)]))


@pytest.mark.parametrize("length", [2**63, 10**9, 100])
def test_a_header_longer_than_the_file_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(DataError, match="truncated safetensors file"):
        list(artifacts.read_tensors([weights(tmp_path, b"{}", length)]))
    (tmp_path / "model.safetensors").write_bytes(b"\1\2")
    with pytest.raises(DataError, match="truncated"):
        artifacts.tensors_digest(tmp_path)
