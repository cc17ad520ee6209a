"""Finds further occurrences of known values in a text, for a few values or for many thousands."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterator

import numpy as np

from afs.redaction.candidates import load_kernel

_WIDTHS = (8, 4)
"""Bytes by which many values are looked up at once: long ones by eight, the others by four."""
_FEW = 16
"""Up to so many values, one search per value is faster."""
_BITS = 20
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Of the hash in the kernel."""


def find_copies(raw: bytes, values: Collection[bytes]) -> Iterator[tuple[int, bytes]]:
    """(place, value) of every occurrence of values of four bytes or more; the longer of two at one place is first."""
    library = load_kernel() if len(values) > _FEW else None
    if library is None:
        for value in sorted(values, key=lambda value: (-len(value), value)):
            yield from _find_one(raw, value)
        return
    longest = 1 << 30
    for width in _WIDTHS:
        by_head: dict[bytes, list[bytes]] = {}
        for value in sorted((v for v in values if width <= len(v) < longest), key=len, reverse=True):
            by_head.setdefault(value[:width], []).append(value)
        yield from _find_many(library, raw, by_head, width)
        longest = width


def _find_one(raw: bytes, value: bytes) -> Iterator[tuple[int, bytes]]:
    at = raw.find(value)
    while at >= 0:
        yield at, value
        at = raw.find(value, at + len(value))


def _find_many(
    library: ctypes.CDLL, raw: bytes, by_head: dict[bytes, list[bytes]], width: int
) -> Iterator[tuple[int, bytes]]:
    if not by_head:
        return
    words = np.frombuffer(b"".join(by_head), f"<u{width}").astype(np.uint64)
    filled = np.zeros(1 << _BITS, bool)
    filled[(words * _FACTOR) >> np.uint64(64 - _BITS)] = True
    bits = np.packbits(filled, bitorder="little")
    places = np.empty(len(by_head) * 4 + 1024, np.int64)
    count = library.afs_heads(raw, len(raw), width, bits.ctypes.data, places.ctypes.data, len(places))
    if count > len(places):
        places = np.empty(count, np.int64)
        library.afs_heads(raw, len(raw), width, bits.ctypes.data, places.ctypes.data, count)
    for at in places[:count].tolist():
        for value in by_head.get(raw[at : at + width], ()):
            if raw.startswith(value, at):
                yield at, value
                break
